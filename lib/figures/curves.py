"""Training curves: a quantity by epoch, a panel for each configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from lib.evaluation.intervals import half_width
from lib.figures.style import PALETTE, STYLE, panels, plain_lines

_FLOOR = 1e-4
"""Where the logarithmic axes of losses and errors end at the latest."""

_LETTERS = 36
"""Of a line of a panel's name, at most."""


@dataclass(frozen=True)
class Panel:
    """A configuration's name, and for each seed its history: one record an epoch, as `MLPClassifier.history_`."""

    label: str
    histories: Sequence[Sequence[Mapping[str, float]]]


def training_curves(
    shown: Sequence[Panel],
    title: str,
    quantity: Literal["loss", "error"] = "loss",
    watched: str = "validation",
    overlap: float = 0.0,
) -> Figure:
    """One panel a configuration: `quantity` on training and watched rows, on shared scales.

    Lines are means over seeds, bands the 95 % interval of the mean (of two seeds: from one to the other). A panel ends
    where the first of its seeds ended, and says so. The watched rows go by the name `watched`. For `overlap` see `half_width`.
    """
    with rc_context(STYLE):
        columns = 5 if len(shown) == 5 else 4
        lines_of_label = max(panel.label.count("\n") for panel in shown)
        height = (3.0 if len(shown) <= columns else 2.7) + 0.14 * lines_of_label
        figure, axes = panels(len(shown), columns, 3.0, height)
        means, bounds = [], []
        for axis, panel in zip(axes, shown, strict=True):
            epochs = min(len(history) for history in panel.histories)
            for rows, name, colour in (("train", "train", PALETTE[0]), ("validation", watched, PALETTE[1])):
                lines = np.array([_values(history[:epochs], rows, quantity) for history in panel.histories])
                mean, low, high = _band(lines, overlap)
                # On a logarithmic axis nothing at 0 or below can be drawn: an interval that reaches there is drawn down to
                # the lowest seed, and no error at all on the axis's floor.
                low = np.where(low > 0, low, lines.min(axis=0))
                mean, low = np.maximum(mean, _FLOOR), np.maximum(low, _FLOOR)
                along = np.arange(1, epochs + 1)
                axis.plot(along, mean, color=colour, label=name, linewidth=1.2)
                if len(lines) > 1:
                    axis.fill_between(along, low, high, color=colour, alpha=0.25, linewidth=0)
                means.append(mean[np.isfinite(mean) & (mean > 0)])
                bounds += [low[np.isfinite(low)], high[np.isfinite(high)]]
            axis.set_title(plain_lines(panel.label, _LETTERS), fontsize=8)  # 30 letters are as wide as a panel
            axis.set_xlabel("epoch")
            if epochs < max(len(history) for history in panel.histories):
                words = f"drawn to epoch {epochs}: a seed ended there"
                axis.text(0.98, 0.98, words, transform=axis.transAxes, ha="right", va="top", fontsize=7, color="0.3")
        longest = max(len(history) for panel in shown for history in panel.histories)
        seen = np.concatenate(means)
        band = np.concatenate([seen, *bounds])
        for axis in axes:
            axis.set_xlim(1 - 0.04 * longest, 1.04 * longest)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if seen.size:
                axis.set_yscale("log")
                # Bands are shown whole up to twice the means' range: the interval of a mean near 0 may reach below 0.
                axis.set_ylim(max(band.min() * 0.85, seen.min() * 0.5, _FLOOR), min(band.max() * 1.2, seen.max() * 2))
        for place, axis in enumerate(axes):
            if place % columns:  # its scale is that of the panel before
                axis.yaxis.set_minor_locator(NullLocator())
                axis.tick_params(axis="y", labelleft=False)
                continue
            axis.set_ylabel("cross-entropy (nats)" if quantity == "loss" else "error rate")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(f"{plain_lines(title)}\n{_band_words(shown)}")
    return figure


def _values(history: Sequence[Mapping[str, float]], rows: str, quantity: str) -> list[float]:
    if quantity == "loss":
        return [record[f"{rows}_loss"] for record in history]
    return [1 - record[f"{rows}_accuracy"] for record in history]


def _band(lines: npt.NDArray[np.float64], overlap: float) -> tuple[npt.NDArray[np.float64], ...]:
    """Mean, low and high of each epoch over the seeds, the rows of `lines`."""
    if len(lines) < 3:
        return lines.mean(axis=0), lines.min(axis=0), lines.max(axis=0)
    mean, half = lines.mean(axis=0), half_width(lines, overlap)
    return mean, mean - half, mean + half


def _band_words(shown: Sequence[Panel]) -> str:
    counts = sorted({len(panel.histories) for panel in shown})
    seeds = " or ".join(map(str, counts))
    if counts == [1]:
        return "one seed, no band"
    band = "from one seed to the other" if counts == [2] else "95 % interval of the mean"
    return f"lines: mean of {seeds} seeds; bands: {band}"
