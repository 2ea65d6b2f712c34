"""The sweep engine and the NumPy estimator against scikit-learn, a plain PyTorch loop, and the machine's matrix products.

Side by side in one process, in turns, float32, no validation rows; figures are medians over the turns.

(a) 15 trials, {5, 20, 50, 100, 200} units x {0.1, 0.01, 0.001}, on the OCR letters, batch 32
(b) 4 activations x 5 seeds of 784-256-128-64-10 on MNIST, batch 128
(c) 200 random one- and two-layer trials on the letters, 5 seeds, batch 32
(e) the estimator alone, 784-256-128-64-10 on MNIST, batch 128

    python -m benchmarks.sweep --mirror ../shared/data

The last line is one JSON object of ratios; each is better when larger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from lib.config import places
from lib.datasets import acquire
from lib.datasets.dataset import Dataset
from lib.datasets.sources import Letters, Mnist
from lib.evaluation.peers import train_sklearn
from lib.mlp.fused import train_many
from lib.mlp.training import TrialData, estimator
from lib.mlp.trial import Trial

DEEP = (256, 128, 64)
_TORCH: dict[str, type[torch.nn.Module]] = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "linear": torch.nn.Identity,
}
Contestant = Callable[[Sequence[Trial], TrialData], None]


def fused(trials: Sequence[Trial], data: TrialData) -> None:
    train_many(trials, data)


def numpy_estimator(trials: Sequence[Trial], data: TrialData) -> None:
    for trial in trials:
        estimator(trial).fit(data.X_train, data.y_train)


def sklearn(trials: Sequence[Trial], data: TrialData) -> None:
    for trial in trials:
        train_sklearn(trial, data, data.X_train[:1])


def plain_torch(trials: Sequence[Trial], data: TrialData) -> None:
    rows, labels = torch.from_numpy(data.X_train), torch.from_numpy(data.y_train)
    for trial in trials:
        torch.manual_seed(trial.seed)
        layers: list[torch.nn.Module] = []
        for inputs, units in pairwise((rows.shape[1], *trial.hidden, data.n_classes)):
            layers += [torch.nn.Linear(inputs, units), _TORCH[trial.activation]()]
        model = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.SGD(model.parameters(), trial.learning_rate)
        loss = torch.nn.CrossEntropyLoss()
        for _ in range(trial.epochs):
            for part in torch.randperm(len(rows)).split(trial.batch_size):
                optimizer.zero_grad()
                loss(model(rows[part]), labels[part]).backward()
                optimizer.step()


def needed_flops(trials: Sequence[Trial], data: TrialData) -> float:
    """Floating-point operations of the products that training needs: forward, weight gradients, lower deltas."""
    total = 0.0
    for trial in trials:
        sizes = (data.X_train.shape[1], *trial.hidden, data.n_classes)
        products = 3 * sum(a * b for a, b in pairwise(sizes)) - sizes[0] * sizes[1]
        total += 2.0 * len(data.X_train) * trial.epochs * products
    return total


def gemm_rate(seconds: float = 1.0) -> float:
    """The machine's single-precision rate in FLOP/s: the better of torch's and NumPy's product of 1536 x 1536."""
    size = 1536
    left = np.random.default_rng(0).random((size, size), np.float32)
    out = np.empty_like(left)
    tensor, target = torch.from_numpy(left), torch.from_numpy(out)
    rates = []
    for product in (lambda: np.matmul(left, left, out=out), lambda: torch.mm(tensor, tensor, out=target)):
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            product()
            times.append(time.perf_counter() - started)
        rates.append(2 * size**3 / statistics.median(times))
    return max(rates)


def case_a(epochs: int) -> list[Trial]:
    return [
        Trial(hidden=(units,), learning_rate=rate, batch_size=32, epochs=epochs)
        for units in (5, 20, 50, 100, 200)
        for rate in (0.1, 0.01, 0.001)
    ]


def case_b(epochs: int) -> list[Trial]:
    return [
        Trial(hidden=DEEP, activation=activation, batch_size=128, epochs=epochs, seed=seed)  # type: ignore[arg-type]
        for activation in _TORCH
        for seed in range(5)
    ]


def case_c(epochs: int, count: int = 200) -> list[Trial]:
    rng = np.random.default_rng(0)
    trials = []
    for index in range(count):
        depth = int(rng.integers(1, 3))
        trials.append(
            Trial(
                hidden=tuple(int(units) for units in np.exp(rng.uniform(np.log(5), np.log(200), depth))),
                activation=str(rng.choice(list(_TORCH))),  # type: ignore[arg-type]
                learning_rate=float(np.exp(rng.uniform(np.log(1e-3), np.log(0.2)))),
                batch_size=32,
                epochs=epochs,
                seed=index % 5,
            )
        )
    return trials


def measure(
    name: str, trials: Sequence[Trial], data: TrialData, contestants: dict[str, Contestant], turns: int
) -> dict[str, list[float]]:
    """Seconds of each contestant in each turn; a first, uncounted turn warms up."""
    seconds: dict[str, list[float]] = {label: [] for label in contestants}
    for turn in range(turns + 1):
        for label, train in contestants.items():
            started = time.perf_counter()
            train(trials, data)
            if turn:
                seconds[label].append(time.perf_counter() - started)
    words = ", ".join(f"{label} {statistics.median(values):.2f} s" for label, values in seconds.items())
    print(f"({name}) {len(trials)} trial(s) x {trials[0].epochs} epoch(s): {words}", flush=True)
    return seconds


def ratio(seconds: dict[str, list[float]], peer: str) -> float:
    """Median over turns of the peer's seconds over ours (the first contestant's)."""
    ours = next(iter(seconds.values()))
    return round(statistics.median(a / b for a, b in zip(seconds[peer], ours, strict=True)), 2)


def fraction(seconds: dict[str, list[float]], trials: Sequence[Trial], data: TrialData) -> float:
    """Our rate of needed operations over the machine's rate, measured just after."""
    ours = statistics.median(next(iter(seconds.values())))
    return round(needed_flops(trials, data) / ours / gemm_rate(), 3)


def as_trial_data(dataset: Dataset) -> TrialData:
    """Training rows only."""
    X, y = dataset.pixels("train"), dataset.splits["train"].labels
    return TrialData(X, y, X[:0], y[:0], len(dataset.class_names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", help="folder or URL with mnist/ and letters/ (default: PROBEFLOW_MIRROR)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cases", default="abce", help="which to run, e.g. ac")
    arguments = parser.parse_args()
    where = places()
    mirror = Path(arguments.mirror).resolve().as_uri() if arguments.mirror else where.mirror
    result: dict[str, float] = {}
    print(f"{torch.get_num_threads()} threads, GEMM {gemm_rate() / 1e9:.0f} GFLOP/s")
    if set("ac") & set(arguments.cases):
        letters = as_trial_data(acquire(Letters(), where.data, mirror))
    if set("be") & set(arguments.cases):
        mnist = as_trial_data(acquire(Mnist(), where.data, mirror))
    both: dict[str, Contestant] = {"fused": fused, "sklearn": sklearn, "torch": plain_torch}
    if "a" in arguments.cases:
        seconds = measure("a", case_a(3), letters, both, arguments.turns)
        result |= {"a_vs_sklearn": ratio(seconds, "sklearn"), "a_vs_torch": ratio(seconds, "torch")}
    if "b" in arguments.cases:
        seconds = measure("b", case_b(1), mnist, {"fused": fused, "sklearn": sklearn}, arguments.turns)
        result |= {
            "b_vs_sklearn": ratio(seconds, "sklearn"),
            "b_gemm_fraction": fraction(seconds, case_b(1), mnist),
        }
    if "c" in arguments.cases:
        seconds = measure("c", case_c(1), letters, both, arguments.turns)
        result |= {"c_vs_sklearn": ratio(seconds, "sklearn"), "c_vs_torch": ratio(seconds, "torch")}
    if "e" in arguments.cases:
        one = [Trial(hidden=DEEP, batch_size=128, epochs=3)]
        alone: dict[str, Contestant] = {"estimator": numpy_estimator, "sklearn": sklearn, "torch": plain_torch}
        seconds = measure("e", one, mnist, alone, arguments.turns)
        result |= {
            "estimator_vs_sklearn": ratio(seconds, "sklearn"),
            "estimator_vs_torch": ratio(seconds, "torch"),
            "estimator_gemm_fraction": fraction(seconds, one, mnist),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
