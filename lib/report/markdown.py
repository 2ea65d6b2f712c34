"""Sections of notes as HTML: CommonMark with tables. HTML in them is shown as text, and they bring in no picture."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup


def body_html(body: str, level: int) -> Markup:
    """The body of a section as HTML; headings in it begin at `level`."""
    tokens = _markdown().parse(body)
    # The highest heading that is left becomes `level`, so that none is skipped.
    depths = [int(token.tag[1:]) for token in tokens if token.type == "heading_open"]
    shift = level - min(depths, default=level)
    framed: list[Token] = []
    heads: list[str] = []
    column = 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + shift)}"
        if token.type == "table_open":
            framed.append(_html('<div class="scroll" role="group" aria-label="Table" tabindex="0">'))
            token.attrSet("class", "stack")
            heads = []
        if token.type == "th_open":
            heads.append(after.content if after else "")
        if token.type == "tr_open":
            column = 0
        if token.type == "td_open":  # on a phone, where a row is a list, each cell says what it is
            token.attrSet("data-head", heads[column])
            column += 1
        framed.append(token)
        if token.type == "table_close":
            framed.append(_html("</div>\n"))
    return Markup(_markdown().renderer.render(framed, _markdown().options, {}))  # its own output, HTML off


def _html(markup: str) -> Token:
    return Token("html_block", "", 0, content=markup)


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
