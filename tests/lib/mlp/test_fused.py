"""The fused engine equals training alone, whatever runs beside a trial, and survives being killed."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from lib.errors import ConfigError
from lib.mlp.fused import Checkpoint, Rung, Stopping, train_many
from lib.mlp.grouping import WIDE, group_trials, operations
from lib.mlp.layout import Layout, arrange
from lib.mlp.training import TrialData, TrialResult, train
from lib.mlp.trial import Trial

STEP_TOLERANCE = 1e-9
"""Greatest relative difference from the NumPy estimator at float64, after every epoch."""
ACCURACY_TOLERANCE = 0.02
"""Greatest difference in final accuracy at float32: 3 of the 150 rows below."""
FIGURES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@pytest.fixture(scope="module")
def data() -> TrialData:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (4, 12))
    labels = rng.integers(0, 4, 353)
    rows = centres[labels] + rng.normal(0, 1, (353, 12))
    return TrialData(rows[:203], labels[:203], rows[203:], labels[203:], 4)


def parameters(result: TrialResult) -> np.ndarray:
    return result.network.network_.parameters


def assert_same(one: TrialResult, other: TrialResult, tolerance: float = STEP_TOLERANCE) -> None:
    assert one.trial == other.trial
    assert one.diverged_epoch == other.diverged_epoch
    assert len(one.history) == len(other.history)
    if one.diverged_epoch is not None:
        return
    scale = np.abs(parameters(one)).max()
    np.testing.assert_allclose(parameters(one), parameters(other), rtol=0, atol=tolerance * max(scale, 1e-12))
    # Networks of zero weights give classes that are equally frequent equal logits, but for rounding, which then predicts.
    figures = FIGURES if one.trial.init != "zero" else ("train_loss", "validation_loss")
    for left, right in zip(one.history, other.history, strict=True):
        for name in figures:
            assert left[name] == pytest.approx(right[name], rel=tolerance, abs=1e-12), name


def trial_of(hidden: tuple[int, ...], optimizer: str, weight_decay: float, dropout: float, **settings: Any) -> Trial:
    """A trial without what others than AdamW, or a linear probe, do not have."""
    given = {"weight_decay": weight_decay} if optimizer == "adamw" else {}
    given |= {"dropout": dropout} if hidden else {}
    return Trial(hidden=hidden, optimizer=optimizer, **given, **settings)


widths = st.lists(st.integers(1, 9), max_size=3).map(tuple)
trials = st.builds(
    trial_of,
    hidden=widths,
    activation=st.sampled_from(["relu", "sigmoid", "tanh", "linear"]),
    init=st.sampled_from(["zero", "uniform", "normal", "xavier", "he"]),
    optimizer=st.sampled_from(["sgd", "adam", "adamw"]),
    learning_rate=st.sampled_from([0.001, 0.01, 0.05]),
    schedule=st.sampled_from(["constant", "cosine", "step"]),
    warmup=st.sampled_from([0.0, 0.3]),
    momentum=st.sampled_from([0.0, 0.9]),
    l2=st.sampled_from([0.0, 0.1]),
    weight_decay=st.sampled_from([0.0, 0.2]),
    dropout=st.sampled_from([0.0, 0.4]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    class_weights=st.sampled_from(["none", "balanced"]),
    batch_size=st.sampled_from([16, 50, 1000]),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 2),
)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mix=st.lists(trials, min_size=1, max_size=12), lanes=st.integers(1, 3))
def test_any_mix_equals_training_each_alone(mix, lanes, data, backend):
    for fused, trial in zip(train_many(mix, data, dtype=np.float64, backend=backend, lanes=lanes), mix, strict=True):
        assert_same(train(trial, data), fused)


OPTIMISERS = [{}, {"momentum": 0.9}, {"l2": 0.1}, {"optimizer": "adamw", "weight_decay": 0.2, "l2": 0.1}]
COURSES = [
    {"schedule": "cosine", "warmup": 0.2, "class_weights": "balanced"},
    {"schedule": "step", "label_smoothing": 0.1},
    {"schedule": "cosine", "label_smoothing": 0.2, "class_weights": "balanced", "epochs": 2},
    {"warmup": 0.5},
    {},
]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("dropout", [(0.0,), (0.1, 0.5)])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_one_program_trains_each_trial_by_its_own_schedule_dropout_smoothing_and_weights(
    data, backend, dropout, optimiser
):
    mix = [
        Trial(**{"hidden": hidden, "batch_size": 50, "epochs": 3, "seed": seed, "dropout": rate} | optimiser | course)
        for course in COURSES
        for rate in dropout
        for seed, hidden in ((0, (7, 4)), (1, (5, 6)))
    ]
    assert len(group_trials(mix, 203, 12, 4, backend=backend)) == 1
    for fused, trial in zip(train_many(mix, data, dtype=np.float64, backend=backend), mix, strict=True):
        assert_same(train(trial, data), fused)


def test_trials_with_dropout_do_not_share_a_program_with_others():
    mix = [Trial(hidden=(7,), dropout=rate) for rate in (0.0, 0.1, 0.0, 0.5)]
    assert sorted(sorted(group.trials) for group in group_trials(mix, 203, 12, 4)) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(
    "optimiser", [{}, {"momentum": 0.9}, {"l2": 0.1}, {"optimizer": "adam"}, {"optimizer": "adam", "l2": 0.1}]
)
def test_linear_probes_equal_training_each_alone(data, backend, optimiser):
    mix = [
        Trial(hidden=(), learning_rate=rate, batch_size=50, epochs=3, seed=seed, init=init, **optimiser)
        for rate in (0.01, 0.05)
        for seed in (0, 1, 2)
        for init in ("he", "zero")
    ]
    assert [len(group.trials) for group in group_trials(mix, 203, 12, 4, backend=backend)] == [12]
    for fused, trial in zip(train_many(mix, data, dtype=np.float64, backend=backend), mix, strict=True):
        assert parameters(fused).shape == (12 * 4 + 4,)
        assert_same(train(trial, data), fused)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"momentum": 0.9}, {"momentum": 0.5, "l2": 0.1, "schedule": "cosine"}, {"optimizer": "adam"},
        {"optimizer": "adam", "l2": 0.1}, {"optimizer": "adamw", "weight_decay": 0.2, "l2": 0.1, "warmup": 0.3},
    ],
)  # fmt: skip
def test_trials_on_wide_rows_equal_training_each_alone(lanes, settings):
    """Torch trains them on the CPU, many rows of weights at once; a chunk of rows may hold several trials or part of one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(0, 1, (90, WIDE + 3)), rng.integers(0, 4, 90)
    wide = TrialData(X[:70], y[:70], X[70:], y[70:], 4)
    mix = [
        Trial(hidden=hidden, seed=seed, learning_rate=0.001, batch_size=16, epochs=2, **settings)
        for hidden in ((), (70, 9), (5, 3))
        for seed in (0, 0, 1)
    ]
    for fused, trial in zip(train_many(mix, wide, dtype=np.float64, lanes=lanes), mix, strict=True):
        assert_same(train(trial, wide), fused)


def test_wide_rows_are_trained_on_where_they_lie():
    """Memory beside the rows is that of the programs planned, and of the parameters handed over in the end."""
    rng = np.random.default_rng(0)
    X, y = rng.random((2000, 3000), np.float32), rng.integers(0, 4, 2000)
    wide = TrialData(X[:1500], y[:1500], X[1500:], y[1500:], 4)
    for mix in (
        [Trial(hidden=(), batch_size=64, epochs=1, learning_rate=rate) for rate in (0.01, 0.02, 0.03)],
        [Trial(hidden=(64, 8), batch_size=64, epochs=1, optimizer="adam", l2=0.1, seed=seed) for seed in range(3)],
    ):
        (planned,) = group_trials(mix, 1500, 3000, 4, watched=500)
        tracemalloc.start()
        train_many(mix, wide, lanes=1)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 1.2 * (planned.bytes + 4 * planned.parameters) < X.nbytes


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_single_precision_ends_at_the_same_accuracy(data, backend):
    single = TrialData(
        data.X_train.astype(np.float32), data.y_train, data.X_validation.astype(np.float32), data.y_validation, 4
    )
    mix = [
        Trial(hidden=hidden, activation=activation, learning_rate=0.05, batch_size=16, epochs=30, seed=seed)
        for hidden in ((5,), (20, 10))
        for activation in ("relu", "sigmoid", "tanh", "linear")
        for seed in (0, 1)
    ]
    for fused, trial in zip(train_many(mix, single, backend=backend), mix, strict=True):
        assert parameters(fused).dtype == np.float32
        alone = train(trial, single).final_validation_accuracy
        assert fused.final_validation_accuracy == pytest.approx(alone, abs=ACCURACY_TOLERANCE)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_neighbours_grouping_and_memory_do_not_change_a_trial(data, backend):
    trial = Trial(hidden=(6,), optimizer="adam", learning_rate=0.01, epochs=3, batch_size=16)
    others = [trial.model_copy(update={"hidden": (width,), "epochs": 5, "seed": width % 3}) for width in range(1, 9)]
    mix = [*others, trial]
    (alone,) = train_many([trial], data, dtype=np.float64, backend=backend)
    together = train_many(mix, data, dtype=np.float64, backend=backend)
    assert_same(alone, together[-1])
    assert len(group_trials(mix, 203, 12, 4, 8, memory=200_000, lanes=2, watched=150)) > 2
    taking_turns = train_many(mix, data, dtype=np.float64, backend=backend, memory=200_000, lanes=2)
    for one, other in zip(together, taking_turns, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_many_shapes_padded_to_few_equal_training_each_alone(data, backend, optimizer):
    rng = np.random.default_rng(0)
    mix = [
        Trial(
            hidden=tuple(int(units) for units in rng.integers(1, 80, 2)),
            activation=str(rng.choice(["relu", "sigmoid", "tanh", "linear"])),
            optimizer=optimizer,
            learning_rate=0.01,
            dropout=0.3 if optimizer == "adam" else 0.0,
            l2=0.1 * (index % 2) if optimizer == "adam" else 0.0,
            batch_size=50,
            epochs=2,
            seed=index % 3,
        )
        for index in range(40)
    ]
    layout = Layout([mix[index] for index in arrange(mix)], 12, 4)
    assert all(later.gathering is not None for later in layout.later)
    assert sum(len(later.blocks) for later in layout.later) < 40
    for fused, trial in zip(train_many(mix, data, dtype=np.float64, backend=backend), mix, strict=True):
        assert_same(train(trial, data), fused)


def test_work_is_cut_into_as_many_balanced_parts_as_there_are_cores():
    mix = [Trial(hidden=(width,), seed=seed) for width in (5, 20, 50, 100, 200) for seed in range(5)]
    assert len(group_trials(mix, 9000, 128, 10)) == 1
    parts = group_trials(mix, 9000, 128, 10, lanes=2)
    assert sorted(index for part in parts for index in part.trials) == list(range(len(mix)))
    assert len(parts) == 2
    assert max(part.operations for part in parts) < 0.6 * sum(part.operations for part in parts)
    large = [Trial(hidden=(256, 128, 64), seed=seed) for seed in range(4)]
    assert len(group_trials(large, 60_000, 784, 10, lanes=2)) == 4  # each fills a core's cache


def test_operations_are_those_of_the_products():
    # forward 12*6 + 6*4, weight gradients the same, deltas 6*4: two operations each, for every row
    assert operations(Trial(hidden=(6,)), 100, 12, 4) == 2 * 100 * (2 * (12 * 6 + 6 * 4) + 6 * 4)


def test_no_trial_predicts_better_by_a_tie():
    """Zero weights make all logits equal: the first class is predicted, as by argmax."""
    rng = np.random.default_rng(0)
    rows, labels = rng.random((64, 5)), rng.integers(0, 4, 64)
    one_step = TrialData(rows, labels, rows, labels, 4)
    mix = [Trial(hidden=(3,), init=init, epochs=1, batch_size=64) for init in ("zero", "he")]
    for backend in ("numpy", "torch"):
        results = train_many(mix, one_step, dtype=np.float64, backend=backend)
        assert results[0].history[0]["train_accuracy"] == pytest.approx((labels == 0).mean())


def test_a_trial_that_diverges_ends_alone(data):
    wild = Trial(hidden=(6,), activation="linear", learning_rate=1e5, epochs=4, batch_size=16)
    calm = Trial(hidden=(6,), activation="linear", learning_rate=0.01, epochs=4, batch_size=16)
    first, second, third = train_many([calm, wild, calm.model_copy(update={"seed": 1})], data, dtype=np.float64)
    assert second.ended == "diverged"
    assert second.diverged_epoch == train(wild, data).diverged_epoch == len(second.history)
    assert_same(train(calm, data), first)
    assert third.ended == "finished"


def test_patience_ends_a_trial_after_so_many_epochs_without_a_better_loss(data):
    trial = Trial(hidden=(50,), learning_rate=0.5, epochs=200, batch_size=16)
    (result,) = train_many([trial], data, stopping=Stopping(patience=5))
    assert result.ended == "patience"
    assert len(result.history) == result.best_epoch + 5


def test_halving_keeps_the_best_and_leaves_them_undisturbed(data):
    mix = [
        Trial(hidden=(6,), learning_rate=rate, schedule="cosine", dropout=0.1, epochs=6, batch_size=16)
        for rate in (1e-5, 1e-4, 0.05, 0.1)
    ]
    halved = train_many(mix, data, dtype=np.float64, stopping=Stopping(rungs=(Rung(2, 0.5), Rung(4, 0.5))))
    whole = train_many(mix, data, dtype=np.float64)
    assert [len(result.history) for result in halved].count(2) == 2
    assert [result.ended for result in halved].count("halved") == 3
    assert halved[0].ended == halved[1].ended == "halved"
    for short, long in zip(halved, whole, strict=True):
        for left, right in zip(short.history, long.history, strict=False):
            assert left["validation_loss"] == pytest.approx(right["validation_loss"], rel=STEP_TOLERANCE)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_weights_that_a_penalty_shrinks_for_ever_do_not_become_subnormal(data, backend):
    """Which would make each step many times as long."""
    rows = data.X_train.astype(np.float32)
    rows[:, 0] = 0  # whose weights have a penalty and no other gradient: each step halves them
    blank = TrialData(rows, data.y_train, rows[:50], data.y_train[:50], 4)
    trial = Trial(hidden=(5,), learning_rate=0.1, l2=40, batch_size=8, epochs=5)
    halved = -(-len(rows) // trial.batch_size) * trial.epochs
    tiny = np.finfo(np.float32).tiny
    assert tiny * 2.0**-20 < 2.0**-halved < tiny
    (together,) = train_many([trial], blank, backend=backend)
    for result in (together, train(trial, blank)):
        weights = result.network.network_.weights[0]
        of_blank = np.abs(weights[0])
        assert ((of_blank == 0) | (of_blank >= tiny)).all()
        assert of_blank.max() < 1e-36 < np.abs(weights).max()


def test_a_small_penalty_is_not_lost_at_single_precision():
    """1 - rate * l2 / n rounds to 1 here; over many steps the penalty must show nevertheless."""
    rng = np.random.default_rng(0)
    rows, labels = rng.random((512, 6)).astype(np.float32), rng.integers(0, 2, 512)
    flat = TrialData(rows, labels, rows[:8], labels[:8], 2)
    pair = [Trial(hidden=(8,), learning_rate=0.01, l2=l2, batch_size=4, epochs=20) for l2 in (0.0, 1e-5)]
    without, with_l2 = train_many(pair, flat)
    reference = train(pair[1], flat)
    assert not np.array_equal(parameters(without), parameters(with_l2))
    np.testing.assert_allclose(parameters(with_l2), parameters(reference), atol=1e-4)


class KilledError(Exception):
    """Stands in for a kill in the middle of a sweep."""


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_killed_sweep_goes_on_from_its_checkpoint_bit_identically(data, tmp_path, optimizer, backend):
    mix = [
        Trial(
            hidden=(width,),
            optimizer=optimizer,
            learning_rate=0.01,
            schedule="cosine" if width % 3 else "constant",
            momentum=0.9 * (width % 2),
            dropout=0.2 * (width // 6),
            epochs=width,
            seed=1,
        )
        for width in (3, 4, 6, 9)
    ]
    whole = train_many(mix, data, backend=backend)
    checkpoint = Checkpoint(tmp_path / "sweep.safetensors", every_epochs=2, every_seconds=None)

    def kill(_: int, record: dict[str, float]) -> None:
        if record["epoch"] == 8:
            raise KilledError

    with pytest.raises(KilledError):
        train_many(mix, data, backend=backend, checkpoint=checkpoint, on_epoch=kill)
    assert checkpoint.path.exists()
    epochs = []
    resumed = train_many(
        mix, data, backend=backend, checkpoint=checkpoint, on_epoch=lambda _, record: epochs.append(record["epoch"])
    )
    assert min(epochs) == 7
    again = train_many(mix, data, backend=backend, checkpoint=checkpoint, on_epoch=lambda *_: epochs.append(0))
    assert 0 not in epochs  # ended: the checkpoint holds all results
    assert all(np.array_equal(parameters(a), parameters(b)) for a, b in zip(resumed, again, strict=True))
    for one, other in zip(whole, resumed, strict=True):
        assert np.array_equal(parameters(one), parameters(other))
        assert [[row[name] for name in FIGURES] for row in one.history] == [
            [row[name] for name in FIGURES] for row in other.history
        ]


def test_a_checkpoint_of_another_call_or_a_damaged_one_is_ignored(data, tmp_path):
    trial = Trial(hidden=(4,), epochs=2)
    (whole,) = train_many([trial], data)
    for content in (b"", b"not a checkpoint", bytes(200)):
        (tmp_path / "c").write_bytes(content)
        (result,) = train_many([trial], data, checkpoint=Checkpoint(tmp_path / "c"))
        assert (tmp_path / "c").stat().st_size > 200
        assert np.array_equal(parameters(result), parameters(whole))


def test_a_checkpoint_of_the_same_trials_on_other_rows_is_ignored(data, tmp_path):
    trial, path = Trial(hidden=(4,), epochs=2), tmp_path / "c"
    train_many([trial], data, checkpoint=Checkpoint(path))
    other = TrialData(3 * data.X_train, data.y_train, data.X_validation, data.y_validation, 4)
    (resumed,) = train_many([trial], other, checkpoint=Checkpoint(path))
    assert np.array_equal(parameters(resumed), parameters(train_many([trial], other)[0]))


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_what_a_trial_predicts_when_it_diverges_is_what_it_predicts_alone(data, backend):
    wild = Trial(hidden=(4,), learning_rate=1e150, batch_size=8, epochs=3)
    (fused,) = train_many([wild], data, dtype=np.float64, backend=backend)
    assert [row["validation_accuracy"] for row in fused.history] == [
        row["validation_accuracy"] for row in train(wild, data).history
    ]


def test_calls_from_several_threads_are_right_and_give_blas_its_threads_back(data):
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    trials = [Trial(hidden=(5,), epochs=3, seed=seed) for seed in range(4)]
    with threadpool_limits(2, user_api="blas"):
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda trial: train_many([trial], data)[0], trials))
        assert set(threads()) == {2}
        for one, trial in zip(together, trials, strict=True):
            assert np.array_equal(parameters(one), parameters(train_many([trial], data)[0]))
        assert set(threads()) == {2}


def test_planned_memory_is_about_what_is_taken():
    rng = np.random.default_rng(0)
    rows, labels = rng.random((1000, 40), np.float32), rng.integers(0, 4, 1000)
    data = TrialData(rows, labels, rows[:150], labels[:150], 4)
    mixes = [
        [Trial(hidden=(10,), batch_size=1000, epochs=1, seed=seed) for seed in range(10)],
        [Trial(hidden=(300, 300), optimizer="adam", l2=0.1, batch_size=64, epochs=1)],
        [Trial(hidden=(300, 300), dropout=0.5, batch_size=1000, epochs=1, seed=seed) for seed in range(3)],
        [Trial(hidden=tuple(map(int, rng.integers(65, 130, 3))), batch_size=100, epochs=1) for _ in range(30)],
    ]
    for mix in mixes:
        planned = sum(group.bytes for group in group_trials(mix, 1000, 40, 4, 4, watched=150))
        tracemalloc.start()
        train_many(mix, data, lanes=1)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.3 * planned < taken < 1.3 * planned


def test_what_cannot_be_done_is_said(data):
    assert train_many([], data) == []
    blind = TrialData(data.X_train, data.y_train, data.X_validation[:0], data.y_validation[:0], 4)
    with pytest.raises(ConfigError, match="no validation rows"):
        train_many([Trial()], blind, stopping=Stopping(patience=1))
    with pytest.raises(ConfigError, match=r"trial \(100,\) with batch_size 128 needs"):
        group_trials([Trial()], 1000, 12, 4, memory=1000)
    with pytest.raises(ConfigError, match="backend numpy computes on the cpu only, not on 'cuda:0'"):
        train_many([Trial()], data, device="cuda:0", backend="numpy")
    with pytest.raises(ConfigError, match="patience must be at least 1 epoch, got 0"):
        train_many([Trial()], data, stopping=Stopping(patience=0))
    (result,) = train_many([Trial(epochs=1)], blind)
    assert set(result.history[0]) == {"epoch", "train_loss", "train_accuracy", "seconds"}
