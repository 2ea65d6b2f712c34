"""A tested classifier in tables: its measures, its classes one by one, and the models that stand beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support

from lib.evaluation.calibration import reliability
from lib.evaluation.intervals import LEVEL, Estimate, Interval, holm, over_seeds, p_words, wilson
from lib.evaluation.measures import MEASURES, measure
from lib.evaluation.paired import compare_predictions
from lib.evaluation.reference import CLASSIFIER_ACCURACY

Labels = npt.NDArray[np.int64]

_SHOWN = ("test_accuracy", "test_balanced_accuracy", "test_f1_macro", "roc_auc", "test_loss", "test_ece")


@dataclass(frozen=True)
class Judged:
    """A model's answers on the test rows: probabilities, shape (n, classes), and its `MEASURES` with their intervals."""

    name: str
    probabilities: npt.NDArray[np.floating]
    measured: dict[str, Interval]

    @classmethod
    def of(
        cls, name: str, labels: Labels, probabilities: npt.NDArray[np.floating], groups: Labels | None = None
    ) -> Judged:
        """Measure the probabilities on `labels`, shape (n,); rows of one of `groups` are resampled together."""
        return cls(name, probabilities, measure(labels, probabilities, groups))

    @property
    def predicted(self) -> Labels:
        """The predicted classes, shape (n,)."""
        found: Labels = self.probabilities.argmax(axis=1)
        return found


def measure_rows(
    name: str, measured: dict[str, Interval], over: Sequence[dict[str, float]], column: str = "input"
) -> list[dict[str, Any]]:
    """One row a measure: the first seed's with its bootstrap interval, and the spread of `over`, one mapping a seed.

    `name` stands in a column of the name `column`.
    """
    rows = []
    for key, each in measured.items():
        spread = over_seeds([seed[key] for seed in over], MEASURES[key].within)
        rows.append(
            {
                column: name,
                "measure": key,
                "value": each.estimate,
                "low": each.low,
                "high": each.high,
                "seeds": spread.seeds,
                "mean": spread.mean,
                "standard_deviation": spread.standard_deviation,
                "mean_low": spread.low,
                "mean_high": spread.high,
            }
        )
    return rows


def confusion_rows(confusion: npt.NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row a true class: images predicted as each class, then the same as shares of the true class."""
    rows = []
    for name, counts in zip(names, confusion.tolist(), strict=True):
        shares = [count / sum(counts) if sum(counts) else None for count in counts]
        rows.append(
            {"true class": name}
            | {f"predicted {other}": count for other, count in zip(names, counts, strict=True)}
            | {f"share predicted {other}": share for other, share in zip(names, shares, strict=True)}
        )
    return rows


def class_rows(labels: Labels, predicted: Labels, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision and recall of each class, with Wilson's 95 % intervals, its F1, and its test images (support).

    A class that was never predicted has no precision, and one without test images no recall.
    """
    every = range(len(names))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    said, hits = (np.bincount(of, minlength=len(names)) for of in (predicted, labels[predicted == labels]))
    rows = []
    for place, name in enumerate(names):
        row: dict[str, Any] = {"class": name}
        for word, value, total in (("precision", precision, said), ("recall", recall, support)):
            known = total[place] > 0
            interval = wilson(int(hits[place]), int(total[place])) if known else None
            row[word] = float(value[place]) if known else None
            row[f"{word}_low"] = interval.low if interval else None
            row[f"{word}_high"] = interval.high if interval else None
        rows.append(row | {"f1": float(f1[place]), "support": int(support[place])})
    return rows


def calibration_rows(labels: Labels, models: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row a bin of confidence that has rows, for each model."""
    return [
        {
            "model": model.name,
            "confidence_above": each.low,
            "confidence_up_to": each.high,
            "rows": each.rows,
            "mean_confidence": each.confidence,
            "accuracy": each.accuracy.estimate,
            "low": each.accuracy.low,
            "high": each.accuracy.high,
        }
        for model in models
        for each in reliability(labels, model.probabilities)
    ]


def comparison_rows(labels: Labels, models: Sequence[Judged], groups: Labels | None = None) -> list[dict[str, Any]]:
    """One row a model; all but the first are held against the first, row by row, with Holm's correction over them.

    `difference` is the first model's accuracy less the row's. Intervals of the accuracy are Wilson's where rows are
    independent, and the bootstrap's where they come in `groups`; all others are the bootstrap's.
    """
    chosen, *others = models
    found = [compare_predictions(chosen.predicted, other.predicted, labels, groups) for other in others]
    corrected = holm([each.p_value for each in found])
    rows: list[dict[str, Any]] = []
    for place, model in enumerate(models):
        row: dict[str, Any] = {"model": model.name}
        for name, each in (model.measured | {"test_accuracy": accuracy_of(model, labels, groups)}).items():
            row |= {name: each.estimate, f"{name}_low": each.low, f"{name}_high": each.high}
        pair, p_value = (found[place - 1], corrected[place - 1]) if place else (None, None)
        rows.append(
            row
            | {
                "difference": pair.estimate if pair else None,
                "difference_low": pair.low if pair else None,
                "difference_high": pair.high if pair else None,
                "chosen_alone_right": pair.only_first if pair else None,
                "other_alone_right": pair.only_second if pair else None,
                "mcnemar_p": pair.p_value if pair else None,
                "holm_p": p_value,
                "found": _found(pair.estimate, p_value) if pair and p_value is not None else "the chosen network",
            }
        )
    return rows


def accuracy_of(model: Judged, labels: Labels, groups: Labels | None = None) -> Interval:
    """A model's accuracy: with Wilson's interval, or of rows in `groups`, of which Wilson's is too sure, the bootstrap's."""
    if groups is not None:
        return model.measured["test_accuracy"]
    return wilson(int((model.predicted == labels).sum()), len(labels))


def interval_words(groups: int | None) -> str:
    """Where the interval of `accuracy_of` comes from; `groups` is how many the test images come in."""
    return "by Wilson" if groups is None else f"by a bootstrap over {groups:,} groups of test images"


def difference_words(row: Mapping[str, Any], bootstrap: str = "", name: str = "") -> str:
    """A row's difference with its interval; without the latter where the bootstrap could draw but one value."""
    if row["difference_low"] < row["difference_high"]:
        return f"{name}{row['difference']:.4f}, {row['difference_low']:.4f} to {row['difference_high']:.4f}{bootstrap}"
    if not any(row.get(alone) for alone in ("chosen_alone_right", "other_alone_right")):
        return "no difference in any answer"
    return f"{name}{row['difference']:.4f}, without an interval: the images of each class differ alike"


def _found(difference: float, p_value: float) -> str:
    if p_value >= LEVEL:
        return "not told apart"
    return "chosen network ahead" if difference > 0 else "chosen network behind"


def measure_lines(rows: Sequence[Mapping[str, Any]], groups: int | None) -> list[str]:
    """The measures of one network as Markdown, from its `measure_rows`; `groups` is how many the test images come in."""
    lines = [
        "",
        "| measure, on features | first seed (95 % interval of a bootstrap over test images) | over seeds |",
        "|---|---|---|",
    ]
    if groups is not None:
        lines = [
            "",
            f"The test images come in {groups} groups that are not independent. The bootstrap draws whole groups; Wilson's "
            "intervals and McNemar's test take every image as independent, and are too sure where images of a group agree.",
            *lines,
        ]
    for row in rows:
        spread = Estimate(row["mean"], row["standard_deviation"], row["mean_low"], row["mean_high"], row["seeds"])
        over = spread.words if row["seeds"] > 1 else "one seed"
        lines.append(f"| {MEASURES[row['measure']].words} | {_words(row, 'value', 'low', 'high')} | {over} |")
    return lines


def comparison_lines(rows: Sequence[Mapping[str, Any]], images: int) -> list[str]:
    """The models beside the chosen network as Markdown, from `comparison_rows`, and what McNemar's test says of each."""
    lines = [
        "",
        "### Beside other models",
        "",
        "scikit-learn's models have the same features, splits and standardisation; MLPClassifier has the network's "
        "settings too, logistic regression scikit-learn's own. Of networks, the first seed.",
        "",
        f"| model | {' | '.join(MEASURES[name].words for name in _SHOWN)} |",
        f"|---{'|---' * len(_SHOWN)}|",
    ]
    lines += [
        f"| {row['model']} | {' | '.join(_words(row, name, f'{name}_low', f'{name}_high') for name in _SHOWN)} |"
        for row in rows
    ]
    printed = f"The reference study printed {CLASSIFIER_ACCURACY} for its network, on two classes of CIFAR-10."
    return [*lines, "", _sentence(rows, images), "", printed]


def _words(row: Mapping[str, Any], value: str, low: str, high: str) -> str:
    return f"{row[value]:.4f} ({row[low]:.4f} to {row[high]:.4f})"


def _sentence(rows: Sequence[Mapping[str, Any]], images: int) -> str:
    leads = {
        "chosen network ahead": "ahead of",
        "chosen network behind": "behind",
        "not told apart": "not told apart from",
    }
    parts = [
        f"{leads[row['found']]} **{row['model']}** ({difference_words(row, name='difference ')}, "
        f"{p_words(row['holm_p'])})"
        for row in rows[1:]
    ]
    return (
        f"The chosen network (first seed) is, by its accuracy less the other's on the same {images} test images, with a "
        f"paired bootstrap's 95 % interval and McNemar's exact test (Holm's correction over {len(parts)}): "
        f"{'; '.join(parts)}."
    )
