"""A study's notes as HTML: CommonMark with tables. HTML in them is shown as text, and they bring in no picture."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from lib.studies.findings import FINDINGS


def notes_html(notes: str, level: int) -> Markup:
    """`notes` as HTML whose headings begin at `level`; the first heading, which repeats the study's title, is left out."""
    tokens = _markdown().parse(notes)
    if len(tokens) >= 3 and tokens[0].type == "heading_open":
        tokens = tokens[3:]
    # The highest heading that is left becomes `level`, so that none is skipped.
    depths = [int(token.tag[1:]) for token in tokens if token.type == "heading_open"]
    shift = level - min(depths, default=level)
    tokens = _folded(tokens)
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


def _folded(tokens: list[Token]) -> list[Token]:
    """The tokens with the section "Findings", which the report's questions tell already, as closed details."""
    start = next(
        (
            place
            for place, token in enumerate(tokens)
            if token.type == "heading_open" and tokens[place + 1].content == FINDINGS
        ),
        None,
    )
    if start is None:
        return tokens
    body = start + 3  # after the heading's three tokens
    end = next((place for place in range(body, len(tokens)) if _ends_findings(tokens, place)), len(tokens))
    opening = _html(f"<details>\n<summary>{FINDINGS} in full (the questions above, this study's alone)</summary>\n")
    return [*tokens[:start], opening, *tokens[body:end], _html("</details>\n"), *tokens[end:]]


def _ends_findings(tokens: list[Token], place: int) -> bool:
    """Whether what follows belongs to the section no more: a heading, or the sentence or list that notes go on with."""
    token = tokens[place]
    if token.type == "heading_open":
        return True
    return token.type == "paragraph_open" and tokens[place + 1].content.startswith(
        ("Winner of each", "**Read with care")
    )


def _html(markup: str) -> Token:
    return Token("html_block", "", 0, content=markup)


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
