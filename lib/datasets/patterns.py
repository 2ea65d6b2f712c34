"""Patterns of paths: `{a,b}` and `{000..010}` written out, and globs that say of which split a file is, and of which class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from lib.errors import DataError

_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000

_FOLDERS = r"(?:[^/]+/)*"
_BELOW = rf"(?:([^/]+)/)?{_FOLDERS}[^/]+"
"""Anything below a folder; the first folder in it is caught."""


def has_braces(text: str) -> bool:
    return _BRACES.search(text) is not None


def expanded(path: str, shown: str) -> list[str]:
    """The paths that `{000..010}` and `{a,b}` stand for. Raises DataError when they are too many.

    >>> expanded("{train,test}-{08..10}.tar", "")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'test-08.tar']
    """
    braces = _BRACES.search(path)
    if braces is None:
        return [path]
    inside = braces.group(1)
    if numbers := _NUMBERS.fullmatch(inside):
        first, last = numbers.groups()
        if int(last) - int(first) >= _MOST:
            raise DataError(f"{shown}: {{{inside}}} stands for more than {_MOST:,} files")
        choices = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        choices = inside.split(",")
    before, after = path[: braces.start()], path[braces.end() :]
    return [full for choice in choices for full in expanded(before + choice + after, shown)]


class Match(NamedTuple):
    """What the patterns say of a file: its split, and the folder that is its class, if there is one."""

    split: str
    folder: str | None


class Patterns:
    """Globs by split, for paths relative to a root: `*`, `?`, `[…]`, `**` and `{a,b}`; upper and lower case differ.

    A pattern stands for files, or for folders with all below. A file's class is the folder in the place of the first `*` or
    `**`, or the first folder below what the pattern names.

    Raises DataError when one is no pattern.

    >>> patterns = Patterns({"train": "*/train/**", "test": "exam"})
    >>> patterns.match("cat/train/more/0.png")
    Match(split='train', folder='cat')
    >>> patterns.match("exam/dog/0.png")
    Match(split='test', folder='dog')
    """

    def __init__(self, globs: Mapping[str, str]) -> None:
        self._globs = globs
        self._compiled = {split: _compiled(glob, split) for split, glob in globs.items()}
        self._unmatched = set(globs)

    def match(self, path: str) -> Match | None:
        """What they say of a file; None when none of them matches. Raises DataError when two of them do."""
        found: Match | None = None
        for split, compiled in self._compiled.items():
            if (matched := compiled.fullmatch(path)) is None:
                continue
            if found is not None:
                raise DataError(
                    f"{path!r} is matched by two patterns of splits, {found.split}: {self._globs[found.split]!r} and "
                    f"{split}: {self._globs[split]!r}; make them exclude each other"
                )
            found = Match(split, next((folder for folder in matched.groups() if folder is not None), None))
            self._unmatched.discard(split)
        return found

    def require_all_matched(self, shown: str, example: str) -> None:
        """Raise DataError when a pattern has matched nothing so far."""
        for split, glob in self._globs.items():
            if split in self._unmatched:
                raise DataError(
                    f"splits: {split}: {glob!r} matches nothing in {shown}; patterns are relative to it, and a path there "
                    f"is {example!r}"
                )


def _compiled(glob: str, split: str) -> re.Pattern[str]:
    told = f"pattern {split}: {glob!r}"
    try:
        return re.compile("|".join(_regex(each.removeprefix("./").strip("/")) for each in expanded(glob, told)))
    except re.error as error:
        raise DataError(f"{told} is no pattern ({error}); put a [ that is meant as such into brackets: [[]") from None


def _regex(glob: str) -> str:
    *above, last = glob.split("/")
    steps = []
    for step in above:
        if step == "**":
            steps.append(rf"(?:([^/]+)/{_FOLDERS})?")
        else:
            steps.append(f"{'([^/]+)' if step == '*' else _step(step)}/")
    if last == "**":
        steps.append(_BELOW)
    elif last == "*":
        steps.append(rf"(?:([^/]+)/{_FOLDERS}[^/]+|[^/]+)")
    else:
        steps.append(rf"{_step(last)}(?:/{_BELOW})?")
    return "".join(steps)


def _step(text: str) -> str:
    """One step of a path as a regular expression without groups."""
    regex, position = "", 0
    while position < len(text):
        letter = text[position]
        close = text.find("]", position + 2 + text.startswith("!", position + 1)) if letter == "[" else -1
        if close > 0:
            inside = text[position + 1 : close].replace("\\", "\\\\").replace("[", "\\[")
            regex += f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside.replace('^', chr(92) + '^')}]"
            position = close
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(letter) or re.escape(letter)
        position += 1
    return regex
