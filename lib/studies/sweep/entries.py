"""A sweep's lines of a leaderboard: every model that it scored, against the one that it chose."""

from __future__ import annotations

import numpy as np

from lib.evaluation.baselines import BASELINES
from lib.mlp.labels import architecture, label
from lib.studies.entry import Entry, ModelKind, Standing
from lib.studies.presentation import Rows
from lib.studies.study import Record
from lib.studies.sweep.result import ModelRole, Outcome, Scored, SweepResult, Weights
from lib.studies.sweep.words import plain_value, test_words

STANDINGS = {
    Outcome.AHEAD: Standing.WORSE,
    Outcome.BEHIND: Standing.BETTER,
    Outcome.NOT_SIGNIFICANT: Standing.NOT_SIGNIFICANT,
}
"""Of a model, by how the chosen one compares with it."""


def entries(record: Record[SweepResult]) -> tuple[Entry, ...]:
    """One a scored model: winners, other inputs, baselines."""
    result = record.result
    leads = {lead.model: lead for lead in result.leads}
    found = []
    for position, model in enumerate(result.models):
        lead, source = leads.get(position), result.representations[model.representation]
        standing = STANDINGS[lead.outcome] if lead else Standing.NOT_COMPARED
        found.append(
            Entry(
                study=record.name,
                model=_method(result, model),
                settings=_settings(result, model),
                kind=ModelKind.BASELINE if model.role is ModelRole.BASELINE else ModelKind.NETWORK,
                input=source.node,
                random_weights=source.weights is Weights.RANDOM,
                data=record.dataset.name,
                digest=record.dataset.digest if result.judged_on is Rows.TEST else record.key,
                rows=result.judged_on,
                count=result.judged_rows,
                score=model.with_both,
                seeds=tuple(score.measures["accuracy"] for score in model.scores),
                standing=Standing.CHOSEN if position == result.chosen else standing,
                difference=None if lead is None else lead.same_rows.turned,
                test="" if lead is None else test_words(result),
                parameters=_parameters(result, model),
                choosing_seconds=model.tuning.seconds,
                seconds=float(np.mean([score.seconds for score in model.scores])),
            )
        )
    return tuple(found)


def _method(result: SweepResult, model: Scored) -> str:
    if model.baseline is not None:
        return BASELINES[model.baseline].title
    assert model.configuration is not None
    return architecture(result.configurations[model.configuration].trial.hidden)


def _settings(result: SweepResult, model: Scored) -> str:
    """What varied in its variant beside what its method says, and of several variants which it is; a baseline's own."""
    if model.configuration is None:
        return " · ".join(f"{name} {plain_value(value)}" for name, value in model.settings.items())
    of = result.configurations[model.configuration]
    varied = [name for name in of.varied if name != "hidden" or model.baseline is not None]
    variant = [of.variant] if len(result.settings.variants) > 1 else []
    return " · ".join([*variant, *filter(None, [label(of.trial, varied, rounded=of.searched)])])


def _parameters(result: SweepResult, model: Scored) -> int | None:
    of = None if model.configuration is None else result.configurations[model.configuration]
    if model.baseline is not None:
        width = result.representations[model.representation].width
        return BASELINES[model.baseline].parameters(width, len(result.classes), of.trial if of else None)
    assert of is not None
    return (model.trials or of.trials)[0].parameters
