"""What a run would do, printed without doing it: each stage, what is there, what is to do and why, and how long it may take."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from flows.tables import aligned, size
from lib.config import Places, Profile, Workers
from lib.studies.estimate import total
from lib.studies.pipeline_plan import PipelinePlan, StagePlan, plan_pipeline
from lib.studies.plan import ProgramPlan

_WIDTH = 118
_INDENT = " " * 4


def show_plan(profile: Profile, stages: Sequence[str] | None, where: Places, workers: Workers) -> int:
    """Print the plan of a run of `profile`, or of some stages or studies of it with what they need.

    Raises
    ------
    ConfigError
        For an unknown stage; when there is a Prefect server, and it does not know the pool, or not with all that it needs.
    """
    if workers.pool is not None:
        _ask_for_pool(workers.pool)
    plan = plan_pipeline(profile, stages, where, workers)
    sys.stdout.write("\n".join(_lines(profile, plan, workers)) + "\n")
    return 0


def _ask_for_pool(pool: str) -> None:
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        from tasks.chunks import CHUNK_FLOW
        from tasks.extract import UNIT_FLOW
        from tasks.pool import require_pool

        for flow in (UNIT_FLOW, CHUNK_FLOW):
            require_pool(pool, flow)


def _lines(profile: Profile, plan: PipelinePlan, workers: Workers) -> Iterator[str]:
    yield f"probeflow · profile {profile.name}: what a run would do; nothing is done now"
    yield ""
    heads = (
        "stage",
        "state",
        ">shards",
        ">to make",
        ">trials",
        ">stored",
        ">to train",
        ">programs",
        ">to write",
        ">time",
    )
    yield from aligned(heads, [_row(stage) for stage in plan.stages])
    yield ""
    for stage in plan.stages:
        words = f"{stage.name}: {stage.told}"
        yield from [words] if stage.state == "cached" else _told(words)  # a path is not broken
    yield from _data(plan)
    yield from _chunks(plan, workers)
    yield from _programs(plan, workers)
    for sweep in plan.sweeps:
        if sweep.after and not sweep.sealed:
            yield from _told(f"{sweep.name}: {sweep.after}.")
    yield from _where(plan, workers)
    yield ""
    yield from _times(plan)


def _row(stage: StagePlan) -> tuple[str, ...]:
    left = None if stage.trials is None or stage.stored is None else stage.trials - stage.stored
    shards = ("", "") if stage.shards == 0 else (_count(stage.shards), _count(stage.missing))
    trials = ("", "", "") if stage.trials == 0 else (_count(stage.trials), _count(stage.stored), _count(left))
    programs = f"{len(stage.programs):,}" if stage.programs else ""
    written = "?" if stage.bytes is None else size(stage.bytes) if stage.bytes else ""
    time = "" if stage.state != "to do" else _seconds(stage.estimate.seconds)
    return (stage.name, stage.state, *shards, *trials, programs, written, time)


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _told(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)


def _data(plan: PipelinePlan) -> Iterator[str]:
    found = {f"{each.name} on {each.data}": None for each in plan.sweeps if not each.sealed}
    if plan.extraction is not None and not plan.extraction.sealed:
        images = "" if plan.extraction.images is None else f", {plan.extraction.images:,} images"
        found = {f"features of {plan.extraction.data}{images}": None} | found
    yield from ["", *(line for each in found for line in _told(each))] if found else ()


def _chunks(plan: PipelinePlan, workers: Workers) -> Iterator[str]:
    if workers.chunks is not None and plan.extraction is not None and plan.extraction.units:
        yield ""
        yield f"features in chunks of at least {workers.chunk_images:,} images:"
        units = [
            (f"{each.number} of {each.of}", f"{len(each.shards):,}", f"{each.images:,}")
            for each in plan.extraction.units
        ]
        yield from aligned(("chunk", ">shards", ">images"), units)


def _programs(plan: PipelinePlan, workers: Workers) -> Iterator[str]:
    """Programs of one shape in one line, with their number and what they take together."""
    rows = []
    for stage in plan.stages:
        alike = Counter(_shape(program) for program in stage.programs)
        for shape, count in alike.items():
            same = [program for program in stage.programs if _shape(program) == shape]
            chunk, share, depth, batch_size, optimiser = shape
            rows.append(
                (
                    stage.name,
                    *(() if workers.chunks is None else (chunk or "?", _share(share))),
                    f"{count:,}",
                    f"{sum(each.trials for each in same):,}",
                    str(depth),
                    f"{batch_size:,}",
                    optimiser,
                    _sum([each.parameters for each in same]),
                    _largest([each.bytes for each in same]),
                )
            )
    if rows:
        yield ""
        yield "The trials of a program train side by side; like programs stand in one line:"
        chunks = () if workers.chunks is None else ("chunk", ">of the cost")
        sizes = (">programs", ">trials", ">hidden layers", ">batch size", "optimiser", ">parameters", ">memory of each")
        yield from aligned(("study", *chunks, *sizes), rows)


def _shape(program: ProgramPlan) -> tuple[str | None, float | None, int, int, str]:
    return program.chunk, program.share, program.depth, program.batch_size, program.optimiser


def _share(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def _sum(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count is not None]
    return f"{sum(known):,}" if len(known) == len(counts) else "?"


def _largest(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return "?"
    return f"{'to ' if len(set(known)) > 1 else ''}{size(max(known))}"


def _where(plan: PipelinePlan, workers: Workers) -> Iterator[str]:
    if not plan.sweeps or not any(stage.programs for stage in plan.stages):
        return
    device = plan.sweeps[0].device
    known = [sweep.memory for sweep in plan.sweeps if sweep.memory is not None]
    memory = f"a program may take {size(min(known))}" if known else "memory is not limited: the system does not tell"
    if workers.pool is None:
        yield f"Trains here, on {device}: {memory}."
        return
    if workers.chunks is None:
        yield (
            f"Trains on work pool {workers.pool!r}, in one chunk for each worker that is then online "
            "(plan them with --chunks N)."
        )
    else:
        yield f"Trains on work pool {workers.pool!r}."
    yield f"Memory as on this machine ({device}): {memory}; each worker plans with its own."


def _times(plan: PipelinePlan) -> Iterator[str]:
    to_do = [stage for stage in plan.stages if stage.state == "to do"]
    if not to_do:
        yield "All of it is there: a run computes nothing."
        return
    seconds, unknown = total([stage.estimate for stage in to_do])
    without = (
        f", without {', '.join(stage.name for stage in to_do if stage.estimate.seconds is None)}" if unknown else ""
    )
    if unknown == len(to_do):
        yield f"Time: {to_do[-1].estimate.basis if len(to_do) == 1 else 'no past run to estimate from'}."
    else:
        yield f"Time: about {_seconds(seconds)}{without}, and the start of the program; estimated from"
    for stage in to_do:
        if stage.estimate.seconds is not None:
            yield f"{_INDENT}{stage.name}: {_seconds(stage.estimate.seconds)}, {stage.estimate.basis}"
        elif unknown < len(to_do):
            yield f"{_INDENT}{stage.name}: {stage.estimate.basis}"
