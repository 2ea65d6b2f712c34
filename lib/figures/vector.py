"""A figure as SVG, with a description in words: laid out once and drawn once, for the report and everything else.

Text stays text (searched, read aloud, small); what has very many points is a picture within the drawing. Equal figures
give equal bytes.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from lib.figures.raster import give_fonts, without_glyph_warnings
from lib.figures.style import shown

ON_PICTURE = "on-picture-"
"""How the ids of texts begin that lie on a picture, whose colours suit the picture and not the page."""

LARGEST = 600_000
"""Bytes of an SVG, at most, that a page shows; a larger figure is kept as PNG."""

_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "probeflow"}
_DPI = 160
"""Of what is a picture within a drawing."""
_MANY = 2500
"""Points of a scatter from which on it is a picture."""

_WORDS, _PANELS, _ITEMS = 1200, 12, 40
"""Letters of a description, and panels and values that it tells of, at most."""


def svg_bytes(figure: Figure) -> bytes:
    """`figure` as SVG, described in its metadata (`dc:description`); afterwards its layout is fixed."""
    give_fonts(figure)
    for number, text in enumerate(text for axis in figure.axes if _is_picture(axis) for text in axis.texts):
        text.set_gid(f"{ON_PICTURE}{number}")
    points: list[Artist] = [
        each
        for axis in figure.axes
        for each in axis.collections
        if isinstance(each, PathCollection) and len(np.asarray(each.get_offsets())) > _MANY
    ]
    content = io.BytesIO()
    for each in points:
        each.set_rasterized(True)
    dpi = figure.dpi
    try:
        with rc_context(_STYLE), without_glyph_warnings():
            _lay_out(figure)
            figure.dpi = _DPI
            # `savefig` would lay out and draw once more before it draws.
            metadata = {"Description": describe(figure), "Date": None}
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(content, metadata=metadata)
    finally:
        figure.dpi = dpi
        for each in points:
            each.set_rasterized(False)
    return content.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place all panels once; Agg measures text several times as fast as SVG does."""
    engine = figure.get_layout_engine()
    if engine is not None:
        FigureCanvasAgg(figure)
        engine.execute(figure)
        figure.set_layout_engine("none")


def describe(figure: Figure) -> str:
    """What `figure` shows, in words, for those who do not see it: titles, axes, series, and values as far as they are few."""
    panels = [axis for axis in figure.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]
    parts = [_line(figure.get_suptitle())]
    if panels and all(axis.images and not axis.axison for axis in panels):
        titles = Counter(_line(axis.get_title()) for axis in panels)
        named = (f"{count} × {name}" if count > 1 else name for name, count in titles.items())
        parts.append(f"{len(panels)} pictures: {', '.join(named)}")
    else:
        height = next((axis.get_ylabel() for axis in panels if axis.get_ylabel()), "")  # often said once a row
        parts += [_panel(axis, height) for axis in panels[:_PANELS]]
        if len(panels) > _PANELS:
            parts.append(f"and {len(panels) - _PANELS} more panels")
    legends = [_line(text.get_text()) for legend in figure.legends for text in legend.get_texts()]
    if legends:
        parts.append("Legend: " + ", ".join(legends))
    whole = ". ".join(part.rstrip(".") for part in parts if part) + "."
    return whole if len(whole) <= _WORDS else f"{whole[:_WORDS].rpartition(' ')[0]} …"


def _panel(axis: Axes, height: str) -> str:
    """One panel: title, axes, and what is drawn in it; `height` is what its ordinate shows if it does not say so."""
    across, up = (_line(label) for label in (axis.get_xlabel(), axis.get_ylabel() or height))
    axes = f"{up} by {across}" if up and across else up or across
    heads = [each for each in (_line(axis.get_title()), axes) if each]
    return ": ".join(heads) + "".join(f"; {words}" for words in _contents(axis))


def _contents(axis: Axes) -> Iterator[str]:
    for side in (axis.xaxis, axis.yaxis):
        if isinstance(side.get_major_locator(), FixedLocator):
            named = _few(label.get_text() for label in side.get_ticklabels())
            if named:
                yield f"{'across' if side is axis.xaxis else 'down the side'}: {named}"
    with_errors = [(each.lines[0], each.get_label()) for each in axis.containers if isinstance(each, ErrorbarContainer)]
    for line, name in [*((line, line.get_label()) for line in axis.lines), *with_errors]:
        heights = np.asarray(line.get_ydata() if line is not None else [], dtype=float)
        label = str(name)
        if not label.startswith("_") and heights.size and np.isfinite(heights[[0, -1]]).all():
            ends = f" from {heights[0]:.3g} to {heights[-1]:.3g}" if heights.size > 2 else ""
            yield f"{_line(label)}{ends}"
    points = sum(len(np.asarray(each.get_offsets())) for each in axis.collections if isinstance(each, PathCollection))
    if points:
        yield f"{points:,} points"
    if written := _few(text.get_text() for text in axis.texts):
        yield f"written in it: {written}"
    legend = axis.get_legend()
    if legend is not None and not axis.lines:
        yield "legend: " + ", ".join(_line(text.get_text()) for text in legend.get_texts())


def _is_picture(axis: Axes) -> bool:
    return bool(axis.images) or any(isinstance(each, QuadMesh) for each in axis.collections)


def _few(texts: Iterable[str]) -> str:
    lines = [line for text in texts if (line := _line(text))]
    more = f", and {len(lines) - _ITEMS} more" if len(lines) > _ITEMS else ""
    return ", ".join(lines[:_ITEMS]) + more


def _line(text: str) -> str:
    return " ".join(shown(text).split())
