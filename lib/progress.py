"""Progress: a bar on a terminal; elsewhere a line every half minute, so that logs stay readable."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Called with the number of units (images, bytes, epochs) done since the last call."""


_SECONDS_BETWEEN_LINES = 30.0


def silent(_: int) -> None:
    """An Advance that tells nobody."""


def tell(line: str) -> None:
    """Write a line to standard error, for whoever waits for the work."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show progress on standard error while the block runs: a bar on a terminal, elsewhere a line now and then.

    `unit` is the noun counted ("B" for bytes is scaled to KiB, MiB).
    """
    if not sys.stderr.isatty():
        yield _lines(label, total, unit)
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


def _lines(label: str, total: int | None, unit: str) -> Advance:
    done, shown = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        if (now := time.monotonic()) - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            of, share = ("", "") if total is None else (f" of {total:,}", f" ({done / max(total, 1):.0%})")
            tell(f"{label}: {done:,}{of} {unit if unit == 'B' else unit + 's'}{share}")

    return advance
