"""Work shown on a terminal while it goes on: a run's nodes as a table, and a bar for each thing that is counted.

`lib.progress` tells it what happens, from several threads at once; nothing is read out of log lines.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import FrameType
from typing import IO, Any, Self, cast

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from flows.console import add_column, console_on, plain_table, written
from flows.tables import size
from lib.progress import Advance, shown_by
from lib.text import duration

_PER_SECOND = 4
_WINDOW = 30 * _PER_SECOND
"""Samples that a rate is the mean of: half a minute."""
_WIDE, _NARROW = 100, 60
_BAR = 12


class State(StrEnum):
    """Where a step of a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


_SIGNS = {State.WAITING: "·", State.RUNNING: "●", State.DONE: "✓", State.FAILED: "✗", State.STOPPED: "■"}
_STYLES = {
    State.WAITING: "dim",
    State.RUNNING: "bold",
    State.DONE: "",
    State.FAILED: "bold red",
    State.STOPPED: "yellow",
}
_FIRST_SHOWN = (State.FAILED, State.STOPPED, State.RUNNING, State.WAITING, State.DONE)


@dataclass
class _Step:
    """A line of the table."""

    name: str
    kind: str
    state: State = State.WAITING
    began: float | None = None
    ended: float | None = None
    outcome: str = ""

    @property
    def seconds(self) -> float | None:
        if self.began is None:
            return None
        return (time.monotonic() if self.ended is None else self.ended) - self.began


@dataclass(eq=False)
class _Bar:
    """Something that is counted."""

    label: str
    total: int | None
    unit: str
    step: str | None
    done: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    @property
    def count(self) -> str:
        if self.unit == "B":
            return size(self.done) + ("" if self.total is None else f" of {size(self.total)}")
        return f"{self.done:,}{'' if self.total is None else f' of {self.total:,}'} {self.unit}s"

    @property
    def drawn(self) -> str:
        if not self.total:
            return ""
        full = min(_BAR, _BAR * self.done // self.total)
        return f"{'━' * full}{'─' * (_BAR - full)} "

    def rate(self) -> float | None:
        """Units a second, of the last half minute."""
        now = time.monotonic()
        self.samples.append((now, self.done))
        then, done = self.samples[0]
        return (self.done - done) / (now - then) if now > then and self.done > done else None

    def rate_and_left(self) -> tuple[str, str]:
        rate = self.rate()
        if rate is None:
            return "", ""
        shown = size(round(rate)) if self.unit == "B" else f"{rate:,.0f} {self.unit}s" if rate >= 10 else ""
        left = "" if self.total is None else duration(max(self.total - self.done, 0) / rate)
        return f"{shown or f'{rate:.2g} {self.unit}s'}/s", left


class LiveTable:
    """A `lib.progress.Display` on a terminal. With `steps` it shows them as long as its block runs, else only bars.

    It goes away when the block ends well; if not, the table stays, as far as it came. `steps`: name and kind of each, in
    their order.
    """

    def __init__(self, stream: IO[str], steps: Sequence[tuple[str, str]] = ()) -> None:
        self._console = console_on(cast("IO[str]", _Leavable(stream)))
        self._steps = {name: _Step(name, kind) for name, kind in steps}
        self._bars: list[_Bar] = []
        self._lock, self._switch = threading.RLock(), threading.RLock()
        self._live: Live | None = None
        self._former: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGTERM, self._terminated)
        if self._steps:
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop()
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)
        if kind is not None and any(each.began is not None for each in self._steps.values()):
            self._console.print(self._table(self._steps.values()))

    def began(self, step: str, kind: str) -> None:
        with self._lock:
            own = self._steps.setdefault(step, _Step(step, kind))
            own.kind, own.state, own.began, own.ended = kind, State.RUNNING, time.monotonic(), None

    def ended(self, step: str, outcome: str | None, stopped: bool = False) -> None:
        with self._lock:
            own = self._steps[step]
            own.state = State.STOPPED if stopped else State.FAILED if outcome is None else State.DONE
            own.ended, own.outcome = time.monotonic(), outcome or ""

    @contextmanager
    def bar(self, label: str, total: int | None, unit: str, step: str | None) -> Iterator[Advance]:
        own = _Bar(label, total, unit, step)

        def advance(count: int) -> None:
            with self._lock:
                own.done += count

        own.rate()
        with self._switch:
            with self._lock:
                self._bars.append(own)
            self._start()
        try:
            yield advance
        finally:
            with self._switch:
                with self._lock:
                    self._bars.remove(own)
                if not self._bars and not self._steps:
                    self._stop()

    def _start(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console, get_renderable=self._now, refresh_per_second=_PER_SECOND, transient=True
            )
            self._live.start()

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _terminated(self, number: int, _: FrameType | None) -> None:
        """Leave the terminal as it was, then end as the signal would have it."""
        self._stop()
        signal.signal(number, self._former or signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _now(self) -> RenderableType:
        """What the terminal has room for, one line each: what runs first, then what is next, then what was done last."""
        with self._lock:
            loose = [bar for bar in self._bars if bar.step not in self._steps]
            room = max(self._console.height - len(loose) - 3, 1)
            every = list(self._steps.values())
            ranked = sorted(enumerate(every), key=lambda each: _rank(*each))
            shown = [step for _, step in sorted(ranked[:room], key=lambda each: each[0])]
            parts: list[RenderableType] = [self._table(shown, loose)]
            if len(every) > len(shown):
                done = sum(each.state is State.DONE for each in every)
                parts.append(written(f"{done} of {len(every)} done", self._console, "dim"))
            return Group(*parts)

    def _table(self, steps: Iterable[_Step], loose: Iterable[_Bar] = ()) -> Table:
        console = self._console
        wide, narrow = console.width >= _WIDE, console.width < _NARROW
        table = plain_table(heads=bool(self._steps) and not narrow)
        table.width = max(console.width - len("^C") - 1, 1)  # which a terminal writes where the cursor is
        add_column(table, console, "node", most=max(console.width // 3, 8))
        if wide:
            add_column(table, console, "kind")
        add_column(table, console, "progress", ratio=1)
        for name in [*(["rate"] if wide else []), *([] if narrow else ["left", "time"])]:
            add_column(table, console, name, right=True)

        def add(name: str, kind: str, progress: str, rate: str, left: str, seconds: str, style: str) -> None:
            cells = [name, *([kind] if wide else []), progress, *([rate] if wide else [])]
            table.add_row(*(written(cell, console, style) for cell in [*cells, *([] if narrow else [left, seconds])]))

        for step in steps:
            bars = [bar for bar in self._bars if bar.step == step.name]
            progress, rate, left = _progress(bars[-1]) if bars else (step.outcome or step.state.value, "", "")
            taken = "" if step.seconds is None else duration(step.seconds)
            add(f"{_SIGNS[step.state]} {step.name}", step.kind, progress, rate, left, taken, _STYLES[step.state])
        for bar in loose:
            progress, rate, left = _progress(bar, named=False)
            add(bar.label, "", progress, rate, left, "", "")
        return table


def can_show(stream: IO[str]) -> bool:
    """Whether it is a terminal that can draw over what it shows."""
    return stream.isatty() and not console_on(stream).is_dumb_terminal


@contextmanager
def live(stream: IO[str], steps: Sequence[tuple[str, str]] = ()) -> Iterator[None]:
    """Show this process's progress on a terminal while the block runs; see `LiveTable`."""
    with LiveTable(stream, steps) as table, shown_by(table):
        yield


class _Leavable:
    """A terminal that may go away: what is shown meanwhile is lost, the work is not."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _rank(place: int, step: _Step) -> tuple[int, int]:
    return _FIRST_SHOWN.index(step.state), -place if step.state is State.DONE else place


def _progress(bar: _Bar, named: bool = True) -> tuple[str, str, str]:
    return f"{bar.drawn}{bar.count}{f' · {bar.label}' if named else ''}", *bar.rate_and_left()
