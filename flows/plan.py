"""What a run would do, printed without doing it: each node, what is there, what is to do and why, and how long it may take."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from flows.servers import require_prefect
from flows.tables import aligned, size
from lib.graph import NodePlan, RunPlan, plan_run
from lib.graph.estimate import total
from lib.graph.plan import State
from lib.places import Places, Workers
from lib.profile import Profile
from lib.text import duration, visible

_WIDTH = 118
_INDENT = " " * 4


def show_plan(profile: Profile, only: Sequence[str] | None, where: Places, workers: Workers) -> int:
    """Print the plan of a run of `profile`, or of some nodes of it with what they need.

    Raises ConfigError for an unknown node, or where there is a Prefect server that does not know the pool and all that
    it needs.
    """
    if workers.pool is not None:
        _ask_for_pool(workers.pool)
    plan = plan_run(profile, only, where, workers)
    sys.stdout.write("\n".join(map(visible, _lines(profile, plan, workers))) + "\n")
    return 0


def _ask_for_pool(pool: str) -> None:
    require_prefect()
    from tasks.server import server_address

    if server_address() is not None:
        from tasks.node import CHUNK_FLOW
        from tasks.pool import require_pool

        require_pool(pool, CHUNK_FLOW)


def _lines(profile: Profile, plan: RunPlan, workers: Workers) -> Iterator[str]:
    yield f"probeflow · profile {profile.name}: what a run would do; nothing is done now"
    yield ""
    heads = (
        *("node", "kind", "state", ">shards", ">to make", ">trials", ">stored", ">to train", ">programs", ">to write"),
        ">time",
    )
    yield from aligned(heads, [_row(node) for node in plan.nodes])
    yield ""
    for node in plan.nodes:
        words = f"{node.name}: {node.told}"
        yield from [words] if node.state is State.CACHED else _wrapped(words)  # a path is not broken
        if node.forecast.after and node.state is State.TO_DO:
            yield from _wrapped(f"{_INDENT}{node.forecast.after}")
    yield from _pieces(plan)
    yield from _programs(plan)
    if workers.pool is not None:
        count = (
            "in one chunk for each worker that is then online"
            if workers.chunks is None
            else f"in {workers.chunks} chunks"
        )
        yield f"Computed on work pool {workers.pool!r}, {count} where a node can be cut; memory is that of each worker."
    yield ""
    yield from _times(plan)


def _row(node: NodePlan) -> tuple[str, ...]:
    wanted = node.forecast
    left = None if wanted.trials is None or wanted.stored is None else wanted.trials - wanted.stored
    shards = ("", "") if wanted.shards == 0 else (_count(wanted.shards), _count(wanted.missing))
    trials = ("", "", "") if wanted.trials == 0 else (_count(wanted.trials), _count(wanted.stored), _count(left))
    if wanted.searched:  # which of these are stored is known only when the search has chosen them
        every, stored, left_over = trials
        trials = (_with(every, wanted.searched), stored, _with(left_over, wanted.searched))
    programs = f"{len(wanted.programs):,}" if wanted.programs else ""
    written = "?" if wanted.bytes is None else size(wanted.bytes) if wanted.bytes else ""
    time = _seconds(node.estimate.seconds) if node.state is State.TO_DO else ""
    return (node.name, node.kind, node.state, *shards, *trials, programs, written, time)


def _with(trials: str, searched: int) -> str:
    return f"{trials} + {searched:,}" if trials else f"{searched:,}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _seconds(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)


def _pieces(plan: RunPlan) -> Iterator[str]:
    rows = [
        (node.name, f"{piece.number} of {piece.of}", f"{piece.units:,}", f"{piece.missing:,}", f"{piece.share:.0%}")
        for node in plan.nodes
        for piece in node.pieces
    ]
    if rows:
        yield ""
        yield "Chunks, in shards of features and trials of sweeps:"
        yield from aligned(("node", "chunk", ">units", ">to do", ">of the cost"), rows)


def _programs(plan: RunPlan) -> Iterator[str]:
    """Programs of one shape in one line, with their number and their sums."""
    rows = []
    for node in plan.nodes:
        shapes: dict[tuple[int, int, str], list[Any]] = {}
        for program in node.forecast.programs:
            shapes.setdefault((program.depth, program.batch_size, program.optimiser), []).append(program)
        for (depth, batch_size, optimiser), same in shapes.items():
            parameters, held = ([getattr(each, name) for each in same] for name in ("parameters", "bytes"))
            memory = "?" if None in held else f"{'to ' if len(set(held)) > 1 else ''}{size(max(held))}"
            trained = (
                f"{len(same):,}",
                f"{sum(each.trials for each in same):,}",
                str(depth),
                f"{batch_size:,}",
                optimiser,
            )
            rows.append((node.name, *trained, "?" if None in parameters else f"{sum(parameters):,}", memory))
    if rows:
        yield ""
        yield "The trials of a program train side by side; programs of one shape share a line:"
        heads = (">programs", ">trials", ">hidden layers", ">batch size", "optimiser", ">parameters", ">memory of each")
        yield from aligned(("node", *heads), rows)


def _times(plan: RunPlan) -> Iterator[str]:
    to_do = [node for node in plan.nodes if node.state is State.TO_DO]
    if not to_do:
        yield "All of it is there: a run computes nothing."
        return
    seconds, unknown = total([node.estimate for node in to_do])
    without = f", without {', '.join(node.name for node in to_do if node.estimate.seconds is None)}" if unknown else ""
    if unknown == len(to_do):
        yield f"Time: {to_do[-1].estimate.basis if len(to_do) == 1 else 'no past run to estimate from'}."
    else:
        yield f"Time: about {_seconds(seconds)}{without}, and the start of the program; estimated from"
    for node in to_do:
        if node.estimate.seconds is not None:
            yield f"{_INDENT}{node.name}: {_seconds(node.estimate.seconds)}, {node.estimate.basis}"
        elif unknown < len(to_do):
            yield f"{_INDENT}{node.name}: {node.estimate.basis}"
