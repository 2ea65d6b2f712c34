"""What a run is about to do: what was understood of each dataset, and what is to be computed. Known before anything is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lib.datasets import Understood
from lib.studies.study import Forecast
from lib.text import counted


@dataclass(frozen=True)
class NodeAhead:
    """A node that makes a record; `forecast` is None where the record is there already."""

    name: str
    kind: str
    forecast: Forecast | None

    @property
    def words(self) -> str:
        """What is to do, such as "heads (sweep, 40 of 120 trials + 60 by search)"."""
        left = self.forecast or Forecast()
        parts = [self.kind]
        if left.shards:
            parts.append(_of(left.missing, left.shards, "shard"))
        if left.trials:
            trials = _of(None if left.stored is None else left.trials - left.stored, left.trials, "trial")
            parts.append(trials + (f" + {left.searched:,} by search" if left.searched else ""))
        elif left.searched:
            parts.append(f"{_of(None, left.searched, 'trial')} by search")
        return f"{self.name} ({', '.join(parts)})"


@dataclass(frozen=True)
class Preflight:
    """What was understood of each data node, and the nodes that a run walks, in order."""

    data: Mapping[str, Understood]
    nodes: tuple[NodeAhead, ...]

    def lines(self) -> Iterator[str]:
        """The same in a few lines of plain text."""
        for name, understood in self.data.items():
            yield from (f"{name}: {line}" for line in understood.lines())
        done = [node.name for node in self.nodes if node.forecast is None]
        wanted = [node.words for node in self.nodes if node.forecast is not None]
        if wanted:
            yield f"to compute: {', '.join(wanted)}"
        if done:
            yield f"there already: {', '.join(done)}"


def _of(left: int | None, every: int, unit: str) -> str:
    of = "" if left is None or left == every else f"{left:,} of "
    return f"{of}{counted(every, unit)}"
