"""The sweep engine and the NumPy estimator against scikit-learn, a plain PyTorch loop, and the machine's matrix products.

Side by side in one process, in turns, float32, no validation rows; figures are medians over the turns. On a machine
with a GPU, (a) and (c) are also run there against the plain loop there (--device cuda). --scaling draws the time of an
extra trial against the number of trials into benchmarks/out/.

(a) 15 trials, {5, 20, 50, 100, 200} units x {0.1, 0.01, 0.001}, on the OCR letters, batch 32
(b) 4 activations x 5 seeds of 784-256-128-64-10 on MNIST, batch 128
(c) 200 random one- and two-layer trials on the letters, 5 seeds, batch 32
(e) the estimator alone, 784-256-128-64-10 on MNIST, batch 128
(w) 12 trials, 4 rates x 3 penalties, of 9216-512-256-10 by Adam, batch 32, on drawn rows
(l) 200 linear probes on 9,216 features, a penalty each, on drawn rows

Against (a) and (c) run, too: scikit-learn with trials in processes, one a core and of one BLAS thread (joblib; its
workers live on from turn to turn), and torch.vmap over stacked networks, a stack a shape, batch size and activation
(what it can stack). --jax adds jax.vmap of the same stacks, where JAX is installed; the project does not depend on it.

(w) has a bound (`roofline`): forward, the weights read once; backward, weights and both moments read and written once;
each of the two at the machine's own bandwidth or its own rate of products, whichever is slower, measured beside it with
all cores. w_bound_fraction is the bound's time over that of an epoch's steps.

(l) is fair by the loss: scikit-learn's LogisticRegression (L-BFGS, all cores, float32) minimises the same objective of
the same configuration, and stops at its first iteration whose objective is at most that of our probe after its epochs.
That iteration is searched beforehand, uncounted. Only every 40th configuration is timed, and counts for 40.

    python -m benchmarks.sweep --mirror ../shared/data
    python -m benchmarks.sweep --only wl --turns 3          # no data needed

The last line is one JSON object of ratios; each is better when larger.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from matplotlib import rc_context
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

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
_TORCH_FUNCTION: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda values: values,
}
WIDE = 9216
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
        sklearn_mlp(Question(data, data.X_train[:1], trial, trial.seed), {})


def _sklearn_alone(trial: Trial, data: TrialData) -> None:
    with threadpool_limits(1):
        sklearn([trial], data)


def sklearn_in_processes(trials: Sequence[Trial], data: TrialData) -> None:
    Parallel(n_jobs=cores())(delayed(_sklearn_alone)(trial, data) for trial in trials)


def _stacks(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials that one vmap can train: of one shape, activation and batch size."""
    stacks: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        stacks.setdefault((trial.hidden, trial.activation, trial.batch_size), []).append(trial)
    return list(stacks.values())


def vmap_torch(trials: Sequence[Trial], data: TrialData) -> None:
    """Plain SGD by torch.func: the gradient of the loss by stacked parameters; each network has its own order of rows."""
    rows, labels = torch.from_numpy(data.X_train), torch.from_numpy(data.y_train)
    for stack in _stacks(trials):
        first = stack[0]
        sizes = (rows.shape[1], *first.hidden, data.n_classes)
        rates = torch.tensor([trial.learning_rate for trial in stack])
        torch.manual_seed(0)
        stacked = [
            torch.stack(each)
            for each in zip(
                *([p.detach() for a, b in pairwise(sizes) for p in torch.nn.Linear(a, b).parameters()] for _ in stack),
                strict=True,
            )
        ]

        def loss(
            parameters: list[torch.Tensor], X: torch.Tensor, y: torch.Tensor, activation: str = first.activation
        ) -> torch.Tensor:
            for layer in range(0, len(parameters), 2):
                X = torch.nn.functional.linear(X, parameters[layer], parameters[layer + 1])
                if layer < len(parameters) - 2:
                    X = _TORCH_FUNCTION[activation](X)
            return torch.nn.functional.cross_entropy(X, y)

        gradients = torch.func.vmap(torch.func.grad(loss))
        steps = [-rates.view(-1, *[1] * (each.dim() - 1)) for each in stacked]
        for _ in range(first.epochs):
            orders = torch.stack([torch.randperm(len(rows)) for _ in stack])
            for part in orders.split(first.batch_size, 1):
                with torch.no_grad():
                    for each, gradient, step in zip(
                        stacked, gradients(stacked, rows[part], labels[part]), steps, strict=True
                    ):
                        each.addcmul_(gradient, step)


def vmap_jax(trials: Sequence[Trial], data: TrialData) -> None:
    """The same by jax.vmap, with an epoch's steps in one compiled scan; compiling counts, for a sweep compiles anew."""
    import jax
    import jax.numpy as jnp

    functions = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "linear": lambda values: values}
    rows, labels = jnp.asarray(data.X_train), jnp.asarray(data.y_train)
    rng = np.random.default_rng(0)
    for stack in _stacks(trials):
        first = stack[0]
        sizes = (rows.shape[1], *first.hidden, data.n_classes)
        rates = jnp.array([trial.learning_rate for trial in stack])
        stacked = [
            (
                jnp.asarray(rng.normal(0, math.sqrt(2 / a), (len(stack), a, b)), jnp.float32),
                jnp.zeros((len(stack), b), jnp.float32),
            )
            for a, b in pairwise(sizes)
        ]

        def loss(parameters, X, y, activation=first.activation):  # type: ignore[no-untyped-def]
            for weights, biases in parameters[:-1]:
                X = functions[activation](X @ weights + biases)
            log_p = jax.nn.log_softmax(X @ parameters[-1][0] + parameters[-1][1])
            return -jnp.take_along_axis(log_p, y[:, None], 1).mean()

        def step(parameters, which, rates=rates, loss=loss):  # type: ignore[no-untyped-def]
            gradients = jax.vmap(jax.grad(loss))(parameters, rows[which], labels[which])
            scaled = jax.tree.map(lambda p, g: p - rates.reshape(-1, *[1] * (g.ndim - 1)) * g, parameters, gradients)
            return scaled, None

        whole = len(rows) // first.batch_size * first.batch_size  # the last, shorter mini-batch is left out
        epoch = jax.jit(lambda parameters, orders, step=step: jax.lax.scan(step, parameters, orders)[0])
        for _ in range(first.epochs):
            orders = np.stack([rng.permutation(len(rows))[:whole] for _ in stack])
            orders = orders.reshape(len(stack), -1, first.batch_size).swapaxes(0, 1)
            stacked = epoch(stacked, jnp.asarray(orders))
        jax.block_until_ready(stacked)


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


def case_w(epochs: int = 3) -> list[Trial]:
    return [
        Trial(hidden=(512, 256), optimizer="adam", learning_rate=rate, l2=l2, batch_size=32, epochs=epochs)
        for rate in (1e-3, 3e-4, 1e-4, 3e-5)
        for l2 in (0.0, 0.1, 1.0)
    ]


def case_l(epochs: int = 2, count: int = 200) -> list[Trial]:
    return [
        Trial(hidden=(), init="zero", learning_rate=0.002, l2=float(l2), momentum=0.9, batch_size=64, epochs=epochs)
        for l2 in np.geomspace(1e-4, 10, count)
    ]


def drawn(rows: int, classes: int = 10) -> TrialData:
    """Standardised rows of 9,216 features: rectified, with noise, and of overlapping classes.

    They come of 256 causes whose standard deviations fall as 1/k, for a frozen network's features are correlated.
    """
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, rows)
    causes = (rng.normal(0, 1, (rows, 256)) + rng.normal(0, 0.35, (classes, 256))[y]) / np.arange(1, 257)
    X = causes.astype(np.float32) @ rng.standard_normal((256, WIDE), np.float32)
    X += 0.3 * X.std() * rng.standard_normal(X.shape, np.float32)
    np.maximum(X, 0, out=X)
    X -= X.mean(0)
    X /= X.std(0)
    return TrialData(X, y, X[:0], y[:0], classes)


def stream_rate(seconds: float = 1.0) -> float:
    """The machine's bandwidth in bytes/s with all cores: the better of copying and adding in place, 256 MB each."""
    one, other = torch.ones(1 << 26), torch.ones(1 << 26)
    rates = []
    for moved, work in ((2, lambda: one.copy_(other)), (3, lambda: one.add_(other))):
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        rates.append(moved * 4 * one.numel() / statistics.median(times))
    return max(rates)


def roofline(trials: Sequence[Trial], data: TrialData) -> float:
    """The least seconds of an epoch of Adam's steps here, by what must move and be multiplied (see the head)."""
    rows = len(data.X_train)
    stream, gemm = stream_rate(), gemm_rate()
    steps = -(-rows // trials[0].batch_size)
    weights = sum(a * b for trial in trials for a, b in pairwise((WIDE, *trial.hidden, data.n_classes)))
    forward = 2.0 * rows * weights
    backward = needed_flops([trial.model_copy(update={"epochs": 1}) for trial in trials], data) - forward
    print(
        f"    bound: {stream / 1e9:.1f} GB/s, {gemm / 1e9:.0f} GFLOP/s; a step moves {7 * 4 * weights / 1e9:.2f} GB "
        f"and multiplies {(forward + backward) / steps / 1e9:.1f} GFLOP"
    )
    return max(steps * 4 * weights / stream, forward / gemm) + max(steps * 24 * weights / stream, backward / gemm)


def wide(turns: int) -> dict[str, float]:
    """Case (w). In each turn the bound is measured between our training and scikit-learn's."""
    data, trials = drawn(640), case_w()
    fractions, ratios = [], []
    for turn in range(turns + 1):
        ends: list[float] = []

        def listen(trial: int, _: object, ends: list[float] = ends) -> None:
            if trial == 0:
                ends.append(time.perf_counter())

        started = time.perf_counter()
        train_many(trials, data, on_epoch=listen)
        ours = time.perf_counter() - started
        epoch = min(after - before for before, after in pairwise(ends))
        bound = roofline(trials, data)
        started = time.perf_counter()
        sklearn(trials[::5], data)  # three rates, three penalties
        theirs = (time.perf_counter() - started) * len(trials) / len(trials[::5])
        print(
            f"(w) turn {turn}: ours {ours:.2f} s, an epoch {epoch:.2f} s, bound {bound:.2f} s; sklearn {theirs:.1f} s"
        )
        if turn:
            fractions.append(bound / epoch)
            ratios.append(theirs / ours)
    return {
        "w_vs_sklearn": round(statistics.median(ratios), 2),
        "w_bound_fraction": round(statistics.median(fractions), 3),
    }


def objective(model: object, data: TrialData, penalty: float) -> float:
    """Mean cross-entropy and `penalty` / 2 times the sum of squared weights."""
    if isinstance(model, LogisticRegression):
        weights, biases = model.coef_.T, model.intercept_
    else:
        network = model.network_  # type: ignore[attr-defined]
        weights, biases = network.weights[0], network.biases[0]
    logits = (data.X_train @ weights + biases).astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    of_label = logits[np.arange(len(logits)), data.y_train]
    return float(
        (np.log(np.exp(logits).sum(1)) - of_label).mean() + penalty / 2 * (weights.astype(np.float64) ** 2).sum()
    )


def logistic(data: TrialData, penalty: float, iterations: int) -> LogisticRegression:
    """The same objective: C * (sum of cross-entropies) + half the sum of squares."""
    model = LogisticRegression(C=1 / (penalty * len(data.X_train)), max_iter=iterations, tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(data.X_train, data.y_train)


def probes(turns: int, rows: int = 8000) -> dict[str, float]:
    """Case (l)."""
    data, trials = drawn(rows), case_l()
    every = len(trials) // 5
    sample = range(every // 2, len(trials), every)
    results = train_many(trials, data)
    penalties = {index: trials[index].l2 / trials[index].batch_size for index in sample}
    iterations = {}
    for index in sample:
        wanted = objective(results[index].network, data, penalties[index])
        low, high = 0, 1
        while objective(logistic(data, penalties[index], high), data, penalties[index]) > wanted and high < 2000:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            reached = objective(logistic(data, penalties[index], middle), data, penalties[index]) <= wanted
            low, high = (low, middle) if reached else (middle, high)
        iterations[index] = high
        print(f"    l2 {trials[index].l2:.2g}: objective {wanted:.4f}, which L-BFGS reaches in iteration {high}")
    ratios = []
    for turn in range(turns):
        started = time.perf_counter()
        train_many(trials, data)
        ours = time.perf_counter() - started
        started = time.perf_counter()
        for index in sample:
            logistic(data, penalties[index], iterations[index])
        theirs = (time.perf_counter() - started) * len(trials) / len(sample)
        print(f"(l) turn {turn + 1}: ours {ours:.2f} s, sklearn {theirs:.1f} s", flush=True)
        ratios.append(theirs / ours)
    return {"l_vs_sklearn": round(statistics.median(ratios), 2)}


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
    parser.add_argument("--only", default="abcewl", help="which cases to run, e.g. ac")
    parser.add_argument(
        "--against",
        nargs="+",
        choices=["sklearn", "torch", "joblib", "vmap"],
        help="of what (a) and (c) are measured against, these",
    )
    parser.add_argument("--jax", action="store_true", help="jax.vmap in (a) and (c), too")
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
    if set("ac") & set(arguments.only) or arguments.scaling:
        letters = as_trial_data(acquire(Letters(), where.data, mirror))
    if arguments.scaling:
        scaling(letters, gpu or "cpu")
        return
    if set("be") & set(arguments.only):
        mnist = as_trial_data(acquire(Mnist(), where.data, mirror))
    both: dict[str, Contestant] = {"fused": fused("cpu"), "sklearn": sklearn, "torch": plain_torch("cpu")}
    several: dict[str, Contestant] = {**both, "joblib": sklearn_in_processes, "vmap": vmap_torch}
    if arguments.against:
        several = {name: train for name, train in several.items() if name in ("fused", *arguments.against)}
    if arguments.jax:
        several["jax"] = vmap_jax
    result: dict[str, float] = {}
    if "a" in arguments.only:
        seconds = measure("a", case_a(3), letters, several, arguments.turns)
        result |= {f"a_vs_{other}": ratio(seconds, other) for other in list(several)[1:]}
    if "b" in arguments.only:
        pair: dict[str, Contestant] = {"fused": fused("cpu"), "sklearn": sklearn}
        seconds = measure("b", case_b(1), mnist, pair, arguments.turns)
        result |= {
            "b_vs_sklearn": ratio(seconds, "sklearn"),
            "b_gemm_fraction": fraction(seconds, case_b(1), mnist),
        }
    if "c" in arguments.only:
        seconds = measure("c", case_c(1), letters, several, arguments.turns)
        result |= {f"c_vs_{other}": ratio(seconds, other) for other in list(several)[1:]}
    if "e" in arguments.only:
        one = [Trial(hidden=DEEP, batch_size=128, epochs=3)]
        alone: dict[str, Contestant] = {"estimator": numpy_estimator, "sklearn": sklearn, "torch": plain_torch("cpu")}
        seconds = measure("e", one, mnist, alone, arguments.turns)
        result |= {
            "estimator_vs_sklearn": ratio(seconds, "sklearn"),
            "estimator_vs_torch": ratio(seconds, "torch"),
            "estimator_gemm_fraction": fraction(seconds, one, mnist),
        }
    if "w" in arguments.only:
        result |= wide(arguments.turns)
    if "l" in arguments.only:
        result |= probes(arguments.turns)
    if gpu is not None:
        there: dict[str, Contestant] = {"fused": fused(gpu), "torch": plain_torch(gpu)}
        for case, trials in (("a", case_a(3)), ("c", case_c(3))):
            if case in arguments.only:
                seconds = measure(f"{case} on {gpu}", trials, letters, there, arguments.turns)
                result[f"{case}_vs_torch_on_gpu"] = ratio(seconds, "torch")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
