"""A figure's SVG as a part of an HTML page: ids of its own, colours that suit a light and a dark page, nothing but drawing.

What is black or grey on white paper is drawn in the page's own colour, as strongly. The palette's colours are named
(`--c0`, ...), so that the style sheet has lighter ones for a dark page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from xml.etree import ElementTree

from lib.errors import DataError
from lib.figures.style import HOVER, PALETTE, UNSEEN
from lib.figures.vector import ON_PICTURE

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
_ELEMENTS = {
    "svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "ellipse", "line", "polyline", "polygon", "image",
    "text", "tspan",
}  # fmt: skip
_ATTRIBUTES = {
    "id", "d", "style", "transform", "clip-path", "clip-rule", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx",
    "ry", "width", "height", "points", "viewBox", "dx", "dy", "preserveAspectRatio",
}  # fmt: skip
_NUMBER = re.compile(r"-?\d+\.\d+")
_LONG = 400
"""Letters of a path from which on a tenth of a point is fine enough: curves, not marks."""
_LINES = re.compile(r"[MLz\d. -]+")
_STYLE = re.compile(r"[\w\s:;,.#()%'\"-]*")
"""What a style may hold, which becomes a part of the page's sheet."""
_PART = re.compile(r"[MLz]|-?[\d.]+")
_FONT = re.compile(r"font-family:[^;]*;?\s*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_NAMED = {colour.lower(): f"var(--c{index})" for index, colour in enumerate(PALETTE)}
_BLACK, _WHITE = 0, 255


@dataclass(frozen=True)
class Drawing:
    """An `<svg>` element to be put into a page, its natural width in CSS pixels, and what it shows in words."""

    markup: str
    width: float
    description: str


def inline(content: bytes, prefix: str, name: str, styles: Styles) -> Drawing:
    """The SVG file `content` as a `Drawing`; `prefix` sets its ids apart from those of other drawings on the page, whose
    `styles` it shares.

    Raises DataError when it is no SVG file.
    """
    try:
        root = ElementTree.fromstring(content)
        _, _, width, height = (float(number) for number in root.get("viewBox", "").split())
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(
            f"figure {name} is damaged ({error}); delete its study's folder and run the study again"
        ) from None
    found = root.find(f".//{_DESCRIPTION}")
    description = (found.text or "") if found is not None else ""
    _clean(root, _Names(prefix, styles), None)
    root.attrib.clear()
    root.set("viewBox", f"0 0 {width:g} {height:g}")
    root.set("fill", "currentColor")  # of what has none of its own: black, which matplotlib leaves out
    root.set("role", "img")
    root.set("aria-label", description or name)
    return Drawing(ElementTree.tostring(root, encoding="unicode"), width * 96 / 72, description)


class Styles:
    """The styles of a page's drawings as classes: few, and each of thousands of points has one of them."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, style: str) -> str:
        """The class of a style."""
        return self._known.setdefault(style, f"s{len(self._known)}")

    @property
    def sheet(self) -> str:
        """What the page's style sheet says of them."""
        return "\n".join(f".drawing .{name} {{ {style} }}" for style, name in self._known.items())


class _Names:
    """Short ids of a drawing's own in place of those in its file."""

    def __init__(self, prefix: str, styles: Styles) -> None:
        self._prefix = prefix
        self.styles = styles
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        return self._known.setdefault(name, f"{self._prefix}{len(self._known)}")

    def in_style(self, text: str) -> str:
        return _REFERENCE.sub(lambda found: f"url(#{self(found[1])})", text)


def _clean(element: ElementTree.Element, names: _Names, group: str | None) -> None:
    """Make an element and all below it fit for the page. `group` is the id of the group around it."""
    group = element.get("id") if element.tag == f"{_SVG}g" and element.get("id") else group
    element.tag = element.tag.removeprefix(_SVG)
    element.text = (element.text or "").replace(UNSEEN, "") if element.tag in ("text", "tspan") else None
    element.tail = None if element.tag != "tspan" else element.tail
    target = element.get(_LINK, "").replace("\n", "")
    for name in set(element.attrib) - _ATTRIBUTES:
        del element.attrib[name]
    if element.tag == "use" and target.startswith("#"):
        element.set("href", f"#{names(target[1:])}")
    if element.tag == "image" and target.startswith("data:image/png;base64,"):
        element.set("href", target)
    pointed_at = element.get("id", "") if element.tag == "g" else ""
    if "id" in element.attrib:
        if element.tag in ("g", "image"):
            del element.attrib["id"]  # nothing refers to them
        else:
            element.set("id", names(element.attrib["id"]))
    if "clip-path" in element.attrib:
        element.set("clip-path", names.in_style(element.attrib["clip-path"]))
    for name in ("d", "points", "transform", "x", "y", "width", "height"):
        if name in element.attrib:
            given = element.attrib[name]
            digits = 1 if element.tag == "use" else 2
            given = " ".join(_NUMBER.sub(partial(_rounded, digits), given).split())
            element.set(name, _relative(given) if len(given) > _LONG and _LINES.fullmatch(given) else given)
    style = names.in_style(element.get("style", ""))
    is_text = element.tag in ("text", "tspan")
    if is_text:
        style = _FONT.sub("", style)  # the style sheet names one for all
        element.text = element.text.strip() if element.text and element.tag == "text" else element.text
    on_picture = bool(group and group.startswith(ON_PICTURE))
    if on_picture and is_text and "fill:" not in style:
        style = f"fill: #000000; {style}"
    element.attrib.pop("style", None)
    if style and _STYLE.fullmatch(style):
        themed = style if on_picture else _themed(style, is_text=is_text, name=group or "")
        element.set("style" if "url(" in themed else "class", themed if "url(" in themed else names.styles(themed))
    for child in list(element):
        if child.tag.removeprefix(_SVG) not in _ELEMENTS:
            element.remove(child)
        else:
            _clean(child, names, group)
    _merge(element)
    if pointed_at.startswith(HOVER):
        title = ElementTree.Element("title")
        title.text = pointed_at.removeprefix(HOVER)
        element.insert(0, title)


def _relative(path: str) -> str:
    """A long path of straight lines by steps of tenths of a point, which add up to where its points are."""
    parts, found = iter(_PART.findall(path)), []
    x = y = 0
    begins = False
    for part in parts:
        if part in "MLz":
            begins = part == "M"
            found += ["z"] if part == "z" else []
            continue
        to_x, to_y = round(10 * float(part)), round(10 * float(next(parts)))
        found.append(f"M{to_x / 10:g} {to_y / 10:g}l" if begins else f"{_step(to_x - x)} {_step(to_y - y)} ")
        x, y, begins = to_x, to_y, False
    return re.sub("l(?=[Mz]|$)", "", "".join(found).replace(" -", "-").replace(" z", "z").rstrip())


def _step(tenths: int) -> str:
    return f"{tenths / 10:g}".replace("0.", ".", 1) if abs(tenths) < 10 else f"{tenths / 10:g}"


def _merge(element: ElementTree.Element) -> None:
    """Put what groups side by side have in one group, where they are alike: each point of a scatter has one."""
    last: ElementTree.Element | None = None
    for child in list(element):
        alike = last is not None and child.tag == last.tag == "g" and child.attrib and child.attrib == last.attrib
        if alike and last is not None and not any(each.tag == "title" for group in (last, child) for each in group):
            last.extend(list(child))
            element.remove(child)
        else:
            last = child


def _rounded(digits: int, found: re.Match[str]) -> str:
    text = f"{float(found[0]):.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _themed(style: str, *, is_text: bool, name: str) -> str:
    """A style whose greys are the page's colours: black and grey as much of the text's, white the paper's."""
    declarations = {
        key.strip(): value.strip() for key, _, value in (each.partition(":") for each in style.split(";")) if value
    }
    for paint in ("fill", "stroke"):
        level = _grey(declarations.get(paint, ""))
        if level is None:
            if paint in declarations:
                declarations[paint] = _NAMED.get(declarations[paint], declarations[paint])
            continue
        if level == _WHITE:
            # White text lies on something coloured; a white shape is paper.
            if not is_text:
                declarations[paint] = "none" if name == "patch_1" else "var(--paper)"
            continue
        opacity = float(declarations.get(f"{paint}-opacity", declarations.get("opacity", 1)))
        declarations[paint] = "currentColor"
        if level != _BLACK:
            declarations[f"{paint}-opacity"] = f"{opacity * (1 - level / _WHITE):.3g}"
            declarations.pop("opacity", None)
    return "; ".join(f"{key}: {value}" for key, value in declarations.items())


def _grey(colour: str) -> int | None:
    """The level of a grey from 0 (black) to 255 (white); None for a colour."""
    if not re.fullmatch("#[0-9a-f]{6}", colour) or not colour[1:3] == colour[3:5] == colour[5:7]:
        return None
    return int(colour[1:3], 16)
