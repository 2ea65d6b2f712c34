"""What a figure's drawing says of it in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from lib.figures.vector import describe


def test_a_description_tells_of_lines_with_error_bars():
    figure = Figure()
    axis = figure.subplots()
    axis.errorbar([1, 2, 3], [0.5, 0.7, 0.9], yerr=0.1, label="calibrated")
    axis.set_title("Calibration")
    assert describe(figure) == "Calibration; calibrated from 0.5 to 0.9."
