"""Baselines on real digits, against scikit-learn used directly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.neural_network import MLPClassifier

from lib.evaluation import baselines, neighbours
from lib.evaluation.baselines import (
    BASELINES,
    NEIGHBOURS,
    PATH_OF_C,
    TEMPERATURES,
    Choice,
    Question,
    answer_on_one_core,
)
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

TRIAL = Trial(hidden=(20,), optimizer="adam", learning_rate=0.01, batch_size=32, epochs=15)


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:300], y[:300], X[300:400], y[300:400], 10)


HELD_OUT = np.arange(0, 300, 3)
REST = np.setdiff1d(np.arange(300), HELD_OUT)


def ask(name: str, data: TrialData, trial: Trial | None = TRIAL, held_out: np.ndarray = HELD_OUT):
    return answer_on_one_core(BASELINES[name], Question(data, data.X_validation, trial, 0, held_out))


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return (probabilities.argmax(axis=1) == labels).mean(), -log_loss(labels, probabilities, labels=np.arange(10))


@pytest.mark.parametrize(("name", "least"), [("sklearn-mlp", 0.8), ("logistic", 0.85), ("knn", 0.9)])
def test_learn_the_same_rows(data, name, least):
    answer = ask(name, data)
    assert answer.probabilities.dtype == np.float64
    assert answer.probabilities.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    assert (answer.probabilities.argmax(axis=1) == data.y_validation).mean() > least
    assert answer.seconds > 0


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("classes", [2, 3])
def test_a_baseline_has_as_many_weights_as_scikit_learn_gives_it(data, classes):
    rows = data.y_train < classes
    X, y = data.X_train[rows], data.y_train[rows]
    linear = LogisticRegression().fit(X, y)
    network = MLPClassifier(TRIAL.hidden, max_iter=1).fit(X, y)
    weights = {
        "logistic": linear.coef_.size + linear.intercept_.size,
        "sklearn-mlp": sum(each.size for each in (*network.coefs_, *network.intercepts_)),
        "knn": None,
        "majority": None,
    }
    assert {name: each.parameters(64, classes, TRIAL) for name, each in BASELINES.items()} == weights


def test_only_scikit_learn_s_network_depends_on_the_trial(data):
    assert {name for name, each in BASELINES.items() if each.per_trial} == {"sklearn-mlp"}
    other = Trial(hidden=(3,), epochs=1)
    for name, each in BASELINES.items():
        answer, without = (ask(name, data, trial) for trial in (TRIAL, other if each.per_trial else None))
        assert np.array_equal(answer.probabilities, without.probabilities) != each.per_trial


@pytest.mark.parametrize(("activation", "theirs"), [("relu", "relu"), ("sigmoid", "logistic"), ("linear", "identity")])
def test_scikit_learn_s_network_has_the_trial_s_own_activation(data, activation, theirs):
    choice = ask("sklearn-mlp", data, Trial(hidden=(15,), activation=activation, epochs=4)).choice
    assert choice == Choice({"activation": theirs})


def test_scikit_learn_s_network_names_what_it_does_not_have_of_the_trial(data):
    settings = {"hidden": (15,), "l2": 0.1, "learning_rate": 0.001, "epochs": 4}
    extras = {"schedule": "cosine", "weight_decay": 0.1, "dropout": 0.2}
    answer = ask("sklearn-mlp", data, Trial(optimizer="adamw", **settings, **extras))
    plain = ask("sklearn-mlp", data, Trial(optimizer="adam", **settings))
    assert answer.choice.settings == plain.choice.settings | {
        f"without {name}": value for name, value in extras.items()
    }
    np.testing.assert_array_equal(answer.probabilities, plain.probabilities)


@pytest.mark.parametrize("rate", [1000, 1e30])
def test_a_network_that_diverges_gives_equal_shares(data, rate):
    lost = Trial(hidden=(20,), activation="linear", learning_rate=rate, epochs=4)
    assert (ask("sklearn-mlp", data, lost).probabilities == 0.1).all()


def test_the_majority_is_the_training_rows_own(data):
    counts = np.bincount(data.y_train)
    probabilities = ask("majority", data).probabilities
    assert (probabilities.argmax(axis=1) == counts.argmax()).all()
    assert probabilities[0] == pytest.approx(counts / 300)


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_without_training_rows_keeps_its_column(data, name):
    kept = data.y_train != 3
    less = TrialData(data.X_train[kept], data.y_train[kept], data.X_validation, data.y_validation, 10)
    probabilities = ask(name, less, held_out=np.arange(0, len(less.y_train), 3)).probabilities
    assert probabilities.shape == (100, 10)
    assert probabilities[:, 3].max() < 0.1


@pytest.mark.parametrize("name", BASELINES)
def test_one_class_in_all_training_rows_stops_nothing(data, name):
    only = TrialData(data.X_train[:2], np.array([4, 4]), data.X_validation, data.y_validation, 10)
    answer = ask(name, only, held_out=np.array([1]))
    assert (answer.probabilities.argmax(axis=1) == 4).all()
    assert answer.choice.tried == 1


@pytest.mark.parametrize(
    ("name", "usual"), [("logistic", {"C": 1.0}), ("knn", {"metric": "euclidean", "k": 1}), ("majority", {})]
)
@pytest.mark.parametrize("held_out", [np.arange(0), np.arange(300)])
def test_without_rows_to_choose_on_the_usual_settings_hold(data, name, usual, held_out):
    assert ask(name, data, held_out=held_out).choice == Choice(usual)


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_held_out_rows_are_no_part_of_the_choice_s_training(data, name):
    """Their labels, all changed alike, change what is right and nothing else."""
    moved = data.y_train.copy()
    moved[HELD_OUT] = (moved[HELD_OUT] + 1) % 10
    seen = []

    def noting(probabilities, labels):
        seen.append(probabilities)
        return 0.0, 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_score", noting)
        patch.setattr(baselines, "PATH_OF_C", (0.01, 0.1))
        for labels in (data.y_train, moved):
            changed = TrialData(data.X_train, labels, data.X_validation, data.y_validation, 10)
            BASELINES[name].choose(Question(changed, data.X_validation, held_out=HELD_OUT))
    half = len(seen) // 2
    assert half > 1
    for one, other in zip(seen[:half], seen[half:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def path(data) -> list[tuple[float, float]]:
    """Scores with each C on the held-out rows of scikit-learn's own fits to the rest, each from nothing."""
    found = []
    for C in PATH_OF_C[: PATH_OF_C.index(31.6)]:
        model = LogisticRegression(C=C, max_iter=5000, tol=1e-6).fit(data.X_train[REST], data.y_train[REST])
        found.append(score(model.predict_proba(data.X_train[HELD_OUT]), data.y_train[HELD_OUT]))
    return found


@pytest.fixture(scope="module")
def noisy() -> TrialData:
    """Two classes apart in 1 of 100 features, a quarter of the training labels wrong: a weak penalty learns them by heart."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((900, 100)).astype(np.float32), rng.integers(0, 2, 900)
    X[:, 0] += 3 * y
    return TrialData(X[:300], np.where(rng.random(300) < 0.25, 1 - y[:300], y[:300]), X[300:], y[300:], 2)


class TestLogisticRegression:
    def test_takes_the_c_of_highest_accuracy_then_lowest_loss_on_held_out_rows(self, data, path):
        choice = ask("logistic", data).choice
        theirs = path[PATH_OF_C.index(choice.settings["C"])]
        assert theirs[0] == max(path)[0]
        assert theirs[1] == pytest.approx(max(path)[1], abs=0.005)
        assert choice.at_end == ()
        assert 4 < choice.tried < len(path)

    def test_is_trained_again_with_it_on_all_rows(self, data):
        answer = ask("logistic", data)
        model = LogisticRegression(C=answer.choice.settings["C"], max_iter=5000, tol=1e-6)
        theirs = model.fit(data.X_train.astype(float), data.y_train).predict_proba(data.X_validation)
        np.testing.assert_allclose(answer.probabilities, theirs, atol=0.005)

    def test_beats_the_usual_c_where_that_is_too_weak_a_penalty(self, noisy):
        tuned, untuned = (
            (ask("logistic", noisy, held_out=held_out).probabilities.argmax(axis=1) == noisy.y_validation).mean()
            for held_out in (HELD_OUT, HELD_OUT[:0])
        )
        assert tuned > untuned + 0.1

    def test_a_path_that_gets_no_better_ends_early_and_one_that_ends_at_its_best_is_noted(
        self, data, noisy, monkeypatch
    ):
        assert ask("logistic", noisy).choice.tried < len(PATH_OF_C)
        monkeypatch.setattr(baselines, "PATH_OF_C", PATH_OF_C[:16])
        choice = ask("logistic", data).choice
        assert (choice.settings["C"], choice.tried, choice.at_end) == (PATH_OF_C[15], 8, ("C",))

    def test_nothing_lies_beyond_an_end_that_makes_no_mistake(self, monkeypatch):
        monkeypatch.setattr(baselines, "PATH_OF_C", PATH_OF_C[:16])
        X = np.repeat(np.array([[-1.0], [1.0]], np.float32), 20, axis=0)
        y = np.repeat([0, 1], 20)
        choice = ask("logistic", TrialData(X, y, X, y, 2), held_out=np.arange(0, 40, 2)).choice
        assert (choice.settings["C"], choice.at_end) == (PATH_OF_C[15], ())


@pytest.fixture(scope="module")
def every(data) -> dict[tuple, tuple[float, float]]:
    """Scores of all settings on held-out rows, row by row."""
    found = {}
    for metric in ("euclidean", "cosine"):
        model = NearestNeighbors(n_neighbors=200, metric=metric, algorithm="brute").fit(data.X_train[REST])
        distances, near = model.kneighbors(data.X_train[HELD_OUT])
        for k in NEIGHBOURS:
            for temperature in (None, *TEMPERATURES) if metric == "cosine" and k > 1 else (None,):
                weights = np.ones((100, k))
                if temperature is not None:
                    weights = k * softmax((1 - distances[:, :k].astype(float)) / temperature, axis=1)
                votes = np.full((100, 10), 0.1)
                for row in range(100):
                    for place in range(k):
                        votes[row, data.y_train[REST][near[row, place]]] += weights[row, place]
                found[metric, k, temperature] = score(votes / (k + 1), data.y_train[HELD_OUT])
    return found


class TestNearestNeighbours:
    def test_takes_metric_k_and_temperature_of_highest_accuracy_then_lowest_loss_on_held_out_rows(self, data, every):
        choice = ask("knn", data).choice
        settings = choice.settings
        chosen = every[settings["metric"], settings["k"], settings.get("temperature")]
        assert chosen == pytest.approx(max(every.values()), abs=1e-4)
        assert choice.tried == len(every) == 32

    @pytest.mark.parametrize(
        "settings",
        [
            {"metric": "euclidean", "k": 5},
            {"metric": "cosine", "k": 10},
            {"metric": "cosine", "k": 20, "temperature": 0.07},
        ],
    )
    def test_votes_are_scikit_learn_s_smoothed_by_one_neighbour_of_all_classes(self, data, monkeypatch, settings):
        monkeypatch.setattr(neighbours, "_PRODUCTS", 7 * 300)  # several blocks, the last a part of one
        question = Question(data, data.X_validation)
        probabilities, _ = baselines.nearest_neighbours(question, settings)
        k, metric, temperature = settings["k"], settings["metric"], settings.get("temperature")
        weights = "uniform" if temperature is None else lambda distances: np.exp((1 - distances) / temperature)
        model = KNeighborsClassifier(k, algorithm="brute", metric=metric, weights=weights)
        theirs = model.fit(data.X_train.astype(float), data.y_train).predict_proba(data.X_validation.astype(float))
        assert probabilities.min() > 0
        alike = np.abs(probabilities - (theirs * k + 0.1) / (k + 1)).max(axis=1) < 1e-4
        assert alike.mean() > 0.97  # other ties may be taken

    def test_the_largest_k_is_noted_as_the_end(self, data, monkeypatch):
        monkeypatch.setattr(baselines, "NEIGHBOURS", (2,))
        assert ask("knn", data).choice.at_end == ("k",)

    def test_a_few_training_rows_are_enough(self, data):
        few = TrialData(data.X_train[:3], data.y_train[:3], data.X_validation, data.y_validation, 10)
        answer = ask("knn", few, held_out=np.array([1]))
        assert answer.probabilities.shape == (100, 10)
        assert answer.choice.settings["k"] == 1
