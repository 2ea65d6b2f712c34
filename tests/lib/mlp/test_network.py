"""Gradients against finite differences, and the losses and optimisers they meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from scipy.special import softmax as scipy_softmax
from sklearn.utils.class_weight import compute_class_weight

from lib.errors import ConfigError
from lib.mlp.activations import ACTIVATIONS
from lib.mlp.dropout import Dropout, Masks, units_of
from lib.mlp.losses import balanced_weights, label_positions, softmax, softmax_cross_entropy
from lib.mlp.network import Network, Workspace
from lib.mlp.optimizers import make_optimizer
from lib.mlp.schedules import step_factors


def objective(network: Network, X, y, l2: float) -> float:
    """Mean cross-entropy plus the L2 term, written out plainly."""
    functions = {"relu": lambda z: np.maximum(z, 0), "sigmoid": expit, "tanh": np.tanh, "linear": lambda z: z}
    hidden = X
    for weights, biases in zip(network.weights[:-1], network.biases[:-1], strict=True):
        hidden = functions[network.activation](hidden @ weights + biases)
    logits = hidden @ network.weights[-1] + network.biases[-1]
    penalty = l2 / (2 * len(X)) * sum((weights**2).sum() for weights in network.weights)
    return float(-log_softmax(logits, axis=1)[np.arange(len(X)), y].mean() + penalty)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(), (5,), (6, 4), (5, 4, 3)])
@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_gradients_equal_central_finite_differences(activation, hidden, l2):
    rng = np.random.default_rng(len(hidden))
    network = Network((7, *hidden, 3), activation, np.float64)
    network.parameters[:] = rng.normal(0, 0.7, len(network.parameters))
    X, y = rng.normal(size=(11, 7)), rng.integers(0, 3, 11)
    space = Workspace(network, 11, training=True)
    space.inputs[:], space.labels[:] = X, y
    space.loss(11)
    space.fill_gradients(11, l2)
    numeric = np.empty_like(space.gradients)
    for index in range(len(numeric)):
        old, step = network.parameters[index], 1e-6
        network.parameters[index] = old + step
        above = objective(network, X, y, l2)
        network.parameters[index] = old - step
        below = objective(network, X, y, l2)
        network.parameters[index] = old
        numeric[index] = (above - below) / (2 * step)
    np.testing.assert_allclose(space.gradients, numeric, rtol=1e-5, atol=1e-8)
    if not l2:
        before = network.parameters.copy()
        space.loss(11)
        space.descend(11, 0.3)
        np.testing.assert_allclose(network.parameters, before - 0.3 * space.gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (6,), (5, 4, 3)])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(
    ("rate", "smoothing", "weighted"), [(0.4, 0.0, False), (0.0, 0.3, False), (0.0, 0.0, True), (0.4, 0.3, True)]
)
def test_gradients_with_dropout_smoothing_and_class_weights_equal_torch_s(
    hidden, activation, rate, smoothing, weighted
):
    rng = np.random.default_rng(1)
    network = Network((7, *hidden, 3), activation, np.float64)
    network.parameters[:] = rng.normal(0, 0.7, len(network.parameters))
    X, y, weights = rng.normal(size=(11, 7)), rng.integers(0, 3, 11), np.array([0.5, 2.0, 1.25])
    dropout = Dropout(4, rate, hidden) if rate else None
    space = Workspace(network, 11, True, dropout, smoothing, weights if weighted else None)
    space.inputs[:], space.labels[:] = X, y
    loss, _ = space.loss(11, step=6)
    space.fill_gradients(11, 0.0)

    functions = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "linear": lambda z: z}
    parameters = torch.tensor(network.parameters, requires_grad=True)
    z, matrices, biases = torch.tensor(X), *network.split(parameters)
    for layer, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        z = z @ matrix + bias
        if layer < len(hidden):
            z = functions[activation](z)
            if rate:
                z = z * torch.tensor(Masks(units_of([Dropout(4, rate, hidden)], layer, 11), X.dtype).draw(6).T)
    targets = torch.tensor(y)
    of_rows = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")(z, targets)
    (of_rows * (torch.tensor(weights)[targets] if weighted else 1)).mean().backward()
    np.testing.assert_allclose(space.gradients, parameters.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(z, targets, reduction="sum").item())


def test_balanced_weights_are_scikit_learn_s_and_leave_the_mean_loss_as_torch_weighs_it():
    y = np.array([0] * 7 + [1] * 2 + [3] * 12)
    weights = balanced_weights(y, 5)
    np.testing.assert_allclose(weights[[0, 1, 3]], compute_class_weight("balanced", classes=np.unique(y), y=y))
    assert weights[[2, 4]].tolist() == [0, 0]
    logits = torch.tensor(np.random.default_rng(0).normal(size=(len(y), 5)))
    of_rows = torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none")
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(logits, torch.tensor(y))
    assert float((of_rows * torch.tensor(weights[y])).mean()) == pytest.approx(float(theirs))


@given(
    st.integers(1, 6).flatmap(
        lambda rows: st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=rows, max_size=rows)
    )
)
@settings(deadline=None, max_examples=60)
def test_softmax_and_its_loss_equal_scipy_s_for_any_logits(logits):
    z = np.array(logits)
    labels = np.arange(len(z)) % 4
    expected = -log_softmax(z, axis=1)[np.arange(len(z)), labels].sum()
    # Two networks at once, the second with the rows in reverse order; rows last.
    mine = np.ascontiguousarray(np.stack([z.T, z[::-1].T], axis=1))
    loss, right = softmax_cross_entropy(mine, label_positions(np.stack([labels, labels[::-1]])))
    assert loss == pytest.approx([expected, expected], rel=1e-12, abs=1e-9)
    assert list(right) == [(z.argmax(axis=1) == labels).sum()] * 2
    np.testing.assert_allclose(mine[:, 0].T, scipy_softmax(z, axis=1), rtol=1e-12, atol=1e-300)
    again = np.ascontiguousarray(z.T)
    softmax(again)
    np.testing.assert_array_equal(again, mine[:, 0])


@pytest.mark.parametrize("x", [0.0, 1.0, -1.0, 40.0, -40.0, 1e4, -1e4, 1e300, -1e300])
def test_sigmoid_equals_scipy_s_also_far_out(x):
    z = np.array([[x]])
    with np.errstate(all="raise", under="ignore"):
        ACTIVATIONS["sigmoid"].apply(z)
    assert z[0, 0] == pytest.approx(expit(x), abs=1e-16)


def test_adam_equals_torch_s_but_for_where_epsilon_stands():
    rng = np.random.default_rng(0)
    mine, theirs = np.ones(20), torch.ones(20, dtype=torch.float64, requires_grad=True)
    ours, other = make_optimizer("adam", 0.01, 0.0, mine), torch.optim.Adam([theirs], 0.01, eps=1e-8)
    for _ in range(50):
        gradient = rng.normal(size=20)
        theirs.grad = torch.tensor(gradient)
        ours.step(mine, gradient.copy())
        other.step()
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-6)


def test_adamw_equals_torch_s_with_its_decay_on_the_weights_alone():
    rng = np.random.default_rng(0)
    mine = rng.normal(size=20)
    weights, biases = (torch.tensor(part, requires_grad=True) for part in (mine[:15], mine[15:]))
    other = torch.optim.AdamW(
        [{"params": [weights]}, {"params": [biases], "weight_decay": 0.0}], 0.01, weight_decay=0.4
    )
    ours = make_optimizer("adamw", 0.01, 0.0, mine, 0.4, 15)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(other, 50)
    for factor in step_factors("cosine", 0.0, 50, 0, 50):
        gradient = rng.normal(size=20)
        weights.grad, biases.grad = torch.tensor(gradient[:15]), torch.tensor(gradient[15:])
        ours.factor = float(factor)
        ours.step(mine, gradient.copy())
        other.step()
        decay.step()
    np.testing.assert_allclose(mine, torch.cat([weights, biases]).detach().numpy(), rtol=1e-6)


def test_a_small_decay_is_not_lost_at_single_precision():
    """1 - rate * decay rounds to 1 here."""
    given = np.random.default_rng(0).normal(size=(1001, 2000)).astype(np.float32)
    ends = []
    for decay in (0.0, 1e-4):
        parameters = given[0].copy()
        optimizer = make_optimizer("adamw", 1e-4, 0.0, parameters, decay, 2000)
        for gradients in given[1:]:
            optimizer.step(parameters, gradients.copy())
        ends.append(parameters.astype(np.float64))
    assert (ends[0] - ends[1]) @ given[0] / (given[0] @ given[0]) == pytest.approx(1000 * 1e-8, rel=0.05)


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown activation 'swish'; known: relu, sigmoid, tanh, linear"):
        Network((2, 2), "swish", np.float64)
    with pytest.raises(ConfigError, match="unknown optimizer 'sgdm'; known: sgd, adam, adamw"):
        make_optimizer("sgdm", 0.1, 0.0, np.zeros(1))
