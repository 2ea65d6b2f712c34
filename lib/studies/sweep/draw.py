"""The figures and tables of a sweep, made of its typed result; only images and kept predictions are read beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.evaluation.baselines import BASELINES
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

_PANELS, _PANEL_WIDTH, _ROWS = 12, 30, 40
"""Configurations that a figure draws a panel (so many letters wide) or a row for."""

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
    if result.judged_on is Rows.TEST:
        yield _accuracies(result, title)
    yield _summary(result, title)
    yield from _training(result, title)
    yield from _finals(result, title)
    yield from _answers(result, study, title)
    explored = {each.variant: each for each in result.explored}
    for variant, suffix, words in _variants(result):
        yield from _explored(result, explored[variant], suffix, words, title)
    yield from tables(result)


def _accuracies(result: SweepResult, title: str) -> Drawing:
    """All models by their test accuracies."""
    from lib.figures.intervals import ModelRow, model_accuracies

    positions, left_out = best_models(result, in_order(result), _ROWS)
    rows = [
        ModelRow(
            _role(model),
            model_name(result, position)
            + (" (chosen)" if position == result.chosen and len(result.models) > 1 else ""),
            [score.measures["accuracy"] for score in model.scores],
            model.accuracy,
            aside=_is_blind(result, model),
        )
        for position, model in ((at, result.models[at]) for at in positions)
    ]
    heading = f"{title}\naccuracy on {result.judged_rows:,} test rows{left_out}"
    return Drawing("test-accuracy", "Test accuracy of all models", model_accuracies(rows, heading, "test accuracy"))


def _role(model: Scored) -> str:
    """What a model is; of a baseline that takes the network's settings, its name."""
    if model.baseline is not None and BASELINES[model.baseline].per_trial:
        return f"{BASELINES[model.baseline].title} at the same settings"
    return _ROLES[model.role]


def _is_blind(result: SweepResult, model: Scored) -> bool:
    """Whether a baseline does no better than always answering one class."""
    return model.role is ModelRole.BASELINE and model.accuracy.estimate <= result.majority


def _summary(result: SweepResult, title: str) -> Drawing:
    """All configurations with their seeds, those of grids in order, else the best first.

    Baselines are lines where they were asked about the same rows.
    """
    from lib.figures.intervals import BaselineLine, SummaryRow, axis_summary

    positions, left_out = _best(result, range(len(result.configurations)), _ROWS)
    if any(each.searched for each in result.configurations):
        positions = sorted(positions, key=lambda position: result.configurations[position].rank)
    rows = []
    for position in positions:
        each = result.configurations[position]
        halved = f" · {endings(each.trials)}" if each.halved else ""
        rows.append(
            SummaryRow(
                each.variant,
                configuration_name(result, position, variant=False) + halved,
                [trial.best_validation_loss for trial in each.trials],
                [trial.best_validation_accuracy for trial in each.trials],
            )
        )
    lines = [
        BaselineLine(
            model_name(result, position), model.scores[0].measures["accuracy"], model.scores[0].measures["loss"]
        )
        for position, model in enumerate(result.models)
        if model.role is ModelRole.BASELINE and result.judged_on is Rows.VALIDATION
    ]
    figure = axis_summary(rows, "configuration", f"{title}{left_out}", lines, result.overlap)
    return Drawing("summary", "All configurations with their seeds", figure)


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
