"""The figures and tables of a sweep, made of its typed result; only images and kept predictions are read beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.baselines import BASELINES
from lib.figures.intervals import Level, Row, Series, Spread, along, ranked
from lib.figures.search import words as setting_words
from lib.mlp.labels import value as value_words
from lib.studies.presentation import Rows
from lib.studies.study import Drawing, Study, Table
from lib.studies.sweep.predictions import read_predictions
from lib.studies.sweep.result import Explored, ModelRole, Scored, SweepResult
from lib.studies.sweep.rows import sources_of
from lib.studies.sweep.runs import sampler_words
from lib.studies.sweep.settings import SweepSettings
from lib.studies.sweep.tables import tables
from lib.studies.sweep.words import best_models, configuration_name, endings, in_order, model_name, rows_words

if TYPE_CHECKING:
    from lib.search.space import Dimension

_PANELS, _PANEL_WIDTH, _ROWS, _RANKED = 12, 30, 40, 15
"""Configurations that a figure draws a panel (so many letters wide) for, and models and configurations that have a row."""

_VALUES = 24
"""Of an axis, at most: of more the best have rows."""

_LOG_FROM = 8
"""From this ratio of the largest to the smallest value on, an axis of numbers is logarithmic."""

_VARIANTS = 12
"""Variants that have figures of their own, at most."""

_TITLE = 70
"""Letters of a line of a title."""

_CURVES = 6
"""Models whose ROC and calibration are drawn, at most."""

_ROLES = {
    ModelRole.WINNER: "network, chosen on validation rows",
    ModelRole.ALSO_ON: "same settings on another input",
    ModelRole.BASELINE: "baseline",
}


def draw(result: SweepResult, study: Study[SweepSettings]) -> Iterator[Drawing | Table]:
    """All figures, the one that says most first, then all tables."""
    whole = f"{study.name} on {result.representations[0].description} of {study.dataset.name}"
    title = "\n".join(textwrap.wrap(whole, _TITLE))
    yield _along(result, title) or _ranked(result, title)
    if result.judged_on is Rows.TEST:
        yield _accuracies(result, title)
    yield from _training(result, title)
    yield from _finals(result, title)
    yield from _answers(result, study, title)
    explored = {each.variant: each for each in result.explored}
    for variant, suffix, words in _variants(result):
        yield from _explored(result, explored[variant], suffix, words, title)
    yield from tables(result)


def _along(result: SweepResult, title: str) -> Drawing | None:
    """Scores along the one setting that is compared: test scores of its values' winners, or the best validation scores.

    None where several settings are compared, or a search drew the values.
    """
    varied = list(dict.fromkeys(name for each in result.configurations for name in each.varied))
    axis = result.settings.axis or (varied[0] if len(varied) == 1 else None)
    if axis is None or any(each.searched for each in result.configurations):
        return None
    tested = result.settings.axis is not None and result.judged_on is Rows.TEST
    points = _tested_points(result) if tested else _validated_points(result, axis)
    scored = {result.configurations[at].value(axis) for of in points.values() for at, _ in of}
    values = [of for of in dict.fromkeys(each.value(axis) for each in result.configurations) if of in scored]
    places = _numbers(values)
    if not 1 < len(values) <= _VALUES:
        return None
    where = dict(zip(values, places or range(len(values)), strict=True))
    series = []
    for (name, hollow), of in points.items():
        placed = sorted((where[result.configurations[at].value(axis)], scores) for at, scores in of)
        series.append(Series(name, [place for place, _ in placed], [scores for _, scores in placed], hollow))
    rows = f"{'test' if tested else 'validation'} accuracy"
    named = "hidden units" if places and axis == "hidden" else setting_words(axis)
    figure = along(
        series,
        None if places else [(place, value_words(of)) for of, place in where.items()],
        f"{title}\n{rows}: means, 95 % intervals, a dot a seed",
        named,
        rows,
        _levels(result) if tested or result.judged_on is Rows.VALIDATION else (),
        log=places is not None and 0 < min(places) * _LOG_FROM <= max(places),
    )
    return Drawing("scores", f"{rows.capitalize()} by {named}", figure)


_Points = dict[tuple[str, bool], list[tuple[int, Spread]]]
"""Name of a series and whether it is a baseline -> positions of configurations, and their scores."""


def _tested_points(result: SweepResult) -> _Points:
    found: _Points = {}
    for model in result.models:
        if model.configuration is None or model.representation != 0:
            continue
        name = "network" if model.baseline is None else BASELINES[model.baseline].title
        found.setdefault((name, model.baseline is not None), []).append((model.configuration, _spread(model)))
    return found


def _validated_points(result: SweepResult, axis: str) -> _Points:
    """The best configuration of each variant and value."""
    best: dict[tuple[str, Any], int] = {}
    for at in sorted(range(len(result.configurations)), key=lambda at: result.configurations[at].rank):
        each = result.configurations[at]
        best.setdefault((each.variant, each.value(axis)), at)
    several, found = len(result.settings.variants) > 1, _Points()
    for (variant, _), at in best.items():
        found.setdefault((variant if several else "network", False), []).append((at, _validated(result, at)))
    return dict(sorted(found.items()))


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """The values as numbers, where they are: of hidden layers where there is one, its units."""
    plain = [of[0] if isinstance(of, tuple) and len(of) == 1 else of for of in values]
    return [float(of) for of in plain] if all(isinstance(of, int | float) for of in plain) else None


def _spread(model: Scored) -> Spread:
    """A scored model's accuracies, with the interval over seeds and rows."""
    return Spread([score.measures["accuracy"] for score in model.scores], model.with_both.low, model.with_both.high)


def _validated(result: SweepResult, position: int) -> Spread:
    """A configuration's validation accuracies after the last epoch, by which it was chosen."""
    trials = result.configurations[position].trials
    of = result.estimate(trials, "final_validation_accuracy")
    return Spread([each.final_validation_accuracy for each in trials], of.low, of.high)


def _levels(result: SweepResult) -> list[Level]:
    """Baselines that do not have the networks' settings, by their mean scores."""
    return [
        Level(model_name(result, at), model.with_both.estimate)
        for at, model in enumerate(result.models)
        if model.role is ModelRole.BASELINE and (model.configuration is None or result.judged_on is Rows.VALIDATION)
    ]


def _ranked(result: SweepResult, title: str) -> Drawing:
    """The best configurations with their seeds, the best first; baselines are lines where they were asked about the same rows."""
    positions, left_out = _best(result, range(len(result.configurations)), _RANKED)
    rows = []
    for position in sorted(positions, key=lambda position: result.configurations[position].rank):
        each = result.configurations[position]
        halved = f" · {endings(each.trials)}" if each.halved else ""
        name = configuration_name(result, position, variant=False) + halved
        rows.append(Row(each.variant, name, _validated(result, position)))
    levels = _levels(result) if result.judged_on is Rows.VALIDATION else ()
    heading = f"{title}\nvalidation accuracy{left_out}: means, 95 % intervals, a dot a seed"
    figure = ranked(rows, heading, "validation accuracy after the last epoch", levels)
    return Drawing("scores", "Validation accuracy of the configurations, the best first", figure)


def _accuracies(result: SweepResult, title: str) -> Drawing:
    """All models by their test accuracies."""
    positions, left_out = best_models(result, in_order(result), _ROWS)
    rows = [
        Row(
            _role(model),
            model_name(result, position)
            + (" (chosen)" if position == result.chosen and len(result.models) > 1 else ""),
            _spread(model),
            aside=_is_blind(result, model),
        )
        for position, model in ((at, result.models[at]) for at in positions)
    ]
    heading = f"{title}\naccuracy on {result.judged_rows:,} test rows{left_out}: means, 95 % intervals, a dot a seed"
    return Drawing("test-accuracy", "Test accuracy of all models", ranked(rows, heading, "test accuracy"))


def _role(model: Scored) -> str:
    """What a model is; of a baseline that takes the network's settings, its name."""
    if model.baseline is not None and BASELINES[model.baseline].per_trial:
        return f"{BASELINES[model.baseline].title} at the same settings"
    return _ROLES[model.role]


def _is_blind(result: SweepResult, model: Scored) -> bool:
    """Whether a baseline does no better than always answering one class."""
    return model.role is ModelRole.BASELINE and model.accuracy.estimate <= result.majority


def _training(result: SweepResult, title: str) -> Iterator[Drawing]:
    """Loss curves of each variant's configurations."""
    from lib.figures.curves import Panel, training_curves

    for variant, suffix, words in _variants(result):
        of_variant = [at for at, each in enumerate(result.configurations) if each.variant == variant]
        positions, left_out = _best(result, of_variant, _PANELS)
        panels = []
        for position in positions:
            each = result.configurations[position]
            halved = f" · {endings(each.trials)}" if each.halved else ""
            name = configuration_name(result, position, variant=False) + halved
            panels.append(Panel(textwrap.fill(name, _PANEL_WIDTH), [trial.history for trial in each.trials]))
        figure = training_curves(panels, f"{title}{words}\ncross-entropy{left_out}", overlap=result.overlap)
        yield Drawing(f"loss-curves{suffix}", f"Loss curves{words}", figure, variant if suffix else "")


def _finals(result: SweepResult, title: str) -> Iterator[Drawing]:
    """Errors and losses of the models that were trained again, on training and test rows."""
    from lib.figures.curves import Panel, training_curves

    if result.judged_on is not Rows.TEST:
        return
    trained = [at for at, model in enumerate(result.models) if model.trials]
    positions, left_out = best_models(result, trained, _PANELS)
    panels = [
        Panel(
            textwrap.fill(model_name(result, at), _PANEL_WIDTH), [trial.history for trial in result.models[at].trials]
        )
        for at in positions
    ]
    error = training_curves(panels, f"{title}\nerror on training and test rows{left_out}", "error", "test")
    yield Drawing("error-curves", "Error of the final networks on training and test rows", error)
    loss = training_curves(panels, f"{title}\ncross-entropy on training and test rows{left_out}", "loss", "test")
    yield Drawing("final-loss-curves", "Loss of the final networks on training and test rows", loss)


def _answers(result: SweepResult, study: Study[SweepSettings], title: str) -> Iterator[Drawing]:
    """What the chosen model's first seed, and models compared with it, answered on the judged rows."""
    from lib.figures.calibration import calibration_curves
    from lib.figures.images import wrong_images
    from lib.figures.matrix import confusion_matrix
    from lib.figures.roc import roc_and_precision_recall

    rows = f"{rows_words(result)} rows"
    chosen = result.models[result.chosen]
    of_chosen = f"{title}\n{model_name(result, result.chosen)}, first seed, {rows}"
    matrix = confusion_matrix(np.array(result.confusion, dtype=np.int64), result.classes, of_chosen)
    yield Drawing("confusion-matrix", "True classes and predicted ones", matrix)
    kept = read_predictions(study.folder.path)
    compared = {model_name(result, position): position for position in _compared(result)}
    probabilities = {name: kept.probabilities[result.models[at].answers] for name, at in compared.items()}
    curves = roc_and_precision_recall(kept.labels, probabilities, result.classes, f"{title}\n{rows}")
    yield Drawing("roc-and-precision-recall", "ROC, precision and recall", curves)
    error = chosen.measured["ece"].estimate
    words = f"{title}\nexpected calibration error of {model_name(result, result.chosen)}: {error:.3f}"
    networks = {name: at for name, at in compared.items() if result.models[at].role is not ModelRole.BASELINE}
    bins = {name: result.calibration[at] for name, at in networks.items()}
    yield Drawing("calibration", "Calibration", calibration_curves(bins, len(result.classes), words, rows))
    if result.most_wrong:
        images = _images(study, result, [each.row for each in result.most_wrong])
        words = f"{title}\nthe {len(result.most_wrong)} surest of {result.wrong_rows:,} wrong predictions on {rows}"
        wrong = wrong_images(images, result.most_wrong, result.classes, words)
        yield Drawing("most-wrong", "The images it was most surely wrong about", wrong)


def _compared(result: SweepResult) -> list[int]:
    """The models whose curves are drawn, the chosen first: other inputs, and baselines that know more than class shares."""
    own = result.models[result.chosen].configuration
    beside = [
        position
        for position, model in enumerate(result.models)
        if model.role is not ModelRole.WINNER and model.configuration in (None, own) and not _is_blind(result, model)
    ]
    return [result.chosen, *beside][:_CURVES]


def _images(study: Study[SweepSettings], result: SweepResult, rows: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
    """Images of the judged rows at these positions."""
    source = sources_of(study)[0]
    tested = result.judged_on is Rows.TEST
    division = source.finals() if tested else source.candidates(study.settings).first
    places = [(split, int(row)) for split, positions in division.watched for row in positions]
    return (study.dataset.splits[split].images[row] for split, row in (places[row] for row in rows))


def _explored(result: SweepResult, explored: Explored, suffix: str, brackets: str, title: str) -> Iterator[Drawing]:
    """Where the low losses lie, in a variant in which several settings vary."""
    from lib.figures.search import Attempt, parallel_coordinates

    dimensions = _dimensions(result.settings, explored)
    if len(dimensions) < 2:
        return
    of_variant = [(at, each) for at, each in enumerate(result.configurations) if each.variant == explored.variant]
    attempts = [
        Attempt(configuration_name(result, at, variant=False), point, objective, each.halved)
        for (at, each), point, objective in zip(of_variant, explored.points, explored.objectives, strict=True)
    ]
    heading = f"{title}{brackets}\nconfigurations, {sampler_words(explored.sampler)}"
    picture = parallel_coordinates(attempts, dimensions, heading)
    caption = f"Settings and losses of all configurations{brackets}"
    yield Drawing(f"parallel-coordinates{suffix}", caption, picture, explored.variant if suffix else "")


def _dimensions(settings: SweepSettings, explored: Explored) -> list[Dimension]:
    """What varied in a variant, as it lies on an axis."""
    from lib.search.search import GridSearch

    variant = settings.variants[explored.variant]
    every = GridSearch(variant).dimensions if variant.search is None else variant.search.space.dimensions()
    return [each for each in every if each.name in explored.dimensions]


def _variants(result: SweepResult) -> Iterator[tuple[str, str, str]]:
    """Each variant, of many the best, and of several what its figures' files and titles end with."""
    variants = list(result.settings.variants)
    ranks = {name: min(each.rank for each in result.configurations if each.variant == name) for name in variants}
    best = sorted(variants, key=ranks.__getitem__)[:_VARIANTS]
    of = f", of the best {_VARIANTS} of {len(variants):,} variants" if len(variants) > _VARIANTS else ""
    for variant in variants:
        if variant in best:
            yield (variant, f"-{variant}", f" ({variant}{of})") if len(variants) > 1 else (variant, "", "")


def _best(result: SweepResult, positions: Sequence[int], limit: int) -> tuple[list[int], str]:
    """At most `limit` of these configurations, the best first if some are left out, and words that say so for a title."""
    if len(positions) <= limit:
        return list(positions), ""
    ranked = sorted(positions, key=lambda position: result.configurations[position].rank)
    return ranked[:limit], f" (the best {limit} of {len(positions):,})"
