"""What a run costs beside its computing: `python -m flows run`, that again, and what `lib` alone computes of it.

Each is a process of its own, in turns; the datasets' downloads are shared and not counted. The calls of `lib` extract
features, train networks and baselines, and write the same results; what is left out is Prefect (its server for the run
included), MLflow, figures, tables and the report. The second run is in the first one's places, where all is done already.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --profile reference --mirror ../shared/data

The last line is one JSON object of medians: `whole_vs_lib` is the run's wall seconds by those of `lib` (goal 1.25),
`whole_vs_lib_cpu` the same in seconds of all processors, which a loaded machine changes little; `again_vs_whole` the
second run's wall seconds by the first's (goal 0.1). Smaller is better.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lib.graph import check_graph, ready_node
from lib.graph.inputs import note_of
from lib.places import places
from lib.profile import Profile, load_profile
from lib.studies.study import Group, Study, kind_of


def compute(profile: Profile) -> None:
    """What the pipeline computes, by calls of `lib`: each record without figures and tables."""
    where, graph = places(), profile.graph
    check_graph(profile, list(graph.nodes), where)
    for each in graph.recorded:
        node = ready_node(profile, each.name, where)
        study = Study(each.name, node.settings, node.inputs, node.folder, where)
        node.folder.seal(kind_of(node.settings).compute(study), note_of(study.dataset))


@dataclass(frozen=True)
class Taken:
    """Seconds of a command by the clock and of all its processes' cores."""

    wall: float
    cpu: float


def taken(command: list[str], root: Path, downloads: Path, mirror: str | None) -> Taken:
    """By the command in the places under `root`, beside which only the downloads lie."""
    data = root / "data"
    if not data.exists():
        data.mkdir(parents=True)
        (data / "raw").symlink_to(downloads, target_is_directory=True)
    ours = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PROBEFLOW_DATA": str(data),
        "PROBEFLOW_MLRUNS": str(root / "mlruns"),
        "PREFECT_HOME": str(root / "prefect"),
    }
    if mirror is not None:
        environment["PROBEFLOW_MIRROR"] = mirror
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--mirror", help="where the data is fetched from: a folder or URL")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--lib", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    profile = load_profile(options.profile, assignments=options.set)
    if options.lib:
        compute(profile)
        return
    mirror = places({"PROBEFLOW_MIRROR": options.mirror or ""}).mirror
    settings = ["--profile", options.profile, *(part for each in options.set for part in ("--set", each))]
    run, lib = ["flows", "run", *settings], ["benchmarks.overhead", "--lib", *settings]
    all_taken: dict[str, list[Taken]] = {"whole": [], "again": [], "lib": []}
    with tempfile.TemporaryDirectory() as folder:
        data = [node.name for node in profile.graph.group(Group.DATA)]
        check_graph(profile, data, places({"PROBEFLOW_DATA": folder, "PROBEFLOW_MIRROR": options.mirror or ""}))
        downloads = Path(folder) / "raw"
        downloads.mkdir(exist_ok=True)  # bundled data needs none
        for turn in range(options.turns):
            order = ("lib", "whole", "again") if turn % 2 else ("whole", "again", "lib")
            with tempfile.TemporaryDirectory() as places_of_turn:
                for name in order:
                    root = Path(places_of_turn) / ("lib" if name == "lib" else "run")
                    one = taken(lib if name == "lib" else run, root, downloads, mirror)
                    all_taken[name].append(one)
                    print(f"turn {turn + 1}: {name:6s} {one.wall:8.1f} s, {one.cpu:8.1f} s of CPU", flush=True)
    wall = {name: statistics.median(each.wall for each in several) for name, several in all_taken.items()}
    cpu = {name: statistics.median(each.cpu for each in several) for name, several in all_taken.items()}
    figures = {
        "whole_vs_lib": wall["whole"] / wall["lib"],
        "whole_vs_lib_cpu": cpu["whole"] / cpu["lib"],
        "again_vs_whole": wall["again"] / wall["whole"],
        "again_seconds": wall["again"],
        "again_cpu_seconds": cpu["again"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
