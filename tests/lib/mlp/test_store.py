"""Networks and results on disk: the same after a round trip, in any process, and safe against damage."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lib.errors import DataError
from lib.mlp.store import (
    load_network,
    load_result,
    read_tensors,
    save_network,
    save_result,
    trial_key,
    write_vectors,
)
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial


@pytest.fixture
def data() -> TrialData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
    return TrialData(X[:60], y[:60], X[60:], y[60:], 3)


@given(
    hidden=st.lists(st.integers(1, 9), max_size=3),
    activation=st.sampled_from(["relu", "sigmoid", "tanh", "linear"]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=15)
def test_a_loaded_network_predicts_bit_for_bit_as_the_saved_one(tmp_path_factory, hidden, activation, dtype):
    from lib.mlp.estimator import MLPClassifier

    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(30, 4)).astype(dtype), np.array(["cat", "dog", "emu"] * 10)
    model = MLPClassifier(tuple(hidden), activation, epochs=1, random_state=0).fit(X, y)
    path = tmp_path_factory.mktemp("net") / "n.safetensors"
    save_network(path, model)
    loaded = load_network(path)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_clean_process_predicts_the_same(tmp_path, data):
    result = train(Trial(hidden=(5,), epochs=2), data)
    save_network(tmp_path / "n.safetensors", result.network)
    np.save(tmp_path / "x.npy", data.X_validation)
    code = (
        "import sys, numpy as np; from lib.mlp.store import load_network\n"
        "np.save(sys.argv[3], load_network(sys.argv[1]).predict_proba(np.load(sys.argv[2])))"
    )
    arguments = [str(tmp_path / name) for name in ("n.safetensors", "x.npy", "p.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), result.network.predict_proba(data.X_validation))


def test_a_result_comes_back_whole_and_a_diverged_one_keeps_its_epoch(tmp_path, data):
    for trial in (
        Trial(hidden=(5,), epochs=3),
        Trial(hidden=(5,), epochs=3, optimizer="adamw", weight_decay=0.1, schedule="cosine", dropout=0.1),
        Trial(hidden=(), epochs=3),
        Trial(hidden=(50, 50), activation="linear", learning_rate=1e9, epochs=3),
    ):
        result = train(trial, data)
        key = trial_key(trial, "digest")
        save_result(tmp_path, result, key)
        back = load_result(tmp_path, key)
        assert back is not None
        assert back.trial == trial
        assert back.diverged_epoch == result.diverged_epoch
        np.testing.assert_equal(back.history, result.history)
        assert back.best_validation_loss == pytest.approx(result.best_validation_loss, nan_ok=True)
    assert result.diverged_epoch in (1, 2, 3)


@pytest.mark.parametrize("damage", ["no json", "cut json", "cut network", "no network"])
def test_a_damaged_result_counts_as_absent(tmp_path, data, damage):
    save_result(tmp_path, train(Trial(hidden=(3,), epochs=1), data), "k")
    record, network = tmp_path / "k.json", tmp_path / "k.safetensors"
    if damage == "no json":
        record.unlink()
    elif damage == "no network":
        network.unlink()
    else:
        path = record if damage == "cut json" else network
        path.write_bytes(path.read_bytes()[:-20])
    assert load_result(tmp_path, "k") is None


def test_a_file_that_is_not_ours_is_refused_in_one_line(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="not written by probeflow"):
        load_network(tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="cannot be read"):
        load_network(tmp_path / "text")


def test_the_key_changes_with_every_setting_and_the_data():
    base = Trial()
    others = [
        Trial(hidden=(7,)), Trial(activation="tanh"), Trial(init="zero"), Trial(optimizer="adam"), Trial(learning_rate=0.2),
        Trial(momentum=0.5), Trial(l2=0.1), Trial(batch_size=7), Trial(epochs=7), Trial(seed=7), Trial(schedule="cosine"),
        Trial(warmup=0.1), Trial(optimizer="adamw"), Trial(optimizer="adamw", weight_decay=0.1), Trial(dropout=0.1),
        Trial(label_smoothing=0.1), Trial(class_weights="balanced"),
    ]  # fmt: skip
    keys = {trial_key(trial, "a") for trial in [base, *others]} | {trial_key(base, "b")}
    assert len(keys) == len(others) + 2
    assert set().union(*(json.loads(trial.model_dump_json()) for trial in others)) == set(Trial.model_fields)


def test_a_trial_keeps_its_key_when_optional_settings_come_to_be():
    """Results kept before there was a schedule, say, are still those of trials without one."""
    stored = json.loads(Trial(hidden=(7,), optimizer="adam", l2=1).model_dump_json())
    assert list(stored) == [
        "hidden", "activation", "init", "optimizer", "learning_rate", "momentum", "l2", "batch_size", "epochs", "seed",
    ]  # fmt: skip
    assert trial_key(Trial(), "a") == "6f01364df40e34cb66b8b7bc39dcb414c5087e40abbacaca4d4a70276fea8360"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_written_one_by_one_are_read_as_any_safetensors_file(tmp_path, dtype):
    vectors = {"0.parameters": np.arange(5, dtype=dtype), "0.mean": np.zeros(0, dtype), "1.x": np.ones(3, dtype)[::-1]}
    sizes = {name: len(vector) for name, vector in vectors.items()}
    write_vectors(tmp_path / "v", sizes, iter(vectors.values()), np.dtype(dtype), {"course": '{"é": 1}'})
    tensors, metadata = read_tensors(tmp_path / "v")
    assert metadata == {"course": '{"é": 1}'}
    assert set(tensors) == set(vectors)
    for name, vector in vectors.items():
        np.testing.assert_array_equal(tensors[name], vector)
        assert tensors[name].dtype == dtype
