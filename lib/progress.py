"""Progress of long work: loops report to a callback, and a bar is one listener among others.

A bar shows only on a terminal; elsewhere it is silent, so logs and CI stay readable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Called with the number of units (images, bytes, epochs) done since the last call."""


def silent(_: int) -> None:
    """An Advance that tells nobody."""


@contextmanager
def bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show a progress bar on standard error while the block runs, if standard error is a terminal.

    `unit` is the noun counted ("B" for bytes is scaled to KiB, MiB).
    """
    if not sys.stderr.isatty():
        yield silent
        return
    from tqdm import tqdm

    with tqdm(
        desc=label,
        total=total,
        unit=unit,
        unit_scale=unit == "B",
        unit_divisor=1024 if unit == "B" else 1000,
        leave=False,
    ) as progress:

        def advance(count: int) -> None:
            progress.update(count)

        yield advance
