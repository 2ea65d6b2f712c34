"""The sweep engine and the NumPy estimator against scikit-learn, a plain PyTorch loop, and the machine's matrix products.

Side by side in one process, in turns, float32, no validation rows; figures are medians over the turns. On a machine
with a GPU, (a) and (c) are also run there against the plain loop there (--device cuda). --scaling draws the time of an
extra trial against the number of trials into benchmarks/out/.

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
from matplotlib import rc_context
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info

from lib.datasets import acquire
from lib.datasets.dataset import Dataset
from lib.datasets.sources import Letters, Mnist
from lib.evaluation.baselines import Question, sklearn_mlp
from lib.figures.style import PALETTE, STYLE
from lib.files import atomic_path
from lib.machine import cores
from lib.mlp.fused import train_many
from lib.mlp.grouping import operations
from lib.mlp.training import TrialData, estimator
from lib.mlp.trial import Trial
from lib.places import places

DEEP = (256, 128, 64)
_TORCH: dict[str, type[torch.nn.Module]] = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "linear": torch.nn.Identity,
}
Contestant = Callable[[Sequence[Trial], TrialData], None]


def fused(device: str) -> Contestant:
    def contestant(trials: Sequence[Trial], data: TrialData) -> None:
        train_many(trials, data, device=device)

    return contestant


def numpy_estimator(trials: Sequence[Trial], data: TrialData) -> None:
    for trial in trials:
        estimator(trial).fit(data.X_train, data.y_train)


def sklearn(trials: Sequence[Trial], data: TrialData) -> None:
    for trial in trials:
        sklearn_mlp(Question(data, data.X_train[:1], trial, trial.seed))


def plain_torch(device: str) -> Contestant:
    def contestant(trials: Sequence[Trial], data: TrialData) -> None:
        rows, labels = torch.from_numpy(data.X_train).to(device), torch.from_numpy(data.y_train).to(device)
        for trial in trials:
            torch.manual_seed(trial.seed)
            layers: list[torch.nn.Module] = []
            for inputs, units in pairwise((rows.shape[1], *trial.hidden, data.n_classes)):
                layers += [torch.nn.Linear(inputs, units), _TORCH[trial.activation]()]
            model = torch.nn.Sequential(*layers[:-1]).to(device)
            optimizer = torch.optim.SGD(model.parameters(), trial.learning_rate)
            loss = torch.nn.CrossEntropyLoss()
            for _ in range(trial.epochs):
                for part in torch.randperm(len(rows), device=device).split(trial.batch_size):
                    optimizer.zero_grad()
                    loss(model(rows[part]), labels[part]).backward()
                    optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    return contestant


def needed_flops(trials: Sequence[Trial], data: TrialData) -> float:
    """Floating-point operations of the products that training needs (see `lib.mlp.grouping.operations`)."""
    rows, features = data.X_train.shape
    return float(sum(trial.epochs * operations(trial, rows, features, data.n_classes) for trial in trials))


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


def ratio(seconds: dict[str, list[float]], other: str) -> float:
    """Median over turns of the other contestant's seconds over ours (the first contestant's)."""
    ours = next(iter(seconds.values()))
    return round(statistics.median(a / b for a, b in zip(seconds[other], ours, strict=True)), 2)


def fraction(seconds: dict[str, list[float]], trials: Sequence[Trial], data: TrialData) -> float:
    """Our rate of needed operations over the machine's rate, measured just after."""
    ours = statistics.median(next(iter(seconds.values())))
    return round(needed_flops(trials, data) / ours / gemm_rate(), 3)


def as_trial_data(dataset: Dataset) -> TrialData:
    """Training rows only."""
    X, y = dataset.pixels("train"), dataset.splits["train"].labels
    return TrialData(X, y, X[:0], y[:0], len(dataset.class_names))


def scaling(data: TrialData, device: str) -> None:
    """Draw the seconds of one epoch, and of one extra trial in it, against the number of trials (1 to 1000)."""
    counts = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    seconds = []
    for count in counts:
        trials = case_c(1, count)
        train_many(trials, data, device=device)
        started = time.perf_counter()
        train_many(trials, data, device=device)
        seconds.append(time.perf_counter() - started)
        print(f"{count:5d} trials: {seconds[-1]:.3f} s an epoch", flush=True)
    extra = [(b - a) / (n - m) * 1e3 for (m, a), (n, b) in pairwise(zip(counts, seconds, strict=True))]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6))
        whole, one = figure.subplots(1, 2)
        whole.loglog(counts, seconds, marker="o", color=PALETTE[0])
        whole.set_ylabel("seconds an epoch")
        one.semilogx(counts[1:], extra, marker="o", color=PALETTE[1])
        one.set_ylim(bottom=0)
        one.set_ylabel("milliseconds an epoch for one trial more")
        for axis in (whole, one):
            axis.set_xlabel("trials trained together")
        where = torch.cuda.get_device_name(device) if device != "cpu" else f"{cores()} CPU cores"
        figure.suptitle(f"Random one- and two-layer trials on the letters, batch 32, on {where}")
        path = Path(__file__).parent / "out" / f"scaling-{device.split(':')[0]}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")
    print(f"drawn: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", help="folder or URL with mnist/ and letters/ (default: PROBEFLOW_MIRROR)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cases", default="abce", help="which to run, e.g. ac")
    parser.add_argument("--device", help="where (a) and (c) run besides: cuda if there is a GPU, else nowhere")
    parser.add_argument("--scaling", action="store_true", help="only draw time against the number of trials")
    arguments = parser.parse_args()
    where = places()
    mirror = Path(arguments.mirror).resolve().as_uri() if arguments.mirror else where.mirror
    gpu = arguments.device or ("cuda" if torch.cuda.is_available() else None)
    kernels = {
        pool["internal_api"]: pool.get("architecture") for pool in threadpool_info() if pool["user_api"] == "blas"
    }
    print(f"{cores()} cores, GEMM {gemm_rate() / 1e9:.0f} GFLOP/s, BLAS of NumPy and SciPy: {kernels}")
    if set("ac") & set(arguments.cases) or arguments.scaling:
        letters = as_trial_data(acquire(Letters(), where.data, mirror))
    if arguments.scaling:
        scaling(letters, gpu or "cpu")
        return
    if set("be") & set(arguments.cases):
        mnist = as_trial_data(acquire(Mnist(), where.data, mirror))
    both: dict[str, Contestant] = {"fused": fused("cpu"), "sklearn": sklearn, "torch": plain_torch("cpu")}
    result: dict[str, float] = {}
    if "a" in arguments.cases:
        seconds = measure("a", case_a(3), letters, both, arguments.turns)
        result |= {"a_vs_sklearn": ratio(seconds, "sklearn"), "a_vs_torch": ratio(seconds, "torch")}
    if "b" in arguments.cases:
        pair: dict[str, Contestant] = {"fused": fused("cpu"), "sklearn": sklearn}
        seconds = measure("b", case_b(1), mnist, pair, arguments.turns)
        result |= {
            "b_vs_sklearn": ratio(seconds, "sklearn"),
            "b_gemm_fraction": fraction(seconds, case_b(1), mnist),
        }
    if "c" in arguments.cases:
        seconds = measure("c", case_c(1), letters, both, arguments.turns)
        result |= {"c_vs_sklearn": ratio(seconds, "sklearn"), "c_vs_torch": ratio(seconds, "torch")}
    if "e" in arguments.cases:
        one = [Trial(hidden=DEEP, batch_size=128, epochs=3)]
        alone: dict[str, Contestant] = {"estimator": numpy_estimator, "sklearn": sklearn, "torch": plain_torch("cpu")}
        seconds = measure("e", one, mnist, alone, arguments.turns)
        result |= {
            "estimator_vs_sklearn": ratio(seconds, "sklearn"),
            "estimator_vs_torch": ratio(seconds, "torch"),
            "estimator_gemm_fraction": fraction(seconds, one, mnist),
        }
    if gpu is not None:
        there: dict[str, Contestant] = {"fused": fused(gpu), "torch": plain_torch(gpu)}
        for case, trials in (("a", case_a(3)), ("c", case_c(3))):
            if case in arguments.cases:
                seconds = measure(f"{case} on {gpu}", trials, letters, there, arguments.turns)
                result[f"{case}_vs_torch_on_gpu"] = ratio(seconds, "torch")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
