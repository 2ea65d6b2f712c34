"""The NumPy estimator alone, on MNIST, layers 784-256-128-64-10, batch 128, float32, against its peers.

Side by side in one process, in turns, medians: scikit-learn's MLPClassifier, a plain PyTorch loop, and the time the
matrix products alone take at this machine's measured single-precision rate. The last line is one JSON object.

    python benchmarks/estimator.py --mirror ../shared/data
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier as SklearnMLP

from lib.config import places
from lib.datasets import acquire
from lib.datasets.sources import Mnist
from lib.mlp.estimator import MLPClassifier

SIZES = (784, 256, 128, 64, 10)
BATCH = 128
RATE = 0.1


def ours(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    MLPClassifier(SIZES[1:-1], epochs=epochs, batch_size=BATCH, learning_rate=RATE, random_state=0).fit(X, y)


def sklearn(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    model = SklearnMLP(
        SIZES[1:-1],
        solver="sgd",
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=RATE,
        momentum=0.0,
        nesterovs_momentum=False,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        tol=0.0,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)


def plain_torch(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for inputs, units in pairwise(SIZES):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    loss = torch.nn.CrossEntropyLoss()
    rows, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        for part in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss(model(rows[part]), labels[part]).backward()
            optimizer.step()


def products_only(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Only the matrix products of training, on fixed buffers: the bound no implementation on this BLAS can pass."""
    layers = [np.random.default_rng(0).random((BATCH, size), dtype=np.float32) for size in SIZES]
    weights = [np.zeros(pair, np.float32) for pair in pairwise(SIZES)]
    for _ in range(epochs * -(-len(X) // BATCH)):
        for index, matrix in enumerate(weights):
            np.matmul(layers[index], matrix, out=layers[index + 1])
        for index in range(len(weights) - 1, -1, -1):
            np.matmul(layers[index].T, layers[index + 1], out=weights[index])
            if index:
                np.matmul(layers[index + 1], weights[index].T, out=layers[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", help="folder or URL with mnist/ (default: PROBEFLOW_MIRROR, else the public one)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    where = places()
    mirror = Path(arguments.mirror).resolve().as_uri() if arguments.mirror else where.mirror
    dataset = acquire(Mnist(), where.data, mirror)
    X, y = dataset.pixels("train"), dataset.splits["train"].labels
    candidates: dict[str, Callable[[np.ndarray, np.ndarray, int], None]] = {
        "ours": ours,
        "sklearn": sklearn,
        "torch": plain_torch,
        "products": products_only,
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for run in range(arguments.runs + 1):
        for name, train in candidates.items():
            started = time.perf_counter()
            train(X, y, arguments.epochs)
            if run:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    flops = 2 * BATCH * (3 * sum(a * b for a, b in pairwise(SIZES)) - SIZES[0] * SIZES[1])
    for name, values in seconds.items():
        per_epoch = statistics.median(values) / arguments.epochs
        rate = flops * -(-len(X) // BATCH) / per_epoch / 1e9
        print(f"{name:9s} {per_epoch:.3f} s an epoch (min {min(values) / arguments.epochs:.3f}), {rate:.0f} GFLOP/s")
    ratio = {name: [a / b for a, b in zip(values, seconds["ours"], strict=True)] for name, values in seconds.items()}
    print(
        json.dumps(
            {
                "estimator_vs_sklearn": round(statistics.median(ratio["sklearn"]), 3),
                "estimator_vs_torch": round(statistics.median(ratio["torch"]), 3),
                "estimator_gemm_fraction": round(statistics.median(ratio["products"]), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
