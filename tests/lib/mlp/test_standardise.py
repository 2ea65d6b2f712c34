"""Standardisation: NumPy's figures bit for bit, in place, in little memory, and folded away again."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from lib.mlp.estimator import MLPClassifier
from lib.mlp.fused import train_many
from lib.mlp.standardise import Standardiser
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial


def rows(n: int, features: int, dtype: type = np.float32) -> np.ndarray:
    rng = np.random.default_rng(n + features)
    X = rng.normal(rng.normal(0, 50, features), rng.random(features) * 10, (n, features))
    X[:, features // 2] = 3
    return X.astype(dtype)


@pytest.mark.parametrize("shape", [(1, 1), (10, 1), (3, 2), (9000, 3), (2000, 300), (2000, 1051), (50, 9216)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "every second row"])
def test_figures_are_numpy_s_over_all_rows_and_features_at_once(shape, dtype, order):
    X = rows(2 * shape[0], shape[1], dtype)[::2] if order == "every second row" else rows(*shape, dtype)
    X = np.asarray(X, order="F") if order == "F" else X
    fitted = Standardiser.fit(X)
    mean, deviation = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    varies = deviation > 1e-6 * abs(mean)
    assert fitted.mean.tobytes() == mean.tobytes()
    assert fitted.scale.tobytes() == np.where(varies, deviation, 1).tobytes()
    assert fitted.apply(X).tobytes() == ((X - fitted.mean) / fitted.scale).astype(np.float32).tobytes()


def test_in_place_gives_the_same_bits_in_a_fraction_of_the_memory():
    X = rows(4000, 2000)
    fitted = Standardiser.fit(X)
    expected = fitted.apply(X)
    tracemalloc.start()
    Standardiser.fit(X)
    fitted.apply_in_place(X)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert X.tobytes() == expected.tobytes()
    assert taken < X.nbytes / 3


def test_rows_that_cannot_be_overwritten_exactly_are_refused():
    X = rows(4, 2)
    fitted = Standardiser.fit(X)
    with pytest.raises(ValueError, match=r"rows of shape \(4, 2\) are float64; give a float32 array"):
        fitted.apply_in_place(X.astype(np.float64))
    X.setflags(write=False)
    with pytest.raises(ValueError, match="are read-only"):
        fitted.apply_in_place(X)


def test_slices_of_one_standardised_array_train_the_same_networks_as_copies():
    X, y = rows(300, 40), np.arange(300) % 3
    fitted = Standardiser.fit(X[:200])
    copies = TrialData(fitted.apply(X[:200]), y[:200], fitted.apply(X[200:]), y[200:], 3)
    fitted.apply_in_place(X)
    views = TrialData(X[:200], y[:200], X[200:], y[200:], 3)
    trials = [Trial(hidden=hidden, batch_size=32, epochs=2) for hidden in ((), (8,))]
    for one, other in zip(train_many(trials, copies), train_many(trials, views), strict=True):
        assert one.network.network_.parameters.tobytes() == other.network.network_.parameters.tobytes()
        assert one.history[-1]["validation_loss"] == other.history[-1]["validation_loss"]


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
def test_standardisation_folds_into_the_network(hidden):
    rng = np.random.default_rng(2)
    X = np.concatenate([rng.normal(5, 0.001, (200, 3)), rng.normal(0, 100, (200, 3)), np.full((200, 1), 4.0)], axis=1)
    y = (X[:, 0] > 5).astype(np.int64)
    standardise = Standardiser.fit(X)
    standard = standardise.apply(X)
    assert standard[:, :6].mean() == pytest.approx(0, abs=1e-6)
    assert standard[:, :6].std() == pytest.approx(1, abs=1e-5)
    assert (standard[:, 6] == 0).all()
    model = MLPClassifier(hidden, epochs=50, batch_size=16, random_state=0).fit(standard, y)
    folded = standardise.fold(model)
    np.testing.assert_allclose(folded.predict_proba(X), model.predict_proba(standard), atol=1e-5)
    assert folded.score(X, y) > 0.95
    assert folded.network_.parameters.dtype == np.float64
