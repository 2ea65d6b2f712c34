"""A figure's drawing: as matplotlib's `savefig` draws it, in one pass; and what it says of it in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.figures.style import STYLE, panels
from lib.figures.vector import describe, svg_bytes


def panels_with_colorbar() -> Figure:
    """Panels, a picture with a colorbar, and a legend outside, which the layout has to place."""
    with rc_context(STYLE):
        figure, (left, right) = panels(2, 2)
        left.plot([1, 2, 3], [1.0, 30.0, 500.0], label="loss")
        left.set_yscale("log")
        figure.colorbar(right.imshow(np.arange(6).reshape(2, 3)), ax=right)
        figure.legend(loc="outside lower center")
        figure.suptitle("A title\nof two lines")
    return figure


def test_it_is_laid_out_and_drawn_once_and_is_what_savefig_draws(monkeypatch):
    wanted, figure = io.BytesIO(), panels_with_colorbar()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "probeflow"}):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        metadata = {"Description": describe(figure), "Date": None}
        figure.savefig(wanted, format="svg", dpi=160, metadata=metadata)
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(self), draw(self, renderer)))
    figure = panels_with_colorbar()
    assert svg_bytes(figure) == wanted.getvalue()
    assert drawn == [figure]
    assert figure.dpi == pytest.approx(110)


def test_a_description_tells_of_lines_with_error_bars():
    figure = Figure()
    axis = figure.subplots()
    axis.errorbar([1, 2, 3], [0.5, 0.7, 0.9], yerr=0.1, label="calibrated")
    axis.set_title("Calibration")
    assert describe(figure) == "Calibration; calibrated from 0.5 to 0.9."
