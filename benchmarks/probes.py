"""What heads learn from frozen features and from raw pixels: test accuracies with 95 % intervals, heads tuned alike.

Airplane and automobile (`two`: 10,000 + 2,000 JPEGs) and the lossless subset of all ten classes (`ten`: 8,068 + 1,017), as:
`imagenet` (AlexNet's pool5, ImageNet weights), `random` (pool5, random weights), `fc8` (random weights) and `pixels`.
On each, four heads: `linear` (softmax regression by the sweep engine), `mlp` (one or two hidden layers), `logistic`
(scikit-learn, C chosen along a path) and `knn`. All are tuned on the same validation rows, trained again on all that is
not tested, and scored once. Networks have three seeds; intervals are over seeds and test rows together.

    python -m benchmarks.probes --mirror ../shared/data --weights ../shared/data/weights/alexnet-imagenet-features.safetensors
    python -m benchmarks.probes … --only two.imagenet --only two.pixels --configurations 100
    python -m benchmarks.probes … --picture probes.png                 # all of them drawn, too

The last line is one JSON object, such as {"two.imagenet.linear": [0.97, 0.962, 0.977], …}: accuracy, low, high.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from lib.figures.raster import save_png
from lib.figures.style import STYLE, colour
from lib.graph import check_graph, ready_node
from lib.places import Places
from lib.profile import Profile, parse_profile
from lib.studies.study import Group
from lib.studies.sweep.result import ModelRole, SweepResult

INPUTS = {
    "imagenet": {"layer": "pool5", "weights": "imagenet"},
    "random": {"layer": "pool5", "weights": "random"},
    "fc8": {"layer": "fc8", "weights": "random"},
    "pixels": None,
}
SETS = {
    "two": "airplane or automobile\n10,000 training, 2,000 test images",
    "ten": "ten classes\n8,068 training, 1,017 test images",
}
HEADS = {
    "linear": "linear probe (our engine)",
    "logistic": "logistic regression (scikit-learn)",
    "knn": "k nearest neighbours",
    "mlp": "MLP (our engine)",
}
TITLES = {
    "imagenet": "AlexNet pool5,\nImageNet weights",
    "random": "AlexNet pool5,\nrandom weights",
    "fc8": "AlexNet fc8,\nrandom weights",
    "pixels": "raw pixels",
}
"""What the picture calls sets of images, heads and inputs, each in this order."""
TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def profile_of(path: Path, weights: Path, inputs: list[str], configurations: int, epochs: int) -> Profile:
    """One sweep of linear probes and one of deeper networks on each input."""
    features = {
        name: {"of": "images", **settings} | ({"weights_file": str(weights)} if name == "imagenet" else {})
        for name, settings in INPUTS.items()
        if settings is not None and name in inputs
    }
    studies: dict[str, Any] = {}
    for name in inputs:
        common = {"kind": "sweep", "on": name if name in features else "images", "test": True, "standardise": True}
        base = {"optimizer": "adam", "batch_size": 128, "epochs": epochs}
        space = {
            "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
            "l2": {"low": 1e-3, "high": 100, "log": True},
        }
        search = {"sampler": "random", "configurations": configurations, "space": space}
        studies[f"{name}-linear"] = common | {
            "baselines": ["majority", "logistic", "knn"],
            "variants": {"linear": {"base": base | {"hidden": []}, "search": search}},
        }
        deep = space | {"hidden": [[64], [256], [256, 64]], "learning_rate": {"low": 1e-5, "high": 3e-3, "log": True}}
        studies[f"{name}-mlp"] = common | {
            "baselines": [],
            "variants": {
                "mlp": {"base": base, "search": search | {"configurations": configurations // 4, "space": deep}}
            },
        }
    content = {
        "name": "probes",
        "data": {"images": {"source": "folder", "path": str(path)}},
        "features": features,
        "studies": studies,
    }
    return parse_profile(content)


def scores(result: SweepResult, head: str) -> Iterator[tuple[str, list[float]]]:
    """Accuracy of the sweep's winner and of its baselines, each with its interval."""
    for model in result.models:
        name = head if model.role is ModelRole.WINNER else str(model.baseline)
        if name != "majority":
            of = model.with_both
            yield name, [round(of.estimate, 4), round(of.low, 4), round(of.high, 4)]


def draw(found: Mapping[str, Sequence[float]]) -> Figure:
    """Test accuracy with its interval: a panel for each set of images, a group for each input, a colour for each head."""
    sets = [name for name in SETS if any(key.startswith(f"{name}.") for key in found)]
    heads = [name for name in HEADS if any(key.endswith(f".{name}") for key in found)]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6))
        for axis, images in zip(figure.subplots(1, len(sets), sharey=True, squeeze=False)[0], sets, strict=True):
            for group, name in enumerate(reversed(INPUTS)):
                for place, head in enumerate(heads):
                    if (of := found.get(f"{images}.{name}.{head}")) is not None:
                        height = group + 0.27 - 0.18 * place
                        axis.plot(of[1:], [height] * 2, color=colour(place), linewidth=1.5)
                        axis.plot(of[0], height, "o", color=colour(place), markersize=5)
                        axis.annotate(
                            f"{of[0]:.3f}", (of[2], height), (4, 0), textcoords="offset points", fontsize=7, va="center"
                        )
            axis.set_yticks(range(len(INPUTS)), [TITLES[name] for name in reversed(INPUTS)])
            axis.margins(x=0.14)
            axis.set_xlabel("test accuracy (95 % interval over seeds and test images)")
            axis.set_title(SETS[images])
        keys = [Line2D([], [], color=colour(at), marker="o", label=HEADS[head]) for at, head in enumerate(heads)]
        figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


def as_folder(archive: Path, folder: Path) -> Path:
    """The lossless images as PNG files in train/ and test/, one folder a class."""
    with np.load(archive) as content:
        for split in ("train", "test"):
            X, y = content[f"X_{split}"], content[f"y_{split}"]
            for number, (pixels, label) in enumerate(zip(X, y, strict=True)):
                place = folder / split / TEN[int(label)]
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place / f"{number:05d}.png")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mirror", type=Path, required=True, help="folder with images/ of CIFAR-10")
    parser.add_argument("--weights", type=Path, required=True, help="AlexNet's trunk with ImageNet weights")
    parser.add_argument("--only", action="append", metavar="SET.INPUT", help="such as two.imagenet (default: all)")
    parser.add_argument(
        "--configurations", type=int, default=48, help="linear probes; a quarter as many deeper networks"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="folder for the records (default: none are kept)")
    parser.add_argument("--picture", type=Path, help="PNG file to draw them in")
    arguments = parser.parse_args()
    wanted = arguments.only or [f"{images}.{name}" for images in SETS for name in INPUTS]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        for images in SETS:
            inputs = [each.partition(".")[2] for each in wanted if each.startswith(f"{images}.")]
            if not inputs:
                continue
            path = arguments.mirror.resolve() / "images" / "cifar10-airplane-automobile-jpeg.tar"
            if images == "ten":
                path = as_folder(path.with_name("cifar10-lossless-subset.npz"), Path(temporary) / "ten")
            profile = profile_of(path, arguments.weights, inputs, arguments.configurations, arguments.epochs)
            where = Places(data=root / images, mlruns=root / "mlruns", tracking_uri="")
            check_graph(profile, list(profile.graph.nodes), where)
            for node in profile.graph.recorded:
                started = time.perf_counter()
                record = ready_node(profile, node.name, where).run()
                took = time.perf_counter() - started
                if node.group is Group.FEATURES:
                    print(f"{images}.{node.name}: extracted in {took:.0f} s", flush=True)
                    continue
                name, _, head = node.name.rpartition("-")
                own = {f"{images}.{name}.{of}": figures for of, figures in scores(record.result, head)}
                found |= own
                print(f"{images}.{node.name}: {own} in {took:.0f} s", flush=True)
                for model in record.result.models:
                    settings = (
                        model.settings or record.result.configurations[model.configuration or 0].trial.model_dump()
                    )
                    print(f"    {model.baseline or head}: {settings}", flush=True)
            if arguments.picture is not None:
                save_png(draw(found), arguments.picture)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
