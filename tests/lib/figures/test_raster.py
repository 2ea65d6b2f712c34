"""PNG files: bounded in size, with fonts for the scripts of their texts."""

from __future__ import annotations

import io
import warnings

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from lib.figures.raster import give_fonts, save_png
from lib.figures.vector import svg_bytes

NOWHERE = "\U0010fffd"
"""A letter of private use that no font has."""


def titled(title: str, size: tuple[float, float] = (4, 2)) -> Figure:
    figure = Figure(figsize=size)
    figure.suptitle(title)
    return figure


def test_letters_that_no_font_has_are_returned_once_and_matplotlib_says_nothing(tmp_path):
    figure = titled(f"a {NOWHERE} b {NOWHERE}")
    figure.subplots().set_title(NOWHERE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert save_png(figure, tmp_path / "figure.png") == NOWHERE
        assert NOWHERE in svg_bytes(figure).decode()


def test_fonts_that_matplotlib_s_cached_list_lacks_are_no_lines_on_the_terminal(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fontManager, "ttflist", [each for each in fontManager.ttflist if each.name == "DejaVu Sans"])
    with rc_context({"font.fantasy": ["no font that was looked for before"]}):
        save_png(titled("a formula $10^{-1.2345}$"), tmp_path / "figure.png")
        svg_bytes(titled("a formula $10^{-5.4321}$"))
    assert caplog.text == ""


@pytest.mark.skipif(
    not any("CJK" in font.name for font in fontManager.ttflist),
    reason="no font of Chinese is installed: fonts-noto-cjk",
)
def test_a_script_that_the_style_s_font_lacks_is_drawn_with_an_installed_one():
    figure = titled("a \u732b")
    assert give_fonts(figure) == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")


def test_latin_text_keeps_its_font():
    figure = titled("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n ± 1")
    before = figure.texts[0].get_fontfamily()
    assert give_fonts(figure) == ""
    assert figure.texts[0].get_fontfamily() == before


def test_a_very_large_figure_has_fewer_pixels_an_inch(tmp_path):
    save_png(titled("large", (100, 2)), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (4000, 80)
