"""Every figure of the project, in one style. Each function returns a matplotlib Figure and writes nothing.

Figures are built without pyplot, so drawing in threads or on a machine without a display is safe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.evaluation.axis_window import Scale, Window
from lib.evaluation.intervals import LOSS, SHARE, over_seeds

STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#000000", "#7F7F7F", "#BCBD22")
"""Okabe and Ito's colours, told apart by colour-blind readers, then three more for ten classes."""

Curves = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
"""Label of a configuration -> history column -> for each seed, one value an epoch."""


_LEAST_WIDTH = 6.4
"""Inches that a title of two lines needs, however few panels there are."""


def _grid(count: int, columns: int, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, _LEAST_WIDTH), height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes[:count]


_FLOOR = 1e-4
"""Where the logarithmic axes of losses and errors end at the latest."""


def training_curves(curves: Curves, title: str, quantity: str = "loss") -> Figure:
    """One panel a configuration: `quantity` ("loss" or "error") on training and watched rows, on shared scales.

    Lines are means over seeds, bands the 95 % interval of the mean (of two seeds: from one to the other). A panel ends
    where the first of its seeds ended, and says so.
    """
    with rc_context(STYLE):
        columns = 5 if len(curves) == 5 else 4
        lines_of_label = max(label.count("\n") for label in curves)
        height = (3.0 if len(curves) <= columns else 2.7) + 0.14 * lines_of_label
        figure, axes = _grid(len(curves), columns, 3.0, height)
        means, bounds = [], []
        for axis, (label, history) in zip(axes, curves.items(), strict=True):
            words = ""
            for column, colour in (("train", PALETTE[0]), ("validation", PALETTE[1]), ("test", PALETTE[1])):
                lines, words = _together(_quantity(history, column, quantity), words)
                if not lines.size:
                    continue
                epochs = np.arange(1, lines.shape[1] + 1)
                mean, low, high = _band(lines)
                # On a logarithmic axis nothing at 0 or below can be drawn: an interval that reaches there is drawn down to
                # the lowest seed, and no error at all on the axis's floor.
                low = np.where(low > 0, low, lines.min(axis=0))
                mean, low = np.maximum(mean, _FLOOR), np.maximum(low, _FLOOR)
                axis.plot(epochs, mean, color=colour, label=column, linewidth=1.2)
                if len(lines) > 1:
                    axis.fill_between(epochs, low, high, color=colour, alpha=0.25, linewidth=0)
                means.append(mean[np.isfinite(mean) & (mean > 0)])
                bounds += [low[np.isfinite(low)], high[np.isfinite(high)]]
            axis.set_title(label, fontsize=8)  # 30 letters are as wide as a panel
            axis.set_xlabel("epoch")
            if words:
                axis.text(0.98, 0.98, words, transform=axis.transAxes, ha="right", va="top", fontsize=7, color="0.3")
        longest = max([1, *(len(seed) for history in curves.values() for seeds in history.values() for seed in seeds)])
        for axis in axes:
            axis.set_xlim(1 - 0.04 * longest, 1.04 * longest)
        seen = np.concatenate(means) if means else np.ones(1)
        if seen.size:
            # Bands are shown whole up to twice the means' range: the interval of a mean near 0 may reach below 0.
            band = np.concatenate([seen, *bounds])
            lowest = max(band.min() * 0.85, seen.min() * 0.5, _FLOOR)
            highest = min(band.max() * 1.2, seen.max() * 2)
            for axis in axes:
                axis.set_yscale("log")
                axis.set_ylim(lowest, highest)
        for axis in axes[::columns]:
            axis.set_ylabel("cross-entropy (nats)" if quantity == "loss" else "error rate")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(f"{title}\n{_band_words(curves)}")
    return figure


def _quantity(history: Mapping[str, Sequence[Sequence[float]]], column: str, quantity: str) -> list[list[float]]:
    if quantity == "loss":
        return [list(seed) for seed in history.get(f"{column}_loss", ())]
    return [[1 - accuracy for accuracy in seed] for seed in history.get(f"{column}_accuracy", ())]


def _together(seeds: Sequence[Sequence[float]], words: str) -> tuple[npt.NDArray[np.float64], str]:
    """Seeds as rows, cut to the epochs that all of them have, and words where that cuts any."""
    lengths = [len(seed) for seed in seeds]
    if not lengths:
        return np.empty((0, 0)), words
    epochs = min(lengths)
    if epochs < max(lengths):
        words = f"drawn to epoch {epochs}: a seed ended there"
    return np.array([seed[:epochs] for seed in seeds], dtype=float), words


def _band(lines: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Mean, low and high of each epoch over the seeds, the rows of `lines`."""
    if len(lines) < 3:
        return lines.mean(axis=0), lines.min(axis=0), lines.max(axis=0)
    estimates = [over_seeds(column) for column in lines.T.tolist()]
    return tuple(
        np.array([math.nan if value is None else value for value in values])
        for values in (
            [each.mean for each in estimates],
            [each.low for each in estimates],
            [each.high for each in estimates],
        )
    )


def _band_words(curves: Curves) -> str:
    counts = sorted({len(seeds) for history in curves.values() for seeds in history.values()})
    seeds = " or ".join(map(str, counts))
    if counts == [1]:
        return "one seed, no band"
    band = "from one seed to the other" if counts == [2] else "95 % interval of the mean"
    return f"lines: mean of {seeds} seeds; bands: {band}"


@dataclass(frozen=True)
class Reference:
    """A baseline's figures, drawn as a line beside those of the networks."""

    name: str
    accuracy: float
    loss: float


_DASHES: tuple[Literal["--", ":", "-."], ...] = ("--", ":", "-.")
_OFF = "(off the axis)"


def _reference_lines(
    axis: Axes, values: Sequence[float], low: float, high: float, along: Literal["x", "y"]
) -> list[str]:
    """Lines where `along` has these values, and the axis as wide as they need; returns each value in words.

    What lies far from `low` and `high`, the ends of what is shown, is only named: the rest would be crowded by it.
    """
    scale = Scale((axis.get_xscale() if along == "x" else axis.get_yscale()) == "log")
    low, high = scale.to(low), scale.to(high)
    room = max(high - low, 0.02 * (1.0 if scale.log else abs(high)))
    near = [value for value in values if low - room <= scale.to(value) <= high + room]
    limits = axis.get_xlim() if along == "x" else axis.get_ylim()
    limits = (
        min([limits[0], *(scale.back(scale.to(value) - 0.05 * room) for value in near)]),
        max([limits[1], *(scale.back(scale.to(value) + 0.05 * room) for value in near)]),
    )
    for index, value in enumerate(values):
        if value in near:
            draw = axis.axvline if along == "x" else axis.axhline
            draw(value, color=PALETTE[7], linestyle=_DASHES[index % len(_DASHES)], linewidth=1, alpha=0.7, zorder=0.5)
    if along == "x":
        axis.set_xlim(*limits)
    else:
        axis.set_ylim(*limits)
    return [f"{value:.4g}" if value in near else f"{value:.4g} {_OFF}" for value in values]


def _reference_keys(references: Sequence[Reference], said: Sequence[Sequence[str]], words: str) -> list[Line2D]:
    """What the legend shows of each: its name and its figures, said as `words`; a line only where one was drawn."""
    keys = []
    for index, (each, figures_of) in enumerate(zip(references, said, strict=True)):
        dashes = _DASHES[index % len(_DASHES)]
        drawn = any(_OFF not in figure for figure in figures_of)
        label = each.name + words.format(*figures_of)
        keys.append(Line2D([], [], color=PALETTE[7], linestyle=dashes if drawn else "none", linewidth=1, label=label))
    return keys


def axis_summary(
    groups: Sequence[Mapping[str, Any]], axis_label: str, title: str, references: Sequence[Reference] = ()
) -> Figure:
    """Best validation loss and accuracy of each configuration: a dot a seed, the mean, and in words its 95 % interval.

    Each group has `arm`, `label`, and per-seed lists `best_validation_losses` and `best_validation_accuracies`. One
    colour an arm; the line through a mean is the interval over seeds. Baselines are upright lines where they are near.
    Losses that differ much stand on a logarithmic axis. An axis is as wide as the rows close together need: an arrow at
    its edge stands for a row, or the end of an interval, beyond it.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(13, (2.3 if references else 1.4) + 0.32 * len(groups)))
        axes = figure.subplots(1, 2, sharey=True)
        arms = list(dict.fromkeys(group["arm"] for group in groups))
        positions = np.arange(len(groups))[::-1]
        columns = (
            ("best_validation_losses", "best validation cross-entropy (nats)", LOSS),
            ("best_validation_accuracies", "best validation accuracy", SHARE),
        )
        said: list[list[str]] = []
        for axis, (column, label, within) in zip(axes, columns, strict=True):
            every = [[math.nan if value is None else value for value in group[column]] for group in groups]
            seeds_of = [[value for value in values if np.isfinite(value)] for values in every]
            whole = [over_seeds(values, within) for values in every]
            bounds = [(each.low, each.high) for each in whole if each.low is not None and each.high is not None]
            shown = Window.around(seeds_of, bounds, may_be_log=within == LOSS)
            beyond = False
            for position, group, values, estimate in zip(positions, groups, seeds_of, whole, strict=True):
                colour = PALETTE[arms.index(group["arm"])]
                inside = [value for value in values if shown.low <= value <= shown.high]
                axis.scatter(inside, [position] * len(inside), color=colour, s=14, alpha=0.6, zorder=3)
                if values and shown.low <= np.mean(values) <= shown.high:
                    axis.plot([np.mean(values)] * 2, [position - 0.3, position + 0.3], color=colour, linewidth=2)
                ends = [*values] if estimate.low is None else [*values, estimate.low, estimate.high or estimate.low]
                if estimate.low is not None and estimate.low <= shown.high and ends[-1] >= shown.low:
                    line = np.clip([estimate.low, ends[-1]], shown.low, shown.high)
                    axis.plot(line, [position] * 2, color=colour, linewidth=1.2)
                for edge, mark, out in (
                    (shown.low, "<", any(end < shown.low for end in ends)),
                    (shown.high, ">", any(end > shown.high for end in ends)),
                ):
                    if out:
                        axis.plot([edge], [position], marker=mark, color=colour, markersize=5, clip_on=False)
                        beyond = True
                words = estimate.words.removesuffix(" (one seed, no interval)")  # the title says so
                axis.text(1.02, position, words, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
            shown.put(axis)
            hints = [
                *(["logarithmic"] if shown.scale.log else []),
                *(["arrow: goes on beyond the axis"] if beyond else []),
            ]
            axis.set_xlabel("\n".join([label, *(["; ".join(hints)] if hints else [])]))
            seen = [value for values in seeds_of for value in values if shown.low <= value <= shown.high]
            values = [each.loss if within == LOSS else each.accuracy for each in references]
            said.append(_reference_lines(axis, values, min(seen, default=0), max(seen, default=0), "x"))
        several = len(arms) > 1
        names = [f"{group['arm']}: {group['label']}" if several else str(group["label"]) for group in groups]
        axes[0].set_yticks(positions, names)
        axes[0].set_ylabel(axis_label)
        seeds = sorted({len(group["best_validation_losses"]) for group in groups})
        spread = "one seed, no interval" if seeds == [1] else "mean ± standard deviation (95 % interval) over seeds"
        if references:
            keys = _reference_keys(references, list(zip(*said, strict=True)), ": loss {}, accuracy {}")
            figure.legend(handles=keys, loc="outside lower center", ncols=1)
        figure.suptitle(f"{title}\n{spread}")
    return figure


def accuracy_bars(rows: Sequence[Mapping[str, Any]], title: str, references: Sequence[Reference] = ()) -> Figure:
    """Test accuracy of ours beside scikit-learn's, per axis value, with 95 % intervals and the value on each bar.

    Each row has `label`, `series`, `accuracy`, `low`, `high`. Baselines are lines across where they are near.
    """
    with rc_context(STYLE):
        labels = list(dict.fromkeys(row["label"] for row in rows))
        series = list(dict.fromkeys(row["series"] for row in rows))
        figure = Figure(figsize=(max(5.0, 1.7 * len(labels)), 3.6))
        axis = figure.subplots()
        width = 0.8 / len(series)
        for row in rows:
            place = labels.index(row["label"]) + (series.index(row["series"]) - (len(series) - 1) / 2) * width
            errors = [[max(0.0, row["accuracy"] - row["low"])], [max(0.0, row["high"] - row["accuracy"])]]
            name = row["series"] if row["label"] == labels[0] else None
            colour = PALETTE[series.index(row["series"])]
            axis.bar(place, row["accuracy"], width * 0.92, yerr=errors, color=colour, label=name, capsize=3)
            axis.text(place, row["high"], f"{row['accuracy']:.4f}", ha="center", va="bottom", fontsize=8)
        low = min(row["low"] for row in rows)
        high = max(row["high"] for row in rows)
        room = max(0.01, high - low)
        axis.set_ylim(max(0.0, low - 0.5 * room), high + 0.3 * room)
        said = _reference_lines(axis, [each.accuracy for each in references], low, high, "y")
        axis.set_xticks(range(len(labels)), labels)
        axis.set_ylabel("test accuracy (axis does not start at 0)")
        axis.grid(axis="x", visible=False)
        keys, _ = axis.get_legend_handles_labels()
        lines = _reference_keys(references, [[each] for each in said], " {}")
        figure.legend(handles=[*keys, *lines], loc="outside lower center", ncols=2)
        axis.set_title(title)
    return figure


def sample_grid(
    images: Sequence[npt.NDArray[np.uint8]],
    labels: Sequence[str],
    title: str,
    columns: int = 8,
    size: tuple[float, float] = (1.1, 1.25),
) -> Figure:
    """Images in rows of `columns`, each of `size` inches with its class name, or other words, above it."""
    with rc_context(STYLE):
        figure, axes = _grid(len(images), columns, *size)
        for axis, image, label in zip(axes, images, labels, strict=True):
            axis.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
            axis.set_title(label, fontsize=7, fontweight="normal")
            axis.set_axis_off()
        figure.suptitle(title)
    return figure


def scatter(
    points: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Rows in the plane, shape (n, 2), coloured by class, drawn in mixed order so that no class covers another."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 5))
        axis = figure.subplots()
        colours = np.array(PALETTE)[labels % len(PALETTE)]
        order = np.random.default_rng(0).permutation(len(points))
        axis.scatter(points[order, 0], points[order, 1], c=colours[order], s=7, alpha=0.6, linewidths=0)
        for index, name in enumerate(class_names):
            axis.scatter([], [], color=PALETTE[index % len(PALETTE)], label=name, s=20)
        axis.set_xlabel(axis_labels[0])
        axis.set_ylabel(axis_labels[1])
        axis.set_title(title)
        figure.legend(loc="outside right center")
    return figure


def class_distribution(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """Images of each class in each split; `counts` maps split -> class name -> images."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.4))
        axis = figure.subplots()
        names = list(next(iter(counts.values())))
        width = 0.8 / len(counts)
        for index, (split, of_class) in enumerate(counts.items()):
            places = np.arange(len(names)) + (index - (len(counts) - 1) / 2) * width
            bars = axis.bar(places, [of_class[name] for name in names], width * 0.92, color=PALETTE[index], label=split)
            axis.bar_label(bars, fontsize=8)
        axis.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 6 else 45)
        axis.set_ylabel("images")
        axis.grid(axis="x", visible=False)
        axis.set_title(title)
        figure.legend(loc="outside right upper")
    return figure


def confusion_matrix(confusion: npt.NDArray[np.int64], class_names: Sequence[str], title: str) -> Figure:
    """Counts and row shares: rows are true classes, columns predicted ones, both labelled."""
    with rc_context(STYLE | {"axes.grid": False}):
        size = 2.6 + 0.55 * len(class_names)
        figure = Figure(figsize=(size + 0.8, size))
        axis = figure.subplots()
        shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(confusion.shape):
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{confusion[row, column]}\n{shares[row, column]:.1%}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axis.set_xticks(range(len(class_names)), class_names, rotation=0 if len(class_names) <= 4 else 45)
        axis.set_yticks(range(len(class_names)), class_names)
        axis.set_xlabel("predicted class (columns)")
        axis.set_ylabel("true class (rows)")
        axis.set_title(title)
        figure.colorbar(picture, label="share of the true class", shrink=0.8)
    return figure


def roc_and_precision_recall(
    labels: npt.NDArray[np.int64],
    probabilities: Mapping[str, npt.NDArray[np.floating]],
    class_names: Sequence[str],
    title: str,
) -> tuple[Figure, dict[str, dict[str, float]]]:
    """ROC and precision-recall curves, one colour a model, and each model's areas.

    `probabilities` maps model name -> (n, classes). For two classes the curves are of class 1; for more they are
    micro-averaged over one-vs-rest. Areas are `roc_auc` and `average_precision` (scikit-learn's definitions).
    """
    from sklearn import metrics

    from lib.evaluation.measures import one_vs_rest

    binary = len(class_names) == 2
    areas: dict[str, dict[str, float]] = {}
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4))
        roc, precision_recall = figure.subplots(1, 2)
        for index, (name, values) in enumerate(probabilities.items()):
            truth, scores = one_vs_rest(labels, values)
            false_positive, true_positive, _ = metrics.roc_curve(truth, scores)
            precision, recall, _ = metrics.precision_recall_curve(truth, scores)
            areas[name] = {
                "roc_auc": float(metrics.roc_auc_score(truth, scores)),
                "average_precision": float(metrics.average_precision_score(truth, scores)),
            }
            colour = PALETTE[index]
            roc.plot(false_positive, true_positive, color=colour, label=f"{name}: AUC {areas[name]['roc_auc']:.3f}")
            precision_recall.plot(
                recall, precision, color=colour, label=f"{name}: AP {areas[name]['average_precision']:.3f}"
            )
        roc.plot([0, 1], [0, 1], color=PALETTE[8], linestyle="--", linewidth=1, label="chance")
        roc.set_xlabel("false positive rate")
        roc.set_ylabel("true positive rate")
        roc.set_title("ROC")
        precision_recall.axhline(truth.mean(), color=PALETTE[8], linestyle="--", linewidth=1, label="chance")
        precision_recall.set_xlabel("recall")
        precision_recall.set_ylabel("precision")
        precision_recall.set_ylim(0, 1.02)
        precision_recall.set_title("Precision and recall")
        for axis in (roc, precision_recall):
            axis.legend(loc="lower right" if axis is roc else "lower left")
        figure.suptitle(f"{title} (positive class: {class_names[1]})" if binary else f"{title} (micro-average)")
    return figure, areas
