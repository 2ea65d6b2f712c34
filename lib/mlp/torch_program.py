"""One stacked program in torch, for a GPU and for wide rows on the CPU: many networks of one depth, batch size and optimiser.

The arithmetic is `lib.mlp.network`'s, for all trials at once; see `lib.mlp.layout` for how they lie. Plain SGD adds its
update inside the matrix product that computes the gradient (W <- W - rate * delta x), so gradients are never stored;
momentum, L2 and Adam keep them in one flat vector. Nothing within an epoch waits for the device, and on CUDA a step is
one graph, captured once, since launching its many small kernels one by one takes longer than running them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.machine import subnormals_as_zero
from lib.mlp.dropout import MIXES, STEP, Units, units_of
from lib.mlp.grouping import WIDE
from lib.mlp.layout import Layout
from lib.mlp.network import EVALUATION_ROWS
from lib.mlp.optimizers import Adam
from lib.mlp.schedules import epoch_factors, is_scheduled
from lib.mlp.stacked import STATE, Buffers, Move, Rows, epoch_figures, initial_parameters, kind_of
from lib.mlp.trial import Trial
from lib.mlp.wide_products import BY_BLAS, wide_products

_aten = torch.ops.aten

_WARM_UP = 3
"""Steps before a graph is captured, in which libraries allocate what a capture may not."""


_CHUNK = 1 << 19
"""Weights of wide rows that are updated at once: their gradient stays in a core's cache between product and update."""


@dataclass(frozen=True)
class _Run:
    """Neighbouring parameters of one trial and of one penalty: views of them and of their state.

    `number` is the trial's place in the layout.
    """

    number: int
    trial: Trial
    penalty: float
    decay: float
    parameters: Tensor
    state: list[Tensor]


@dataclass(frozen=True)
class _Chunk:
    """Rows of the first layer of one seed, the key, that are updated together; the next chunk may overwrite its gradient.

    `room`: for that gradient, shape (rows, features). `parts`: where that of each run lies, by the elements before it.
    """

    rows: slice
    key: int
    room: Tensor
    runs: list[_Run]
    parts: list[slice]


def _signed(word: int) -> int:
    """The int64 of the same bits."""
    return word - (1 << 64) if word >> 63 else word


class _Masks:
    """As `lib.mlp.dropout.Masks`, in torch: int64 wraps around as uint64 does, but shifts its sign in, which is cleared."""

    def __init__(self, units: Units, like: Tensor) -> None:
        device = like.device
        self._states, self._along = (
            torch.from_numpy(each.view(np.int64)).to(device) for each in (units.states, units.along)
        )
        self._least = torch.from_numpy(units.least).to(device)
        self.keep = torch.from_numpy(units.keep).to(like)
        self._scale = torch.from_numpy(1 / units.keep).to(like)
        self.mask = like.new_empty((len(units.states), units.along.shape[1]))

    def draw(self, start: Tensor) -> None:
        """`start`, int64, is `STEP` times the step."""
        state = (self._states + start) + self._along
        for shift, factor in MIXES:
            state ^= (state >> shift) & ((1 << (64 - shift)) - 1)
            state *= _signed(factor)
        torch.mul(state >= self._least, self._scale, out=self.mask)


class _Space(Buffers):
    """Buffers for `count` rows; of an evaluation outputs alone, in training with all else that a step needs.

    `inputs`, shape (seeds, rows, features), has the mini-batch of each seed of the layout.
    """

    def __init__(self, program: TorchProgram, count: int, training: bool) -> None:
        layout, like, dropout = program.layout, program.parameters, program.layout.dropout

        def rows(units: int) -> Tensor:
            return like.new_zeros((units, count))

        super().__init__(layout, count, training, rows, lambda index: torch.from_numpy(index).to(like.device))
        self.masks: list[_Masks] = []
        self.activations = [
            [(ACTIVATE[band.key], output[band.rows]) for band in bands]
            for output, bands in zip(self.outputs, layout.activations, strict=False)
        ]
        if not training:
            return
        self.inputs = like.new_empty((len(layout.seeds), count, layout.inputs))
        self.columns = torch.arange(count, device=like.device)
        self.minus_one = like.new_full((len(layout.trials), 1, count), -1.0)
        self.below_turned = [[view.mT for view in views] for views in self.below]
        if dropout:
            self.masks = [_Masks(units_of(dropout, layer, count), like) for layer in range(len(layout.later))]
        # What activations were before dropout scaled them.
        self.activated = [rows(units) for units in layout.rows[:-1]] if self.masks else self.outputs
        self.backward = [
            [(_BACKWARD[band.key], delta[band.rows], output[band.rows]) for band in bands]
            for delta, output, bands in zip(self.deltas, self.activated, layout.activations, strict=False)
        ]
        self.first = [
            (self.inputs[band.key], self.outputs[0][band.rows], self.deltas[0][band.rows]) for band in layout.seed_bands
        ]


class TorchProgram:
    """Parameters and optimiser state of many trials, and the epoch that trains them.

    `parameters`, and each of `state` (see `lib.mlp.stacked.STATE`), have shape (layout.size,), and dtype and device of
    `rows.X`.
    """

    def __init__(self, layout: Layout, rows: Rows[Tensor]) -> None:
        self.layout, self.rows = layout, rows
        self.kind = kind_of(layout.trials[0])
        self.parameters = rows.X.new_zeros(layout.size)
        self.state = {name: torch.zeros_like(self.parameters) for name in STATE[self.kind]}
        self._spaces: dict[tuple[int, bool], _Space] = {}
        self._first, self._blocks, self._biases = self._views(self.parameters)
        self._first_of_seed = [self._first[band.rows] for band in layout.seed_bands]
        self._turned = [[weights.mT for weights in of_layer] for of_layer in self._blocks]
        device = rows.X.device
        self._slot_seed = torch.from_numpy(layout.slot_seeds).to(device)
        self._class_ranks = torch.arange(layout.classes, 0, -1, device=device, dtype=torch.int16)[:, None]
        self._batch = min(layout.trials[0].batch_size, len(rows.X))
        # Where an epoch is lies on the device, so that a captured step finds its own rows and its own place for figures.
        self._order = rows.y.new_zeros((len(layout.seeds), len(rows.X)))
        self._start, self._step_index = rows.y.new_zeros(1), rows.y.new_zeros(1)
        n_steps = -(-len(rows.X) // self._batch)
        self._losses = torch.zeros((n_steps, len(layout.trials)), dtype=torch.float64, device=device)
        self._rights = rows.y.new_zeros((n_steps, len(layout.trials)))
        self._steps = torch.zeros(1, dtype=torch.float64, device=device)
        trials = layout.trials
        # What schedules multiply each trial's step size with in each step of an epoch.
        self._factors = self.parameters.new_zeros((n_steps, len(trials))) if any(map(is_scheduled, trials)) else None
        smoothing = layout.settings("label_smoothing")[layout.in_slots]
        self._smoothing = self._tensor(smoothing)[:, None, None] if smoothing.any() else None
        weights = layout.class_weights(rows.y.cpu().numpy())
        self._class_weights = None if weights is None else self._tensor(weights)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._chunked = device.type == "cpu" and layout.inputs >= WIDE
        self._products = wide_products(rows.X.dtype) if self._chunked else BY_BLAS
        self._set_optimizer()

    def _set_optimizer(self) -> None:
        layout = self.layout
        rates = layout.settings("learning_rate")
        if self.kind == "sgd":
            self._rate_of_logits = self._tensor(rates[layout.in_slots])[:, None, None]
            self._trial_of_slot = torch.from_numpy(layout.in_slots).to(self.parameters.device)
            return
        if self._chunked:
            self._set_runs()
            return
        self.gradients = torch.zeros_like(self.parameters)
        self._gradient_views = self._views(self.gradients)
        self._rates = self._tensor(layout.per_parameter(rates))
        penalties, decays = layout.settings("l2"), layout.settings("weight_decay")
        self._has_l2 = bool(penalties.any())
        self._penalties = self._tensor(layout.per_parameter(penalties)[: layout.n_weights])
        self._decays = self._tensor(layout.per_parameter(decays)[: layout.n_weights]) if decays.any() else None
        if self._factors is not None:
            numbers = layout.per_parameter(np.arange(len(layout.trials), dtype=np.int32))
            self._trial_of_parameter = torch.from_numpy(numbers).to(self.parameters.device)
        if self.kind == "momentum":
            self._momenta = self._tensor(layout.per_parameter(layout.settings("momentum")))
        else:
            self._scratch = torch.empty_like(self.parameters)

    def _set_runs(self) -> None:
        """For wide rows on the CPU: only later layers' gradients are stored, and no setting is repeated a parameter."""
        layout = self.layout
        first = layout.rows[0] * layout.inputs
        later = self.parameters.new_zeros(layout.size - first)
        self._gradient_views = self._views(later, first)
        parts = [(trial, part) for trial, part in layout.runs() if part.start >= first]
        self._runs = [self._run(trial, part) for trial, part in parts]
        self._gradients_of_runs = [later[part.start - first : part.stop - first] for _, part in parts]
        many = max(1, _CHUNK // layout.inputs)
        buffer = self.parameters.new_empty((min(many, layout.rows[0]), layout.inputs))
        offsets = [part for _, part in zip(layout.trials, layout.runs(), strict=False)]
        self._chunks = []
        for band in layout.seed_bands:
            for start in range(band.start, band.stop, many):
                rows = slice(start, min(start + many, band.stop))
                at = start * layout.inputs
                runs, parts_of_runs = [], []
                for trial, part in offsets:
                    low, high = max(part.start, at), min(part.stop, rows.stop * layout.inputs)
                    if low < high:
                        runs.append(self._run(trial, slice(low, high)))
                        parts_of_runs.append(slice(low - at, high - at))
                self._chunks.append(_Chunk(rows, band.key, buffer[: rows.stop - start], runs, parts_of_runs))

    def _run(self, trial: int, part: slice) -> _Run:
        settings = self.layout.trials[trial]
        weights = part.stop <= self.layout.n_weights
        penalty, decay = (settings.l2, settings.weight_decay) if weights else (0.0, 0.0)
        state = [each[part] for each in self.state.values()]
        return _Run(trial, settings, penalty, decay, self.parameters[part], state)

    def _tensor(self, values: npt.NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(values).to(self.parameters)

    def _views(self, flat: Tensor, start: int = 0) -> tuple[Tensor, list[list[Tensor]], list[Tensor]]:
        """First layer (rows, inputs); each layer's blocks (count, outputs, inputs), the first's being none; biases.

        `flat` begins at parameter `start`: 0, or the first after the first layer, which is then empty.
        """
        layout = self.layout

        def cut(offset: int, size: int) -> Tensor:
            return flat[offset - start : offset - start + size]

        rows = 0 if start else layout.rows[0]
        first = flat[: rows * layout.inputs].view(rows, layout.inputs)
        blocks = [
            [cut(b.offset, b.size).view(b.count, b.outputs, b.inputs) for b in later.blocks] for later in layout.later
        ]
        return first, [[], *blocks], [cut(offset, stop - offset) for offset, stop in pairwise(layout.bias_offsets)]

    def _space(self, count: int, training: bool = True) -> _Space:
        key = (count, training)
        if key not in self._spaces:
            self._spaces[key] = _Space(self, count, training)
        return self._spaces[key]

    @property
    def steps(self) -> int:
        return int(self._steps.item())

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps.fill_(steps)

    @torch.inference_mode()
    @subnormals_as_zero()
    def run_epoch(self, orders: Mapping[int, npt.NDArray[np.int64]]) -> dict[str, list[float]]:
        """Train for one epoch, evaluate, and return figures by name, a value a trial (see `epoch_figures`).

        The one wait for the device is at the end.
        """
        rows = self.rows
        self._order.copy_(torch.from_numpy(np.stack([orders[seed] for seed in self.layout.seeds])))
        self._start.zero_()
        self._step_index.zero_()
        if self._factors is not None:
            self._factors.copy_(torch.from_numpy(epoch_factors(self.layout.trials, self.steps, len(self._factors))))
        whole, rest = divmod(len(rows.X), self._batch)
        for _ in range(whole if self.parameters.device.type != "cuda" else self._run_captured(whole)):
            self._advance(self._space(self._batch))
        if rest:
            self._advance(self._space(rest))
        watched = (
            self._evaluate(rows.X_validation, rows.y_validation, EVALUATION_ROWS) if len(rows.X_validation) else None
        )
        slots = self.layout.slots
        return epoch_figures(
            self._losses.cpu().numpy()[:, slots],
            self._rights.cpu().numpy()[:, slots],
            len(rows.X),
            None if watched is None else (watched[0].cpu().numpy()[slots], watched[1].cpu().numpy()[slots]),
            self._finite().cpu().numpy(),
        )

    def _run_captured(self, steps: int) -> int:
        """Run `steps` whole mini-batches, by the graph once there is one; returns how many are left to run one by one."""
        if self._graph is None:
            if steps <= _WARM_UP:
                return steps
            space = self._space(self._batch)
            stream = torch.cuda.Stream(self.parameters.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(self.parameters.device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._advance(space)
            torch.cuda.current_stream(self.parameters.device).wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, runs nothing
                self._advance(space)
            steps -= _WARM_UP
        for _ in range(steps):
            self._graph.replay()
        return 0

    def _advance(self, space: _Space) -> None:
        """The next mini-batch of every seed: its rows, the step, its figures. On the device; nothing waits."""
        rows = self._order.index_select(1, self._start + space.columns)
        flat = rows.reshape(-1)
        torch.index_select(self.rows.X, 0, flat, out=space.inputs.view(-1, self.layout.inputs))
        loss, right = self._step(space, self.rows.y.index_select(0, flat).view_as(rows))
        self._losses.index_copy_(0, self._step_index, loss[None])
        self._rights.index_copy_(0, self._step_index, right[None])
        self._start += space.count
        self._step_index += 1

    def _step(self, space: _Space, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train all trials on the mini-batch in `space.inputs`; `labels` has shape (seeds, rows).

        Returns each slot's summed cross-entropy in nats (float64) and right predictions (int64), before the update.
        """
        for (inputs, output, _), weights in zip(space.first, self._first_of_seed, strict=True):
            self._products.outputs(weights, inputs, output)
        if space.masks:
            start = self._steps.long() * _signed(STEP)
            for masks in space.masks:
                masks.draw(start)
        self._forward(space)
        targets = labels.index_select(0, self._slot_seed)
        log_p = torch.log_softmax(space.logits, dim=1)
        picked = log_p.gather(1, targets.unsqueeze(1))
        loss = picked.sum(dim=(1, 2), dtype=torch.float64).neg_()
        right = self._right(log_p, targets)
        torch.exp(log_p, out=space.logits)
        space.logits.scatter_add_(1, targets.unsqueeze(1), space.minus_one)
        if self._smoothing is not None:
            shares = self._smoothing.expand(-1, 1, space.count)
            space.logits.scatter_add_(1, targets.unsqueeze(1), shares).sub_(self._smoothing / self.layout.classes)
        if self._class_weights is not None:
            space.logits.mul_(self._class_weights.gather(1, targets).unsqueeze(1))
        self._steps += 1
        if self.kind == "sgd":
            self._sgd(space)
        else:
            self._gradients(space)
            if self._chunked:
                self._step_in_chunks(space)
            elif self.kind == "momentum":
                self._momentum()
            else:
                self._adam()
        return loss, right

    def _evaluate(self, inputs: Tensor, labels: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and accuracy of each slot (float64) over `inputs`, (n, features), `rows` at a time."""
        loss = torch.zeros(len(self.layout.trials), dtype=torch.float64, device=inputs.device)
        right = torch.zeros_like(loss)
        for start in range(0, len(inputs), rows):
            part, truth = inputs[start : start + rows], labels[start : start + rows]
            space = self._space(len(part), training=False)
            torch.mm(self._first, part.T, out=space.outputs[0])
            self._forward(space)
            log_p = torch.log_softmax(space.logits, dim=1)
            targets = truth.expand(len(self.layout.trials), -1)
            loss -= log_p.gather(1, targets.unsqueeze(1)).sum(dim=(1, 2), dtype=torch.float64)
            right += self._right(log_p, targets)
        return loss / len(inputs), right / len(inputs)

    def _right(self, log_p: Tensor, targets: Tensor) -> Tensor:
        """Right predictions of each slot; of equal classes, and of NaNs, the first is predicted, as by argmax, which is
        far slower.
        """
        best = ((log_p == log_p.amax(1, keepdim=True)) | log_p.isnan()) * self._class_ranks
        return (best.amax(1) == self.layout.classes - targets).sum(1)

    def _finite(self) -> Tensor:
        """Whether each trial's parameters are finite; bool, shape (trials,)."""
        device = self.parameters.device
        if self._chunked and torch.stack(torch.aminmax(self.parameters)).isfinite().all():  # one pass, and no copy
            return torch.ones(len(self.layout.trials), dtype=torch.bool)
        total = torch.zeros(len(self.layout.trials), dtype=torch.float64, device=device)
        for layer, biases in enumerate(self._biases):
            trials = torch.from_numpy(self.layout.trials_of_rows(layer)).to(device)
            total.index_add_(0, trials, biases.double() + (0 if layer else self._first.sum(1, dtype=torch.float64)))
        for later, views in zip(self.layout.later, self._blocks[1:], strict=True):
            for block, weights in zip(later.blocks, views, strict=True):
                total.index_add_(
                    0, torch.tensor(block.members, device=device), weights.sum((1, 2), dtype=torch.float64)
                )
        return total.isfinite()

    def draw(self, indices: Sequence[int]) -> None:
        dtype = self.parameters[:0].cpu().numpy().dtype
        for index in indices:
            self.load(index, {"parameters": initial_parameters(self.layout, index, dtype)})

    def export(self, indices: Sequence[int], state: bool) -> list[dict[str, npt.NDArray[np.floating]]]:
        vectors = {"parameters": self.parameters} | (self.state if state else {})
        return [
            {
                name: self.layout.gathered(lambda part, vector=vector: vector[part].cpu().numpy(), index)  # type: ignore[misc]
                for name, vector in vectors.items()
            }
            for index in indices
        ]

    def load(self, index: int, vectors: Mapping[str, npt.NDArray[np.floating]]) -> None:
        for name, values in vectors.items():
            target = self.parameters if name == "parameters" else self.state[name]
            for part, piece in self.layout.scattered(values, index):
                target[part] = torch.from_numpy(piece).to(target)

    def close(self) -> None:
        pass

    def _forward(self, space: _Space) -> None:
        """From the first layer's products to the logits, in `space.outputs`."""
        for layer, biases in enumerate(self._biases):
            _move(space.before[layer])
            for weights, below, above in zip(self._blocks[layer], space.below[layer], space.above[layer], strict=True):
                torch.bmm(weights, below, out=above)
            _move(space.after[layer])
            space.outputs[layer].add_(biases[:, None])
            for activate, output in space.activations[layer] if layer < len(space.activations) else ():
                activate(output)
            if layer < len(space.masks):
                space.outputs[layer].mul_(space.masks[layer].mask)

    def _lower(self, space: _Space, layer: int) -> None:
        """From the delta of `layer` to that of the layer below, by the weights as they are before the update."""
        _move(space.before_lower[layer])
        for turned, above, below in zip(
            self._turned[layer], space.delta_above[layer], space.delta_below[layer], strict=True
        ):
            torch.bmm(turned, above, out=below)
        _move(space.after_lower[layer])
        if space.masks:
            masks = space.masks[layer - 1]
            space.deltas[layer - 1].mul_(masks.mask)  # 0 for those that were dropped, whose output does not count then
            torch.mul(space.outputs[layer - 1], masks.keep, out=space.activated[layer - 1])
        for backward, delta, output in space.backward[layer - 1]:
            backward(delta, output)

    def _sgd(self, space: _Space) -> None:
        # The step size goes into the output's delta once, and from there into every layer's update.
        rates = self._rate_of_logits / -space.count
        factors = self._step_factors()
        space.logits.mul_(
            rates if factors is None else rates * factors.index_select(0, self._trial_of_slot)[:, None, None]
        )
        for layer in range(len(self._biases) - 1, 0, -1):
            self._lower(space, layer)
            for weights, above, below in zip(
                self._blocks[layer], space.delta_above[layer], space.below_turned[layer], strict=True
            ):
                weights.baddbmm_(above, below)
        for (inputs, _, delta), weights in zip(space.first, self._first_of_seed, strict=True):
            weights.addmm_(delta, inputs)
        for biases, delta in zip(self._biases, space.deltas, strict=True):
            biases.add_(delta.sum(1))

    def _step_factors(self) -> Tensor | None:
        """What schedules multiply this step's sizes with, shape (trials,), if any trial has one."""
        return None if self._factors is None else self._factors.index_select(0, self._step_index)[0]

    def _parameter_factors(self) -> Tensor | None:
        """The same for each parameter, shape (layout.size,)."""
        factors = self._step_factors()
        return None if factors is None else factors.index_select(0, self._trial_of_parameter)

    def _gradients(self, space: _Space) -> None:
        """Fill `gradients` with those of the mean cross-entropy plus L2, as `Workspace.fill_gradients`."""
        space.logits.div_(space.count)
        first, blocks_of, biases_of = self._gradient_views
        for layer in range(len(self._biases) - 1, 0, -1):
            self._lower(space, layer)
            for above, below, gradient in zip(
                space.delta_above[layer], space.below_turned[layer], blocks_of[layer], strict=True
            ):
                torch.bmm(above, below, out=gradient)
        if not self._chunked:
            for (inputs, _, delta), band in zip(space.first, self.layout.seed_bands, strict=True):
                torch.mm(delta, inputs, out=first[band.rows])
        for gradient, delta in zip(biases_of, space.deltas, strict=True):
            torch.sum(delta, 1, out=gradient)
        if not self._chunked and self._has_l2:
            n_weights = self.layout.n_weights
            self.gradients[:n_weights].addcmul_(self._penalties, self.parameters[:n_weights], value=1 / space.count)

    def _step_in_chunks(self, space: _Space) -> None:
        """What `_momentum` and `_adam` do, and the penalty, while the first layer's gradient is made chunk by chunk."""
        given = self._step_factors()
        factors: list[float] = [1.0] * len(self.layout.trials) if given is None else given.tolist()
        for chunk in self._chunks:
            made = self._products.gradient(space.deltas[0][chunk.rows], space.inputs[chunk.key], chunk.room).view(-1)
            self._step_runs(chunk.runs, [made[part] for part in chunk.parts], space.count, factors)
        self._step_runs(self._runs, self._gradients_of_runs, space.count, factors)

    def _step_runs(
        self, runs: Sequence[_Run], gradients_of: Sequence[Tensor], count: int, factors: Sequence[float]
    ) -> None:
        steps = self._steps.float()
        # Torch adds epsilon to the corrected root, we to the root itself: Kingma and Ba's section 2.
        epsilon = Adam.EPSILON / math.sqrt(1 - Adam.BETA2 ** int(steps))
        for run, gradients in zip(runs, gradients_of, strict=True):
            if self.kind == "momentum":
                if run.penalty:
                    gradients.add_(run.parameters, alpha=run.penalty / count)
                run.state[0].mul_(run.trial.momentum).add_(gradients, alpha=-run.trial.learning_rate)
                run.parameters.add_(run.state[0], alpha=factors[run.number])
                continue
            mean, square = run.state
            if run.decay and run.penalty:
                gradients.add_(run.parameters, alpha=run.penalty / count)
            step = torch._fused_adamw_ if run.decay else torch._fused_adam_
            step(
                [run.parameters],
                [gradients],
                [mean],
                [square],
                [],
                [steps],
                lr=run.trial.learning_rate * factors[run.number],
                beta1=Adam.BETA1,
                beta2=Adam.BETA2,
                weight_decay=run.decay or run.penalty / count,
                eps=epsilon,
                amsgrad=False,
                maximize=False,
            )

    def _momentum(self) -> None:
        velocity = self.state["velocity"]
        velocity.mul_(self._momenta).addcmul_(self.gradients, self._rates, value=-1)
        factors = self._parameter_factors()
        if factors is None:
            self.parameters.add_(velocity)
        else:
            self.parameters.addcmul_(velocity, factors)

    def _adam(self) -> None:
        mean, square, scratch = self.state["mean"], self.state["square"], self._scratch
        correction = (1 - Adam.BETA2**self._steps).sqrt() / (1 - Adam.BETA1**self._steps)
        mean.mul_(Adam.BETA1).add_(self.gradients, alpha=1 - Adam.BETA1)
        square.mul_(Adam.BETA2).addcmul_(self.gradients, self.gradients, value=1 - Adam.BETA2)
        torch.sqrt(square, out=scratch)
        scratch.add_(Adam.EPSILON)
        torch.div(mean, scratch, out=scratch)
        scratch.mul_(correction.to(scratch))
        if self._decays is not None:
            n_weights = self.layout.n_weights
            scratch[:n_weights].addcmul_(self.parameters[:n_weights], self._decays)
        factors = self._parameter_factors()
        if factors is not None:
            scratch.mul_(factors)
        self.parameters.addcmul_(scratch, self._rates, value=-1)


def _move(moves: Sequence[Move]) -> None:
    for rows, which, out in moves:
        torch.index_select(rows, 0, which, out=out)


def _relu_backward(delta: Tensor, output: Tensor) -> None:
    _aten.threshold_backward.grad_input(delta, output, 0, grad_input=delta)


def _sigmoid_backward(delta: Tensor, output: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(delta, output, grad_input=delta)


def _tanh_backward(delta: Tensor, output: Tensor) -> None:
    _aten.tanh_backward.grad_input(delta, output, grad_input=delta)


ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "linear": lambda values: values,
}
_BACKWARD: dict[str, Callable[[Tensor, Tensor], None]] = {
    "relu": _relu_backward,
    "sigmoid": _sigmoid_backward,
    "tanh": _tanh_backward,
    "linear": lambda delta, output: None,
}
