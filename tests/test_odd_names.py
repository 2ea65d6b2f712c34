"""A whole run with classes, files and a folder of odd names: each is shown as it is in every figure, page, note and table."""

from __future__ import annotations

import csv
import io
import os
import warnings
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from flows.console import console_on, show
from flows.report import closing_table
from lib.figures.style import shown
from lib.profile import Profile, parse_profile
from lib.report import render
from lib.studies.presentation import markdown
from lib.studies.record import open_record
from tests.image_files import encoded_noise, write_images
from tests.odd_names import ODD_NAMES
from tests.records import WholeRun, places_under, whole_run
from tests.report_page import Page, require_self_contained

SHOWN = list(ODD_NAMES.values())


def odd_profile(images: Path) -> Profile:
    """A first look, a sweep with a grid and a search, and its map."""
    base = {"hidden": [4], "epochs": 2, "batch_size": 64}
    space = {"learning_rate": {"low": 0.01, "high": 1, "log": True}, "l2": [0, 1]}
    search = {"sampler": "random", "configurations": 6, "space": space}
    variants = {
        "a_b": {"base": base, "search": search},
        "c_d": {"base": base, "grid": {"l2": [0, 1], "momentum": [0, 0.5]}},
    }
    studies = {
        "look": {"kind": "exploration", "on": "odd", "grid": len(ODD_NAMES)},
        "heads": {"kind": "sweep", "on": "odd", "test": True, "seeds": [0], "variants": variants},
        "map": {"kind": "map", "of": "heads", "iterations": 251, "perplexity": 5},
    }
    return parse_profile(
        {"name": "odd", "data": {"odd": {"source": "folder", "path": str(images)}}, "studies": studies}
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> WholeRun:
    """The run; a warning of matplotlib is an error. One file's name is no UTF-8, and one image is no class's."""
    root = tmp_path_factory.mktemp("odd")
    images = write_images(root / "x_y | $z$ #1", ODD_NAMES, 8)
    (content, other) = encoded_noise(7, 2)
    Path(os.fsdecode(os.fsencode(images / "no") + b"/caf\xe9.png")).write_bytes(content)
    (images / "beside\x1b[31m*.png").write_bytes(other)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="Logger ")  # Prefect's, where another test has set its logging up
        return whole_run(odd_profile(images), places_under(root))


@pytest.fixture(scope="module")
def page(odd) -> Page:
    return require_self_contained(render(odd.record, odd.records))


def drawn_texts(odd: WholeRun, study: str, figure: str) -> list[str]:
    """All texts of a figure as they are drawn."""
    drawing = ElementTree.parse(odd.records[study].folder / "figures" / f"{figure}.svg")
    texts = drawing.iter("{http://www.w3.org/2000/svg}text")
    return [shown("".join(text.itertext())).strip() for text in texts]


def rendered(text: str) -> str:
    """Markdown as a reader sees it."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    inline = chain.from_iterable(token.children or () for token in tokens)
    return "\n".join(token.content for token in inline if token.type in ("text", "code_inline", "softbreak"))


def test_records_and_tables_have_each_name_as_it_is(odd):
    for record in odd.records.values():
        assert set(open_record(record.folder).dataset.classes) == set(ODD_NAMES)
    for study, table, column in (
        ("look", "classes", "class"), ("heads", "per-class", "class"), ("heads", "confusion-matrix", "true class")
    ):  # fmt: skip
        with (odd.records[study].folder / "tables" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            assert {row[column] for row in csv.DictReader(file)} == set(ODD_NAMES)


@pytest.mark.parametrize(("study", "figure"), [("look", "samples"), ("look", "classes"), ("heads", "confusion-matrix")])
def test_figures_draw_each_name_as_it_is(odd, study, figure):
    texts = drawn_texts(odd, study, figure)
    letters = 16 if figure == "samples" else 24
    for name in SHOWN:
        assert any(text == name or text == f"{name[: letters - 1]}…" for text in texts), name


def test_every_figure_is_drawn_and_says_what_it_shows(odd, page):
    figures = [figure for record in odd.records.values() for figure in record.figures]
    assert len(page.figures) == len(figures) > 15
    wrong = " ".join(drawn_texts(odd, "heads", "most-wrong"))
    assert any(f"true {name}"[:18] in wrong for name in SHOWN)


def test_the_page_has_each_name_as_it_is_and_nothing_that_acts(odd, page):
    for name in SHOWN:
        assert page.words.count(" ".join(name.split())) >= 3, name
    assert not set("\a\x1b\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}") & set(page.words)


def test_notes_have_each_name_as_it_is(odd):
    for study, names in (("look", SHOWN), ("heads", [])):
        shown_notes = rendered(markdown(odd.records[study].present()))
        for name in names:
            assert name in shown_notes, name
        assert "x_y | $z$ #1" in shown_notes


def test_a_terminal_gets_no_control_characters(odd):
    outcomes = {
        name: {
            "folder": str(record.folder), "headline": record.present().headline, "seconds": 1.0,
            "warnings": record.present().warnings, "data_warnings": list(record.dataset.warnings),
        }
        for name, record in odd.records.items()
    }  # fmt: skip
    result = {"profile": "odd", "nodes": outcomes, "promotion": None, "pipeline": None}
    console = console_on(io.StringIO(), 118)
    show(console, closing_table(result, None, odd.where, console))
    text = console.file.getvalue()
    assert r"beside\x1b[31m*.png" in text.replace("\n", " ")
    assert "\x1b" not in text
