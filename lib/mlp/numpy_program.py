"""One stacked program on the CPU: many networks of one depth, batch size and kind of optimiser, in NumPy.

The arithmetic is `lib.mlp.network`'s, for all trials at once; see `lib.mlp.layout` for how they lie. Most products are
small, so what counts is the cost of a call: NumPy's is a fraction of torch's. Programs run side by side in processes
(`lib.mlp.lanes`), each on one core with its parameters in that core's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.machine import subnormals_as_zero
from lib.mlp.activations import ACTIVATIONS
from lib.mlp.dropout import Masks, units_of
from lib.mlp.layout import Band, Index, Layout
from lib.mlp.losses import label_positions, smooth_labels, softmax_cross_entropy, subtract_one
from lib.mlp.network import EVALUATION_ROWS
from lib.mlp.optimizers import Adam, AdamW, Momentum, Stepper
from lib.mlp.products import Prepared, prepared_product, prepared_sums
from lib.mlp.schedules import epoch_factors, is_scheduled
from lib.mlp.stacked import STATE, Buffers, Move, Rows, epoch_figures, initial_parameters, kind_of

Array = npt.NDArray[np.floating]

_SPAN = 1 << 17
"""Parameters stepped at once: an optimiser's many passes over a span stay in a core's cache."""
_EVALUATED = 1 << 20
"""Units x rows of a layer that are evaluated at once."""
_FEW = 4
"""Networks of a stack up to which a call of BLAS for each is quicker than NumPy's one for all."""
_FEW_ADDED = 8
"""The same where a product is added to weights, which NumPy does in a pass of its own."""
_LARGE = 1000
"""Weights of a network from which that pass costs more than calls, however many there are."""

_Factors = tuple[Array, Array, Array]
"""Left factor, right factor, result. Those of three axes are stacks of networks; a mini-batch's rows are the last axis."""


@dataclass(frozen=True)
class _Slice:
    """Neighbouring units of one activation, and what its backward pass needs.

    `activated` is their output, or with dropout what it was before it was scaled.
    """

    apply: Callable[[Array], None]
    backward: Callable[[Array, Array, Array], None]
    output: Array
    activated: Array
    delta: Array
    scratch: Array


@dataclass(frozen=True)
class _SpanStepper:
    """Updates the parameters of `span`, of which those of `weights` have an L2 penalty, if there is one.

    Runs of its parameters are of one trial each, `trials`, and of `lengths`.
    """

    span: slice
    stepper: Stepper
    weights: slice
    penalty: Array | None
    scratch: Array
    trials: Index
    lengths: Index

    def schedule(self, factors: Array) -> None:
        """Take what each trial's schedule multiplies the next step's size with."""
        values = factors[self.trials]
        self.stepper.factor = values[0] if (values == values[0]).all() else np.repeat(values, self.lengths)

    def step(self, parameters: Array, gradient: Array, count: int) -> None:
        """One step by the gradient of a mini-batch of `count` rows."""
        if self.penalty is not None:
            np.divide(parameters[self.weights], count, out=self.scratch)
            np.multiply(self.scratch, self.penalty, out=self.scratch)
            gradient[self.weights] += self.scratch
        self.stepper.step(parameters[self.span], gradient[self.span])


class NumpyProgram:
    """Parameters and optimiser state of many trials, and the epoch that trains them.

    `parameters`, and each of `state` (see `lib.mlp.stacked.STATE`), have shape (layout.size,) and the dtype of `rows.X`.
    """

    def __init__(self, layout: Layout, rows: Rows[npt.NDArray[Any]]) -> None:
        self.layout, self.rows = layout, rows
        self.kind = kind_of(layout.trials[0])
        dtype = rows.X.dtype
        self.parameters: Array = np.zeros(layout.size, dtype)
        self.state = {name: np.zeros_like(self.parameters) for name in STATE[self.kind]}
        self.first, self.blocks, self.biases = self.views(self.parameters)
        self._spaces: dict[tuple[int, bool], _Space] = {}
        self._steps = 0
        self._batch = min(layout.trials[0].batch_size, len(rows.X))
        rates = layout.settings("learning_rate").astype(dtype)
        self._rates = rates[layout.in_slots, None, None]
        self._scheduled = any(map(is_scheduled, layout.trials))
        smoothing = layout.settings("label_smoothing").astype(dtype)[layout.in_slots]
        self._smoothing: Array | None = smoothing if smoothing.any() else None
        weights = layout.class_weights(rows.y)
        self._class_weights: Array | None = None if weights is None else weights.astype(dtype)
        self._steppers: list[_SpanStepper] = []
        # Plain SGD's step size goes into the output's delta once, and from there into every layer's update.
        self._output_scale: Array = np.ones((len(layout.trials), 1, 1), dtype)
        if self.kind == "sgd":
            stacks = (weights.size for later in self.blocks for weights in later if not _singly(weights))
            self.gradient: Array = np.empty(max(stacks, default=0), dtype)
            self._output_scale = -self._rates
            return
        self.gradient = np.zeros_like(self.parameters)
        self._steppers = list(self._make_steppers(rates))

    def _make_steppers(self, rates: Array) -> Iterator[_SpanStepper]:
        """One for each span of parameters, so that an optimiser's many passes over a span stay in cache."""
        layout, state = self.layout, self.state
        momenta, penalties, decays = (
            layout.settings(name).astype(rates.dtype) for name in ("momentum", "l2", "weight_decay")
        )
        scratch = np.empty(min(_SPAN, layout.size), rates.dtype)
        for start in range(0, layout.size, _SPAN):
            span = slice(start, min(start + _SPAN, layout.size))
            rate = self._of_span(rates, span)
            weights = slice(start, max(start, min(span.stop, layout.n_weights)))
            n_weights = weights.stop - start
            stepper: Stepper
            if self.kind == "momentum":
                stepper = Momentum(rate, self._of_span(momenta, span), state["velocity"][span])
            else:
                vectors = (state["mean"][span], state["square"][span], scratch[: span.stop - start])
                decay = self._of_span(decays, weights) if decays.any() and n_weights else 0.0
                decays_here = np.ndim(decay) or decay
                stepper = AdamW(rate, *vectors, decay, n_weights) if decays_here else Adam(rate, *vectors)
            penalty = self._of_span(penalties, weights) if penalties.any() and n_weights else None
            yield _SpanStepper(span, stepper, weights, penalty, scratch[:n_weights], *layout.runs_of(span))

    def _of_span(self, of_trial: Array, span: slice) -> Array:
        """The value of each parameter's trial, or one number where all are equal: a wide layer's spans are of one trial."""
        values = self.layout.per_parameter(of_trial, span)
        return values[0] if (values == values[0]).all() else values

    def views(self, flat: Array) -> tuple[Array, list[list[Array]], list[Array]]:
        """Of a vector laid out as `parameters`: first layer (rows, inputs); later layers' blocks (count, outputs, inputs),
        without the first axis where it is 1; biases of each layer.
        """
        layout = self.layout
        first = flat[: layout.rows[0] * layout.inputs].reshape(layout.rows[0], layout.inputs)
        blocks = [
            [_squeezed(flat[b.offset : b.offset + b.size].reshape(b.count, b.outputs, b.inputs)) for b in later.blocks]
            for later in layout.later
        ]
        return first, blocks, [flat[start:stop] for start, stop in pairwise(layout.bias_offsets)]

    @property
    def steps(self) -> int:
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps = steps
        for each in self._steppers:
            if isinstance(each.stepper, Adam):
                each.stepper.steps = steps

    @subnormals_as_zero()
    def run_epoch(self, orders: Mapping[int, npt.NDArray[np.int64]]) -> dict[str, list[float]]:
        rows = self.rows
        order = np.stack([orders[seed] for seed in self.layout.seeds])
        labels = rows.y[order]
        starts = range(0, len(rows.X), self._batch)
        losses = np.empty((len(starts), len(self.layout.trials)))
        rights = np.empty(losses.shape, np.int64)
        factors = epoch_factors(self.layout.trials, self._steps, len(starts)) if self._scheduled else None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # divergence is found by its loss
            for step, start in enumerate(starts):
                part = slice(start, start + self._batch)
                space = self._space(len(rows.X[part]), training=True)
                for inputs, of_seed in zip(space.inputs, order[:, part], strict=True):
                    np.take(rows.X, of_seed, axis=0, out=inputs, mode="clip")  # clip: unchecked, so unbuffered
                if factors is not None:
                    self._schedule(factors[step].astype(self.parameters.dtype))
                losses[step], rights[step] = self._step(space, labels[:, part])
            watched = self._evaluate() if len(rows.X_validation) else None
            slots = self.layout.slots
            return epoch_figures(losses[:, slots], rights[:, slots], len(rows.X), watched, self._finite())

    def _schedule(self, factors: Array) -> None:
        """Take what the next step's sizes are multiplied with, shape (trials,)."""
        if self.kind == "sgd":
            self._output_scale = -self._rates * factors[self.layout.in_slots, None, None]
        for each in self._steppers:
            each.schedule(factors)

    def _space(self, count: int, training: bool) -> _Space:
        key = (count, training)
        if key not in self._spaces:
            self._spaces[key] = _Space(self, count, training)
        return self._spaces[key]

    def _step(self, space: _Space, labels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Train all trials on the mini-batch in `space.inputs`; `labels` has shape (seeds, rows).

        Returns each slot's summed cross-entropy in nats and right predictions, before the update.
        """
        for masks in space.masks:
            masks.draw(self._steps)
        self._forward(space)
        of_slots = labels[self.layout.slot_seeds]
        at = label_positions(of_slots)
        by_class = space.by_class
        by_class[:] = space.logits.swapaxes(0, 1)
        loss, right = softmax_cross_entropy(by_class, at)
        subtract_one(by_class, at)
        if self._smoothing is not None:
            smooth_labels(by_class, at, self._smoothing)
        scale = self._output_scale / space.count
        if self._class_weights is not None:
            scale = scale * np.take_along_axis(self._class_weights, of_slots, axis=1)[:, None]
        np.multiply(by_class.swapaxes(0, 1), scale, out=space.logits)
        for layer in range(len(self.biases) - 1, 0, -1):
            _move(space.before_lower[layer])
            _compute(space.lower[layer])  # by the weights as they are before the update
            _move(space.after_lower[layer])
            if space.masks:
                masks = space.masks[layer - 1]
                np.multiply(space.deltas[layer - 1], masks.mask, out=space.deltas[layer - 1])
                # Those that were dropped do not count: their delta is 0.
                np.multiply(space.outputs[layer - 1], masks.keep, out=space.unscaled[: len(masks.mask)])
            for part in space.slices[layer - 1]:
                part.backward(part.activated, part.delta, part.scratch)
            _compute(space.updates[layer])
        _compute(space.updates[0])
        _compute(space.bias_updates)
        self._steps += 1
        for each in self._steppers:
            each.step(self.parameters, self.gradient, space.count)
        return loss, right

    def _forward(self, space: _Space) -> None:
        """From the inputs to the logits, in `space.outputs`."""
        for layer in range(len(self.biases)):
            _move(space.before[layer])
            _compute(space.forward[layer])
            _move(space.after[layer])
            space.add_biases[layer]()
            if layer < len(space.slices):
                for part in space.slices[layer]:
                    part.apply(part.output)
            if layer < len(space.masks):
                np.multiply(space.outputs[layer], space.masks[layer].mask, out=space.outputs[layer])

    def _evaluate(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean cross-entropy and accuracy of each trial over the validation rows."""
        X, y = self.rows.X_validation, self.rows.y_validation
        loss, right = np.zeros(len(self.layout.trials)), np.zeros(len(self.layout.trials))
        many = min(len(X), EVALUATION_ROWS, max(64, _EVALUATED // max(self.layout.rows)))
        for start in range(0, len(X), many):
            part = X[start : start + many]
            space = self._space(len(part), training=False)
            space.forward[0] = [prepared_product(self.first, part.T, space.outputs[0])]
            self._forward(space)
            space.by_class[:] = space.logits.swapaxes(0, 1)
            of_slots = np.broadcast_to(y[start : start + many], space.by_class.shape[1:])
            more, hits = softmax_cross_entropy(space.by_class, label_positions(of_slots))
            loss, right = loss + more, right + hits
        slots = self.layout.slots
        return loss[slots] / len(X), right[slots] / len(X)

    def _finite(self) -> npt.NDArray[np.bool_]:
        """Whether each trial's parameters are finite, shape (trials,)."""
        trials = len(self.layout.trials)
        if np.isfinite(self.parameters.sum(dtype=np.float64)):
            return np.ones(trials, np.bool_)
        return np.array([np.isfinite(each["parameters"]).all() for each in self.export(range(trials), state=False)])

    def draw(self, indices: Sequence[int]) -> None:
        for index in indices:
            self.load(index, {"parameters": initial_parameters(self.layout, index, self.parameters.dtype)})

    def export(self, indices: Sequence[int], state: bool) -> list[dict[str, Array]]:
        vectors = {"parameters": self.parameters} | (self.state if state else {})
        return [
            {name: self.layout.gathered(vector.__getitem__, index) for name, vector in vectors.items()}
            for index in indices
        ]

    def load(self, index: int, vectors: Mapping[str, Array]) -> None:
        for name, values in vectors.items():
            target = self.parameters if name == "parameters" else self.state[name]
            for part, piece in self.layout.scattered(values, index):
                target[part] = piece

    def close(self) -> None:
        pass


class _Space(Buffers):
    """Buffers for `count` rows, and the products of a step in them."""

    def __init__(self, program: NumpyProgram, count: int, training: bool) -> None:
        layout, dtype, dropout = program.layout, program.parameters.dtype, program.layout.dropout

        def rows(units: int) -> Array:
            return np.zeros((units, count), dtype)

        super().__init__(layout, count, training, rows)
        hidden = range(len(layout.rows) - 1)
        self.masks: list[Masks] = []
        if training and dropout:
            self.masks = [Masks(units_of(dropout, layer, count), dtype) for layer in hidden]
        self.unscaled = rows(max(layout.rows[:-1]) if self.masks else 0)
        widest = max((band.stop - band.start for bands in layout.activations for band in bands), default=0)
        self._scratch = rows(widest if training and not self.masks else 0)
        self.slices = [[self._slice(layer, band) for band in layout.activations[layer]] for layer in hidden]
        self.by_class = np.empty((layout.classes, len(layout.trials), count), dtype)
        ones = np.ones(count, dtype)
        self.add_biases: list[Prepared] = [
            prepared_product(biases[:, None], ones[None], out, accumulate=True)  # a third of the time of NumPy's sum
            for biases, out in zip(program.biases, self.outputs, strict=True)
        ]
        below, above, delta_below, delta_above = (
            [list(map(_squeezed, views)) for views in layers]
            for layers in (self.below, self.above, self.delta_below, self.delta_above)
        )
        blocks = [[], *program.blocks]
        self.forward: list[list[Prepared]] = [
            _products(zip(*factors, strict=True)) for factors in zip(blocks, below, above, strict=True)
        ]
        self.lower: list[list[Prepared]] = []
        self.updates: list[list[Prepared]] = []
        self.bias_updates: list[Prepared] = []
        if not training:
            return
        self.inputs = np.empty((len(layout.seeds), count, layout.inputs), dtype)
        self.forward[0] = [
            prepared_product(program.first[band.rows], self.inputs[band.key].T, self.outputs[0][band.rows])
            for band in layout.seed_bands
        ]
        self.lower = [
            _products((weights.mT, upper, lower) for weights, upper, lower in zip(*factors, strict=True))
            for factors in zip(blocks, delta_above, delta_below, strict=True)
        ]
        # Plain SGD adds its update to the parameters; for others gradients are put where their optimiser looks.
        adds = program.kind == "sgd"
        first, later, biases = program.views(program.parameters if adds else program.gradient)
        self.updates = [
            [
                prepared_product(self.deltas[0][band.rows], self.inputs[band.key], first[band.rows], accumulate=adds)
                for band in layout.seed_bands
            ]
        ]
        for upper, lower, outs in zip(delta_above[1:], below[1:], later, strict=True):
            factors = [(left, right.mT, out) for left, right, out in zip(upper, lower, outs, strict=True)]
            self.updates.append(_products(factors, program.gradient if adds else None))
        self.bias_updates = [
            prepared_sums(delta.T, ones, out, accumulate=adds) for delta, out in zip(self.deltas, biases, strict=True)
        ]

    def _slice(self, layer: int, band: Band) -> _Slice:
        output, delta = self.outputs[layer][band.rows], self.deltas[layer][band.rows]
        activated = self.unscaled[band.rows] if self.masks else output
        scratch = activated if self.masks else self._scratch[: band.stop - band.start]
        return _Slice(*ACTIVATIONS[band.key], output, activated, delta, scratch)


def _move(moves: Sequence[Move]) -> None:
    for rows, which, out in moves:
        np.take(rows, which, axis=0, out=out, mode="clip")  # clip: unchecked, so unbuffered


def _compute(several: Sequence[Prepared]) -> None:
    for each in several:
        each()


def _products(factors: Iterable[_Factors], between: Array | None = None) -> list[Prepared]:
    """With `between`, products are added to what is there; it holds those for which that is another pass."""
    adds, found = between is not None, list[Prepared]()
    for left, right, out in factors:
        if out.ndim == 2:
            found.append(prepared_product(left, right, out, adds))
        elif _singly(out) if adds else len(out) <= _FEW:
            found += [prepared_product(*each, adds) for each in zip(left, right, out, strict=True)]
        elif between is None:
            found.append(partial(np.matmul, left, right, out))
        else:
            product = between[: out.size].reshape(out.shape)
            found += [partial(np.matmul, left, right, product), partial(np.add, out, product, out)]
    return found


def _singly(weights: Array) -> bool:
    """Whether the product of each network is added to its weights by a call of its own."""
    return weights.ndim == 2 or len(weights) <= _FEW_ADDED or weights[0].size >= _LARGE


def _squeezed(values: Array) -> Array:
    """Without the first axis where it is 1: a plain product is quicker than a stack of one."""
    return values[0] if len(values) == 1 else values
