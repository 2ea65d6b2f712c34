"""The network on CPU cores, each of which computes blocks of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch

from lib.backbones.network import CutNetwork
from lib.features.config import FeatureSettings
from lib.features.device import device_name
from lib.features.program import Array, Rows
from lib.features.resize import Pixels, Resizer
from lib.machine import cores, in_turn


class CpuProgram:
    """Each core computes images of its own, from reading to features, in one thread without waiting for the others.

    A network with a head takes a few images at a time through its trunk, whose activations stay in cache, and the whole
    block through its head; cores share a block, so that a small set keeps them all busy. In float32 oneDNN gives a row the
    same bits in any such batch, but not in a small block, which is padded; an image alone in the trunk, and on some
    processors bfloat16, may differ in the last bits. They are the same for all who compute a set, for its blocks are.
    Other networks always compute batches of one size, padded: a row's bits cannot depend on how many others there are.
    """

    CONVOLVED = 32
    """Images that go through a trunk at once: measured to be fastest from 8 to 64 on processors with AVX-512."""

    AHEAD = 4
    """Such parts that are under way, for each core."""

    BLOCK = 256
    """Images that go through a head at once: beyond it AlexNet's rate grows by less than 1 %."""

    LEAST = 32

    BATCH = 8
    """Images that go through a network without a head at once: more are not faster."""

    def __init__(self, network: CutNetwork, settings: FeatureSettings, batch_size: int | None) -> None:
        device = torch.device("cpu")
        self.device_name = device_name(device)
        self.batch_size = batch_size or (self.LEAST if network.head is None else self.BLOCK)
        self._storage = settings.storage
        self._dtype: torch.dtype = getattr(torch, settings.precision)
        self._network = network.to(dtype=self._dtype).to(memory_format=torch.channels_last)
        self._resize = Resizer(settings, device, self._dtype)

    def features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        lanes, threads = cores(), torch.get_num_threads()
        pool = ThreadPoolExecutor(lanes, "extract", initializer=torch.set_num_threads, initargs=(1,))
        compute = self._by_blocks if self._network.head is None else self._by_parts
        try:
            yield from compute(pool, lanes, rows, blocks)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # MKL's number is the process's, not the lane's

    def _by_blocks(self, pool: Executor, lanes: int, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        @torch.inference_mode()
        def features(block: range) -> Array:
            images = torch.cat([self._input(rows, part) for part in rows.parts(block, self.BATCH)])
            batches = [self._network(_padded(batch, self.BATCH)) for batch in torch.split(images, self.BATCH)]
            return as_stored(torch.cat(batches)[: len(block)], self._storage)

        return in_turn(pool, features, blocks, 2 * lanes)

    def _by_parts(self, pool: Executor, lanes: int, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        head = self._network.head
        assert head is not None

        @torch.inference_mode()
        def compute(part: tuple[_Parts, int]) -> tuple[_Parts, int]:
            block, number = part
            if block.add(number, self._network.trunk(self._input(rows, block.parts[number]))):
                activations = torch.cat(block.activations)
                features = head(_padded(activations, self.LEAST))[: len(activations)]
                block.features = as_stored(features, self._storage)
            return part

        shared = (_Parts(rows.parts(block, self.CONVOLVED)) for block in blocks)
        parts = ((block, number) for block in shared for number in range(len(block.parts)))
        for block, number in in_turn(pool, compute, parts, self.AHEAD * lanes):
            if number == len(block.parts) - 1:  # by now all of them are computed
                assert block.features is not None
                yield block.features

    def _input(self, rows: Rows, part: range) -> torch.Tensor:
        return self._resize(_tensors(rows.read(part)))


class _Parts:
    """A block in parts that several threads take through the trunk; whoever adds the last one makes `features` of them."""

    def __init__(self, parts: Sequence[range]) -> None:
        self.parts = parts
        self.activations: list[torch.Tensor] = [torch.empty(0)] * len(parts)
        self.features: Array | None = None
        self._left = len(parts)
        self._lock = Lock()

    def add(self, number: int, activations: torch.Tensor) -> bool:
        """Whether no part is left."""
        self.activations[number] = activations
        with self._lock:
            self._left -= 1
            return self._left == 0


def as_stored(features: torch.Tensor, storage: str) -> Array:
    """Features on the CPU as an array of `storage`'s dtype; what float16 cannot hold becomes infinite."""
    stored: Array = features.to(getattr(torch, storage)).numpy()
    return stored


def _padded(batch: torch.Tensor, least: int) -> torch.Tensor:
    """The batch with rows of zeros after it, if it has fewer than `least`."""
    if len(batch) >= least:
        return batch
    padded = torch.cat([batch, batch.new_zeros(least - len(batch), *batch.shape[1:])])
    return padded.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else padded


def _tensors(images: Pixels) -> torch.Tensor | list[torch.Tensor]:
    if not isinstance(images, np.ndarray):
        if len({image.shape for image in images}) > 1:
            return [torch.from_numpy(image.copy()) for image in images]  # decoded images are not writable
        images = np.stack(images)
    return torch.from_numpy(np.ascontiguousarray(images))
