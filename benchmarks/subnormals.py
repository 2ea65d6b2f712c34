"""What subnormal numbers cost: a network that an L2 penalty shrinks to nothing, with and without them.

A network of 512-256 units, by plain SGD on drawn rows of 1,000 features, half of which are always 0, as the border of
MNIST's images is. Nothing but the penalty moves their weights: each step takes a twentieth of them, until they are below
the smallest normal number. It is trained by the estimator on one core, in turns: as it is, with such numbers taken for
zero (`lib.machine.subnormals_as_zero`), and without; and by scikit-learn with the same settings, as it trains by itself.

    python -m benchmarks.subnormals

The last line is one JSON object of medians: seconds without over seconds with, of the last epoch and of all, and
scikit-learn's seconds over ours. Larger is better.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np

from lib import machine
from lib.evaluation.baselines import Question, sklearn_mlp
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial


def drawn(rows: int, features: int) -> TrialData:
    """Two classes that differ in their mean by a twentieth of the spread; the second half of the features is 0."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    X = (rng.normal(size=(rows, features)) + y[:, None] / 20).astype(np.float32)
    X[:, features // 2 :] = 0
    return TrialData(X, y, X[:100], y[:100], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=70)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    data = drawn(options.rows, 1000)
    trial = Trial(hidden=(512, 256), learning_rate=0.1, l2=16.0, batch_size=32, epochs=options.epochs)
    taken: dict[str, list[list[float]]] = {"with": [], "without": []}
    sklearn: list[float] = []
    for turn in range(options.turns):
        for name, turns in taken.items():
            unknown = patch.object(machine, "_flags_of_environment", lambda: None)
            with machine.one_blas_thread(), unknown if name == "without" else nullcontext():
                turns.append([0.0, *(each["seconds"] or 0.0 for each in train(trial, data).history)])
        started = time.perf_counter()
        with machine.one_blas_thread():
            sklearn_mlp(Question(data, data.X_train[:1], trial, trial.seed), {})
        sklearn.append(time.perf_counter() - started)
        words = (f"{name} {turns[-1][-1]:.1f} s, last epoch {_last(turns[-1]):.2f} s" for name, turns in taken.items())
        print(f"turn {turn + 1}: {'; '.join(words)}; scikit-learn {sklearn[-1]:.1f} s", flush=True)
    whole = {name: statistics.median(each[-1] for each in turns) for name, turns in taken.items()}
    last = {name: statistics.median(map(_last, turns)) for name, turns in taken.items()}
    figures = {
        "last_epoch": last["without"] / last["with"],
        "all_epochs": whole["without"] / whole["with"],
        "vs_sklearn": statistics.median(sklearn) / whole["with"],
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def _last(seconds: Sequence[float]) -> float:
    """The last epoch's seconds, of the seconds after each."""
    return seconds[-1] - seconds[-2]


if __name__ == "__main__":
    main()
