"""ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from sklearn import metrics

from lib.evaluation.measures import estimates, one_vs_rest
from lib.figures.style import PALETTE, STYLE, colour, plain, plain_lines

_POINTS, _LETTERS = 2000, 90
"""Points of a curve, and letters of a model's name, at most."""


def roc_and_precision_recall(
    labels: npt.NDArray[np.int64],
    probabilities: Mapping[str, npt.NDArray[np.floating]],
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """ROC and precision-recall curves, one colour a model, with each model's areas in the legend below them.

    `probabilities` maps model name -> (n, classes). For two classes the curves are of class 1; for more they are
    micro-averaged over one-vs-rest.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4 + 0.2 * len(probabilities)))
        roc, precision_recall = figure.subplots(1, 2)
        positive = 0.0
        for index, (name, values) in enumerate(probabilities.items()):
            truth, scores = one_vs_rest(labels, values)
            positive = float(truth.mean())
            areas = estimates(labels, values, ("roc_auc", "average_precision"))
            words = f"{plain(name, _LETTERS)}: AUC {areas['roc_auc']:.3f}, AP {areas['average_precision']:.3f}"
            roc.plot([], [], color=colour(index), label=words)
            if 0 < positive < 1:
                false_positive, true_positive, _ = metrics.roc_curve(truth, scores)
                roc.plot(*_thinned(false_positive, true_positive), color=colour(index))
            if positive:
                precision, recall, _ = metrics.precision_recall_curve(truth, scores, drop_intermediate=True)
                precision_recall.plot(*_thinned(recall, precision), color=colour(index))
        roc.plot([0, 1], [0, 1], color=PALETTE[8], linestyle="--", linewidth=1, label="chance")
        roc.set_xlabel("false positive rate")
        roc.set_ylabel("true positive rate")
        roc.set_title("ROC")
        precision_recall.axhline(positive, color=PALETTE[8], linestyle="--", linewidth=1)
        precision_recall.set_xlabel("recall")
        precision_recall.set_ylabel("precision")
        precision_recall.set_ylim(0, 1.02)
        precision_recall.set_title("Precision and recall")
        figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", ncols=1)
        of = f"positive class: {plain(class_names[1], 40)}" if len(class_names) == 2 else "micro-average"
        figure.suptitle(f"{plain_lines(title)} ({of})")
    return figure


def _thinned(*line: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], ...]:
    """Both coordinates of a line at as many of its points as a reader can see, its ends among them."""
    kept = np.unique(np.linspace(0, len(line[0]) - 1, min(len(line[0]), _POINTS)).round().astype(int))
    return tuple(each[kept] for each in line)
