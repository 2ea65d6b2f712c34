"""What a sweep's configurations, models, differences and doubts are called: plain text, made of the typed result last.

Nothing reads it back: what is looked up goes by a position, a setting or an enum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from lib.evaluation.baselines import BASELINES
from lib.evaluation.intervals import Estimate, Interval
from lib.mlp.labels import label
from lib.studies.presentation import Rows
from lib.studies.sweep.result import (
    Doubt,
    ModelRole,
    Outcome,
    Remark,
    Scored,
    SweepResult,
    TrialOutcome,
    TunedOn,
    Tuning,
    Verdict,
    Weights,
)
from lib.text import counted, listed

OUTCOMES = {
    Outcome.AHEAD: "significantly better",
    Outcome.BEHIND: "significantly worse",
    Outcome.NOT_SIGNIFICANT: "not significantly different",
}

_NAMED = 12
"""Trials, models and variants that warnings name one by one, at most."""

_VERDICTS = {
    Verdict.SIGNIFICANT: "significantly better than all others",
    Verdict.ONE_SEED: "the best with one seed, untested",
    Verdict.ONLY: "the only configuration",
    Verdict.NOT_FINITE: "no configuration's figures are finite with every seed",
}


def score_words(over: Estimate, rows: Interval | None = None) -> str:
    """A score with three digits and its 95 % interval: over seeds, or of one seed over rows."""
    if over.low is not None and over.high is not None:
        return f"{over.mean:.3f} (95 % interval {over.low:.3f} to {over.high:.3f}, {over.seeds} seeds)"
    if rows is None:
        return f"{over.mean:.3f}, one seed"
    return f"{rows.estimate:.3f} (95 % interval over rows {rows.low:.3f} to {rows.high:.3f}, one seed)"


def configuration_name(result: SweepResult, position: int, *, variant: bool = True) -> str:
    """A configuration by what varies in its variant, and of several variants by that; of a search by its number, too."""
    of = result.configurations[position]
    named = label(of.trial, of.varied, rounded=of.searched)
    named = f"#{of.number} · {named}" if of.searched else named
    if variant and len(result.settings.variants) > 1:
        return f"{of.variant}: {named}" if named else of.variant
    return named or "base settings"


def model_name(result: SweepResult, position: int) -> str:
    """A scored model: a winner by its configuration, a baseline by its method, and either by its input if that is another."""
    of = result.models[position]
    if of.baseline is not None:
        name = BASELINES[of.baseline].title
        alike = [
            each.configuration
            for each in result.models
            if each.baseline == of.baseline and each.representation == of.representation
        ]
        if len(alike) > 1 and of.configuration is not None:
            name += f" · {configuration_name(result, of.configuration)}"
    elif of.role is ModelRole.ALSO_ON:
        name = "same settings"
    else:
        assert of.configuration is not None
        name = configuration_name(result, of.configuration)
    if of.representation == result.models[result.chosen].representation:
        return name
    return f"{name} on {result.representations[of.representation].node}"


def in_order(result: SweepResult) -> list[int]:
    """Positions of the scored models as they are listed: each winner before the baselines at its settings, then the rest."""

    def place(at: int) -> tuple[float, int]:
        model = result.models[at]
        return (inf if model.role is ModelRole.ALSO_ON or model.configuration is None else model.configuration), at

    return sorted(range(len(result.models)), key=place)


def best_models(result: SweepResult, positions: Sequence[int], limit: int) -> tuple[list[int], str]:
    """At most `limit` of these models in their order, the chosen and those of highest accuracy, and words that say so."""
    if len(positions) <= limit:
        return list(positions), ""
    ranked = sorted(positions, key=lambda at: (at != result.chosen, -result.models[at].accuracy.estimate))[:limit]
    return [at for at in positions if at in ranked], f" (the best {limit} of {len(positions):,})"


def settings_words(result: SweepResult, position: int) -> str:
    """The settings of a scored model that were chosen: of a baseline its own, after those of the network that it has."""
    of = result.models[position]
    words = [f"{name} {plain_value(value)}" for name, value in of.settings.items()]
    if of.configuration is None:
        return ", ".join(words)
    configuration = result.configurations[of.configuration]
    network = label(configuration.trial, configuration.varied, rounded=configuration.searched)
    if of.role is ModelRole.WINNER:
        return network
    return ", ".join([f"the network's ({network})" if network else "the network's", *words])


def budget_words(tuning: Tuning) -> str:
    """How many settings were tried, and on which rows: "45, on validation rows"."""
    return f"{tuning.tried:,}" if tuning.on is TunedOn.NOTHING else f"{tuning.tried:,}, on {tuning.on}"


def seconds_words(of: Scored) -> str:
    """How long a model took, in seconds: to choose its settings, if there was a choice, and to train with them."""
    training = _seconds(sum(score.seconds for score in of.scores))
    return training if of.tuning.on is TunedOn.NOTHING else f"{_seconds(of.tuning.seconds)} + {training}"


def _seconds(of: float) -> str:
    return f"{of:,.0f}" if of >= 10 else f"{of:.2f}"


def plain_value(value: str | float) -> str:
    """A setting's value in words."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def endings(trials: Sequence[TrialOutcome]) -> str:
    """How trials ended, each way once: "out of patience at epoch 11, finished"."""
    return ", ".join(dict.fromkeys(each.ended_words for each in trials))


def rows_words(result: SweepResult) -> str:
    """The rows that models are scored on."""
    return "test" if result.judged_on is Rows.TEST else "validation"


def is_random(result: SweepResult) -> bool:
    """Whether the network that made the features has random weights."""
    return result.representations[0].weights is Weights.RANDOM


def test_words(result: SweepResult) -> str:
    """How two models are compared on the same rows."""
    test = "McNemar's exact test" if result.groups is None else "an exact sign-flip test over groups of rows"
    return f"{test} with Holm's correction"


def verdict_words(result: SweepResult) -> str:
    """Whether the best configuration is significantly better than the others."""
    of = result.judgement
    if of.verdict is Verdict.NOT_SIGNIFICANT:
        tied = sum(rival.difference is None or not rival.difference.significant for rival in of.rivals)
        return f"{tied:,} of {counted(len(of.rivals), 'other')} not significantly worse"
    only = of.verdict is Verdict.ONLY and of.rivals
    return f"{_VERDICTS[of.verdict]}{' whose figures are finite with every seed' if only else ''}"


def remarks_words(result: SweepResult) -> list[str]:
    """What a reader should know before believing the figures, a sentence each; of many of a kind one counts them."""
    kinds: dict[Doubt, list[Remark]] = {}
    failed: list[Remark] = []
    for remark in result.remarks:
        if remark.configuration is not None:
            failed.append(remark)
        else:
            kinds.setdefault(remark.doubt, []).append(remark)
    sentences: list[str] = []
    for doubt, remarks in kinds.items():
        if doubt is Doubt.HIGHER_SCORE:
            sentences += _higher_words(result, remarks)
        elif len(remarks) > _NAMED:
            more = f"and {len(remarks) - 1:,} more like it (see models.csv)"
            sentences.append(f"{_remark_words(result, remarks[0])}, {more}")
        else:
            sentences += [_remark_words(result, remark) for remark in remarks]
    if len(failed) > _NAMED or (failed and any(each.search for each in result.settings.variants.values())):
        count, every = len({remark.configuration for remark in failed}), len(result.configurations)
        several = len(result.settings.variants)
        of = f" of {several:,} variants" if several > 1 else ""
        sentences.append(f"{count:,} of {every:,} configurations{of} diverged or did not learn with some seed")
    else:
        sentences += [_remark_words(result, remark) for remark in failed]
    return sentences


def _higher_words(result: SweepResult, remarks: Sequence[Remark]) -> Iterator[str]:
    """The models that score higher than the chosen one: those that are significantly better, and those that are not."""
    for significant, words in ((True, "significantly higher"), (False, "higher, but not significantly,")):
        named = [
            f"{model_name(result, remark.model)} (by {remark.figure:.4f})"
            for remark in remarks
            if remark.significant is significant and remark.model is not None
        ]
        if len(named) > _NAMED:
            named = [*named[:_NAMED], f"{len(named) - _NAMED:,} more"]
        if named:
            verb = "scores" if len(named) == 1 else "score"
            yield f"{listed(named)} {verb} {words} than the chosen model (accuracy of the first seed)"


def _remark_words(result: SweepResult, remark: Remark) -> str:
    rows, seed = rows_words(result), "" if remark.seed is None else f", seed {remark.seed}"
    model = "" if remark.model is None else model_name(result, remark.model)
    if remark.configuration is not None:
        model = configuration_name(result, remark.configuration)
    match remark.doubt:
        case Doubt.NOTHING_LEARNED:
            return f"none of the {remark.count:,} trials learned; check the learning rates and the data"
        case Doubt.SAME_ANSWERS:
            assert remark.other is not None
            return (
                f"{model} and {model_name(result, remark.other)} gave bit-identical probabilities: one model may have been "
                "scored under two names"
            )
        case Doubt.BASELINE_DID_NOT_LEARN:
            return f"{model}{seed}: did not learn at its settings ({rows} accuracy {remark.figure:.3f})"
        case Doubt.AT_END:
            assert remark.model is not None
            of = result.models[remark.model]
            ends = " and ".join(f"{name} {plain_value(of.settings[name])}" for name in of.tuning.at_end)
            return f"{model}: the chosen {ends} ends the path of what was tried; a better value may lie beyond"
        case Doubt.GROUPED_ROWS:
            return (
                f"the {result.judged_rows:,} {rows} rows come in {remark.count:,} groups that are not independent: intervals "
                "of classes and calibration, which take each row as independent, are too narrow"
            )
        case Doubt.RANDOM_WEIGHTS:
            if is_random(result):
                return "the frozen network's weights are RANDOM: nothing here speaks for or against trained features"
            drawn = [each.node for each in result.representations if each.weights is Weights.RANDOM]
            return f"weights of {', '.join(drawn)}, in also_on, are RANDOM"
    what = "diverged" if remark.doubt is Doubt.DIVERGED else "did not learn"
    return f"{'final ' if remark.configuration is None else ''}{model}{seed}: {what}"
