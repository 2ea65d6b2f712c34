"""Names of classes that are one text to Unicode (macOS writes é as two characters, others as one), or only look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

_TOLD = 5


def matching(name: str, names: Collection[str]) -> str | None:
    """The one of some names that is this name, or that is the same text in Unicode's normal form; None when there is none.

    >>> matching("caf\\u00e9", ["cafe\\u0301", "bar"]) == "cafe\\u0301"
    True
    """
    if name in names:
        return name
    if name.isascii():
        return None
    normal = unicodedata.normalize("NFC", name)
    return next((each for each in names if unicodedata.normalize("NFC", each) == normal), None)


def looks(name: str) -> str:
    """What a name looks like: without case, spaces around it, and characters that take no room.

    >>> looks("Cat\\u200b ")
    'cat'
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return " ".join("".join(each for each in text if unicodedata.category(each) != "Cf").split())


def alike(names: Sequence[str]) -> list[str]:
    """A warning of classes whose names look alike; none where all look different.

    >>> alike(["cat", "dog", "cat "])
    ["classes that look alike are taken as different ones: 'cat' and 'cat '; give the images of one class one name"]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(looks(name), []).append(name)
    told = [" and ".join(map(ascii, each)) for each in groups.values() if len(each) > 1]
    if not told:
        return []
    more = f" and {len(told) - _TOLD:,} more" if len(told) > _TOLD else ""
    return [
        f"classes that look alike are taken as different ones: {'; '.join(told[:_TOLD])}{more}; give the images of one class "
        "one name"
    ]
