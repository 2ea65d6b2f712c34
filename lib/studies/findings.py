"""The reference study's findings B and C put as questions, and answered from this run's figures with their intervals.

Every answer stands beside what the study claimed from one run each. An answer is "open" where the seeds do not settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import LEVEL, LOSS, Estimate, holm, over_seeds, p_words, paired_difference
from lib.mlp.training import TrialResult
from lib.studies.comparison import Change, Compared, Figure, by_arm, changes, judge
from lib.studies.question import (
    CANNOT,
    CONFIRMED,
    IN_PART,
    NO,
    NOT_TOLD,
    ONE_SEED,
    PARTLY,
    REFUTED,
    REFUTED_IN_PART,
    YES,
)

FINDINGS = "Findings"
"""The heading of `section` in a study's notes."""
UNSTABLE = 0.1
"""A loss whose rises from epoch to epoch add up to more than this share of its net fall is unstable."""
UNFINISHED = 0.01
"""A loss that falls by more than this share of its whole fall from the last tenth but one of the epochs to the last tenth
(means over each) has not converged."""
_EPOCHS = 20
"""Fewer epochs cannot show either."""
_ONE_SEED = "Open: one seed tells nothing of the spread; give several in `seeds`."
_TRAIN_FALLS = "yes (means over the epochs 0.664, 0.292, 0.173, 0.118, 0.0895)"
_VALIDATION_FLAT = "no, it stays flat (0.788, 0.562, 0.592, 0.523, 0.5225)"
_GAP_GROWS = "yes, overfitting"
_LAST_ALIKE = "not tested; 0.523 at 100 units, 0.5225 at 200"
_BEST_RATE = "0.01 (mean validation losses 0.874, 0.870, 1.298)"
_UNSTABLE_RATE = "0.1 is unstable, 0.01 smooth"
_UNFINISHED_RATE = "0.001"
_EXPECTED = {
    _TRAIN_FALLS: "yes",
    _VALIDATION_FLAT: "no",
    _GAP_GROWS: "yes",
    _BEST_RATE: "rate 0.01",
    _UNSTABLE_RATE: "rate 0.1",
    _UNFINISHED_RATE: "rate 0.001",
}
"""A claim -> the answer that would confirm it; without one, nothing was claimed."""


@dataclass(frozen=True)
class Answer:
    """A question, what the reference study claimed, and this run's answer for one arm.

    `answer` is "yes", "no", "in part" or "open"; for "which" questions, labels joined by commas, "none" or "open".
    """

    question: str
    claim: str
    arm: str
    answer: str
    words: str


def answers(axis: str, configurations: Sequence[Compared]) -> list[Answer]:
    """The questions of the axis "hidden" or "learning_rate", answered for each arm; none for another axis."""
    found: list[Answer] = []
    for arm, of_arm in by_arm(configurations).items():
        if axis == "hidden" and len(of_arm) > 1 and all(len(each.value) == 1 for each in of_arm):
            found += _units(arm, sorted(of_arm, key=lambda each: tuple(each.value)))
        elif axis == "learning_rate" and len(of_arm) > 1:
            found += _rates(arm, sorted(of_arm, key=lambda each: float(each.value), reverse=True))
    order = list(dict.fromkeys(answer.question for answer in found))
    return sorted(found, key=lambda answer: order.index(answer.question))


def judged(found: Mapping[str, Any], tried: Sequence[str]) -> str:
    """An answer (as in a record's summary) beside its claim: a verdict of `lib.studies.question`.

    `tried` are the labels of the arm's configurations: of a rate that was not tried, nothing is said.
    """
    expected, answer = _EXPECTED.get(found["claim"]), found["answer"]
    if found["words"] == _ONE_SEED:
        return ONE_SEED
    if found["words"].startswith("Open: "):
        return CANNOT
    if expected is None:
        return {"yes": YES, "in part": PARTLY, "no": NO}.get(answer, NOT_TOLD)
    if expected in ("yes", "no"):
        if answer == "in part":
            return IN_PART if expected == "yes" else REFUTED_IN_PART
        if answer == "open":
            return NOT_TOLD
        if answer == "no" and " rises from " in found["words"] and " falls from " in found["words"]:
            return REFUTED_IN_PART
        if found["claim"] == _VALIDATION_FLAT and answer == "no":
            return IN_PART  # it does not fall throughout; a loss that rises is not flat, either
        return CONFIRMED if answer == expected else REFUTED
    if expected not in tried:
        return CANNOT
    named = answer.split(", ")
    if expected in named:
        return CONFIRMED if len(named) == 1 else IN_PART
    return NOT_TOLD if answer == "open" or f"{expected} not told: " in found["words"] else REFUTED


def section(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The answers (as in a record's summary) in Markdown, each question once."""
    lines = [
        "Differences are paired over seeds, each with its own 95 % interval; what is called real, a fall or a rise stays "
        "below 5 % by Holm's correction over the tests of its answer."
    ]
    several = len({each["arm"] for each in found}) > 1
    for question in dict.fromkeys(each["question"] for each in found):
        of_question = [each for each in found if each["question"] == question]
        lines += ["", f"**{question}** The reference study: {of_question[0]['claim']}.", ""]
        lines += [f"- {each['arm'] + ': ' if several else ''}{each['words']}" for each in of_question]
    return lines


def _units(arm: str, widths: Sequence[Compared]) -> list[Answer]:
    before, after = widths[-2], widths[-1]
    questions: list[tuple[str, str, Callable[[], tuple[str, str]]]] = [
        (
            "Does training loss fall with more units?",
            _TRAIN_FALLS,
            lambda: _along(widths, _train, "the training loss (mean over the epochs)", "falls"),
        ),
        (
            "Does validation loss fall with more units?",
            _VALIDATION_FLAT,
            lambda: _along(widths, _validation, "the validation loss (mean over the epochs)", "falls"),
        ),
        (
            "Does the gap between validation and training loss grow with more units?",
            _GAP_GROWS,
            lambda: _along(widths, _gap, "the gap (of the means over the epochs)", "rises"),
        ),
        (
            f"Is the validation difference between {before.label} and {after.label} real?",
            _LAST_ALIKE,
            lambda: _difference(before, after),
        ),
    ]
    return [Answer(question, claim, arm, *_answer(widths, ask)) for question, claim, ask in questions]


def _rates(arm: str, rates: Sequence[Compared]) -> list[Answer]:
    questions: list[tuple[str, str, Callable[[], tuple[str, str]]]] = [
        ("Which learning rate is best?", _BEST_RATE, lambda: _best(rates)),
        (
            "Which learning rates are unstable, their training loss rising from epoch to epoch by more than "
            f"{100 * UNSTABLE:g} % of its net fall in sum?",
            _UNSTABLE_RATE,
            lambda: _unstable(rates),
        ),
        (
            "Which learning rates have not converged, their training loss still falling by more than "
            f"{100 * UNFINISHED:g} % of its whole fall over the last tenth of the epochs?",
            _UNFINISHED_RATE,
            lambda: _unfinished(rates),
        ),
    ]
    return [Answer(question, claim, arm, *_answer(rates, ask)) for question, claim, ask in questions]


def _train(result: TrialResult) -> float:
    return result.mean_train_loss


def _validation(result: TrialResult) -> float:
    return result.mean_validation_loss


def _best_validation(result: TrialResult) -> float:
    return result.best_validation_loss


def _gap(result: TrialResult) -> float:
    return result.mean_validation_loss - result.mean_train_loss


def _answer(configurations: Sequence[Compared], ask: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    if len(configurations[0].results) < 2:
        return "open", _ONE_SEED
    results = [result for each in configurations for result in each.results]
    if early := sum(result.ended in ("patience", "halved") for result in results):
        return "open", f"Open: {early} of {len(results)} trials were stopped early, so their epochs are not the same."
    return ask()


def _along(configurations: Sequence[Compared], figure: Figure, name: str, way: str) -> tuple[str, str]:
    """Whether `figure` "falls" or "rises" (`way`) along the axis, step by step and as a trend."""
    every = changes(configurations, figure)
    kept = [change for change in every if change.direction == way]
    against = [change for change in every if change.direction in {"falls", "rises"} - {way}]
    rest = [change for change in every if change.direction in ("no clear change", "not compared")]
    trend, trend_words = _trend(configurations, figure, way)
    steps = "the step" if len(every) == 1 else f"each of the {len(every)} steps"
    if len(kept) == len(every):
        return "yes", f"Yes: {name} {way} at {steps}: {_told(kept)}. {trend_words}"
    parts = [f"{change.direction} from {_told([change])}" for change in against]
    parts += [f"{way} from {_told(kept)}"] if kept else []
    parts += [f"{word} from {_told(of_word)}" for word, of_word in _grouped(rest)]
    if against:
        return "no", f"Not throughout: {name} {'; '.join(parts)}. {trend_words}"
    if kept or trend:
        return "in part", f"In part: {name} {'' if kept else 'shows '}{'; '.join(parts)}. {trend_words}"
    seeds = len(configurations[0].results)
    return "open", f"Not told by {seeds} seeds: {name} shows {'; '.join(parts)}. {trend_words}"


def _grouped(steps: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    words = dict.fromkeys(change.direction for change in steps)
    return [(word, [change for change in steps if change.direction == word]) for word in words]


def _told(steps: Sequence[Change]) -> str:
    return ", ".join(f"{change.before.label} to {change.after.label} {change.words}" for change in steps)


def _trend(configurations: Sequence[Compared], figure: Figure, way: str) -> tuple[bool, str]:
    """Page's test (1963, JASA 58:216) that each seed orders the configurations the same way; one-sided."""
    values = np.array([each.values(figure) for each in configurations]).T  # (seeds, configurations)
    if len(configurations) < 3 or not np.isfinite(values).all():
        return False, ""
    from scipy.stats import page_trend_test

    p_value = float(page_trend_test(-values if way == "falls" else values).pvalue)
    shown = p_value < LEVEL
    said = f"it {way} as a trend over all {len(configurations)}" if shown else f"no trend that it {way} is shown"
    return shown, f"Taken together, {said} (Page's test, {p_words(p_value)})."


def _difference(before: Compared, after: Compared) -> tuple[str, str]:
    """Mean and best validation loss of two configurations, corrected for being two tests."""
    found = {
        name: paired_difference(after.values(figure), before.values(figure))
        for name, figure in (("mean", _validation), ("best", _best_validation))
    }
    if any(difference is None for difference in found.values()):
        return "open", "Open: a validation loss is not finite."
    told = {name: difference for name, difference in found.items() if difference is not None}
    adjusted = dict(zip(told, holm([difference.p_value for difference in told.values()]), strict=True))
    parts, real = [], []
    for name, difference in told.items():
        seeds = difference.pairs
        if adjusted[name] < LEVEL:
            real.append(name)
            which = "lower" if difference.estimate < 0 else "higher"
            word = f"real, {which} with {after.label}"
        else:
            word = f"not told apart with {seeds} seeds"
        parts.append(f"{name} validation loss {Change(before, after, difference, adjusted[name]).words}: {word}")
    answer = {0: "open", 1: "in part", 2: "yes"}[len(real)]
    opening = {"yes": "Real", "in part": "In part", "open": f"Not told apart with {len(after.results)} seeds"}[answer]
    return answer, f"{opening}. {after.label} minus {before.label}: {'; '.join(parts)}."


def _best(rates: Sequence[Compared]) -> tuple[str, str]:
    parts, leaders = [], []
    for name, figure in (("mean", _validation), ("best", _best_validation)):

        def higher_is_better(result: TrialResult, figure: Figure = figure) -> float:
            value = figure(result)
            return -value if math.isfinite(value) else -math.inf

        best = max(rates, key=lambda each: each.mean(higher_is_better))
        judged = judge(best, rates, higher_is_better, several_arms=False)
        leaders.append(best.label if judged.told_apart else "open")
        words = over_seeds(best.values(figure), LOSS).words
        parts.append(f"by {name} validation loss {best.label} with {words}, {judged.words}")
    answer = leaders[0] if len(set(leaders)) == 1 else "open"
    opening = "Not settled" if answer == "open" else answer[0].upper() + answer[1:]
    return answer, f"{opening}: {'; '.join(parts)}."


def _unstable(rates: Sequence[Compared]) -> tuple[str, str]:
    return _judged(rates, _rises, UNSTABLE, "unstable", "smooth", "rises as a share of the net fall {}")


def _unfinished(rates: Sequence[Compared]) -> tuple[str, str]:
    return _judged(
        rates, _last_fall, UNFINISHED, "not converged", "flat at the end", "last fall as a share of the whole {}"
    )


def _judged(
    rates: Sequence[Compared],
    measure: Callable[[npt.NDArray[np.float64]], float],
    limit: float,
    above: str,
    below: str,
    words: str,
) -> tuple[str, str]:
    """Each rate's `measure` of its loss curves: `above` or `below` the limit where the whole interval is, else open."""
    names: list[str] = []
    parts = []
    settled = True
    for rate in rates:
        curves = [np.array([record["train_loss"] for record in result.history]) for result in rate.results]
        diverged = sum(result.diverged_epoch is not None for result in rate.results)
        if diverged:
            found, told = above, f"diverged with {diverged} of {len(curves)} seeds"
        elif min(map(len, curves)) < _EPOCHS:
            found, told = "not told", f"fewer than {_EPOCHS} epochs"
        elif stuck := sum(bool(curve[-1] >= curve[0]) for curve in curves):
            found, told = "not told", f"the loss did not fall with {stuck} of {len(curves)} seeds"
        else:
            share = over_seeds([measure(curve) for curve in curves])
            found, told = _side(share, limit, above, below), words.format(share.words)
        settled &= found != "not told"
        if found == above:
            names.append(rate.label)
        parts.append(f"{rate.label} {found}: {told}")
    answer = ", ".join(names) or ("none" if settled else "open")
    return answer, "; ".join(parts) + "."


def _side(share: Estimate, limit: float, above: str, below: str) -> str:
    if share.low is not None and share.low > limit:
        return above
    return below if share.high is not None and share.high < limit else "not told"


def _rises(curve: npt.NDArray[np.float64]) -> float:
    """Sum of the rises from epoch to epoch, as a share of the fall from the first epoch to the last."""
    return float(np.clip(np.diff(curve), 0, None).sum() / (curve[0] - curve[-1]))


def _last_fall(curve: npt.NDArray[np.float64]) -> float:
    """Fall from the last tenth but one of the epochs to the last tenth, as a share of the fall over all epochs."""
    tenth = len(curve) // 10
    return float((curve[-2 * tenth : -tenth].mean() - curve[-tenth:].mean()) / (curve[0] - curve[-1]))
