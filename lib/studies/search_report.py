"""What is shown and said of searched arms: figures, tables, importances, and of configurations that were halved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lib.config import SweepStudy
from lib.evaluation import search_figures
from lib.mlp.training import TrialResult
from lib.studies.record import StudyFolder
from lib.studies.search import Search, objective


class Configured(Protocol):
    """A trained configuration of an arm."""

    @property
    def arm(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def results(self) -> Sequence[TrialResult]: ...
    @property
    def flags(self) -> Sequence[str | None]: ...
    @property
    def ended(self) -> str: ...


def report_searches(
    study: SweepStudy,
    searches: Mapping[str, Search],
    configurations: Sequence[Configured],
    folder: StudyFolder,
    title: str,
) -> dict[str, Any]:
    """Draw each searched arm's figures, keep its tables, and return what is to be said of it, as JSON; arms by name."""
    said: dict[str, Any] = {}
    for arm, search in searches.items():
        settings = study.arms[arm].search
        if settings is None:
            continue
        from lib.studies.optuna_search import OptunaSearch

        assert isinstance(search, OptunaSearch)
        suffix = f"-{arm}" if len(study.arms) > 1 else ""
        heading = f"{title}{f' ({arm})' if suffix else ''}: %s, {settings.sampler} search"
        rows = _rows(search, [each for each in configurations if each.arm == arm])
        folder.table(f"search{suffix}", rows)
        folder.figure(f"search-history{suffix}", search_figures.search_history(rows, heading % "course"))
        folder.figure(
            f"parallel-coordinates{suffix}",
            search_figures.parallel_coordinates(
                rows, [each for each in search.dimensions if each.size > 1], heading % "configurations"
            ),
        )
        whole = search_figures.finished(rows)
        importances = search.importances()
        if importances:
            folder.table(
                f"importances{suffix}",
                [{"setting": name, "importance": share} for name, share in importances.items()],
            )
            folder.figure(
                f"importances{suffix}", search_figures.importance_bars(importances, heading % "importance of settings")
            )
        best = min(whole, key=lambda row: float(row["objective"]), default=None)
        said[arm] = {
            "sampler": settings.sampler,
            "configurations": len(rows),
            "finished": len(whole),
            "best": None if best is None else best["label"],
            "importances": importances,
            "best_share": search.best_share(),
        }
    return said


def _rows(search: Any, configurations: Sequence[Configured]) -> list[dict[str, Any]]:
    rows = []
    for number, (point, each) in enumerate(zip(search.points(), configurations, strict=True), start=1):
        value = objective(each.results)
        shown = value if math.isfinite(value) else None
        rows.append({"number": number, "label": each.label, **point, "objective": shown, "ended": each.ended})
    return rows


def search_flags(arms: Sequence[str], configurations: Sequence[Configured]) -> list[str]:
    """One flag for each searched arm in which some did not learn: a search tries such settings on purpose."""
    flags = []
    for arm in arms:
        of_arm = [each for each in configurations if each.arm == arm]
        if flagged := sum(any(each.flags) for each in of_arm):
            flags.append(
                f"{arm}: {flagged} of {len(of_arm)} configurations tried diverged or did not learn with some seed; "
                "configurations.csv says which"
            )
    return flags


def search_sentences(said: Mapping[str, Any]) -> list[str]:
    """What a searched arm's importances tell, a sentence an arm."""
    sentences = []
    for arm, of_arm in said.items():
        start = f"{arm}: {of_arm['sampler']} search over {of_arm['configurations']} configurations"
        if of_arm["importances"] is None:
            sentences.append(
                f"{start}; the {of_arm['finished']} that finished are too few, or too alike, to say which setting matters."
            )
            continue
        shares = ", ".join(f"{search_figures.words(name)} {share:.2f}" for name, share in of_arm["importances"].items())
        sentences.append(
            f"{start}; importance of each setting for reaching the best {of_arm['best_share']:.0%} "
            f"(Optuna's PED-ANOVA, shares of 1, {of_arm['finished']} finished configurations): {shares}."
        )
    return sentences


def ending_sentences(study: SweepStudy, configurations: Sequence[Configured]) -> list[str]:
    """How many configurations were halved, and what early stopping means for the figures."""
    sentences = []
    if study.rungs:
        halved = sum(each.ended.startswith("halved") for each in configurations)
        rungs = ", ".join(f"epoch {rung.epoch}: {rung.keep:g}" for rung in study.rungs)
        sentences.append(
            f"Successive halving ({rungs}) by the validation loss of seed {study.seeds[0]} dropped {halved} of "
            f"{len(configurations)} configurations; they have that seed alone, stand for no comparison and cannot win."
        )
    if study.patience is not None:
        stopped = sum(result.ended == "patience" for each in configurations for result in each.results)
        total = sum(len(each.results) for each in configurations)
        sentences.append(
            f"Patience of {study.patience} epochs ended {stopped} of {total} trials early, and averages are over the epochs "
            "that ran"
            + ("; a winner's final training takes as many epochs as its candidate's." if study.refit else ".")
        )
    return sentences
