"""The network as a program over blocks of images: on CPU cores here, on a GPU in `cuda_program`.

A block is a range of rows that are computed together, always the same ones whoever computes them, and a row's features
do not depend on how many lanes there are: so a set's content does not depend on who makes it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from lib.features.alexnet import CutAlexNet, choose_device, computes_fast, device_name, load_network
from lib.features.config import FeatureSettings
from lib.features.resize import Pixels, Resizer
from lib.machine import cores

_logger = logging.getLogger(__name__)

Array = npt.NDArray[np.floating]


class Rows(Protocol):
    """The images that are to go through the network; used from several threads at once."""

    def parts(self, block: range, most: int) -> list[range]:
        """The rows of a block in parts that are read at once: at most `most` images, and no more than memory is meant for."""

    def read(self, part: range) -> Pixels:
        """The images of a part."""


class Program(Protocol):
    """The network on its device."""

    device_name: str
    batch_size: int

    def features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        """The features (rows of the block, width) of each block, in order; later blocks are under way meanwhile."""


def make_program(settings: FeatureSettings, cache: Path, mirror: str | None, batch_size: int | None) -> Program:
    """The network of `settings` where it is to run, ready to compute blocks of at most `batch_size` images.

    Without a number the program finds one.

    Raises
    ------
    WeightsError
        When weights are missing or do not fit.
    ConfigError
        When the device is not there, or has too little memory.
    """
    device = choose_device(settings.device)
    if not computes_fast(settings.precision, device):
        _logger.warning("this processor emulates %s, which is slow; float32 is faster here", settings.precision)
    network = load_network(settings, cache, mirror)
    if device.type == "cuda":
        from lib.features.cuda_program import CudaProgram

        return CudaProgram(network, settings, device, batch_size)
    return CpuProgram(network, settings, batch_size)


class CpuProgram:
    """Each core computes blocks of its own, from reading to features, in one thread without waiting for the others.

    Convolutions take a few images at a time, whose activations stay in cache; the fully connected layers take the whole
    block. oneDNN gives a row the same bits in any such batch, but not in a very small one, so small blocks are padded.
    """

    CONVOLVED = 32
    """Images that go through the convolutions at once: measured to be fastest from 8 to 64 on processors with AVX-512."""

    BLOCK = 256
    """Images that go through the fully connected layers at once: beyond it their rate grows by less than 1 %."""

    LEAST = 32

    def __init__(self, network: CutAlexNet, settings: FeatureSettings, batch_size: int | None) -> None:
        device = torch.device("cpu")
        self.device_name = device_name(device)
        self.batch_size = batch_size or self.BLOCK
        self._storage = settings.storage
        self._dtype: torch.dtype = getattr(torch, settings.precision)
        self._network = network.to(dtype=self._dtype).to(memory_format=torch.channels_last)
        self._resize = Resizer(settings, device, self._dtype)

    def features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        """See `Program.features`."""
        lanes, threads = cores(), torch.get_num_threads()
        waiting: deque[Future[Array]] = deque()
        pool = ThreadPoolExecutor(lanes, "extract", initializer=torch.set_num_threads, initargs=(1,))
        try:
            for block in blocks:
                waiting.append(pool.submit(self._block, rows, block))
                if len(waiting) > 2 * lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # MKL's number is the process's, not the lane's

    def _block(self, rows: Rows, block: range) -> Array:
        with torch.inference_mode():
            parts = [
                self._network.trunk(self._resize(_tensors(rows.read(part))))
                for part in rows.parts(block, self.CONVOLVED)
            ]
            if len(block) < self.LEAST:
                parts.append(parts[0].new_zeros(self.LEAST - len(block), parts[0].shape[1]))
            return as_stored(self._network.head(torch.cat(parts))[: len(block)], self._storage)


def as_stored(features: torch.Tensor, storage: str) -> Array:
    """Features on the CPU as an array of `storage`'s dtype; what float16 cannot hold becomes infinite."""
    stored: Array = features.to(getattr(torch, storage)).numpy()
    return stored


def _tensors(images: Pixels) -> torch.Tensor | list[torch.Tensor]:
    if not isinstance(images, np.ndarray):
        if len({image.shape for image in images}) > 1:
            return [torch.from_numpy(image.copy()) for image in images]  # decoded images are not writable
        images = np.stack(images)
    return torch.from_numpy(np.ascontiguousarray(images))
