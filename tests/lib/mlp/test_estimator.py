"""The from-scratch classifier: scikit-learn's contract, its arithmetic, and its manners."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier as SklearnMLP
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from lib.mlp.activations import ACTIVATIONS
from lib.mlp.dropout import Dropout, Masks, units_of
from lib.mlp.estimator import MLPClassifier
from lib.mlp.initialisation import INITIALISATIONS, initial_weights, row_orders, streams

SKLEARN_NAMES = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh", "linear": "identity"}


@parametrize_with_checks(
    [
        MLPClassifier(),
        MLPClassifier((16, 8), "tanh", optimizer="adamw", learning_rate=0.01, schedule="cosine", dropout=0.1),
    ]
)
def test_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float64), y


def start_sklearn_from(model: SklearnMLP, X, y, weights) -> SklearnMLP:
    """Give scikit-learn's network our initial weights: one step of rate ~0, then overwrite."""
    rate = model.learning_rate_init
    model.set_params(learning_rate_init=1e-300).partial_fit(X, y, classes=np.unique(y))
    for index, matrix in enumerate(weights):
        model.coefs_[index][...] = matrix
        model.intercepts_[index][...] = 0
    model.learning_rate_init = rate
    model._optimizer.learning_rate = model._optimizer.learning_rate_init = rate
    return model


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_full_batch_steps_equal_scikit_learn_s(digits, activation, l2):
    X, y = digits[0][:300], digits[1][:300]
    ours = MLPClassifier((12, 7), activation, init="xavier", batch_size=300, l2=l2, random_state=4)
    weights = initial_weights((64, 12, 7, 10), "xavier", streams(4)[0])
    theirs = SklearnMLP(
        (12, 7), activation=SKLEARN_NAMES[activation], solver="sgd", alpha=l2, batch_size=300, shuffle=False,
        learning_rate_init=0.1, momentum=0.0, nesterovs_momentum=False,
    )  # fmt: skip
    start_sklearn_from(theirs, X, y, weights)
    for _ in range(5):
        ours.partial_fit(X, y)
        theirs.partial_fit(X, y)
    for mine, other in zip(ours.network_.weights, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_mini_batch_sgd_equals_a_torch_loop_step_by_step(digits, momentum):
    X, y = digits[0][:200], digits[1][:200]
    ours = MLPClassifier(
        (9,), "tanh", momentum=momentum, learning_rate=0.05, batch_size=64, epochs=3, random_state=1
    ).fit(X, y)
    weights_rng, order_rng = streams(1)
    first, second = (torch.tensor(w, requires_grad=True) for w in initial_weights((64, 9, 10), "he", weights_rng))
    biases = [torch.zeros(units, dtype=torch.float64, requires_grad=True) for units in (9, 10)]
    optimizer = torch.optim.SGD([first, second, *biases], 0.05, momentum=momentum)
    orders = row_orders(200, order_rng)
    for _ in range(3):
        order = next(orders)
        for begin in range(0, 200, 64):
            rows = order[begin : begin + 64]
            logits = torch.tanh(torch.tensor(X[rows]) @ first + biases[0]) @ second + biases[1]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, torch.tensor(y[rows])).backward()
            optimizer.step()
    np.testing.assert_allclose(ours.network_.weights[0], first.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.network_.biases[1], biases[1].detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "momentum", "l2"), [("sgd", 0.0, 0.0), ("sgd", 0.9, 0.5), ("adamw", 0.0, 0.0), ("adamw", 0.0, 0.5)]
)
@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_training_with_all_that_practitioners_expect_equals_a_torch_loop(digits, optimizer, momentum, l2, schedule):
    X, y = digits[0][:200], digits[1][:200] % 3 // 2
    ours = MLPClassifier(
        (9, 6), "tanh", optimizer=optimizer, momentum=momentum, learning_rate=0.01, schedule=schedule, warmup=0.25,
        l2=l2, weight_decay=0.3, dropout=0.4, label_smoothing=0.1, class_weights="balanced",
        batch_size=64, epochs=5, random_state=1,
    ).fit(X, y)  # fmt: skip
    weights_rng, order_rng = streams(1)
    weights = [torch.tensor(w, requires_grad=True) for w in initial_weights((64, 9, 6, 2), "he", weights_rng)]
    biases = [torch.zeros(units, dtype=torch.float64, requires_grad=True) for units in (9, 6, 2)]
    theirs = (
        torch.optim.SGD([*weights, *biases], 0.01, momentum)
        if optimizer == "sgd"
        else torch.optim.AdamW(
            [{"params": weights, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}], 0.01
        )
    )
    after = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 15),
        "step": lambda: torch.optim.lr_scheduler.MultiStepLR(theirs, [9, 13], 0.1),
    }[schedule]
    warm = torch.optim.lr_scheduler.LinearLR(theirs, 1 / 5, 1.0, 4)
    rates = torch.optim.lr_scheduler.SequentialLR(theirs, [warm, after()], [5])
    of_rows = torch.tensor(compute_sample_weight("balanced", y))
    smoothed = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")
    dropout, orders, step = Dropout(1, 0.4, (9, 6)), row_orders(200, order_rng), 0
    for _ in range(5):
        order = next(orders)
        for begin in range(0, 200, 64):
            rows = order[begin : begin + 64]
            hidden = torch.tensor(X[rows])
            for layer in (0, 1):
                mask = Masks(units_of([dropout], layer, len(rows)), X.dtype).draw(step).T
                hidden = torch.tanh(hidden @ weights[layer] + biases[layer]) * torch.tensor(mask)
            loss = (smoothed(hidden @ weights[2] + biases[2], torch.tensor(y[rows])) * of_rows[rows]).mean()
            theirs.zero_grad()
            (loss + l2 / (2 * len(rows)) * sum((each**2).sum() for each in weights)).backward()
            step += 1
            for group in theirs.param_groups if optimizer == "adamw" else ():
                group["eps"] = 1e-8 / (1 - 0.999**step) ** 0.5  # torch adds it to the corrected root, we to the root
            theirs.step()
            rates.step()
    for mine, other in zip([*ours.network_.weights, *ours.network_.biases], [*weights, *biases], strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_balanced_classes_make_the_probe_that_scikit_learn_s_balanced_regression_is(digits):
    chosen = np.flatnonzero(digits[1] < 3)[:300]
    chosen = chosen[(digits[1][chosen] == 0) | (np.arange(len(chosen)) % 4 == 0)]
    X, y = digits[0][chosen], digits[1][chosen]
    settings = {"init": "zero", "learning_rate": 0.5, "momentum": 0.9, "l2": 1.0, "epochs": 2000, "random_state": 0}
    ours = MLPClassifier((), batch_size=len(X), class_weights="balanced", **settings).fit(X, y)
    theirs = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=5000).fit(X, y)
    assert np.abs(theirs.coef_.T - LogisticRegression(C=1.0).fit(X, y).coef_.T).max() > 0.01
    np.testing.assert_allclose(ours.network_.weights[0], theirs.coef_.T, atol=1e-5)


def test_validation_figures_are_plain_cross_entropy_with_all_units(digits):
    X, y = digits
    extras = {"dropout": 0.5, "label_smoothing": 0.2, "class_weights": "balanced"}
    model = MLPClassifier((16,), epochs=2, random_state=0, **extras)
    model.fit(X[:1000], y[:1000], validation=(X[1000:], y[1000:]))
    proba = model.predict_proba(X[1000:])
    assert model.history_[-1]["validation_loss"] == pytest.approx(
        -np.log(proba[np.arange(len(proba)), y[1000:]]).mean()
    )
    assert model.history_[-1]["validation_accuracy"] == pytest.approx(model.score(X[1000:], y[1000:]))


def test_learns_digits_with_every_activation(digits):
    X, y = digits
    for activation in ACTIVATIONS:
        model = MLPClassifier((32,), activation, learning_rate=0.5, batch_size=32, epochs=25, random_state=0)
        assert model.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.9, activation


def test_learns_xor_which_no_linear_network_can():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float).repeat(10, axis=0)
    y = (X[:, 0] != X[:, 1]).astype(int)
    settings = {"learning_rate": 0.5, "batch_size": 8, "epochs": 300, "random_state": 0}
    assert MLPClassifier((8,), "tanh", **settings).fit(X, y).score(X, y) == 1.0
    assert MLPClassifier((8,), "linear", **settings).fit(X, y).score(X, y) <= 0.75


def test_fit_equals_as_many_calls_of_partial_fit(digits):
    X, y = digits[0][:300], digits[1][:300]
    settings = {"hidden": (10,), "optimizer": "adam", "learning_rate": 0.01, "batch_size": 50, "random_state": 3}
    settings |= {"epochs": 4, "schedule": "cosine", "dropout": 0.2}
    whole = MLPClassifier(**settings).fit(X, y)
    steps = MLPClassifier(**settings)
    for _ in range(4):
        steps.partial_fit(X, y)
    np.testing.assert_array_equal(whole.network_.parameters, steps.network_.parameters)
    assert len(steps.history_) == 4


def test_a_pickled_copy_goes_on_like_the_original(digits):
    X, y = digits[0][:200], digits[1][:200]
    model = MLPClassifier((8,), epochs=2, random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301 - scikit-learn clones across processes this way; we never store it
    model.partial_fit(X, y)
    copy.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), copy.predict_proba(X))


def test_history_has_one_record_an_epoch_and_true_validation_figures(digits):
    X, y = digits
    heard = []
    model = MLPClassifier((16,), epochs=3, random_state=0)
    model.fit(X[:1000], y[:1000], validation=(X[1000:], y[1000:]), on_epoch=heard.append)
    assert heard == model.history_
    assert [record["epoch"] for record in heard] == [1, 2, 3]
    assert heard[-1]["validation_accuracy"] == pytest.approx(model.score(X[1000:], y[1000:]))
    proba = model.predict_proba(X[1000:])
    assert heard[-1]["validation_loss"] == pytest.approx(-np.log(proba[np.arange(len(proba)), y[1000:]]).mean())


def test_train_loss_is_the_mean_over_mini_batches_before_each_update(digits):
    X, y = digits[0][:500], digits[1][:500]
    model = MLPClassifier((16,), batch_size=500, epochs=2, random_state=0)
    before = MLPClassifier((16,), batch_size=500, learning_rate=1e-12, epochs=1, random_state=0).fit(X, y)
    model.fit(X, y)
    assert model.history_[0]["train_loss"] == pytest.approx(before.history_[0]["train_loss"])
    assert model.history_[1]["train_loss"] < model.history_[0]["train_loss"]


def test_float32_rows_train_in_float32_and_agree_with_float64(digits):
    X, y = digits
    narrow = MLPClassifier((32,), epochs=10, random_state=0).fit(X[:1000].astype(np.float32), y[:1000])
    wide = MLPClassifier((32,), epochs=10, random_state=0).fit(X[:1000], y[:1000])
    assert narrow.network_.parameters.dtype == np.float32
    assert narrow.predict_proba(X[1000:]).dtype == np.float32
    np.testing.assert_allclose(narrow.predict_proba(X[1000:]), wide.predict_proba(X[1000:]), atol=1e-3)


def test_divergence_is_recorded_with_its_epoch_and_warned_of(digits):
    X, y = digits[0] * 100, digits[1]
    model = MLPClassifier((32, 32), "linear", learning_rate=1e4, epochs=20, random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 1"):
        model.fit(X, y)
    assert model.diverged_epoch_ == 1
    assert len(model.history_) == 1


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_inputs_of_huge_size_give_finite_probabilities_without_warnings(activation, digits):
    model = MLPClassifier((16, 16), activation, epochs=1, random_state=0).fit(*digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scale in (1e4, -1e4, 1e30):
            proba = model.predict_proba(np.full((3, 64), scale))
            assert np.isfinite(proba).all()
            np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("init", list(INITIALISATIONS))
def test_initial_weights_have_the_stated_spread(init):
    weights = initial_weights((400, 300), init, np.random.default_rng(0))[0]
    expected = {
        "zero": 0,
        "uniform": 0.01 / 12**0.5,
        "normal": 0.01,
        "xavier": (2 / 700) ** 0.5,
        "he": (2 / 400) ** 0.5,
    }
    assert weights.shape == (400, 300)
    assert weights.std() == pytest.approx(expected[init], rel=0.02)


def test_zero_weights_and_no_hidden_layer_work(digits):
    X, y = digits
    assert MLPClassifier((8,), init="zero", epochs=2, random_state=0).fit(X, y).diverged_epoch_ is None
    softmax_regression = MLPClassifier((), learning_rate=0.5, epochs=30, random_state=0).fit(X[:1200], y[:1200])
    assert softmax_regression.score(X[1200:], y[1200:]) > 0.88


def test_last_hidden_layer_reproduces_the_predictions(digits):
    X, y = digits
    model = MLPClassifier((20, 11), epochs=2, random_state=0).fit(X, y)
    hidden = model.hidden_activations(X)
    assert hidden.shape == (len(X), 11)
    logits = hidden @ model.network_.weights[-1] + model.network_.biases[-1]
    np.testing.assert_array_equal(model.classes_[logits.argmax(axis=1)], model.predict(X))
    with pytest.raises(ValueError, match="layer 2 does not exist"):
        model.hidden_activations(X, 2)
    with pytest.raises(ValueError, match="a linear probe has no hidden layer; take its inputs instead"):
        MLPClassifier((), epochs=1, random_state=0).fit(X, y).hidden_activations(X)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"activation": "gelu"}, "activation must be one of relu, sigmoid, tanh, linear, got 'gelu'"),
        ({"init": "ones"}, "init must be one of"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of sgd, adam, adamw"),
        ({"learning_rate": -0.1}, "learning_rate must be a finite number above 0, got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"hidden": (5, 0)}, "hidden must hold whole numbers"),
        ({"l2": -1}, "l2 must be a finite number at least 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, step, got 'linear'"),
        ({"warmup": 1}, r"warmup must lie in \[0, 1\), got 1"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), got -0.1"),
        ({"label_smoothing": "a"}, r"label_smoothing must lie in \[0, 1\), got 'a'"),
        ({"weight_decay": float("inf")}, "weight_decay must be a finite number at least 0, got inf"),
        ({"class_weights": "auto"}, "class_weights must be one of none, balanced, got 'auto'"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(setting, message, digits):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**setting).fit(*digits)
