"""README and docs as tests read them: their pages, and the commands and code in their fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path

from tests.processes import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(language: str, page: Path) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> dict[str, str]:
    """Every command line in a `sh` block, without its comment and in one line -> the first page that has it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for block in blocks("sh", page):
            for line in block.replace("\\\n", " ").splitlines():
                if command := " ".join(re.sub(r"(^|\s+)# .*$", "", line).split()):
                    found.setdefault(command, page.name)
    return found
