"""Progress, told to whoever shows it (`shown_by`); where nobody does, a line every half minute, so that logs stay readable."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units (images, bytes, epochs) done since the last call."""

_SECONDS_BETWEEN_LINES = 30.0


class Display(Protocol):
    """Shows work to a person while it runs. Several threads call it at once."""

    def began(self, step: str, kind: str) -> None:
        """A step of a run begins: a node and its kind, or what a run does beside nodes, of no kind."""

    def ended(self, step: str, outcome: str | None, stopped: bool = False) -> None:
        """It ended with this outcome, in words; None: it failed, or was stopped by whoever waited for it."""

    def bar(self, label: str, total: int | None, unit: str, step: str | None) -> AbstractContextManager[Advance]:
        """Something is counted for the length of the block, as a part of `step` if it is of one."""


_logger = logging.getLogger(__name__)
_display: Display | None = None
_step: ContextVar[str | None] = ContextVar("step", default=None)


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Tell this process's progress to `display` while the block runs."""
    global _display
    before, _display = _display, display
    try:
        yield
    finally:
        _display = before


def silent(_: int) -> None:
    """An Advance that tells nobody."""


def tell(line: str) -> None:
    """Write a line to standard error, for whoever waits for the work."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def running(name: str, kind: str = "") -> Iterator[Callable[[str], None]]:
    """A step of a run, which calls what it is given with what came of it; a line is logged when it begins and when it ends."""
    display, outcome, token = _display, list[str](), _step.set(name)
    what = f"{name} ({kind})" if kind else name
    _logger.info("%s: begins", what)
    if display is not None:
        display.began(name, kind)
    started = time.perf_counter()
    try:
        yield outcome.append
    except BaseException as error:
        if display is not None:  # Ctrl-C, or Prefect's own of a SIGTERM, is no failure
            display.ended(name, None, stopped=not isinstance(error, Exception))
        raise
    finally:
        _step.reset(token)
    if display is not None:
        display.ended(name, "; ".join(outcome))
    _logger.info("%s: %s [%.1f s]", what, "; ".join(outcome), time.perf_counter() - started)


def bar(label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
    """Show progress while the block runs.

    `unit` is the noun counted ("B" for bytes is scaled to kB, MB).
    """
    if _display is not None:
        return _display.bar(label, total, unit, _step.get())
    return nullcontext(_lines(label, total, unit))


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
