"""What a sweep's configurations, models, differences and doubts are called: plain text, made of the typed result last.

Nothing reads it back: what is looked up goes by a position, a setting or an enum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from lib.evaluation.baselines import BASELINES
from lib.evaluation.intervals import LEVEL, Difference, Estimate, Interval, p_words
from lib.mlp.labels import setting
from lib.mlp.trial import Trial
from lib.studies.presentation import Rows
from lib.studies.sweep.result import (
    Doubt,
    Judgement,
    ModelRole,
    Outcome,
    Remark,
    Rival,
    Scored,
    SweepResult,
    TrialOutcome,
    TunedOn,
    Tuning,
    Verdict,
    Weights,
)

OUTCOMES = {
    Outcome.AHEAD: "significantly better",
    Outcome.BEHIND: "significantly worse",
    Outcome.NOT_SIGNIFICANT: "not significantly different",
}

_NAMED = 12
"""Trials, models and variants that warnings name one by one, at most."""


def number(value: float, decimals: int = 4) -> str:
    """A figure with so many decimals."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else "not finite"


def estimate_words(of: Estimate, decimals: int = 4) -> str:
    """Mean ± standard deviation (95 % confidence interval), such as "0.9721 ± 0.0031 (0.9690 to 0.9752)"."""
    mean = number(of.mean, decimals)
    if of.standard_deviation is None or of.low is None or of.high is None:
        return mean
    return f"{mean} ± {number(of.standard_deviation, decimals)} ({_ends(of.low, of.high, decimals)})"


def interval_words(of: Interval, decimals: int = 4) -> str:
    """An estimate and its interval, such as "0.9721 (0.9690 to 0.9752)"."""
    if not (math.isfinite(of.low) and math.isfinite(of.high)):
        return number(of.estimate, decimals)
    return f"{number(of.estimate, decimals)} ({_ends(of.low, of.high, decimals)})"


def decimals_for(spread: float) -> int:
    """Decimals by which a spread has two significant digits: from 2 to 4.

    >>> decimals_for(0.031), decimals_for(0.0042), decimals_for(0.0)
    (3, 4, 4)
    """
    return max(2, min(4, 1 - math.floor(math.log10(spread)))) if spread > 0 and math.isfinite(spread) else 4


def difference_words(of: Difference) -> str:
    """A paired difference, its 95 % confidence interval and its p-value."""
    if of.low == of.high:
        return f"{number(of.estimate)} with each of {of.pairs} seeds"
    return f"{number(of.estimate)} ({_ends(of.low, of.high, 4)}), {p_words(of.p_value)}"


def _ends(low: float, high: float, decimals: int) -> str:
    return f"{number(low, decimals)} to {number(high, decimals)}"


def label(trial: Trial, varied: Sequence[str], *, searched: bool) -> str:
    """A trial by the settings that vary; numbers that a search drew with three digits."""

    def shown(of: Any) -> Any:
        return float(f"{of:.3g}") if searched and isinstance(of, float) else of

    return " · ".join(setting(name, shown(getattr(trial, name)), type(trial)) for name in varied)


def configuration_name(result: SweepResult, position: int, *, variant: bool = True) -> str:
    """A configuration by what varies in its variant, and of several variants by that; of a search by its number, too."""
    of = result.configurations[position]
    named = label(of.trial, of.varied, searched=of.searched)
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
    positions = list(range(len(result.models)))
    winners = [at for at in positions if result.models[at].role is ModelRole.WINNER]

    def place(at: int) -> tuple[int, int]:
        model = result.models[at]
        if model.role is ModelRole.ALSO_ON or model.configuration is None:
            return len(winners), at
        settings = [result.models[winner].configuration for winner in winners]
        return settings.index(model.configuration), at

    return sorted(positions, key=place)


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
    network = label(configuration.trial, configuration.varied, searched=configuration.searched)
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
    """How trials ended, each way once, with how many of several: "out of patience at epoch 11 to 12 (2 of 3), finished"."""
    told = []
    for ended in dict.fromkeys(each.ended for each in trials):
        alike = [each for each in trials if each.ended == ended]
        shortest, longest = (pick(alike, key=lambda each: len(each.history)) for pick in (min, max))
        words = shortest.ended_words
        if ended != "finished" and len(shortest.history) < len(longest.history):
            words += f" to {len(longest.history)}"
        told.append(words if len(alike) == len(trials) else f"{words} ({len(alike)} of {len(trials)})")
    return ", ".join(told)


def rows_words(result: SweepResult) -> str:
    """The rows that models are scored on."""
    return "test" if result.judged_on is Rows.TEST else "validation"


def is_random(result: SweepResult) -> bool:
    """Whether the network that made the features has random weights."""
    return result.representations[0].weights is Weights.RANDOM


def verdict_words(result: SweepResult) -> str:
    """Whether the best configuration is significantly better than the others, the runner-up first, with differences."""
    judgement = result.judgement
    plain = _without_difference(result, judgement)
    if plain is not None:
        return plain
    finite = _finite(judgement)
    near = [each for each in finite if not _significant(each)]
    second, rest = finite[0], len(finite) - 1
    runner_up = f"the runner-up, {_rival(result, second)}"
    if not near:
        more = f", and than {_the_others(rest)}" if rest else ""
        return f"significantly better than {runner_up}{more}"
    if second in near:
        more = f", nor from {_the_others(len(near) - 1, rest)}" if len(near) > 1 else ""
        return f"not significantly different from {runner_up}{more}"
    return f"significantly better than {runner_up}, but not significantly different from {_rival(result, near[0])}"


def brief_verdict(result: SweepResult) -> str:
    """The same in a clause."""
    judgement = result.judgement
    plain = _without_difference(result, judgement)
    if plain is not None:
        return plain
    second = _finite(judgement)[0]
    name = configuration_name(result, second.configuration)
    if judgement.verdict is Verdict.SIGNIFICANT:
        return (
            "significantly better than all others" if len(judgement.rivals) > 1 else f"significantly better than {name}"
        )
    if _significant(second):
        return f"significantly better than the runner-up, {name}, but not than all others"
    return f"not significantly different from the runner-up, {name}"


def _without_difference(result: SweepResult, judgement: Judgement) -> str | None:
    """The verdict where no difference led to it."""
    if judgement.verdict is Verdict.ONE_SEED:
        second = configuration_name(result, judgement.rivals[0].configuration)
        return f"one seed cannot say whether it is better than {second}"
    if judgement.verdict is Verdict.ONLY:
        finite = " whose figures are finite with every seed" if judgement.rivals else ""
        return f"the only configuration{finite}"
    if judgement.verdict is Verdict.NOT_FINITE:
        return "no configuration's figures are finite with every seed"
    return None


def _finite(judgement: Judgement) -> list[Rival]:
    return [each for each in judgement.rivals if each.difference is not None]


def _significant(rival: Rival) -> bool:
    return rival.difference is not None and rival.difference.significant


def _rival(result: SweepResult, rival: Rival) -> str:
    assert rival.difference is not None
    of = rival.difference
    by = difference_words(of)
    if of.low != of.high:
        ends = f"{number(of.low)} to {number(of.high)}"
        by = f"{number(of.estimate)}, 95 % confidence interval {ends}, {p_words(of.p_value)}"
    return f"{configuration_name(result, rival.configuration)} (by {by})"


def _the_others(count: int, of: int | None = None) -> str:
    if of is None or count == of:
        return "the other" if count == 1 else f"each of the other {count}"
    return f"{count} of the other {of}"


def step_words(difference: Difference | None, p: float) -> str:
    """What a loss does from one value of the axis to the next; `p` is by Holm's correction."""
    if difference is None:
        return "a loss is not finite"
    if p >= LEVEL:
        return "no significant change"
    return "falls" if difference.estimate < 0 else "rises"


def remarks_words(result: SweepResult) -> list[str]:
    """What a reader should know before believing the figures, a sentence each.

    Trials that did not learn are named one by one; of a variant that searches, which tries such settings on purpose, or
    that has many, one sentence counts them.
    """
    alone: dict[Doubt, list[Remark]] = {}
    for remark in result.remarks:
        if remark.configuration is None and remark.doubt is not Doubt.HIGHER_SCORE:
            alone.setdefault(remark.doubt, []).append(remark)
    sentences = []
    for remarks in alone.values():
        more = f", and {len(remarks) - 1:,} more like it (see models.csv)" if len(remarks) > _NAMED else ""
        sentences += [_remark_words(result, remark) + more for remark in (remarks[:1] if more else remarks)]
    sentences += _higher_words(result)
    of_variants: dict[str, list[Remark]] = {}
    for remark in result.remarks:
        if remark.configuration is not None:
            of_variants.setdefault(result.configurations[remark.configuration].variant, []).append(remark)
    if len(of_variants) > _NAMED:
        among = f"configurations of {len(result.settings.variants):,} variants"
        every = [remark for remarks in of_variants.values() for remark in remarks]
        sentences.append(_failed(every, len(result.configurations), among))
        return sentences
    for variant, remarks in of_variants.items():
        if result.settings.variants[variant].search is not None or len(remarks) > _NAMED:
            named = f"{variant}: " if len(result.settings.variants) > 1 else ""
            tried = sum(each.variant == variant for each in result.configurations)
            sentences.append(named + _failed(remarks, tried, "configurations"))
        else:
            sentences += [_trial_remark(result, remark) for remark in remarks]
    return sentences


def _failed(remarks: Sequence[Remark], tried: int, among: str) -> str:
    count = len({remark.configuration for remark in remarks})
    return f"{count:,} of {tried:,} {among} diverged or did not learn with some seed; configurations.csv names them"


def _higher_words(result: SweepResult) -> Iterator[str]:
    """The models that score higher than the chosen one: those that are significantly better, and those that are not."""
    for significant, words in ((True, "significantly higher"), (False, "higher, but not significantly,")):
        named = [
            f"{model_name(result, remark.model)} (by {remark.figure:.4f})"
            for remark in result.remarks
            if remark.doubt is Doubt.HIGHER_SCORE and remark.significant is significant and remark.model is not None
        ]
        if named:
            several = named if len(named) <= _NAMED else [*named[:_NAMED], f"{len(named) - _NAMED:,} more"]
            listed = named[0] if len(named) == 1 else f"{', '.join(several[:-1])} and {several[-1]}"
            verb = "scores" if len(named) == 1 else "score"
            yield f"{listed} {verb} {words} than the chosen model (accuracy of the first seed)"


def _trial_remark(result: SweepResult, remark: Remark) -> str:
    """A training that failed: of a configuration, or of a model that was trained again."""
    what = "diverged" if remark.doubt is Doubt.DIVERGED else "did not learn"
    if remark.configuration is not None:
        return f"{configuration_name(result, remark.configuration)}, seed {remark.seed}: {what}"
    assert remark.model is not None
    return f"final {model_name(result, remark.model)}, seed {remark.seed}: {what}"


def _remark_words(result: SweepResult, remark: Remark) -> str:
    rows = rows_words(result)
    model = "" if remark.model is None else model_name(result, remark.model)
    count, figure = remark.count or 0, remark.figure or 0.0
    match remark.doubt:
        case Doubt.NOTHING_LEARNED:
            return (
                f"none of the {count:,} trials learned; check the learning rates and the data before reading any figure"
            )
        case Doubt.SAME_ANSWERS:
            assert remark.other is not None
            other = model_name(result, remark.other)
            return (
                f"{model} and {other} gave bit-identical probabilities: one model may have been scored under two names"
            )
        case Doubt.BASELINE_DID_NOT_LEARN:
            seed = "" if remark.seed is None else f", seed {remark.seed}"
            return f"{model}{seed}: did not learn at its settings ({rows} accuracy {figure:.3f})"
        case Doubt.AT_END:
            assert remark.model is not None
            of = result.models[remark.model]
            ends = " and ".join(f"{name} {plain_value(of.settings[name])}" for name in of.tuning.at_end)
            return f"{model}: the chosen {ends} ends the path of what was tried; a better value may lie beyond"
        case Doubt.GROUPED_ROWS:
            return (
                f"the {result.judged_rows:,} {rows} rows come in {count:,} groups that are not independent: intervals and "
                "tests of whole models take groups as one, but Wilson's intervals (classes, calibration) take each row as "
                "independent and are too narrow"
            )
        case Doubt.RANDOM_WEIGHTS:
            if is_random(result):
                return "the frozen network's weights are RANDOM: nothing here speaks for or against trained features"
            drawn = [each.node for each in result.representations if each.weights is Weights.RANDOM]
            return f"weights of {', '.join(drawn)}, in also_on, are RANDOM"
    return _trial_remark(result, remark)
