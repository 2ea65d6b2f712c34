"""What is shown and said of searched arms: their course, what they tried, and of configurations that were halved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config import SweepStudy
from lib.evaluation import search_figures
from lib.studies.record import StudyFolder
from lib.studies.tried import Configured, Tried

_FLAGS = 12
"""Trials of an arm that are flagged one by one, at most."""


def report_searches(
    study: SweepStudy, arms: Mapping[str, Tried], settings: Mapping[str, Any], folder: StudyFolder, title: str
) -> dict[str, Any]:
    """Draw each searched arm's course, keep its table, and return what came of it, as JSON; arms by name.

    `settings` is what `lib.studies.settings_report` said of the arms.
    """
    said: dict[str, Any] = {}
    for arm, tried in arms.items():
        search = study.arms[arm].search
        if search is None:
            continue
        suffix = f"-{arm}" if len(study.arms) > 1 else ""
        heading = f"{title}{f' ({arm})' if suffix else ''}: course, {search.sampler} search"
        folder.table(f"search{suffix}", tried.rows)
        folder.figure(f"search-history{suffix}", search_figures.search_history(tried.rows, heading))
        lowest = tried.lowest
        of_settings = settings.get(arm, {})
        said[arm] = {
            "sampler": search.sampler,
            "configurations": len(tried.rows),
            "finished": len(tried.finished),
            "best": None if lowest is None else lowest["label"],
            "importances": of_settings.get("importances"),
            "best_share": of_settings.get("best_share"),
        }
    return said


def trial_flags(searched: Sequence[str], configurations: Sequence[Configured]) -> list[str]:
    """What is to be said of trials that did not learn: each by itself, or of an arm with many one sentence.

    Of a `searched` arm one in any case: a search tries such settings on purpose.
    """
    flags = []
    for arm in dict.fromkeys(each.arm for each in configurations):
        of_arm = [each for each in configurations if each.arm == arm]
        flagged = [
            f"{arm}: {each.label}, seed {result.trial.seed}: {flag}"
            for each in of_arm
            for result, flag in zip(each.results, each.flags, strict=True)
            if flag
        ]
        if flagged and (arm in searched or len(flagged) > _FLAGS):
            count = sum(any(each.flags) for each in of_arm)
            flagged = [
                f"{arm}: {count} of {len(of_arm)} configurations tried diverged or did not learn with some seed; "
                "configurations.csv says which"
            ]
        flags += flagged
    return flags


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
