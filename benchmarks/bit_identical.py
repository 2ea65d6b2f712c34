"""Whether two checkouts train bit-identical networks: each runs the same sweeps, and every stored network is compared.

A checkout may be of this layout (a profile is a graph) or of the former one (stages with fixed names); the built-in
profiles have the same settings in both. Networks are found on disk and told by their trial's settings, so candidates,
winners and networks on other inputs are all compared, with their histories; times are left out.

    python benchmarks/bit_identical.py ONE OTHER --profile embedded
    python benchmarks/bit_identical.py ONE OTHER --profile reference --epochs 2 --seeds 0 1 --mirror ../shared/data

It ends with status 1 when anything differs, or a network is in one checkout alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

SWEEPS = ("activations", "hidden_units", "learning_rates", "classifier")

Networks = dict[str, list[str]]
"""A trial's settings -> digests of the networks trained with them."""


def main() -> int:
    """Train in both checkouts, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkouts", nargs=2, type=Path, metavar="CHECKOUT")
    parser.add_argument("--profile", default="embedded", help="a built-in profile (default: embedded)")
    parser.add_argument("--sweeps", nargs="+", default=SWEEPS, choices=SWEEPS, metavar="SWEEP", help="default: all")
    parser.add_argument("--epochs", type=int, help="of every trial, in place of the profile's")
    parser.add_argument("--seeds", nargs="+", type=int, help="in place of the profile's")
    parser.add_argument("--weights", choices=("imagenet", "random"), help="of the features, in place of the profile's")
    parser.add_argument("--mirror", type=Path, help="folder that data is fetched from")
    arguments = parser.parse_args()
    found = []
    for checkout in arguments.checkouts:
        with tempfile.TemporaryDirectory() as data:
            print(f"{checkout}: training", file=sys.stderr, flush=True)
            found.append(_train_in(checkout.resolve(), Path(data), arguments))
    return _compare(*found)


def _compare(one: Networks, other: Networks) -> int:
    alike = [trial for trial in one if one[trial] == other.get(trial)]
    networks = sum(len(one[trial]) for trial in alike)
    print(f"{networks} networks of {len(alike)} different trials are bit-identical, with their histories")
    different = [trial for trial in sorted({*one, *other}) if trial not in alike]
    for trial in different:
        print(f"DIFFERENT: {len(one.get(trial, []))} and {len(other.get(trial, []))} networks of {trial}")
    return 1 if different or not networks else 0


def _train_in(checkout: Path, data: Path, arguments: argparse.Namespace) -> Networks:
    foreign = ("PROBEFLOW_", "MLFLOW_", "PREFECT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"PROBEFLOW_DATA": str(data), "PROBEFLOW_MLRUNS": str(data / "mlruns"), "PYTHONPATH": str(checkout)}
    if arguments.mirror:
        environment["PROBEFLOW_MIRROR"] = str(arguments.mirror.resolve())
    wanted = {name: getattr(arguments, name) for name in ("profile", "sweeps", "epochs", "seeds", "weights")}
    code = f"import runpy; runpy.run_path({str(Path(__file__).resolve())!r})['train']({wanted!r})"
    subprocess.run([sys.executable, "-c", code], cwd=checkout, env=environment, check=True)
    return _networks(data)


def train(wanted: dict[str, Any]) -> None:
    """Run the sweeps of the checkout that this process imports from; trials are left in its folder of data."""
    (_train_graph if Path("lib/profile").is_dir() else _train_stages)(**wanted)


def _train_graph(
    profile: str, sweeps: list[str], epochs: int | None, seeds: list[int] | None, weights: str | None
) -> None:
    from lib.graph.inputs import Opened
    from lib.places import places
    from lib.profile import load_profile, parse_profile
    from lib.studies.record import StudyFolder
    from lib.studies.study import Study, kind_of

    content = load_profile(profile, environment={}).model_dump(mode="json")
    for features in content["features"].values():
        features["weights"] = weights or features["weights"]
    for name in sweeps:
        study = content["studies"][name]
        study["baselines"] = []
        study["seeds"] = seeds or study["seeds"]
        if "splits" in study:
            study["splits"] = "fixed"  # as before there was a choice
        for variant in study["variants"].values():
            variant["base"]["epochs"] = epochs or variant["base"]["epochs"]
    where = places()
    opened = Opened(parse_profile(content), where)
    for name in opened.graph.with_needs(sweeps):
        if opened.graph[name].group == "features":
            opened.node(name).run()
    for name in sweeps:
        node = opened.node(name)
        # What other sweeps have trained is not to be found: which trials share a program decides how sums are rounded.
        folder = StudyFolder(where.studies / name, node.folder.identity)
        kind_of(node.settings).compute(Study(name, node.settings, node.inputs, folder, where))


def _train_stages(
    profile: str, sweeps: list[str], epochs: int | None, seeds: list[int] | None, weights: str | None
) -> None:
    from lib.datasets import acquire
    from lib.features import extract

    config = import_module("lib.config")
    classify, run_sweep = (
        import_module("lib.studies.classifier").classify,
        import_module("lib.studies.sweep").run_sweep,
    )
    content = config.load_profile(profile, environment={}).model_dump(mode="json")
    content["features"]["weights"] = weights or content["features"]["weights"]
    for name in sweeps:
        study = content[name]
        study["compare_sklearn"] = False
        study["seeds"] = seeds or study["seeds"]
        bases = [study] if name == "classifier" else study["arms"].values()
        for each in bases:
            each["base"]["epochs"] = epochs or each["base"]["epochs"]
    settings, where = config.Profile.model_validate(content), config.places()
    for name in sweeps:
        if name == "classifier":
            images = acquire(settings.images, where.data, where.mirror)
            feature_set = extract(images, settings.features, where.features, where.mirror)
            classify(settings.classifier, feature_set, images, where.studies)
        else:
            study = getattr(settings, name)
            run_sweep(name, study, acquire(study.data, where.data, where.mirror), where.studies)


def _networks(data: Path) -> Networks:
    """Every stored network below the folder of data."""
    from safetensors.numpy import load_file

    found: dict[str, set[str]] = {}
    for path in sorted((data / "studies").rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        network = path.with_suffix(".safetensors")
        if not network.exists() or "trial" not in content:
            continue
        digest = hashlib.sha256()
        for name, values in sorted(load_file(network).items()):
            digest.update(f"{name}{values.dtype}{values.shape}".encode() + values.tobytes())
        course = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in content["history"]]
        digest.update(json.dumps([course, content["ended"]], sort_keys=True).encode())
        found.setdefault(json.dumps(content["trial"], sort_keys=True), set()).add(digest.hexdigest())
    return {trial: sorted(digests) for trial, digests in found.items()}


if __name__ == "__main__":
    sys.exit(main())
