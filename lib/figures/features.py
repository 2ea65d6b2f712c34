"""The picture of a feature set: its values, its features, its rows, their rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.features.statistics import FeatureStatistics
from lib.figures.plane import draw_classes
from lib.figures.style import GREY, PALETTE, STYLE, plain_lines
from lib.text import number

_NAMED = 8
"""Classes with a colour and a name of their own; the rest share one."""


def feature_portrait(
    statistics: FeatureStatistics,
    sample: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    points: npt.NDArray[np.floating],
    shares: npt.NDArray[np.floating],
    title: str,
    sampled: str,
) -> Figure:
    """Four panels: each feature's mean and spread, all values, rows in the plane by class, variance by component.

    Parameters
    ----------
    statistics : FeatureStatistics
        Of each feature over all rows.
    sample : ndarray, shape (n, width)
        Rows whose values are counted.
    labels, points : ndarray, shapes (n,), (n, 2)
        Their classes and first two principal components.
    shares : ndarray, shape (components,)
        Share of variance of each principal component, the largest first.
    sampled : str
        What the sample is, in words.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 7.6))
        (features, values), (plane, rank) = figure.subplots(2, 2)
        _features(features, statistics)
        _values(values, sample)
        _plane(plane, points, labels, class_names, shares)
        _rank(rank, shares)
        figure.suptitle(f"{plain_lines(title)}\nupper left: all rows; other panels: {sampled}")
    return figure


def _features(axis: Axes, of: FeatureStatistics) -> None:
    order = np.argsort(of.mean, kind="stable")
    places, middle, spread = np.arange(len(order)), of.mean[order], of.deviation[order]
    extremes = of.minimum[order], of.maximum[order]
    axis.fill_between(places, *extremes, color=GREY, alpha=0.5, linewidth=0, label="smallest to largest")
    low, high = middle - spread, middle + spread
    axis.fill_between(places, low, high, color=PALETTE[5], alpha=0.7, linewidth=0, label="± standard deviation")
    axis.plot(places, middle, color=PALETTE[0], linewidth=1.4, label="mean")
    axis.set_xlabel("feature, in the order of the means")
    axis.set_ylabel("value")
    axis.margins(x=0.01)
    axis.legend(loc="upper left")
    axis.set_title(f"Each of {len(order):,} features over {of.rows:,} rows")


def _values(axis: Axes, sample: npt.NDArray[np.floating]) -> None:
    flat = sample.ravel()
    counted = flat[flat != 0]
    zeros = 1 - counted.size / flat.size
    if counted.size:
        # The outermost values would squeeze all others into one bar: a few in 10,000 are left out and counted in words.
        low, high = np.quantile(counted, [0.0002, 0.9998])
        inside = counted[(counted >= low) & (counted <= high)]
        weights = np.full(inside.size, 1 / flat.size)
        axis.hist(inside, bins=80, weights=weights, color=PALETTE[0])
        none = "no value is 0" if not zeros else f"{zeros:.1%} of the values are 0 and not drawn"
        words = f"{none}\nsmallest {number(flat.min())}, largest {number(flat.max())}"
    else:
        words = "all values are 0"
    axis.text(0.98, 0.96, words, transform=axis.transAxes, ha="right", va="top", fontsize=8)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.margins(y=0.2)
    axis.set_xlabel("value")
    axis.set_ylabel("share of all values")
    axis.set_title(f"Values of {len(sample):,} rows")


def _plane(
    axis: Axes,
    points: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    shares: npt.NDArray[np.floating],
) -> None:
    draw_classes(axis, points, labels, class_names, _NAMED, 16, 8)
    axis.set_xlabel(f"component 1 ({shares[0]:.1%} of variance)")
    axis.set_ylabel(f"component 2 ({shares[1]:.1%})" if len(shares) > 1 else "component 2")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0, handletextpad=0.2)
    axis.set_title(f"{len(points):,} rows: principal components, by class")


def _rank(axis: Axes, shares: npt.NDArray[np.floating]) -> None:
    number, total = np.arange(1, len(shares) + 1), np.cumsum(shares)
    axis.bar(number, shares, color=PALETTE[5], label="by itself")
    axis.plot(number, total, color=PALETTE[0], marker="o", markersize=3, label="up to here")
    axis.text(number[-1], total[-1], f" {total[-1]:.0%}", va="center", ha="left", fontsize=8)
    axis.set_ylim(0, 1.05)
    axis.set_xlim(0.3, len(shares) * 1.08 + 0.5)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("principal component")
    axis.set_ylabel("share of variance")
    axis.legend(loc="center right" if total[-1] > 0.7 else "upper left")
    axis.set_title("Share of variance by component")
