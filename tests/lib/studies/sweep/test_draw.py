"""A sweep's figures and tables: all that there are, and their numbers as scikit-learn and SciPy have them."""

from __future__ import annotations

import csv
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from lib.figures.vector import describe
from lib.studies.study import Drawing, Record, Study, Table
from lib.studies.sweep.draw import draw
from lib.studies.sweep.predictions import read_predictions
from lib.studies.sweep.result import ModelRole
from lib.studies.sweep.tables import tables
from lib.studies.sweep.words import configuration_name, model_name
from tests.shown_sweeps import shown_sweep


@pytest.fixture(scope="module")
def figures(where, tested, searched) -> dict[str, dict[str, Drawing]]:
    """Of two sweeps, drawn anew."""
    return {name: drawn(shown_sweep(name, where)) for name in ("tested", "searched")}


def drawn(node) -> dict[str, Drawing]:
    """The figures of a node's record, drawn anew; a label that a legend leaves out is an error."""
    study = Study(node.name, node.settings, node.inputs, node.folder, node.where)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {item.name: item for item in draw(node.run().result, study) if isinstance(item, Drawing)}


def rows(record: Record, name: str) -> list[dict[str, str]]:
    """A table as it lies in the record's folder."""
    with (record.folder / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_tested_sweep_has_every_figure_the_scores_first(tested):
    assert [each.file.removesuffix(".svg") for each in tested.figures] == [
        "scores",
        "test-accuracy",
        "loss-curves-linear",
        "loss-curves-mlp",
        "error-curves",
        "final-loss-curves",
        "confusion-matrix",
        "roc-and-precision-recall",
        "calibration",
        "most-wrong",
        "parallel-coordinates-mlp",
    ]
    assert {each.variant for each in tested.figures} == {"", "mlp", "linear"}


def test_a_searched_sweep_begins_with_all_configurations(searched):
    names = [each.file.removesuffix(".svg") for each in searched.figures]
    assert names[0] == "scores"
    assert not {"test-accuracy", "error-curves"} & set(names)


def test_along_an_axis_each_value_s_winner_has_its_test_scores_beside_the_baselines(tested, figures):
    result = tested.result
    (axis,) = figures["tested"]["scores"].figure.axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.03", "0.3"]
    assert (axis.get_xscale(), axis.get_xlabel(), axis.get_ylabel()) == ("log", "learning rate", "test accuracy")
    network = axis.lines[0].get_xydata()
    winners = {
        result.configurations[model.configuration].trial.learning_rate: np.mean(
            [score.measures["accuracy"] for score in model.scores]
        )
        for model in result.models
        if model.role is ModelRole.WINNER
    }
    assert dict(network.tolist()) == pytest.approx(winners)
    legend = [text.get_text() for text in figures["tested"]["scores"].figure.legends[0].get_texts()]
    assert legend[:2] == ["network", "scikit-learn MLPClassifier"]
    assert [words.partition(":")[0] for words in legend[2:]] == ["majority class", "logistic regression"]


def test_of_several_settings_the_best_configurations_are_ranked_with_their_validation_scores(searched, figures):
    result = searched.result
    (axis,) = figures["searched"]["scores"].figure.axes
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    best = sorted(result.configurations, key=lambda each: each.rank)
    assert [name.partition(" ")[0] for name in names] == [f"#{each.number}" for each in best]
    seeds = [trial.final_validation_accuracy for trial in best[0].trials]
    assert axis.texts[0].get_text().startswith(f"{np.mean(seeds):.3f}")


def test_a_figure_shows_every_tested_model_with_its_accuracy(tested, figures):
    result = tested.result
    words = describe(figures["tested"]["test-accuracy"].figure)
    for position in range(len(result.models)):
        assert model_name(result, position) in words
    accuracies = [score.measures["accuracy"] for score in result.models[result.chosen].scores]
    of = result.models[result.chosen].with_both
    assert f"{np.mean(accuracies):.3f} ({of.low:.3f} to {of.high:.3f})" in words


def test_baselines_are_lines_beside_configurations_judged_by_the_same_rows(figures):
    picture = figures["searched"]["scores"].figure
    legend = [text.get_text() for text in picture.legends[0].get_texts()]
    assert [words.partition(":")[0] for words in legend][-2:] == ["majority class", "logistic regression"]


@pytest.mark.parametrize("name", ["tested", "searched", "heads"])
def test_scores_are_scikit_learn_s_of_the_kept_predictions(name, request):
    record = request.getfixturevalue(name)
    result, kept = record.result, read_predictions(record.folder)
    predicted = kept.of(result.models[result.chosen].answers)
    confusion = metrics.confusion_matrix(kept.labels, predicted, labels=range(len(result.classes)))
    table = rows(record, "confusion-matrix")
    assert [[int(row[f"predicted {each}"]) for each in result.classes] for row in table] == confusion.tolist()
    report = metrics.classification_report(
        kept.labels, predicted, labels=range(len(result.classes)), output_dict=True, zero_division=0
    )
    for place, row in enumerate(rows(record, "per-class")):
        assert row["class"] == result.classes[place]
        assert float(row["recall"]) == pytest.approx(report[str(place)]["recall"])
        assert float(row["precision"] or 0) == pytest.approx(report[str(place)]["precision"])
        assert int(row["rows"]) == report[str(place)]["support"]
    chosen = model_name(result, result.chosen)
    [accuracy] = [row for row in rows(record, "measures") if (row["model"], row["measure"]) == (chosen, "accuracy")]
    assert float(accuracy["first_seed"]) == pytest.approx(metrics.accuracy_score(kept.labels, predicted))


@pytest.mark.parametrize("name", ["tested", "searched"])
def test_most_wrong_images_are_those_of_the_judged_rows(name, where, figures, request):
    result, dataset = request.getfixturevalue(name).result, shown_sweep(name, where).inputs["on"].dataset
    split = "test" if name == "tested" else "train"  # validation rows are held out of the training split
    axes = [axis for axis in figures[name]["most-wrong"].figure.axes if axis.images]
    assert len(axes) == len(result.most_wrong) > 0
    rows_of_split = dataset.splits[split]
    images = {
        image.tobytes(): int(label) for image, label in zip(rows_of_split.images, rows_of_split.labels, strict=True)
    }
    for axis, wrong in zip(axes, result.most_wrong, strict=True):
        image = np.asarray(axis.images[0].get_array(), np.uint8)
        assert images[image.tobytes()] == wrong.true
        assert f"true {result.classes[wrong.true]}\npredicted {result.classes[wrong.predicted]}" in axis.get_title()


def test_configurations_are_ranked_with_their_settings_and_figures_over_seeds(tested):
    table = rows(tested, "configurations")
    assert [row["rank"] for row in table] == list("123456")
    for row in table:
        each = next(each for each in tested.result.configurations if each.rank == int(row["rank"]))
        losses = [trial.best_validation_loss for trial in each.trials]
        assert (row["variant"], float(row["learning_rate"])) == (each.variant, each.trial.learning_rate)
        assert float(row["best_validation_loss"]) == pytest.approx(np.mean(losses))
        assert float(row["best_validation_loss_standard_deviation"]) == pytest.approx(np.std(losses, ddof=1))


def test_the_comparison_has_a_row_for_every_other_model(tested):
    result = tested.result
    others = [model_name(result, at) for at in range(len(result.models)) if at != result.chosen]
    assert [row["model"] for row in rows(tested, "comparison")] == others


def test_a_step_s_change_is_scipy_s_paired_difference(tested):
    [row] = rows(tested, "steps")
    linear = {
        configuration_name(tested.result, at, variant=False): [trial.best_validation_loss for trial in each.trials]
        for at, each in enumerate(tested.result.configurations)
        if each.variant == "linear"
    }
    before, after = linear[row["from"]], linear[row["to"]]
    changes = np.subtract(after, before)
    assert float(row["best_validation_loss_change"]) == pytest.approx(changes.mean())
    overlap = tested.result.validation_rows / tested.result.train_rows  # each seed has its own split
    corrected = changes.mean() / np.sqrt((1 / len(changes) + overlap) * changes.var(ddof=1))
    p = 2 * stats.t.sf(abs(corrected), len(changes) - 1)
    assert float(row["best_validation_loss_change_p"]) == pytest.approx(p)


@pytest.mark.parametrize("name", ["tested", "searched", "heads"])
def test_every_table_has_the_same_columns_in_all_rows(name, request):
    for table in tables(request.getfixturevalue(name).result):
        assert isinstance(table, Table)
        assert table.rows
        assert {tuple(row) for row in table.rows} == {tuple(table.rows[0])}
