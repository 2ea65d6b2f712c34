"""The program of a CPU: all of its cores work, however few images there are."""

from __future__ import annotations

from threading import Barrier
from threading import enumerate as enumerate_threads

import numpy as np
import pytest

from lib.features import FeatureSettings, cpu_program
from lib.features.plan import blocks
from lib.features.programs import make_program

CORES = 2
SETTINGS = FeatureSettings(layer="pool5", weights="random", input_size=64, device="cpu")


class Alone:
    """Images of one colour each."""

    def parts(self, block: range, most: int) -> list[range]:
        return blocks(block, most)

    def read(self, part: range) -> np.ndarray:
        return np.stack([np.full((8, 8, 3), number, np.uint8) for number in part])


class Together(Alone):
    """Images of which some are read once others are, too."""

    def __init__(self) -> None:
        self._others = Barrier(CORES, timeout=30)

    def read(self, part: range) -> np.ndarray:
        self._others.wait()
        return super().read(part)


@pytest.mark.parametrize("layer", ["pool5", "fc7"])
def test_cores_share_a_block_and_change_no_bit_of_it(tmp_path, monkeypatch, layer):
    settings = SETTINGS.model_copy(update={"layer": layer})
    program = make_program(settings, tmp_path, None, None)
    block = range(3, 3 + 4 * program.CONVOLVED)
    monkeypatch.setattr(cpu_program, "cores", lambda: CORES)
    (shared,) = program.features(Together(), [block])
    monkeypatch.setattr(cpu_program, "cores", lambda: 1)
    (alone,) = program.features(Alone(), [block])
    np.testing.assert_array_equal(shared, alone)
    assert len(shared) == len(block)


def test_blocks_come_in_order_whole(tmp_path):
    program = make_program(SETTINGS, tmp_path, None, None)
    found = list(program.features(Alone(), [range(0, 70), range(70, 71), range(71, 140)]))
    assert [len(each) for each in found] == [70, 1, 69]
    (whole,) = program.features(Alone(), [range(0, 140)])
    np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lanes", [1, 2, 16])
@pytest.mark.parametrize("size", [1, 40])
def test_blocks_before_one_that_cannot_be_read_come_first(tmp_path, monkeypatch, lanes, size):
    class Damaged(Alone):
        def read(self, part: range) -> np.ndarray:
            if 4 * size in part:
                raise ValueError("damaged")
            return super().read(part)

    monkeypatch.setattr(cpu_program, "cores", lambda: lanes)
    program = make_program(SETTINGS, tmp_path, None, None)
    features = program.features(Damaged(), blocks(range(10 * size), size))
    for _ in range(4):
        assert len(next(features)) == size
    with pytest.raises(ValueError, match="damaged"):
        next(features)
    assert not [thread for thread in enumerate_threads() if thread.name.startswith("extract")]
