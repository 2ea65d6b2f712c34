"""What a terminal shows after all that was written to it; of the control codes, those that Rich writes, and no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lib.text import columns

_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


@dataclass
class Screen:
    """Lines that end at `width`, all that scrolled away included; `height` is how far up the cursor can go."""

    width: int
    height: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    cursor_shown: bool = True
    coloured: bool = False

    def write(self, text: str) -> Screen:
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            assert token, repr(text[place : place + 40])
            place = token.end()
            private, numbers, code, back, down, words = token.groups()
            if code:
                self._control(f"{private}{code}", numbers)
            elif back:
                self.column = 0
            elif down:
                self._to(self.row + 1)
            else:
                self._words(words)
        return self

    def _control(self, code: str, numbers: str) -> None:
        if code == "A":
            top = max(len(self.lines) - self.height, 0)
            self._to(max(self.row - int(numbers or 1), top))
        elif code == "K":
            assert numbers == "2"
            self.lines[self.row] = ""
        elif code in ("?h", "?l"):
            assert numbers == "25"
            self.cursor_shown = code == "?h"
        else:
            assert code == "m", code
            self.coloured = numbers not in ("", "0")

    def _to(self, row: int) -> None:
        self.row = row
        self.lines += [""] * (row + 1 - len(self.lines))

    def _words(self, words: str) -> None:
        for letter in words:
            if self.column + columns(letter) > self.width:
                self._to(self.row + 1)
                self.column = 0
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)
