"""Studies: honest choices, sealed records, nothing computed twice, every figure and table really there."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from scipy.stats import binomtest, ttest_rel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from lib.datasets import acquire
from lib.datasets.dataset import Split, build
from lib.errors import DataError, LeakageError
from lib.evaluation.baselines import BASELINES, MAJORITY
from lib.evaluation.measures import MEASURES
from lib.features import extract
from lib.mlp.fused import train_many
from lib.mlp.store import load_network
from lib.studies import baselines, training
from lib.studies.classifier import classify
from lib.studies.configuration import STATISTICS
from lib.studies.embedding import embed
from lib.studies.exploration import explore
from lib.studies.features import describe_features
from lib.studies.pipeline import summarise
from lib.studies.predictions import read_predictions
from lib.studies.record import StudyFolder, StudyRecord, open_record
from lib.studies.sweep import run_sweep


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def digits(root, small):
    return acquire(small.activations.data, root)


@pytest.fixture(scope="module")
def photos(root, small):
    return acquire(small.images, root)


@pytest.fixture(scope="module")
def feature_set(photos, root, small):
    return extract(photos, small.features, root / "features")


@pytest.fixture(scope="module")
def activations(small, digits, root) -> StudyRecord:
    return run_sweep("activations", small.activations, digits, root)


@pytest.fixture(scope="module")
def classified(small, photos, feature_set, root) -> StudyRecord:
    return classify(small.classifier, feature_set, photos, root)


def assert_files_are_there(record: StudyRecord) -> None:
    for name in record.figures:
        with Image.open(record.folder / "figures" / name) as picture:
            assert min(picture.size) > 100, name
    for name in record.tables:
        assert len(list(csv.reader((record.folder / "tables" / name).open()))) > 1, name


class TestSweep:
    def test_trains_every_trial_and_one_final_and_peer_for_each_winner(self, activations, small):
        roles = [child.tags["probeflow.role"] for child in activations.children]
        assert roles.count("candidate") == 4 * 2 * 2  # activations, initialisations, seeds
        assert roles.count("final") == roles.count("peer") == 4 * 2
        assert roles.count("baseline") == 2  # the peer is there already
        assert len({child.key for child in activations.children}) == len(activations.children)
        assert_files_are_there(activations)
        drawn = {"loss-curves", "summary", "error-curves", "test-accuracy", "confusion-matrix"}
        of_settings = {"parallel-coordinates", "heat-map", "importances"}
        assert set(activations.figures) == {f"{name}.png" for name in drawn | of_settings}

    def test_the_table_of_configurations_is_ranked_with_their_settings(self, activations):
        rows = list(csv.DictReader((activations.folder / "tables" / "configurations.csv").open()))
        assert [row["rank"] for row in rows] == [str(place) for place in range(1, 9)]
        accuracies = [float(row["final_validation_accuracy"]) for row in rows]
        assert accuracies == sorted(accuracies, reverse=True)
        assert rows[0]["label"] == activations.summary["best"]["label"]
        assert {(row["activation"], row["init"]) for row in rows} == {
            (activation, init) for activation in ("relu", "sigmoid", "tanh", "linear") for init in ("xavier", "he")
        }

    def test_what_mattered_in_a_grid_is_said_as_of_a_search(self, activations):
        of_arm = activations.summary["settings"]["sgd"]
        assert set(of_arm["importances"]) == {"activation", "init"}
        lowest = min(activations.summary["configurations"], key=lambda each: each["best_validation_loss"])
        assert of_arm["lowest"]["label"] == lowest["label"]
        assert (
            f"lowest validation loss {lowest['best_validation_loss']:.4f} with {lowest['label']}" in activations.notes
        )
        assert activations.summary["search"] == {}

    def test_each_winner_s_nine_measures_have_an_interval_over_seeds(self, activations):
        rows = list(csv.DictReader((activations.folder / "tables" / "measures.csv").open()))
        assert [row["measure"] for row in rows] == [*MEASURES] * 4
        finals = [child for child in activations.children if child.tags["probeflow.role"] == "final"]
        for row in rows:
            if row["measure"] in ("test_accuracy", "test_loss"):
                of_winner = [
                    child for child in finals if child.name.startswith(f"final · {row['configuration']} · seed")
                ]
                values = [child.metrics[row["measure"]] for child in of_winner]
                assert float(row["mean"]) == pytest.approx(np.mean(values))
                assert float(row["standard_deviation"]) == pytest.approx(np.std(values, ddof=1))
                assert float(row["mean_low"]) <= float(row["mean"]) <= float(row["mean_high"])

    def test_the_best_network_s_answers_are_kept_and_counted(self, activations, digits):
        kept = read_predictions(activations.folder)
        predicted = kept.of(activations.summary["predictions"])
        table = list(csv.DictReader((activations.folder / "tables" / "confusion-matrix.csv").open()))
        for true, row in enumerate(table):
            of_class = predicted[kept.labels == true]
            assert [int(row[f"predicted {name}"]) for name in digits.class_names] == [
                int((of_class == other).sum()) for other in range(10)
            ]
        recall = [float(row["recall"]) for row in activations.summary["per_class"]]
        assert recall == pytest.approx([(predicted[kept.labels == k] == k).mean() for k in range(10)])

    def test_the_best_stands_beside_baselines_that_had_the_same_rows(self, activations, digits):
        kept = read_predictions(activations.folder)
        first, *others = activations.summary["comparison"]
        assert first["model"] == activations.summary["best"]["label"]
        assert [row["model"] for row in others] == list(BASELINES)
        chosen = kept.of(activations.summary["predictions"]) == kept.labels
        for row in others:
            other = kept.of(row["model"]) == kept.labels
            alone, behind = int((chosen & ~other).sum()), int((other & ~chosen).sum())
            assert (row["chosen_alone_right"], row["other_alone_right"]) == (alone, behind)
            assert row["mcnemar_p"] == pytest.approx(binomtest(alone, alone + behind).pvalue)
        with threadpool_limits(1):
            theirs = LogisticRegression(max_iter=1000).fit(digits.pixels("train"), digits.splits["train"].labels)
            expected = theirs.predict_proba(digits.pixels("test"))
        np.testing.assert_allclose(kept.probabilities["logistic regression"], expected, atol=0.02)
        assert "### Beside other models" in activations.notes
        assert "McNemar's exact test with Holm's correction over 3" in activations.notes
        assert re.search(r"\| majority class \| .* \| 0\.\d+ \(0.*\), p < 0\.0001: network ahead \|", activations.notes)

    def test_a_sweep_without_test_figures_is_compared_on_its_validation_rows(self, small, digits, tmp_path):
        study = small.hidden_units.model_copy(update={"compare_sklearn": True})
        record = run_sweep("hidden_units", study, digits, tmp_path)
        first, *others = record.summary["comparison"]
        assert [row["model"] for row in others] == list(BASELINES)
        best = record.summary["best"]["final_validation_accuracy"]
        assert first["validation_accuracy"] == pytest.approx(best)
        assert not any("test" in name for row in record.summary["comparison"] for name in row)
        runs = [child for child in record.children if child.tags["probeflow.role"] == "baseline"]
        for row, run in zip(others, runs, strict=True):
            assert run.metrics["validation_accuracy"] == row["validation_accuracy"]
            assert not any("test" in name for name in run.metrics)
        rows = record.summary["comparison_rows"]["count"]
        assert rows == len(digits.splits["train"]) - 1125
        assert "validation rows, which favour the network" in record.notes
        drawn = (record.folder / "figures" / "summary.svg").read_text()
        assert f"logistic regression: loss {others[1]['validation_loss']:.4g}" in drawn
        assert "heat-map-study.png" not in record.figures  # one setting varies

    def test_every_configuration_and_winner_carries_mean_deviation_and_interval(self, activations):
        for each in activations.summary["configurations"]:
            statistic = each["statistics"]["best_validation_loss"]
            values = each["best_validation_losses"]
            assert statistic["mean"] == pytest.approx(np.mean(values)) == each["best_validation_loss"]
            assert statistic["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
            assert statistic["low"] < statistic["mean"] < statistic["high"]
            assert set(each["statistics"]) == set(STATISTICS)
        best = activations.summary["best"]["statistics"]["final_validation_accuracy"]
        assert activations.parent.metrics["final_validation_accuracy_low"] == best["low"]
        rows = csv.DictReader((activations.folder / "tables" / "configurations.csv").open())
        assert float(next(rows)["mean_train_loss_standard_deviation"]) > 0
        assert " ± " in activations.notes

    def test_the_difference_from_scikit_learn_is_a_paired_test_over_seeds(self, activations):
        children = activations.children
        for final in activations.summary["finals"]:
            of_value = [child for child in children if child.params.get("activation") == final["value"]]
            ours, theirs = (
                [child.metrics["test_accuracy"] for child in of_value if child.tags["probeflow.role"] == role]
                for role in ("final", "peer")
            )
            found = final["sklearn"]["difference_of_test_accuracy"]
            assert found["estimate"] == pytest.approx(np.mean(ours) - np.mean(theirs))
            assert found["p_value"] == pytest.approx(ttest_rel(ours, theirs).pvalue)
            assert found["p_value"] <= found["holm_p_value"] <= 1
            assert final["sklearn"]["difference"].endswith(("not told apart", "ours ahead", "scikit-learn's ahead"))

    def test_one_seed_has_no_interval_and_says_so(self, small, digits, root):
        record = run_sweep("hidden_units", small.hidden_units, digits, root)
        assert "One seed a configuration, so no figure has an interval over seeds." in record.notes
        assert "±" not in record.notes + record.headline
        assert "one seed cannot tell it from" in record.headline
        assert record.summary["steps"] == []
        assert {finding["answer"] for finding in record.summary["findings"]} == {"open"}
        assert not any(name.endswith(("_low", "_high")) for name in record.parent.metrics)

    def test_the_study_s_questions_are_asked_and_answered(self, small, digits, tmp_path):
        study = small.learning_rates.model_copy(update={"seeds": (0, 1, 2)})
        record = run_sweep("learning_rates", study, digits, tmp_path)
        assert [finding["arm"] for finding in record.summary["findings"]] == ["study", "sgd"] * 3  # three questions
        assert "**Which learning rate is best?** The reference study: 0.01" in record.notes
        assert "fewer than 20 epochs" in record.notes
        assert record.parent.metrics["training_seconds"] > 0

    def test_the_parent_s_figures_and_settings_are_all_of_the_announced_best(self, activations):
        best = activations.summary["best"]
        for name in ("final_validation_accuracy", "best_validation_accuracy", "best_validation_loss"):
            assert activations.parent.metrics[name] == pytest.approx(best["statistics"][name]["mean"])
        assert activations.parent.params["best.activation"] == best["value"]
        assert activations.parent.params["arms"] == "sgd (grid)"

    def test_winners_are_chosen_on_validation_rows_alone(self, activations):
        for final in activations.summary["finals"]:
            rivals = [each for each in activations.summary["configurations"] if each["value"] == final["value"]]
            best = max(rivals, key=lambda each: each["final_validation_accuracy"])
            chosen = next(each for each in rivals if each["label"] == final["label"])
            assert chosen["final_validation_accuracy"] == best["final_validation_accuracy"]
            assert not any("test" in key for each in rivals for key in each)

    def test_no_run_mixes_validation_and_test_figures(self, activations):
        for child in activations.children:
            names = {name.split("_")[0] for record in child.history for name in record} | set(child.metrics)
            assert not (any("validation" in name for name in names) and any("test" in name for name in names))

    def test_each_row_beside_scikit_learn_has_its_own_activation(self, activations):
        names = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh", "linear": "identity"}
        for final in activations.summary["finals"]:
            assert final["sklearn"]["activation"] == names[final["value"]]
        assert not any("bit-identical" in flag for flag in activations.flags)

    def test_the_kept_model_predicts_as_when_it_was_scored(self, activations):
        assert activations.model is not None
        example = load_file(activations.folder / activations.model.example)
        network = load_network(activations.folder / activations.model.network)
        np.testing.assert_array_equal(network.predict_proba(example["inputs"]), example["probabilities"])

    def test_a_second_run_computes_nothing(self, activations, small, digits, root, monkeypatch):
        monkeypatch.setattr(training, "train_many", None)
        again = run_sweep("activations", small.activations, digits, root)
        assert again == activations

    def test_a_stopped_sweep_goes_on_with_the_missing_trials(self, small, digits, tmp_path, monkeypatch):
        def killed(trials, data, **options):
            def kill(_, record):
                if record["epoch"] == 3:
                    raise KeyboardInterrupt

            return train_many(trials, data, **options | {"on_epoch": kill})

        monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
        monkeypatch.setattr(training, "train_many", killed)
        with pytest.raises(KeyboardInterrupt):
            run_sweep("hidden_units", small.hidden_units, digits, tmp_path)
        epochs = []

        def watched(trials, data, **options):
            return train_many(trials, data, **options | {"on_epoch": lambda _, record: epochs.append(record["epoch"])})

        monkeypatch.setattr(training, "train_many", watched)
        record = run_sweep("hidden_units", small.hidden_units, digits, tmp_path)
        assert min(epochs) == 3
        undisturbed = run_sweep("hidden_units", small.hidden_units, digits, tmp_path / "other")
        assert record.summary == undisturbed.summary

    def test_arms_stand_side_by_side(self, small, digits, tmp_path):
        record = run_sweep("learning_rates", small.learning_rates, digits, tmp_path)
        assert [(each["arm"], each["value"]) for each in record.summary["configurations"]] == [
            (arm, rate) for arm in ("study", "sgd") for rate in (0.1, 0.01, 0.001)
        ]
        assert "loss-curves-study.png" in record.figures
        assert {child.params.get("arm", "") for child in record.children} == {"study", "sgd", ""}  # and the majority

    def test_a_sweep_that_cannot_learn_is_flagged_whole(self, small, digits, tmp_path):
        stuck = small.learning_rates.model_dump(mode="json")
        for arm in stuck["arms"].values():
            arm["grid"] = {"learning_rate": [1e-12, 1e-13]}
        record = run_sweep("learning_rates", type(small.learning_rates).model_validate(stuck), digits, tmp_path)
        assert record.flags[0].startswith("none of the 4 trials learned")
        assert "did not learn" in record.children[0].tags["probeflow.flag"]

    def test_test_rows_that_are_missing_are_asked_for(self, small, digits, tmp_path):
        only_train = build("no test", digits.class_names, {"train": digits.splits["train"]}, "", maximum=16)
        with pytest.raises(DataError, match=r"has no test split .it has: train., but study activations scores"):
            run_sweep("activations", small.activations, only_train, tmp_path)


class TestClassifier:
    def test_beats_the_majority_and_shows_every_figure(self, classified):
        final = classified.summary["final"]
        assert final["test_accuracy_low"] > final["majority"] == 0.5
        assert 0 < final["test_f1"] <= 1
        assert_files_are_there(classified)
        drawn = (
            "confusion-matrix",
            "loss-curves",
            "error-curves",
            "roc-and-precision-recall",
            "calibration",
            "most-wrong",
        )
        assert set(classified.figures) == {f"{name}.png" for name in drawn}
        assert [row["input"] for row in classified.summary["table"]][1] == "raw pixels"

    def test_every_measure_has_an_interval_and_the_accuracy_two(self, classified):
        final = classified.summary["final"]
        for name in set(MEASURES) - {"test_accuracy"}:
            assert final[f"{name}_low"] <= final[name] <= final[f"{name}_high"]
            assert classified.parent.metrics[f"{name}_low"] == final[f"{name}_low"]
        assert final["test_accuracy_bootstrap_low"] != final["test_accuracy_low"]
        assert [row["measure"] for row in classified.summary["measures"]] == [*MEASURES] * 2  # features and pixels
        assert "groups that are not independent" in classified.notes  # patches of a block
        for child in classified.children:
            if child.tags["probeflow.role"] in ("final", "baseline"):
                assert set(MEASURES) <= set(child.metrics)

    def test_kept_predictions_give_its_comparison_again(self, classified):
        kept = read_predictions(classified.folder)
        first, *others = classified.summary["comparison"]
        assert [row["model"] for row in others] == ["same network on raw pixels", *BASELINES]
        chosen = classified.summary["predictions"]
        names = ["raw pixels seed 0", *BASELINES]
        assert set(kept.probabilities) == {chosen, *names}
        assert (kept.of(chosen) == kept.labels).mean() == pytest.approx(first["test_accuracy"])
        for row, name in zip(others, names, strict=True):
            pair = kept.compare(chosen, kept, name)
            assert (pair.estimate, pair.low, pair.p_value) == pytest.approx(
                (row["difference"], row["difference_low"], row["mcnemar_p"])
            )

    def test_baselines_have_the_network_s_own_standardised_rows(self, classified, feature_set):
        train, test = feature_set.load("train"), feature_set.load("test")
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train.X, train.y)
        ours = read_predictions(classified.folder).probabilities["logistic regression"]
        np.testing.assert_allclose(ours, pipeline.predict_proba(test.X), atol=0.02)
        runs = [child for child in classified.children if child.tags["probeflow.role"] == "baseline"]
        assert [run.params["model"] for run in runs] == list(BASELINES)

    def test_the_picture_shows_the_images_it_was_most_surely_wrong_about(self, classified, photos):
        rows = list(csv.DictReader((classified.folder / "tables" / "most-wrong.csv").open()))
        kept = read_predictions(classified.folder)
        values = kept.probabilities[classified.summary["predictions"]]
        wrong = values.argmax(axis=1) != kept.labels
        assert [float(row["probability"]) for row in rows] == sorted(values.max(axis=1)[wrong])[::-1][:12]
        first = int(rows[0]["row"])
        assert photos.class_names[photos.splits["test"].labels[first]] == rows[0]["true"] != rows[0]["predicted"]

    def test_a_baseline_that_is_kept_is_not_trained_again(
        self, classified, small, photos, feature_set, root, monkeypatch
    ):
        (classified.folder / "record.json").unlink()
        monkeypatch.setattr(baselines, "BASELINES", {})
        again = classify(small.classifier, feature_set, photos, root)
        assert again.summary["comparison"] == classified.summary["comparison"]

    def test_scikit_learn_can_be_left_out(self, small, photos, feature_set, tmp_path):
        study = small.classifier.model_copy(update={"compare_sklearn": False, "pixel_baseline": False})
        record = classify(study, feature_set, photos, tmp_path)
        assert [row["model"] for row in record.summary["comparison"]][1:] == [MAJORITY]

    def test_its_best_candidate_and_the_features_are_judged_over_seeds(self, small, photos, feature_set, tmp_path):
        record = classify(small.classifier.model_copy(update={"seeds": (0, 1, 2)}), feature_set, photos, tmp_path)
        features, pixels = (
            [
                child.metrics["test_accuracy"]
                for child in record.children
                if child.tags["probeflow.role"] == "final" and child.params["input"] == name
            ]
            for name in (row["input"] for row in record.summary["table"])
        )
        row = record.summary["table"][0]
        assert row["standard_deviation"] == pytest.approx(np.std(features, ddof=1))
        assert row["mean_low"] <= row["mean_test_accuracy"] == pytest.approx(np.mean(features))
        assert f"{np.mean(features) - np.mean(pixels):.4f} (" in record.summary["beside_pixels"]
        assert record.summary["verdict"] in record.notes
        assert len(record.summary["candidates"]) == 2
        assert "candidates.csv" in record.tables

    def test_one_seed_does_not_judge_candidates(self, classified):
        assert classified.summary["verdict"].startswith("one seed cannot tell it from")
        assert classified.summary["beside_pixels"].startswith("one seed cannot say")

    def test_says_everywhere_that_the_weights_are_random(self, classified):
        words = "RANDOM weights (seed 0)"
        assert words in classified.headline
        assert words in classified.notes
        assert words in classified.parent.tags["probeflow.features"]
        assert classified.model is not None
        assert words in classified.model.description

    def test_the_kept_model_takes_raw_features(self, classified, feature_set):
        network = load_network(classified.folder / classified.model.network)
        test = feature_set.load("test")
        accuracy = (network.predict(test.X) == test.y).mean()
        assert accuracy == pytest.approx(classified.summary["final"]["test_accuracy"])

    def test_candidates_are_standardised_without_the_rows_they_are_judged_on(
        self, small, photos, feature_set, tmp_path, monkeypatch
    ):
        from lib.studies import classifier

        fitted = []
        fit = classifier.Standardiser.fit
        monkeypatch.setattr(classifier.Standardiser, "fit", lambda X: (fitted.append(len(X)), fit(X))[1])
        classify(small.classifier, feature_set, photos, tmp_path)
        train = len(photos.splits["train"])
        assert fitted[0] < train  # candidates: without the held-out part
        assert fitted[1:] == [train, train]  # finals on features and pixels: without the test rows

    def test_test_images_that_are_training_images_are_refused(self, small, photos, feature_set, tmp_path):
        leaking = build(
            "leak", photos.class_names, {"train": photos.splits["train"], "test": photos.splits["train"]}, ""
        )
        with pytest.raises(LeakageError, match="are also training images"):
            classify(small.classifier, feature_set, leaking, tmp_path)
        assert not list(tmp_path.rglob("*.json"))


def test_exploration_counts_every_image(small, photos, root):
    record = explore(small.exploration, photos, root)
    assert_files_are_there(record)
    assert record.figures == ("samples.png", "pca.png", "classes.png")
    assert sum(record.summary["counts"]["train"].values()) == len(photos.splits["train"])


def test_exploration_takes_images_of_several_sizes(small, tmp_path):
    rng = np.random.default_rng(0)

    class Several:
        def __len__(self):
            return 24

        def __getitem__(self, index):
            return rng.integers(0, 256, (10 + 3 * index, 40, 3), np.uint8)

    record = explore(
        small.exploration, build("s", ["a", "b"], {"train": Split(Several(), np.arange(24) % 2)}, ""), tmp_path
    )
    assert_files_are_there(record)


def test_tsne_embeds_the_sample_asked_for(small, activations, digits, root):
    record = embed(small.tsne, activations, digits, root)
    assert_files_are_there(record)
    assert abs(record.summary["rows"] - 100) <= 5


def test_the_pipeline_s_table_covers_every_part_a_to_f(
    small, activations, classified, feature_set, photos, digits, root
):
    records = {
        "exploration": explore(small.exploration, photos, root),
        "features": describe_features(feature_set, photos, root),
        "activations": activations,
        "hidden_units": run_sweep("hidden_units", small.hidden_units, digits, root),
        "learning_rates": run_sweep("learning_rates", small.learning_rates, digits, root),
        "classifier": classified,
    }
    record = summarise(small, records, root)
    assert {row["part"] for row in record.summary["rows"]} == set("ABCDEF")
    assert "0.6348 (on training images)" in record.notes
    assert [part["letter"] for part in record.summary["questions"]] == list("ABCDEF")
    assert (
        "| F | Are the features worth more than raw pixels to the same network? | cannot be asked with one seed |"
        in record.notes
    )
    assert (record.folder / "report.html").read_text().count('class="verdict"') >= 20
    assert record == open_record(record.folder)


def test_a_damaged_record_is_refused_with_the_mend(activations, tmp_path):
    content = json.loads((activations.folder / "record.json").read_text())
    del content["headline"]
    (tmp_path / "record.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"is damaged .*delete its folder and run the study again"):
        open_record(tmp_path)
    with pytest.raises(DataError, match="holds no finished study"):
        open_record(tmp_path / "absent")


def test_a_record_whose_figure_is_gone_is_refused_with_the_mend(activations, tmp_path):
    folder = StudyFolder(tmp_path, activations.study, activations.key)
    shutil.copytree(activations.folder, folder.path)
    assert folder.finished().figures == activations.figures
    (folder.path / "figures" / activations.figures[0]).unlink()
    with pytest.raises(DataError, match=rf"figures/{activations.figures[0]} .*is missing; delete that folder"):
        folder.finished()
