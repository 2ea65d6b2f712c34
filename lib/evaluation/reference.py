"""The reference study's printed results, and the table that lays this run beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lib.evaluation.intervals import Estimate

ACCURACY = {"relu": 0.9388, "sigmoid": 0.9036, "linear": 0.8163, "tanh": 0.9100}
SKLEARN_ACCURACY = {"relu": 0.9767, "sigmoid": 0.9644, "tanh": 0.9667}
SKLEARN_SLIP = "0.9767 (a slip: ReLU scored again)"
UNIT_LOSSES = {5: (0.664, 0.788), 20: (0.292, 0.562), 50: (0.173, 0.592), 100: (0.118, 0.523), 200: (0.0895, 0.5225)}
RATE_LOSSES = {0.1: (0.766, 0.874), 0.01: (0.744, 0.870), 0.001: (1.229, 1.298)}
CLASSIFIER_ACCURACY = "0.6348 (on training images)"
CONFUSION = ((2419, 1071), (2581, 3929))
"""Part F's: rows predicted, columns true."""
STUDY_DATA = {
    "activations": "mnist",
    "hidden_units": "letters",
    "learning_rates": "letters",
    "exploration": "cifar10",
    "features": "cifar10",
    "classifier": "cifar10",
}
"""What each study was run on: the dataset's name, or how it begins."""


@dataclass(frozen=True)
class Row:
    """One line of the table "reference study / this run"."""

    part: str
    figure: str
    setting: str
    reference: str
    this_run: str
    data: str


def comparison(summaries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows for every study in `summaries` (study name -> summary), in the reference study's order A to F.

    A study run on other data than the reference's keeps its row; the `data` column says so.
    """
    rows: list[Row] = []
    if "activations" in summaries:
        rows += _activations(summaries["activations"])
    for name, part, printed in (("hidden_units", "B", UNIT_LOSSES), ("learning_rates", "C", RATE_LOSSES)):
        if name in summaries:
            rows += _losses(part, name, summaries[name], printed)
    if "exploration" in summaries:
        rows += _exploration(summaries["exploration"])
    if "features" in summaries:
        rows += _features(summaries["features"])
    if "classifier" in summaries:
        rows += _classifier(summaries["classifier"])
    return [asdict(row) for row in rows]


def is_study_data(study: str, name: str) -> bool:
    """Whether a dataset is the one that the reference study used, by its name; "cifar10-..." is a copy of CIFAR-10."""
    return name == STUDY_DATA[study] or name.startswith(f"{STUDY_DATA[study]}-")


def _data(study: str, summary: Mapping[str, Any]) -> str:
    name = str(summary["dataset"]["name"])
    return name if is_study_data(study, name) else f"{name} (the study: {STUDY_DATA[study]})"


def _activations(summary: Mapping[str, Any]) -> list[Row]:
    data = _data("activations", summary)
    rows = []
    for final in summary["finals"]:
        activation = final["value"]
        rows.append(
            Row("A", "test accuracy, from scratch", activation, f"{ACCURACY[activation]:.4f}", _accuracy(final), data)
        )
        if "sklearn" in final:
            printed = SKLEARN_ACCURACY.get(activation)
            rows.append(
                Row(
                    "A",
                    "test accuracy, scikit-learn",
                    activation,
                    SKLEARN_SLIP if printed is None else f"{printed:.4f}",
                    _accuracy({"seeds": final["seeds"]} | final["sklearn"]),
                    data,
                )
            )
    return rows


def _losses(part: str, study: str, summary: Mapping[str, Any], printed: Mapping[Any, tuple[float, float]]) -> list[Row]:
    data = _data(study, summary)
    rows = []
    searched = summary.get("search", {})
    for group in summary["configurations"]:
        if group.get("ended", "").startswith("halved"):
            continue  # averages over fewer epochs
        if group["arm"] in searched and group["label"] != searched[group["arm"]]["best"]:
            continue  # of many that a search tried, its best alone
        value = tuple(group["value"]) if isinstance(group["value"], list | tuple) else group["value"]
        key = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        settings = f"{group['arm']}: {group['label']}"
        reference = printed.get(key)
        rows.append(
            Row(
                part,
                "average train / validation cross-entropy",
                settings,
                "-" if reference is None else f"{reference[0]:g} / {reference[1]:g}",
                f"{_loss(group, 'mean_train_loss')} / {_loss(group, 'mean_validation_loss')}",
                data,
            )
        )
        rows.append(
            Row(part, "best validation cross-entropy", settings, "-", _loss(group, "best_validation_loss"), data)
        )
    return rows


def _loss(group: Mapping[str, Any], name: str) -> str:
    """The mean over seeds with its 95 % interval; one seed has none."""
    if group["seeds"] == 1 or group[name] is None:
        return "not finite" if group[name] is None else f"{group[name]:.4g} (one seed)"
    return Estimate.of(group["statistics"][name]).words


def _exploration(summary: Mapping[str, Any]) -> list[Row]:
    counts = ", ".join(f"{name} {count}" for name, count in summary["counts"]["train"].items())
    return [Row("D", "class frequencies (train)", "two classes", "5000 / 5000", counts, summary["dataset"]["name"])]


def _features(summary: Mapping[str, Any]) -> list[Row]:
    speeds = [f"{each['images'] / each['seconds']:.0f} images/s on {each['device']}" for each in summary["speeds"]]
    return [
        Row(
            "E",
            "extraction rate",
            summary["description"],
            "432 images/s on a cloud GPU",
            "; ".join(speeds) or "-",
            summary["dataset"]["name"],
        )
    ]


def _classifier(summary: Mapping[str, Any]) -> list[Row]:
    name = summary["dataset"]["name"]
    setting = f"{'-'.join(map(str, summary['trial']['hidden']))} on {summary['representation']}"
    final = summary["final"]
    first = summary["table"][0]
    over = {name: first[name] for name in ("standard_deviation", "seeds")}
    over |= {name: first[f"mean_{name}"] for name in ("low", "high")} | {"mean": first["mean_test_accuracy"]}
    found = _accuracy(
        {"seeds": first["seeds"], "test_accuracy": first["test_accuracy"], "statistics": {"test_accuracy": over}}
    )
    test_images = f"{found}, on {summary['dataset']['rows']['test']} unseen test images"
    return [
        Row("F", "accuracy", setting, CLASSIFIER_ACCURACY, test_images, name),
        Row("F", "training accuracy", setting, "0.63 (had not learned)", f"{final['train_accuracy']:.4f}", name),
    ]


def _accuracy(final: Mapping[str, Any]) -> str:
    if final["seeds"] == 1:
        return f"{final['test_accuracy']:.4f} (one seed)"
    words = Estimate.of(final["statistics"]["test_accuracy"]).words
    return words if words.endswith(" seeds") else f"{words}, {final['seeds']} seeds"
