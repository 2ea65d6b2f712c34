"""What a profile would do, printed without doing it: its extraction, and its sweeps with their programs and memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from flows.tables import aligned, size
from lib.config import SWEEPS, Places, Profile, SweepName, Workers
from lib.studies.extraction_plan import ExtractionPlan, plan_features
from lib.studies.plan import SweepPlan, plan_sweep


def show_plan(profile: Profile, studies: Sequence[SweepName], where: Places, workers: Workers) -> int:
    """Print the plan of the extraction and of every sweep of `profile`, or of the sweeps `studies` alone.

    Raises
    ------
    ConfigError
        When there is a Prefect server, and it does not know the pool, or not with all that it needs.
    """
    if workers.pool is not None:
        _ask_for_pool(workers.pool)
    plans = [plan_sweep(name, profile.sweep(name), where, workers) for name in studies or SWEEPS]
    extraction = None if studies else plan_features(profile.images, profile.features, where, workers)
    sys.stdout.write("\n".join(_lines(profile, extraction, plans, workers)) + "\n")
    return 0


def _ask_for_pool(pool: str) -> None:
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        from tasks.chunks import CHUNK_FLOW
        from tasks.extract import UNIT_FLOW
        from tasks.pool import require_pool

        for flow in (UNIT_FLOW, CHUNK_FLOW):
            require_pool(pool, flow)


def _lines(
    profile: Profile, extraction: ExtractionPlan | None, plans: Sequence[SweepPlan], workers: Workers
) -> Iterator[str]:
    yield f"probeflow · profile {profile.name}: what its {'extraction and ' if extraction else ''}sweeps would do"
    yield ""
    if extraction:
        yield from _extraction(extraction, workers)
        yield ""
    sweeps = [
        (
            plan.name,
            "done" if plan.sealed else "to do",
            plan.data,
            f"{plan.trials:,}",
            "?" if plan.stored is None else f"{plan.stored:,}",
            "?" if plan.stored is None else f"{plan.trials - plan.stored:,}",
        )
        for plan in plans
    ]
    yield from aligned(("sweep", "state", "data", ">trials", ">stored", ">to train"), sweeps)
    programs = [
        (
            plan.name,
            *(() if workers.chunks is None else (program.chunk or "?", _share(program.share))),
            f"{program.trials:,}",
            str(program.depth),
            f"{program.batch_size:,}",
            program.optimiser,
            "?" if program.parameters is None else f"{program.parameters:,}",
            "?" if program.bytes is None else size(program.bytes),
        )
        for plan in plans
        for program in plan.programs
    ]
    if programs:
        yield ""
        yield "Each line is a program, whose trials train side by side:"
        chunks = () if workers.chunks is None else ("chunk", ">of the cost")
        sizes = (">trials", ">hidden layers", ">batch size", "optimiser", ">parameters", ">memory")
        yield from aligned(("sweep", *chunks, *sizes), programs)
    yield ""
    for plan in plans:
        if plan.after and not plan.sealed:
            yield f"{plan.name}: {plan.after}."
    if programs:
        yield from _where(plans, workers)


def _extraction(plan: ExtractionPlan, workers: Workers) -> Iterator[str]:
    counts = ["?" if count is None else f"{count:,}" for count in (plan.images, plan.shards, plan.missing)]
    heads = ("extraction", "state", "data", ">images", ">shards", ">to extract")
    yield from aligned(heads, [("features", "done" if plan.sealed else "to do", plan.data, *counts)])
    if workers.chunks is not None and plan.units:
        yield ""
        yield f"In chunks of at least {workers.chunk_images:,} images:"
        units = [(f"{each.number} of {each.of}", f"{len(each.shards):,}", f"{each.images:,}") for each in plan.units]
        yield from aligned(("chunk", ">shards", ">images"), units)


def _where(plans: Sequence[SweepPlan], workers: Workers) -> Iterator[str]:
    known = [plan.memory for plan in plans if plan.memory is not None]
    memory = f"a program may take {size(min(known))}" if known else "memory is not limited: the system does not tell"
    if workers.pool is None:
        yield f"Trains here, on {plans[0].device}: {memory}."
        return
    if workers.chunks is None:
        yield (
            f"Trains on work pool {workers.pool!r}, in one chunk for each worker that is then online "
            "(plan them with --chunks N)."
        )
    else:
        yield f"Trains on work pool {workers.pool!r}."
    yield f"Memory as on this machine ({plans[0].device}): {memory}; each worker plans with its own."


def _share(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"
