"""The judge: holds the records of a run against claims. One function a kind of test, all on typed results.

A claim is confirmed or refuted only where differences are significant: paired over seeds (Student's t) with Holm's
correction over the tests of the claim, or paired on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.checks import Learned
from lib.evaluation.intervals import LEVEL, LOSS, SHARE, Difference, Estimate, holm_of, over_seeds, paired_difference
from lib.evaluation.paired import PairedPredictions
from lib.mlp.labels import setting
from lib.mlp.labels import value as value_words
from lib.reference import claims as tests
from lib.reference.claims import Claims, Part, Printed, claims_named
from lib.reference.judged import Circumstance, Direction, Evidence, Finding, Judged, Reason, Row, Verdict
from lib.studies.exploration import ExplorationResult
from lib.studies.features import FeaturesResult
from lib.studies.presentation import Rows
from lib.studies.record import read_origin
from lib.studies.study import Record, Result
from lib.studies.sweep.result import Configuration, ModelRole, Scored, SweepResult, TrialOutcome, Weights

Figure = Callable[[TrialOutcome], float]

_ANSWERS = {
    Direction.HIGHER: Verdict.YES,
    Direction.LOWER: Verdict.NO,
    Direction.NOT_SIGNIFICANT: Verdict.NOT_SIGNIFICANT,
}
"""Whether a model is better, by the direction in which it differs."""

_EPOCHS = 20
"""Fewer epochs show neither whether a curve is smooth nor whether it has converged."""

_FIGURES: dict[str, tuple[str, Figure]] = {
    "train_loss": ("training loss (mean over epochs)", lambda trial: trial.mean_train_loss),
    "validation_loss": ("validation loss (mean over epochs)", lambda trial: trial.mean_validation_loss),
    "best_validation_loss": ("validation loss (best epoch)", lambda trial: trial.best_validation_loss),
    "gap": (
        "validation less training loss (means over epochs)",
        lambda trial: trial.mean_validation_loss - trial.mean_train_loss,
    ),
}


def judge(name: str, records: Mapping[str, Record[Any]]) -> Judged:
    """Hold the studies of a run, by their names in the profile, against the claims of this name.

    A part whose study the run has not, or has as another kind, is left out. Raises ConfigError when there are no such
    claims.
    """
    claims = claims_named(name)
    findings: list[Finding] = []
    rows: list[Row] = []
    for part in claims.parts:
        record = records.get(part.study)
        if record is None:
            continue
        for claim in part.claims:
            result, ask = _TESTS[type(claim.test)]
            if isinstance(record.result, result):
                findings += [
                    each.model_copy(
                        update={
                            "part": part.letter,
                            "claim": claim.id,
                            "study": part.study,
                            "circumstances": circumstances(claims, part, record, each.variant),
                        }
                    )
                    for each in ask(claim.test, record.result)
                ]
        if isinstance(record.result, SweepResult):
            rows += _rows(claims, part, record)
    return Judged(name=name, findings=tuple(findings), rows=tuple(rows))


def circumstances(claims: Claims, part: Part, record: Record[Any], variant: str) -> tuple[Circumstance, ...]:
    """In what a study of this run is not the earlier study's case."""
    found = []
    data = claims.data[part.data]
    origin = read_origin(record.folder)
    sources = {} if origin is None else origin.identity.profile.get("data", {})
    same_source = any(source.get("source") in data.sources for source in sources.values())
    if record.dataset.digest not in data.digests and not same_source:
        found.append(Circumstance.OTHER_DATA)
    result = record.result
    if isinstance(result, SweepResult):
        of_variant = [each for each in result.configurations if not variant or each.variant == variant]
        wanted = {name: of for name, of in part.settings.items() if name != result.settings.axis}
        if any(each.value(name) != of for each in of_variant for name, of in wanted.items()):
            found.append(Circumstance.OTHER_SETTINGS)
        if any(each.weights is Weights.RANDOM for each in result.representations):
            found.append(Circumstance.RANDOM_WEIGHTS)
    elif isinstance(result, FeaturesResult) and result.weights == "random":
        found.append(Circumstance.RANDOM_WEIGHTS)
    return tuple(found)


def _finding(verdict: Verdict, **more: Any) -> Finding:
    """A finding of a claim that `judge` names."""
    return Finding(part="", claim="", study="", verdict=verdict, **more)


def _not_comparable(reason: Reason, variant: str = "") -> list[Finding]:
    return [_finding(Verdict.NOT_COMPARABLE, reason=reason, variant=variant)]


def _direction(difference: Difference | PairedPredictions | None, p: float) -> Direction:
    if difference is None:
        return Direction.NOT_FINITE
    if p >= LEVEL:
        return Direction.NOT_SIGNIFICANT
    return Direction.HIGHER if difference.estimate > 0 else Direction.LOWER


def _evidence(
    compared: Sequence[tuple[str, str, str, Difference | PairedPredictions | None]], p: Sequence[float] | None = None
) -> tuple[Evidence, ...]:
    """Comparisons, each a figure, what it is of, the other, and the difference; p by Holm's correction unless given."""
    every = holm_of([difference for *_, difference in compared]) if p is None else p
    return tuple(
        Evidence(figure=figure, subject=one, other=other, difference=each, p=of, direction=_direction(each, of))
        for (figure, one, other, each), of in zip(compared, every, strict=True)
    )


def _on_test(pairs: Sequence[tuple[tuple[str, Scored], tuple[str, Scored]]]) -> tuple[Evidence, ...]:
    """Test accuracies of pairs of named models, paired over seeds."""
    return _evidence(
        [
            ("test accuracy", one, other, paired_difference(_accuracies(ours), _accuracies(theirs)))
            for (one, ours), (other, theirs) in pairs
        ]
    )


def _along_axis_of(
    result: SweepResult, compared: Sequence[tuple[str, Configuration, Configuration]], corrected: bool = True
) -> tuple[Evidence, ...]:
    """Figures, by their names, of pairs of configurations, paired over seeds."""
    axis, found = str(result.settings.axis), []
    for name, one, other in compared:
        words, figure = _FIGURES[name]
        difference = paired_difference(_values(one, figure), _values(other, figure), result.overlap)
        found.append((words, _label(one, axis), _label(other, axis), difference))
    alone = [1.0 if difference is None else difference.p_value for *_, difference in found]
    return _evidence(found, None if corrected else alone)


def _about(ours: Estimate) -> dict[str, float | None]:
    return {"value": ours.mean, "low": ours.low, "high": ours.high}


# What is tested of models that were scored on test rows.


def _by_value(result: SweepResult, is_meant: Callable[[Scored], bool]) -> dict[Any, Scored]:
    """Models that were tested, by the axis's value of the configuration whose settings they have."""
    axis = result.settings.axis
    if axis is None or result.judged_on is not Rows.TEST:
        return {}
    return {
        result.configurations[each.configuration].value(axis): each
        for each in result.models
        if is_meant(each) and each.configuration is not None
    }


def _winners(result: SweepResult) -> dict[Any, Scored]:
    """The winner of each value of the axis."""
    return _by_value(result, lambda model: model.role is ModelRole.WINNER)


def _with_settings(result: SweepResult, baseline: str) -> dict[Any, Scored]:
    """The baseline with the settings of each axis value's winner."""
    return _by_value(result, lambda model: model.baseline == baseline)


def _accuracies(model: Scored) -> list[float]:
    return [score.measures["accuracy"] for score in model.scores]


def _best_value(test: tests.BestValue, result: SweepResult) -> list[Finding]:
    models = _winners(result)
    if len(models) < 2:
        return _not_comparable(Reason.NOT_TESTED)
    if test.value not in models:
        return _not_comparable(Reason.NOT_TRIED)
    figures = {of: _accuracies(model) for of, model in models.items()}
    ranked = sorted(figures, key=lambda of: -float(np.mean(figures[of])))
    about = _about(over_seeds(figures[test.value], SHARE))
    if len(figures[ranked[0]]) < 2:
        return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.ONE_SEED, **about)]
    # The best is picked by the figures it is tested on, so every pair counts as tested, not its own alone.
    pairs = list(combinations(ranked, 2))
    every = _on_test([((value_words(a), models[a]), (value_words(b), models[b])) for a, b in pairs])
    of_best = {other: each for (one, other), each in zip(pairs, every, strict=True) if one == ranked[0]}
    evidence, ahead = tuple(of_best.values()), {other for other, each in of_best.items() if each.differs}
    verdict = Verdict.NOT_SIGNIFICANT
    if ranked[0] == test.value and len(ahead) == len(ranked) - 1:
        verdict = Verdict.CONFIRMED
    elif ranked[0] != test.value and test.value in ahead:
        verdict = Verdict.REFUTED
    return [_finding(verdict, evidence=evidence, **about)]


def _loses_to(test: tests.LosesTo, result: SweepResult) -> list[Finding]:
    ours, theirs = _winners(result), _with_settings(result, test.baseline)
    values = [of for of in ours if of in theirs]
    if not values:
        return _not_comparable(Reason.NO_BASELINE)
    if min(len(theirs[of].scores) for of in values) < 2:
        return _not_comparable(Reason.ONE_SEED)
    evidence = _on_test([((value_words(of), ours[of]), (test.baseline, theirs[of])) for of in values])
    behind = sum(each.direction is Direction.LOWER for each in evidence)
    ahead = sum(each.direction is Direction.HIGHER for each in evidence)
    verdict = Verdict.NOT_SIGNIFICANT
    if behind:
        verdict = Verdict.CONFIRMED if behind == len(values) else Verdict.PARTLY
    elif ahead:
        verdict = Verdict.REFUTED
    return [_finding(verdict, evidence=evidence)]


def _baseline_equals(test: tests.BaselineEquals, result: SweepResult) -> list[Finding]:
    theirs = _with_settings(result, test.baseline)
    if test.value not in theirs or test.other not in theirs:
        return _not_comparable(Reason.NO_BASELINE)
    about = {"printed": test.printed} | _about(over_seeds(_accuracies(theirs[test.value]), SHARE))
    if len(theirs[test.value].scores) < 2:
        return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.ONE_SEED, **about)]
    one, other = ((f"{test.baseline} {value_words(of)}", theirs[of]) for of in (test.value, test.other))
    evidence = _on_test([(one, other)])
    return [_finding(Verdict.REFUTED if evidence[0].differs else Verdict.NOT_SIGNIFICANT, evidence=evidence, **about)]


def _hardly_learns(test: tests.HardlyLearns, result: SweepResult) -> list[Finding]:
    if result.judged_on is not Rows.TEST:
        return _not_comparable(Reason.NOT_TESTED)
    model = result.models[result.chosen]
    mean = over_seeds(_accuracies(model), SHARE)
    low, high = mean.low, mean.high
    if low is None or high is None:
        low, high = model.accuracy.low, model.accuracy.high
    about = {"printed": test.printed, "value": mean.mean, "low": low, "high": high}
    if len(result.classes) != 2:
        return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.OTHER_CLASSES, **about)]
    verdict = Verdict.NOT_SIGNIFICANT
    if high < test.printed or all(trial.learned is not Learned.YES for trial in model.trials):
        verdict = Verdict.CONFIRMED
    elif low > test.printed:
        verdict = Verdict.REFUTED
    return [_finding(verdict, **about)]


def _better_than(test: tests.BetterThan, result: SweepResult) -> list[Finding]:

    def is_meant(model: Scored) -> bool:
        if test.model == "pixels":
            return model.role is ModelRole.ALSO_ON and result.representations[model.representation].is_pixels
        if model.baseline != test.model:
            return False
        return model.configuration in (None, result.models[result.chosen].configuration)

    if result.judged_on is not Rows.TEST:
        return _not_comparable(Reason.NOT_TESTED)
    lead = next((each for each in result.leads if is_meant(result.models[each.model])), None)
    if lead is None:
        return _not_comparable(Reason.NO_BASELINE)
    difference: Difference | PairedPredictions = lead.same_rows
    p = lead.p
    if test.model == "pixels":  # both networks have seeds, over which they are compared
        if lead.over_seeds is None:
            return _not_comparable(Reason.ONE_SEED)
        difference, p = lead.over_seeds, lead.over_seeds.p_value
    evidence = _evidence([("test accuracy", "network", test.model, difference)], [p])
    about = {"value": difference.estimate, "low": difference.low, "high": difference.high}
    return [_finding(_ANSWERS[evidence[0].direction], evidence=evidence, **about)]


def _recalls(test: tests.Recalls, result: SweepResult) -> list[Finding]:
    shares = {
        name: each.recall.estimate
        for name, each in zip(result.classes, result.per_class, strict=True)
        if each.recall is not None
    }
    return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.TRAINING_ROWS, shown=shares)]


# What is tested along the axis, on validation rows, variant by variant.


def _variants(result: SweepResult) -> dict[str, list[Configuration]]:
    """The configurations of each variant whose grid varies the axis alone, by rising value of the axis.

    Networks of several hidden layers have no such order, and are left out.
    """
    axis = result.settings.axis
    depth = 1 if axis == "hidden" else math.inf
    found: dict[str, list[Configuration]] = {}
    for each in result.configurations:
        if axis is not None and each.varied == (axis,) and not each.searched and len(each.trial.hidden) <= depth:
            found.setdefault(each.variant, []).append(each)
    return {name: sorted(of, key=lambda each: each.value(str(axis))) for name, of in found.items() if len(of) > 1}


def _along_axis(result: SweepResult, ask: Callable[[str, list[Configuration], str], Finding]) -> list[Finding]:
    """Ask of each variant; what its trials cannot answer is not comparable."""
    variants = _variants(result)
    if not variants:
        return _not_comparable(Reason.TOO_FEW)
    found: list[Finding] = []
    for variant, configurations in variants.items():
        trials = [trial for each in configurations for trial in each.trials]
        if len(configurations[0].trials) < 2:
            found += _not_comparable(Reason.ONE_SEED, variant)
        elif any(trial.ended in ("patience", "halved") for trial in trials):
            found += _not_comparable(Reason.STOPPED_EARLY, variant)
        else:
            found.append(ask(variant, configurations, str(result.settings.axis)))
    return found


def _values(configuration: Configuration, figure: Figure) -> list[float]:
    return [figure(trial) for trial in configuration.trials]


def _label(configuration: Configuration, axis: str) -> str:
    return setting(axis, configuration.value(axis))


def _along(test: tests.Along, result: SweepResult) -> list[Finding]:
    figure = _FIGURES[test.figure][1]
    wanted = Direction.LOWER if test.direction == "falls" else Direction.HIGHER

    def ask(variant: str, configurations: list[Configuration], axis: str) -> Finding:
        steps = [(test.figure, after, before) for before, after in pairwise(configurations)]
        evidence = _along_axis_of(result, steps)
        kept = sum(each.direction is wanted for each in evidence)
        against = sum(each.differs and each.direction is not wanted for each in evidence)
        trend = _trend(configurations, figure, falls=test.direction == "falls")
        throughout = kept == len(evidence)
        in_part = not against and (kept > 0 or (trend is not None and trend < LEVEL))
        if test.holds:
            verdict = Verdict.CONFIRMED if throughout else Verdict.PARTLY if in_part else Verdict.NOT_SIGNIFICANT
            if against:
                verdict = Verdict.PARTLY_REFUTED if kept else Verdict.REFUTED
        else:  # it was claimed to stay flat
            verdict = Verdict.REFUTED if throughout else Verdict.PARTLY_REFUTED if in_part else Verdict.NOT_SIGNIFICANT
            if against:
                verdict = Verdict.PARTLY  # it does not go that way throughout, but is not flat either
        return _finding(verdict, variant=variant, evidence=evidence, trend_p=trend)

    return _along_axis(result, ask)


def _trend(configurations: Sequence[Configuration], figure: Figure, *, falls: bool) -> float | None:
    """p of Page's test (1963, JASA 58:216) that each seed orders the configurations the same way; one-sided."""
    values = np.array([_values(each, figure) for each in configurations]).T  # (seeds, configurations)
    if len(configurations) < 3 or not np.isfinite(values).all():
        return None
    from scipy.stats import page_trend_test

    return float(page_trend_test(-values if falls else values).pvalue)


def _last_alike(test: tests.LastAlike, result: SweepResult) -> list[Finding]:
    def ask(variant: str, configurations: list[Configuration], axis: str) -> Finding:
        before, after = configurations[-2:]
        evidence = _along_axis_of(
            result, [(name, after, before) for name in ("validation_loss", "best_validation_loss")]
        )
        differ = sum(each.differs for each in evidence)
        verdict = {0: Verdict.NOT_SIGNIFICANT, 1: Verdict.PARTLY_YES, 2: Verdict.YES}[differ]
        return _finding(verdict, variant=variant, evidence=evidence)

    return _along_axis(result, ask)


def _lowest_loss(test: tests.LowestLoss, result: SweepResult) -> list[Finding]:

    def ask(variant: str, configurations: list[Configuration], axis: str) -> Finding:
        if not any(each.value(axis) == test.value for each in configurations):
            return _finding(Verdict.NOT_COMPARABLE, reason=Reason.NOT_TRIED, variant=variant)
        leaders: list[Any] = []
        evidence: list[Evidence] = []
        for name in ("validation_loss", "best_validation_loss"):

            def mean(each: Configuration, figure: Figure = _FIGURES[name][1]) -> float:
                found = float(np.mean(_values(each, figure)))
                return found if math.isfinite(found) else math.inf

            best = min(configurations, key=mean)
            if math.isinf(mean(best)):
                return _finding(Verdict.NOT_SIGNIFICANT, variant=variant)
            # Lower than all others is a claim that needs every test, so none is corrected (Berger 1982).
            others = [(name, best, each) for each in configurations if each is not best]
            own = _along_axis_of(result, others, corrected=False)
            evidence += own
            sure = all(each.direction is not Direction.NOT_SIGNIFICANT for each in own)
            leaders.append(best.value(axis) if sure else None)
        verdict = Verdict.NOT_SIGNIFICANT
        if None not in leaders and len(set(leaders)) == 1:
            verdict = Verdict.CONFIRMED if leaders[0] == test.value else Verdict.REFUTED
        return _finding(verdict, variant=variant, evidence=tuple(evidence))

    return _along_axis(result, ask)


def _curve(test: tests.Curve, result: SweepResult) -> list[Finding]:
    measure = {"rises": _rises, "last-fall": _last_fall}[test.measure]
    beyond = {Direction.ABOVE, Direction.DIVERGED} if test.measure == "rises" else {Direction.ABOVE}
    words = {
        "rises": "sum of the training loss's rises, as a share of its net fall",
        "last-fall": "last fall of the training loss, as a share of its whole fall",
    }[test.measure]

    def ask(variant: str, configurations: list[Configuration], axis: str) -> Finding:
        evidence = {each.value(axis): _beyond(each, axis, measure, words, test.limit) for each in configurations}
        others = {each.direction for of, each in evidence.items() if of != test.value}
        about = {"variant": variant, "evidence": tuple(evidence.values())}
        if test.value not in evidence:
            return _finding(Verdict.NOT_COMPARABLE, reason=Reason.NOT_TRIED, **about)
        verdict = Verdict.NOT_SIGNIFICANT
        if evidence[test.value].direction in beyond:
            verdict = Verdict.CONFIRMED if others == {Direction.BELOW} else Verdict.PARTLY
        elif evidence[test.value].direction is Direction.BELOW:
            verdict = Verdict.REFUTED
        return _finding(verdict, **about)

    return _along_axis(result, ask)


def _beyond(
    configuration: Configuration,
    axis: str,
    measure: Callable[[npt.NDArray[np.float64]], float],
    words: str,
    limit: float,
) -> Evidence:
    """Whether a measure of the training curves lies above the limit, or below it, with its whole interval."""
    curves = [np.array([record["train_loss"] for record in trial.history]) for trial in configuration.trials]
    estimate: Estimate | None = None
    direction = Direction.UNCLEAR
    if any(trial.diverged_epoch is not None for trial in configuration.trials):
        direction = Direction.DIVERGED
    elif min(map(len, curves)) >= _EPOCHS and all(curve[-1] < curve[0] for curve in curves):
        estimate = over_seeds([measure(curve) for curve in curves])
        if estimate.low is not None and estimate.low > limit:
            direction = Direction.ABOVE
        elif estimate.high is not None and estimate.high < limit:
            direction = Direction.BELOW
    return Evidence(figure=words, subject=_label(configuration, axis), estimate=estimate, direction=direction)


def _rises(curve: npt.NDArray[np.float64]) -> float:
    """Sum of the rises from epoch to epoch, as a share of the fall from the first epoch to the last."""
    return float(np.clip(np.diff(curve), 0, None).sum() / (curve[0] - curve[-1]))


def _last_fall(curve: npt.NDArray[np.float64]) -> float:
    """Fall from the last tenth but one of the epochs to the last tenth, as a share of the fall over all epochs."""
    tenth = len(curve) // 10
    return float((curve[-2 * tenth : -tenth].mean() - curve[-tenth:].mean()) / (curve[0] - curve[-1]))


# What is counted or timed.


def _counts(test: tests.Counts, result: ExplorationResult) -> list[Finding]:
    train = dict(result.counts["train"])
    if len(train) != len(test.train):
        return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.OTHER_CLASSES, shown=train)]
    verdict = Verdict.CONFIRMED if sorted(train.values()) == sorted(test.train) else Verdict.REFUTED
    return [_finding(verdict, shown=train)]


def _speed(test: tests.Speed, result: FeaturesResult) -> list[Finding]:
    rates = [each.images_per_second for each in result.speeds]
    about = {"printed": test.printed, "value": max(rates, default=None)}
    return [_finding(Verdict.NOT_COMPARABLE, reason=Reason.OTHER_MACHINE, **about)]


_TESTS: dict[type[Any], tuple[type[Result], Callable[[Any, Any], list[Finding]]]] = {
    tests.BestValue: (SweepResult, _best_value),
    tests.LosesTo: (SweepResult, _loses_to),
    tests.BaselineEquals: (SweepResult, _baseline_equals),
    tests.HardlyLearns: (SweepResult, _hardly_learns),
    tests.BetterThan: (SweepResult, _better_than),
    tests.Recalls: (SweepResult, _recalls),
    tests.Along: (SweepResult, _along),
    tests.LastAlike: (SweepResult, _last_alike),
    tests.LowestLoss: (SweepResult, _lowest_loss),
    tests.Curve: (SweepResult, _curve),
    tests.Counts: (ExplorationResult, _counts),
    tests.Speed: (FeaturesResult, _speed),
}
"""Each kind of test: the results it judges, and what judges them."""


def _rows(claims: Claims, part: Part, record: Record[Any]) -> Iterator[Row]:
    """The run's figures beside the printed ones."""
    result: SweepResult = record.result
    axis = result.settings.axis
    for printed in part.printed:
        of = printed.value
        found: list[tuple[str, Estimate]] = []
        if printed.figure == "accuracy":
            found = [("", over_seeds(_accuracies(each), SHARE)) for each in _printed_models(result, printed)]
        elif axis is not None:
            figure = _FIGURES[printed.figure][1]
            found = [
                (each.variant, over_seeds(_values(each, figure), LOSS, result.overlap))
                for each in result.configurations
                if each.value(axis) == of and each.varied == (axis,) and not each.halved
            ]
        for variant, ours in found:
            yield Row(
                part=part.letter,
                study=part.study,
                variant=variant,
                figure=printed.figure,
                model=printed.model,
                value="" if of is None or axis is None else setting(axis, of),
                printed=printed.printed,
                note=printed.note,
                ours=ours,
                circumstances=circumstances(claims, part, record, variant),
            )


def _printed_models(result: SweepResult, printed: Printed) -> list[Scored]:
    """The tested models that a printed accuracy is of: at its value of the axis, or where there is none the chosen one."""
    if result.settings.axis is not None:
        own = printed.model == "network"
        models = _winners(result) if own else _with_settings(result, printed.model)
        return [models[printed.value]] if printed.value in models else []
    chosen = result.models[result.chosen]
    return [chosen] if result.judged_on is Rows.TEST and printed.model == "network" else []
