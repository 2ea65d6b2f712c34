"""Reads an HTML page strictly, by the standard library's parser, and tells what is in it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """A page whose every element is closed in order; anything else is an AssertionError."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open:
            self.text.append((self.open[-1], data))

    def all(self, *tags: str) -> list[tuple[str, dict[str, str]]]:
        """Elements of these tags, in order."""
        return [each for each in self.elements if each[0] in tags]

    @property
    def words(self) -> str:
        """All text but the style sheet's and the script's."""
        return " ".join(" ".join(data.split()) for tag, data in self.text if tag not in ("style", "script"))

    @property
    def figures(self) -> list[dict[str, str]]:
        """The drawings that are figures of studies, not intervals in tables."""
        return [attributes for _, attributes in self.all("svg") if "class" not in attributes]


def require_self_contained(text: str) -> Page:
    """Assert that a page stands alone and can be read by all: no request, no script but the one that its policy names,
    alternative text, headings in order.
    """
    page = Page(text)
    (script,) = [data for tag, data in page.text if tag == "script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [each["content"] for _, each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == (f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'")
    assert page.all("script") == [("script", {})]
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        if "download" in attributes:
            assert attributes["href"].startswith("data:text/csv;base64,")
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "src" not in attributes or attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes and tag != "a":
            assert attributes["href"].startswith(("#", "data:image/png;base64,")), attributes["href"][:80]
        assert not re.search(r"url\((?!#)", attributes.get("style", ""))
    style = "".join(data for tag, data in page.text if tag == "style")
    assert style
    assert "@import" not in style
    assert "url(" not in style

    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.elements:
        references = [attributes.get("href", ""), *re.findall(r"url\((#[^)]*)\)", str(attributes))]
        for reference in (each for each in references if each.startswith("#")):
            assert reference[1:] in identifiers, (tag, reference)
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identifiers

    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels

    for tag, attributes in page.all("svg", "img"):
        words = attributes.get("aria-label" if tag == "svg" else "alt", "")
        assert len(words) > 10, (tag, words)
    assert page.all("html")[0][1]["lang"] == "en"
    return page
