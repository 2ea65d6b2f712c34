"""The GPU's loop beside the CPU's: on a GPU where there is one, and anywhere on a stand-in that computes at once.

The stand-in shows that blocks, parts and buffers are put together rightly; that streams wait for each other as they must
only a GPU can show.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lib.backbones.network import load_network
from lib.datasets.dataset import Split, build
from lib.features import FeatureSettings, cuda_program, extract, programs
from lib.features.cuda_program import CudaProgram

SETTINGS = FeatureSettings(weights="random", input_size=64, shard_rows=40, device="cpu")


@pytest.fixture(scope="module", params=["one size", "several sizes"])
def dataset(request):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 20, 24, 3), np.uint8)
    if request.param == "several sizes":

        class Several:
            def __len__(self):
                return 90

            def __getitem__(self, index):
                return images[index, : 8 + index % 5]

        images_ = Several()
    else:
        images_ = images
    return build("tiny", ["a", "b"], {"train": Split(images_, np.arange(90) % 2)}, "")


class AtOnce:
    """Stands for a stream or an event where everything has happened by the time it was asked for."""

    def __init__(self, *_):
        pass

    def record(self, *_):
        pass

    def synchronize(self):
        pass

    def wait_event(self, _):
        pass


def test_the_loop_gives_the_features_that_the_cpu_gives(dataset, tmp_path, monkeypatch):
    expected = extract(dataset, SETTINGS, tmp_path / "cpu").load("train").X
    made = []

    def make(settings, cache, mirror, batch_size):
        made.append(CudaProgram(load_network(settings, cache, mirror), settings, torch.device("cpu"), batch_size or 16))
        return made[0]

    monkeypatch.setattr(torch.cuda, "Stream", AtOnce)
    monkeypatch.setattr(torch.cuda, "Event", AtOnce)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", AtOnce)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(cuda_program, "_pinned", lambda shape, dtype: torch.empty(shape, dtype=dtype))
    monkeypatch.setattr(cuda_program, "_READ", 5)
    monkeypatch.setattr(programs, "make_program", make)
    found = extract(dataset, SETTINGS, tmp_path / "gpu").load("train").X
    assert len(made) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_on_a_gpu_the_features_are_the_cpu_s_within_rounding(dataset, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: the program's streams and its search for a batch size were not tried")
    expected = extract(dataset, SETTINGS, tmp_path / "cpu").load("train").X
    found = [
        extract(dataset, SETTINGS.model_copy(update={"device": "cuda"}), tmp_path / name).load("train").X
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
