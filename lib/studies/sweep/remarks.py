"""What a reader should know before believing a sweep's figures, decided by numbers alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lib.evaluation.checks import LEARNED_MARGIN, Learned, nothing_learned, same_answers
from lib.studies.sweep.answers import Judged
from lib.studies.sweep.result import (
    Configuration,
    Doubt,
    Lead,
    ModelRole,
    Outcome,
    Remark,
    Representation,
    Scored,
    Weights,
)

_CERTAIN = 1e-9
"""A log loss below which a model is certain of every row, and right: all such models give the same answers."""

_DOUBTS = {Learned.DIVERGED: Doubt.DIVERGED, Learned.AT_CHANCE: Doubt.DID_NOT_LEARN}


def remarks(
    configurations: Sequence[Configuration],
    models: Sequence[Scored],
    leads: Sequence[Lead],
    judged: Judged,
    representations: Sequence[Representation],
) -> tuple[Remark, ...]:
    """All that is doubtful, what concerns the whole study first."""
    return (
        *_of_study(configurations, judged, representations),
        *_of_trials(configurations),
        *_of_models(models, judged),
        *_same_answers(models),
        *_higher(leads),
    )


def _of_study(
    configurations: Sequence[Configuration], judged: Judged, representations: Sequence[Representation]
) -> Iterator[Remark]:
    trials = [trial.learned for each in configurations for trial in each.trials]
    if nothing_learned(trials):
        yield Remark(doubt=Doubt.NOTHING_LEARNED, count=sum(each is not Learned.NOT_JUDGED for each in trials))
    if judged.groups is not None:
        yield Remark(doubt=Doubt.GROUPED_ROWS, count=len(np.unique(judged.groups)), of=len(judged.labels))
    if any(each.weights is Weights.RANDOM for each in representations):
        yield Remark(doubt=Doubt.RANDOM_WEIGHTS)


def _of_trials(configurations: Sequence[Configuration]) -> Iterator[Remark]:
    for at, each in enumerate(configurations):
        for trial in each.trials:
            if trial.learned in _DOUBTS:
                yield Remark(doubt=_DOUBTS[trial.learned], configuration=at, seed=trial.trial.seed)


def _of_models(models: Sequence[Scored], judged: Judged) -> Iterator[Remark]:
    """Networks that were trained again and did not learn; baselines that do no better than the majority class, or whose
    settings end what was tried."""
    for at, each in enumerate(models):
        for trial in each.trials:
            if trial.learned in _DOUBTS:
                yield Remark(doubt=_DOUBTS[trial.learned], model=at, seed=trial.trial.seed)
        if each.tuning.at_end:
            yield Remark(doubt=Doubt.AT_END, model=at)
        if each.role is ModelRole.BASELINE and each.baseline != "majority":
            for score in each.scores:
                if (reached := score.measures["accuracy"]) < judged.majority + LEARNED_MARGIN:
                    yield Remark(doubt=Doubt.BASELINE_DID_NOT_LEARN, model=at, seed=score.seed, figure=reached)


def _same_answers(models: Sequence[Scored]) -> Iterator[Remark]:
    """Models that gave the same answers. Of models that are certain of every row, and right, that is no wonder."""
    digests = (
        ((at, score.seed), score.digest)
        for at, each in enumerate(models)
        for score in each.scores
        if score.measures["loss"] > _CERTAIN
    )
    for (one, _), (other, seed) in same_answers(digests):
        yield Remark(doubt=Doubt.SAME_ANSWERS, model=one, other=other, seed=seed)


def _higher(leads: Sequence[Lead]) -> Iterator[Remark]:
    for lead in leads:
        if lead.same_rows.estimate < 0:
            yield Remark(
                doubt=Doubt.HIGHER_SCORE,
                model=lead.model,
                figure=-lead.same_rows.estimate,
                significant=lead.outcome is Outcome.BEHIND,
            )
