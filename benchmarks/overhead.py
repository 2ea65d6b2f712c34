"""What Prefect and MLflow cost: the whole pipeline as `python -m flows run` does it, against the same calls of `lib` alone.

Each is a process of its own with data of its own, in turns; the datasets' downloads are shared and not counted. The calls
of `lib` do the same work and write the same studies; what is left out is Prefect (its server for the run included) and
logging to MLflow.

    python -m benchmarks.overhead --profile reference --mirror ../shared/data

The last line is one JSON object: `overhead` is (pipeline - lib) / lib of the medians; smaller is better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.graph import check_graph, ready_node, summarise
from lib.places import places
from lib.profile import Profile, load_profile
from lib.studies.study import Group


def everything(profile: Profile) -> None:
    """The pipeline's work by calls of `lib`."""
    where, graph = places(), profile.graph
    check_graph(profile, list(graph.nodes), where)
    records = {node.name: ready_node(profile, node.name, where).run() for node in graph.recorded}
    summarise(profile, records, where)


def seconds(command: list[str], downloads: Path, mirror: str | None) -> float:
    """Of the command in fresh places, beside which only the downloads lie."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        (data / "raw").symlink_to(downloads, target_is_directory=True)
        ours = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "PROBEFLOW_DATA": str(data),
            "PROBEFLOW_MLRUNS": str(Path(folder) / "mlruns"),
            "PREFECT_HOME": str(Path(folder) / "prefect"),
        }
        if mirror is not None:
            environment["PROBEFLOW_MIRROR"] = mirror
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, text=True)
        taken = time.perf_counter() - started
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
        return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="reference")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--mirror", help="where the data is fetched from: a folder or URL")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--lib", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    profile = load_profile(options.profile, assignments=options.set)
    if options.lib:
        everything(profile)
        return
    mirror = places({"PROBEFLOW_MIRROR": options.mirror or ""}).mirror
    settings = ["--profile", options.profile, *(part for each in options.set for part in ("--set", each))]
    commands = {"pipeline": ["flows", "run", *settings], "lib": ["benchmarks.overhead", "--lib", *settings]}
    with tempfile.TemporaryDirectory() as folder:
        data = [node.name for node in profile.graph.group(Group.DATA)]
        check_graph(profile, data, places({"PROBEFLOW_DATA": folder, "PROBEFLOW_MIRROR": options.mirror or ""}))
        (Path(folder) / "raw").mkdir(exist_ok=True)  # bundled data needs none
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.turns):
            for name in list(commands) if turn % 2 else reversed(commands):
                taken[name].append(seconds(commands[name], Path(folder) / "raw", mirror))
                print(f"turn {turn + 1}: {name:8s} {taken[name][-1]:8.1f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    more = medians["pipeline"] - medians["lib"]
    print(f"Prefect and MLflow add {more:.1f} s to {medians['lib']:.1f} s")
    print(json.dumps({"overhead": round(more / medians["lib"], 4), "seconds": round(more, 1)}))


if __name__ == "__main__":
    main()
