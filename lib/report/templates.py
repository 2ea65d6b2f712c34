"""The package's own templates, style sheet and script, as its pages are made of them."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from lib.text import visible


def template(file: str) -> Template:
    """A template of this package."""
    return Environment(
        loader=PackageLoader("lib.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    ).get_template(file)  # fmt: skip


def ours(file: str) -> Markup:
    """A file of this package, which is put into a page as it is."""
    return Markup(resources.files("lib.report").joinpath(file).read_text("utf-8"))


def _shown(value: Any) -> Any:
    """What a template puts out: text of a user has nothing in it that acts instead of being seen."""
    return visible(value, lines=True) if type(value) is str else value
