"""One stacked program: many networks of one depth, batch size and kind of optimiser, trained step by step together.

The arithmetic is `lib.mlp.network`'s, for all trials at once; see `lib.mlp.layout` for how they lie. Plain SGD adds its
update inside the matrix product that computes the gradient (W <- W - rate * delta x), so gradients are never stored;
momentum and Adam keep them in one flat vector. Nothing in a step waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lib.mlp.layout import Layout
from lib.mlp.optimizers import Adam
from lib.mlp.trial import Trial

Kind = Literal["sgd", "momentum", "adam"]

_aten = torch.ops.aten


def kind_of(trial: Trial) -> Kind:
    """The kind of optimiser, which all trials of a program share."""
    if trial.optimizer == "adam":
        return "adam"
    return "momentum" if trial.momentum else "sgd"


class _Outputs:
    """Each layer's output for one number of rows."""

    def __init__(self, program: Program, count: int) -> None:
        layout = program.layout
        self.count = count
        self.outputs = [program.parameters.new_empty((rows, count)) for rows in layout.rows]
        self.logits = self.outputs[-1].view(len(layout.trials), layout.classes, count)


class _Buffers(_Outputs):
    """What a training step needs besides; a last, shorter mini-batch has its own."""

    def __init__(self, program: Program, count: int) -> None:
        super().__init__(program, count)
        layout, like = program.layout, program.parameters
        self.inputs = like.new_empty((len(layout.seeds), count, layout.inputs))
        self.deltas = [like.new_empty((rows, count)) for rows in layout.rows[:-1]]
        self.minus_one = like.new_full((len(layout.trials), 1, count), -1.0)


class Program:
    """Parameters and optimiser state of many trials, and the step that trains them.

    Parameters
    ----------
    layout : Layout
    dtype : torch.float32 or torch.float64
    device : torch.device

    Attributes
    ----------
    parameters : Tensor, shape (layout.size,)
    state : dict of str to Tensor, each of that shape
        The optimiser's: "velocity" for momentum, "mean" and "square" for Adam.
    steps : int
        Steps taken, which Adam's bias correction needs.
    """

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device) -> None:
        self.layout = layout
        self.kind = kind_of(layout.trials[0])
        self.parameters = torch.zeros(layout.size, dtype=dtype, device=device)
        names = {"sgd": (), "momentum": ("velocity",), "adam": ("mean", "square")}[self.kind]
        self.state = {name: torch.zeros_like(self.parameters) for name in names}
        self.steps = 0
        self._buffers: dict[int, _Buffers] = {}
        self._evaluation: dict[int, _Outputs] = {}
        self._first, self._blocks, self._biases = self._views(self.parameters)
        self._trial_seed = self._tensor(
            [index for index, band in enumerate(layout.seeds) for _ in range(band.count)], torch.int64
        )
        rates = [trial.learning_rate for trial in layout.trials]
        penalties = [trial.l2 for trial in layout.trials]
        self._has_l2 = any(penalties)
        self._rate = self._tensor(rates)
        self._shrink = self._rate * self._tensor(penalties)
        if self.kind == "sgd":
            self._row_shrink = [self._per_row(self._shrink, layer)[:, None] for layer in range(len(layout.rows))]
        else:
            self.gradients = torch.zeros_like(self.parameters)
            self._gradient_views = self._views(self.gradients)
            self._rates = self._per_parameter(self._rate)
            self._penalties = self._per_parameter(self._tensor(penalties))[: layout.n_weights]
            if self.kind == "momentum":
                self._momenta = self._per_parameter(self._tensor([trial.momentum for trial in layout.trials]))
            else:
                self._scratch = torch.empty_like(self.parameters)

    def _tensor(self, values: Sequence[float], dtype: torch.dtype | None = None) -> Tensor:
        return torch.tensor(values, dtype=dtype or self.parameters.dtype, device=self.parameters.device)

    def _per_row(self, of_trial: Tensor, layer: int) -> Tensor:
        units = self._tensor(self.layout.units[layer], torch.int64)
        return of_trial.repeat_interleave(units)

    def _per_parameter(self, of_trial: Tensor) -> Tensor:
        layout = self.layout
        parts = [self._per_row(of_trial, 0).repeat_interleave(layout.inputs)]
        for blocks in layout.blocks:
            for block in blocks:
                trials = of_trial[block.above.first : block.above.first + block.above.count]
                parts.append(trials.repeat_interleave(block.outputs * block.inputs))
        parts += [self._per_row(of_trial, layer) for layer in range(len(layout.rows))]
        return torch.cat(parts)

    def _views(self, flat: Tensor) -> tuple[Tensor, list[list[Tensor]], list[Tensor]]:
        """First layer (rows, inputs); blocks of the later layers (count, outputs, inputs); biases of each layer."""
        layout = self.layout
        first = flat[: layout.rows[0] * layout.inputs].view(layout.rows[0], layout.inputs)
        blocks = [
            [flat[b.offset : b.offset + b.size].view(b.above.count, b.outputs, b.inputs) for b in of_layer]
            for of_layer in layout.blocks
        ]
        return first, blocks, [flat[start:stop] for start, stop in pairwise(layout.bias_offsets)]

    def buffers(self, count: int) -> _Buffers:
        """Buffers for mini-batches of `count` rows."""
        if count not in self._buffers:
            self._buffers[count] = _Buffers(self, count)
        return self._buffers[count]

    def step(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Train all trials on one mini-batch each.

        Parameters
        ----------
        inputs : Tensor, shape (seeds, rows, features)
            The mini-batch of each seed of the layout.
        labels : Tensor of int64, shape (seeds, rows)

        Returns
        -------
        (loss, right) : Tensor of float64, Tensor of int64, both of shape (trials,)
            Summed cross-entropy in nats and right predictions, before the update. On the device; nothing waits.
        """
        layout, space = self.layout, self.buffers(inputs.shape[1])
        for index, band in enumerate(layout.seeds):
            torch.addmm(
                self._biases[0][band.rows, None],
                self._first[band.rows],
                inputs[index].T,
                out=space.outputs[0][band.rows],
            )
        self._forward(space)
        of_trial = labels if len(layout.seeds) == 1 else labels.index_select(0, self._trial_seed)
        targets = of_trial.expand(len(layout.trials), -1)
        log_p = torch.log_softmax(space.logits, dim=1)
        picked = log_p.gather(1, targets.unsqueeze(1))
        loss = picked.sum(dim=(1, 2), dtype=torch.float64).neg_()
        right = (log_p.argmax(1) == targets).sum(1)
        torch.exp(log_p, out=space.logits)
        space.logits.scatter_add_(1, targets.unsqueeze(1), space.minus_one)
        self.steps += 1
        if self.kind == "sgd":
            self._sgd(space, inputs)
        else:
            self._gradients(space, inputs)
            if self.kind == "momentum":
                self._momentum()
            else:
                self._adam()
        return loss, right

    def evaluate(self, inputs: Tensor, labels: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy (float64) and accuracy (float64) of each trial over rows they share, `rows` at a time.

        Parameters
        ----------
        inputs : Tensor, shape (n, features)
        labels : Tensor of int64, shape (n,)
        """
        loss = torch.zeros(len(self.layout.trials), dtype=torch.float64, device=inputs.device)
        right = torch.zeros_like(loss)
        for start in range(0, len(inputs), rows):
            part, truth = inputs[start : start + rows], labels[start : start + rows]
            space = self._evaluation.setdefault(len(part), _Outputs(self, len(part)))
            torch.addmm(self._biases[0][:, None], self._first, part.T, out=space.outputs[0])
            self._forward(space)
            log_p = torch.log_softmax(space.logits, dim=1)
            targets = truth.expand(len(self.layout.trials), -1)
            loss -= log_p.gather(1, targets.unsqueeze(1)).sum(dim=(1, 2), dtype=torch.float64)
            right += (log_p.argmax(1) == targets).sum(1)
        return loss / len(inputs), right / len(inputs)

    def finite(self) -> Tensor:
        """Whether each trial's parameters are finite; bool, shape (trials,)."""
        total = torch.zeros(len(self.layout.trials), dtype=self.parameters.dtype, device=self.parameters.device)
        for index, total_of in enumerate((self._first.sum(1), *self._biases)):
            layer = max(0, index - 1)
            total.index_add_(0, self._trial_of_row(layer), total_of)
        for layouts, blocks in zip(self.layout.blocks, self._blocks, strict=True):
            for block, weights in zip(layouts, blocks, strict=True):
                total[block.above.first : block.above.first + block.above.count] += weights.sum((1, 2))
        return total.isfinite()

    def _trial_of_row(self, layer: int) -> Tensor:
        return self._tensor(range(len(self.layout.trials)), torch.int64).repeat_interleave(
            self._tensor(self.layout.units[layer], torch.int64)
        )

    def export(self, index: int, state: bool) -> dict[str, npt.NDArray[np.floating]]:
        """Trial `index`'s parameters, laid out as `Network.parameters`, and with `state` its optimiser's vectors."""
        vectors = {"parameters": self.parameters} | (self.state if state else {})
        return {
            name: np.concatenate(
                [
                    (vector[part].view(shape).T if shape else vector[part]).cpu().numpy().ravel()
                    for part, shape in self.layout.parameters(index)
                ]
            )
            for name, vector in vectors.items()
        }

    def load(self, index: int, vectors: Mapping[str, npt.NDArray[np.floating]]) -> None:
        """Put back what `export` gave; optimiser vectors that are not given stay zero."""
        for name, values in vectors.items():
            target = self.parameters if name == "parameters" else self.state[name]
            start = 0
            for part, shape in self.layout.parameters(index):
                size = part.stop - part.start
                piece = torch.from_numpy(values[start : start + size]).to(target.device)
                target[part] = piece.view(shape[1], shape[0]).T.reshape(-1) if shape else piece
                start += size

    def _forward(self, space: _Outputs) -> None:
        """From the first layer's pre-activations to the logits, in `space.outputs`."""
        for layer, blocks in enumerate(self._blocks):
            here, above = space.outputs[layer], space.outputs[layer + 1]
            for band in self.layout.activations[layer]:
                _ACTIVATE[band.key](here[band.rows])
            for block, weights in zip(self.layout.blocks[layer], blocks, strict=True):
                torch.baddbmm(
                    self._biases[layer + 1][block.above.rows].view(block.above.count, block.outputs, 1),
                    weights,
                    here[block.below.rows].view(block.below.count, block.inputs, -1),
                    out=above[block.above.rows].view(block.above.count, block.outputs, -1),
                )

    def _lower(self, space: _Buffers, layer: int, delta: Tensor) -> Tensor:
        """The delta of the layer below `layer`, by the weights as they are before the update."""
        lower, below = space.deltas[layer - 1], space.outputs[layer - 1]
        for block, weights in zip(self.layout.blocks[layer - 1], self._blocks[layer - 1], strict=True):
            torch.bmm(
                weights.mT,
                delta[block.above.rows].view(block.above.count, block.outputs, -1),
                out=lower[block.below.rows].view(block.below.count, block.inputs, -1),
            )
        for band in self.layout.activations[layer - 1]:
            _BACKWARD[band.key](lower[band.rows], below[band.rows])
        return lower

    def _sgd(self, space: _Buffers, inputs: Tensor) -> None:
        # The step size goes into the output's delta once, and from there into every layer's update.
        space.logits.mul_((self._rate / -space.count)[:, None, None])
        delta = space.outputs[-1]
        for layer in range(len(self.layout.rows) - 1, -1, -1):
            lower = self._lower(space, layer, delta) if layer else delta
            if layer:
                for block, weights in zip(self.layout.blocks[layer - 1], self._blocks[layer - 1], strict=True):
                    if self._has_l2:
                        trials = slice(block.above.first, block.above.first + block.above.count)
                        weights.mul_((1 - self._shrink[trials] / space.count)[:, None, None])
                    weights.baddbmm_(
                        delta[block.above.rows].view(block.above.count, block.outputs, -1),
                        space.outputs[layer - 1][block.below.rows].view(block.below.count, block.inputs, -1).mT,
                    )
            else:
                if self._has_l2:
                    self._first.mul_(1 - self._row_shrink[0] / space.count)
                for index, band in enumerate(self.layout.seeds):
                    self._first[band.rows].addmm_(delta[band.rows], inputs[index])
            self._biases[layer].add_(delta.sum(1))
            delta = lower

    def _gradients(self, space: _Buffers, inputs: Tensor) -> None:
        """Fill `gradients` with those of the mean cross-entropy plus L2, as `Workspace.step_gradients`."""
        space.logits.div_(space.count)
        first, blocks_of, biases = self._gradient_views
        delta = space.outputs[-1]
        for layer in range(len(self.layout.rows) - 1, -1, -1):
            torch.sum(delta, 1, out=biases[layer])
            if layer:
                for block, gradient in zip(self.layout.blocks[layer - 1], blocks_of[layer - 1], strict=True):
                    torch.bmm(
                        delta[block.above.rows].view(block.above.count, block.outputs, -1),
                        space.outputs[layer - 1][block.below.rows].view(block.below.count, block.inputs, -1).mT,
                        out=gradient,
                    )
                delta = self._lower(space, layer, delta)
            else:
                for index, band in enumerate(self.layout.seeds):
                    torch.mm(delta[band.rows], inputs[index], out=first[band.rows])
        if self._has_l2:
            n_weights = self.layout.n_weights
            self.gradients[:n_weights].addcmul_(self._penalties, self.parameters[:n_weights], value=1 / space.count)

    def _momentum(self) -> None:
        velocity = self.state["velocity"]
        velocity.mul_(self._momenta).addcmul_(self.gradients, self._rates, value=-1)
        self.parameters.add_(velocity)

    def _adam(self) -> None:
        mean, square, scratch = self.state["mean"], self.state["square"], self._scratch
        correction = (1 - Adam.BETA2**self.steps) ** 0.5 / (1 - Adam.BETA1**self.steps)
        mean.mul_(Adam.BETA1).add_(self.gradients, alpha=1 - Adam.BETA1)
        square.mul_(Adam.BETA2).addcmul_(self.gradients, self.gradients, value=1 - Adam.BETA2)
        torch.sqrt(square, out=scratch)
        scratch.add_(Adam.EPSILON)
        torch.div(mean, scratch, out=scratch)
        self.parameters.addcmul_(scratch, self._rates, value=-correction)


def _relu_backward(delta: Tensor, output: Tensor) -> None:
    _aten.threshold_backward.grad_input(delta, output, 0, grad_input=delta)


def _sigmoid_backward(delta: Tensor, output: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(delta, output, grad_input=delta)


def _tanh_backward(delta: Tensor, output: Tensor) -> None:
    _aten.tanh_backward.grad_input(delta, output, grad_input=delta)


_ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
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
