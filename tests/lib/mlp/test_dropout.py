"""Which units are dropped: the share asked for, the same in NumPy and torch, by seed, step, unit and row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.mlp.dropout import STEP, Dropout, Masks, units_of
from lib.mlp.torch_program import _Masks, _signed

FLOAT = np.dtype(np.float64)


def masks(*networks: Dropout, layer: int = 0, count: int = 50, step: int = 0) -> np.ndarray:
    return Masks(units_of(networks, layer, count), FLOAT).draw(step).copy()


@pytest.mark.parametrize("rate", [1e-12, 0.1, 0.5, 0.9])
def test_the_share_asked_for_is_dropped_and_the_mean_is_kept(rate):
    drawn = np.stack([masks(Dropout(3, rate, (200,)), step=step) for step in range(100)])  # 1,000,000 values
    error = 5 * np.sqrt(rate * (1 - rate) / drawn.size)
    assert (drawn == 0).mean() == pytest.approx(rate, abs=error)
    assert set(np.unique(drawn)) <= {0, 1 / (1 - rate)}
    for axis in range(3):  # no unit, row or step is dropped more than others
        means = (drawn == 0).mean(axis=tuple({0, 1, 2} - {axis}))
        assert means.std() < 2 * np.sqrt(rate * (1 - rate) / (drawn.size / len(means))) + 1e-12


def test_a_mask_is_made_of_numbers_of_splitmix64():
    word = (1 << 64) - 1
    key = int(np.random.SeedSequence(7, spawn_key=(2,)).generate_state(1, np.uint64)[0])

    def kept(step: int, position: int) -> bool:
        z = (key + ((step << 32) + position) * 0x9E3779B97F4A7C15) & word
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        z ^= z >> 31
        return (z ^ (1 << 63)) >= int(0.3 * 2**64)

    drawn = masks(Dropout(7, 0.3, (4, 3)), layer=1, count=5, step=11)
    expected = [[kept(11, (4 + unit) * 5 + row) for row in range(5)] for unit in range(3)]
    np.testing.assert_array_equal(drawn > 0, expected)


def test_networks_side_by_side_have_the_masks_that_each_has_alone():
    networks = [Dropout(seed, rate, (3000, 2)) for seed, rate in ((0, 0.2), (1, 0.2), (0, 0.7))]
    together = masks(*networks, step=9)
    np.testing.assert_array_equal(together, np.concatenate([masks(each, step=9) for each in networks]))
    assert len({masks(each, layer=layer, step=step)[:2].tobytes()
                for each in networks for layer in (0, 1) for step in (0, 1)}) == 12  # fmt: skip


def test_torch_draws_the_same_masks():
    networks = [Dropout(seed, rate, (31, 2)) for seed, rate in ((0, 0.2), (1, 0.999), (5, 1e-9))]
    units = units_of(networks, 0, 17)
    theirs = _Masks(units, torch.zeros(1, dtype=torch.float64))
    for step in (0, 1, 123_456_789):
        theirs.draw(torch.tensor([step]) * _signed(STEP))
        np.testing.assert_array_equal(theirs.mask.numpy(), Masks(units, FLOAT).draw(step))
