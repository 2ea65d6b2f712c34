"""The winners of a sweep, trained again and scored on test rows, in figures and tables; scikit-learn's beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lib.config import SweepStudy
from lib.datasets.dataset import Dataset
from lib.evaluation import figures
from lib.evaluation.intervals import (
    LEVEL,
    LOSS,
    SHARE,
    Difference,
    Estimate,
    Interval,
    holm,
    over_seeds,
    p_words,
    paired_difference,
)
from lib.evaluation.measures import MEASURES, estimates, measure
from lib.mlp.labels import value as axis_value
from lib.studies.classifier_comparison import class_rows, confusion_rows, measure_rows
from lib.studies.configuration import seed_curves, statistic_columns
from lib.studies.predictions import Predictions, save_predictions
from lib.studies.record import StudyFolder
from lib.studies.sweep_baselines import Beside
from lib.studies.trial_runs import Final


def report_finals(
    study: SweepStudy,
    finals: Sequence[Final],
    chosen: Final,
    beside: Beside,
    dataset: Dataset,
    folder: StudyFolder,
    title: str,
) -> dict[str, Any]:
    """Draw and tabulate the winners' test figures, keep all answers, and return what is to be said, as JSON.

    `chosen` is the first seed of the best; `beside` has its answers beside the baselines'.
    """
    labels, names = beside.labels, dataset.class_names
    rows = finals_summary(finals)
    curves = {
        axis_value(value): seed_curves([final.result for final in finals if final.value == value], "test")
        for value in dict.fromkeys(final.value for final in finals)
    }
    folder.figure("error-curves", figures.training_curves(curves, f"{title}: error on train and test", "error"))
    bars = figures.accuracy_bars(_bars(rows), _bars_title(title, dataset, study), beside.references())
    folder.figure("test-accuracy", bars)
    of_chosen = f"{title} on {dataset.name}: test images\n{chosen.label}, seed {chosen.result.trial.seed}"
    folder.figure("confusion-matrix", figures.confusion_matrix(chosen.scores.confusion, names, of_chosen))
    measures = _measures(finals, chosen, beside)
    per_class = class_rows(labels, beside.network.predicted, names)
    folder.table("finals", [_final_row(row) for row in rows])
    folder.table("measures", measures)
    folder.table("per-class", per_class)
    folder.table("confusion-matrix", confusion_rows(chosen.scores.confusion, names))
    said = {_name(final): final.probabilities for final in finals}
    said |= {each.name: each.probabilities for each in beside.judged}
    save_predictions(folder.path, Predictions(dataset.digest, labels, said, beside.groups, _name(chosen)))
    return {"finals": rows, "measures": measures, "per_class": per_class, "predictions": _name(chosen)}


def _name(final: Final) -> str:
    """A final's name among the study's predictions."""
    return f"{final.label} seed {final.result.trial.seed}"


def _measures(finals: Sequence[Final], chosen: Final, beside: Beside) -> list[dict[str, Any]]:
    """One row a winner and measure: the first seed's value, and mean and interval over seeds.

    The first seed's has a bootstrap interval where no other is told: of the best, and of all when there is one seed.
    """
    rows = []
    for value in dict.fromkeys(final.value for final in finals):
        group = [final for final in finals if final.value == value]
        over = [estimates(beside.labels, final.probabilities) for final in group]
        if group[0] is chosen:
            measured = beside.network.measured
        elif len(group) == 1:
            measured = measure(beside.labels, group[0].probabilities, beside.groups)
        else:
            measured = {name: Interval(figure, math.nan, math.nan) for name, figure in over[0].items()}
        rows += measure_rows(group[0].label, measured, over, "configuration")
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]


def measure_lines(rows: Sequence[Mapping[str, Any]], label: str) -> list[str]:
    """The measures of the configuration of this label as Markdown, from a record's rows of them."""
    of_label = [row for row in rows if row["configuration"] == label]
    lines = [
        "",
        f"| measure on test images, {label} | over seeds | first seed (95 % interval of a bootstrap) |",
        "|---|---|---|",
    ]
    for row in of_label:
        spread = Estimate(row["mean"], row["standard_deviation"], row["mean_low"], row["mean_high"], row["seeds"])
        over = spread.words if row["seeds"] > 1 else "one seed"
        first = f"{row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})"
        lines.append(f"| {MEASURES[row['measure']].words} | {over} | {first} |")
    return lines


def finals_summary(finals: Sequence[Final]) -> list[dict[str, Any]]:
    """One row an axis value: test figures as means over seeds, ours and scikit-learn's, and their paired difference.

    `test_accuracy_low` and `_high` are of the Wilson interval over test images, averaged; `statistics` hold the spread
    over seeds. Ours and scikit-learn's are compared at every axis value at once, with Holm's correction.
    """
    rows: list[dict[str, Any]] = []
    differences: dict[int, Difference] = {}
    for value in dict.fromkeys(final.value for final in finals):
        group = [final for final in finals if final.value == value]
        ours = [final.scores.summary() for final in group]
        row: dict[str, Any] = {"value": value, "label": group[0].label, "seeds": len(group)} | _over_seeds(ours)
        row["train_accuracy"] = float(np.mean([final.result.history[-1]["train_accuracy"] for final in group]))
        peers = [final.peer for final in group if final.peer is not None]
        if peers:
            figures_only = [{key: peer[key] for key in ours[0]} for peer in peers]
            row["sklearn"] = {"activation": peers[0]["activation"]} | _over_seeds(figures_only)
            row["sklearn"]["difference"] = None
            difference = paired_difference(
                [figures_of["test_accuracy"] for figures_of in ours], [peer["test_accuracy"] for peer in peers]
            )
            if difference is not None:
                differences[len(rows)] = difference
        rows.append(row)
    corrected = holm([difference.p_value for difference in differences.values()])
    for (index, difference), p_value in zip(differences.items(), corrected, strict=True):
        found = "not told apart"
        if p_value < LEVEL:
            found = "ours ahead" if difference.estimate > 0 else "scikit-learn's ahead"
        rows[index]["sklearn"] |= {
            "difference": f"{difference.words}, Holm's {p_words(p_value)}: {found}",
            "difference_of_test_accuracy": asdict(difference) | {"holm_p_value": p_value},
        }
    return rows


def _over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Each test figure's mean; under `statistics`, the spread over seeds of accuracy, F1 and loss."""
    spread = {"test_accuracy": SHARE, "test_f1": SHARE, "test_loss": LOSS}
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} | {
        "statistics": {key: asdict(over_seeds([row[key] for row in rows], within)) for key, within in spread.items()}
    }


def prediction_digests(finals: Sequence[Final]) -> list[tuple[str, str]]:
    """Each final and each of its peers, and a digest of its answers."""
    pairs = []
    for final in finals:
        name = f"{final.label} · seed {final.result.trial.seed}"
        pairs.append((name, final.scores.prediction_digest))
        if final.peer is not None:
            pairs.append((f"scikit-learn {final.peer['activation']} for {name}", final.peer["prediction_digest"]))
    return pairs


def _final_row(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: row[key] for key in ("value", "label", "seeds", "train_accuracy")}
    for name, figures_of in (("", row), ("sklearn_", row.get("sklearn"))):
        if figures_of:
            for key, statistic in figures_of["statistics"].items():
                flat |= statistic_columns(name + key, statistic)
            flat |= {f"{name}test_accuracy_wilson_{end}": figures_of[f"test_accuracy_{end}"] for end in ("low", "high")}
    if "sklearn" in row:
        flat |= {"sklearn_activation": row["sklearn"]["activation"], "ours_less_sklearn": row["sklearn"]["difference"]}
    return flat


def _bars(finals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    bars = []
    for row in finals:
        for series, figures_of in (("from scratch", row), ("scikit-learn", row.get("sklearn"))):
            if figures_of:
                accuracy = figures_of["test_accuracy"]
                low, high = figures_of["test_accuracy_low"], figures_of["test_accuracy_high"]
                if row["seeds"] > 1:
                    low, high = (figures_of["statistics"]["test_accuracy"][end] for end in ("low", "high"))
                bars.append(
                    {
                        "label": axis_value(row["value"]),
                        "series": series,
                        "accuracy": accuracy,
                        "low": low,
                        "high": high,
                    }
                )
    return bars


def _bars_title(title: str, dataset: Dataset, study: SweepStudy) -> str:
    seeds = len(study.seeds)
    over = f"the mean of {seeds} seeds" if seeds > 1 else "one seed, by its test images (Wilson)"
    return f"{title} on {dataset.name}\n95 % intervals of {over}"
