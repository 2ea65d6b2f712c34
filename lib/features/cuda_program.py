"""The network on a GPU: reading, transfer, computing and the way back overlap.

uint8 pixels cross once, through pinned buffers and a stream of their own, and are resized into the batch on the device.
cuDNN's choice of algorithms is fixed, and TF32 off, so a batch gives the same bits on every GPU of a kind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from lib.backbones.network import CutNetwork
from lib.errors import ConfigError
from lib.features.config import FeatureSettings
from lib.features.device import device_name
from lib.features.program import Array, Rows
from lib.features.resize import Pixels, Resizer
from lib.machine import cores, drawn_ahead, in_turn

_LARGEST, _SMALLEST = 2048, 16
_READ = 128
"""Images that one thread reads, and that cross to the device, at once."""

_AHEAD = 3
"""Buffers in flight on each side of the network."""


class CudaProgram:
    """One GPU computes block after block, while threads read the next ones and the last ones travel back."""

    def __init__(
        self, network: CutNetwork, settings: FeatureSettings, device: torch.device, batch_size: int | None
    ) -> None:
        self._device = device
        self.device_name = device_name(device)
        self._settings = settings
        self._dtype: torch.dtype = getattr(torch, settings.precision)
        self._network = network.to(device, self._dtype).to(memory_format=torch.channels_last)
        self._resize = Resizer(settings, device, self._dtype)
        self.batch_size = batch_size or self._largest_batch()

    def features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        """See `Program.features`. Raises ConfigError when the GPU's memory is too small for the batch."""
        try:
            yield from self._features(rows, blocks)
        except torch.cuda.OutOfMemoryError:
            raise ConfigError(
                f"{self.device_name} has too little memory free for {self.batch_size} images at once: end what else runs "
                "there, or extract into a new PROBEFLOW_DATA with a smaller features.batch_size"
            ) from None

    def _features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(cores(), "read")
            stack.callback(pool.shutdown, cancel_futures=True)
            stack.enter_context(_reproducible())
            for answer in drawn_ahead(self._answers(pool, rows, blocks), _AHEAD - 1):
                yield answer.features()

    def _answers(self, pool: Executor, rows: Rows, blocks: Iterable[range]) -> Iterator[_Answer]:
        """Each block's answer once all that it needs is handed to the device, which need not have begun."""
        uploads = deque(_Upload(self._device) for _ in range(_AHEAD))
        batch: torch.Tensor | None = None
        # Parts are bounded in bytes, blocks are not.
        parts = ((block, part) for block in blocks for part in rows.parts(block, _READ))
        for block, part, images in in_turn(pool, lambda each: (*each, rows.read(each[1])), parts, 2 * cores()):
            batch = self._empty() if batch is None else batch
            upload = uploads[0]
            uploads.rotate(-1)
            with torch.inference_mode():
                batch[part.start - block.start : part.stop - block.start] = self._resize(upload(images))
            if part.stop == block.stop:
                yield self._answer(batch, len(block))
                batch = None

    def _empty(self) -> torch.Tensor:
        """A batch of zeros: a short block is computed as a whole one, for its rows must not depend on its length."""
        size = self._settings.input_size
        shape = (self.batch_size, 3, size, size)
        batch = torch.empty(shape, dtype=self._dtype, device=self._device, memory_format=torch.channels_last)
        return batch.zero_()

    def _answer(self, batch: torch.Tensor, count: int) -> _Answer:
        with torch.inference_mode():
            stored = self._network(batch)[:count].to(getattr(torch, self._settings.storage))
            # Pinned memory comes from torch's cache, which waits until the copy into it has ended.
            host = _pinned(stored.shape, stored.dtype)
            host.copy_(stored, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self._device))
        return _Answer(host, done)

    def _largest_batch(self) -> int:
        """The largest power of two that fits with three times its memory free. Raises ConfigError when no small one does."""
        batch = _LARGEST
        while batch >= _SMALLEST:
            self.batch_size = batch
            try:
                with torch.inference_mode(), _reproducible():
                    before = torch.cuda.memory_allocated(self._device)
                    torch.cuda.reset_peak_memory_stats(self._device)
                    self._network(self._empty())
                    torch.cuda.synchronize(self._device)
                    needed = torch.cuda.max_memory_allocated(self._device) - before
                torch.cuda.empty_cache()
                if 3 * needed < torch.cuda.mem_get_info(self._device)[0]:
                    return batch
            except torch.cuda.OutOfMemoryError:
                pass
            torch.cuda.empty_cache()
            batch //= 2
        free = torch.cuda.mem_get_info(self._device)[0]
        raise ConfigError(
            f"{self.device_name} has {free / 1e9:.1f} GB of memory free, too little for {_SMALLEST} images at once: "
            "end what else runs there, or use features.device=cpu"
        )


@dataclass(frozen=True)
class _Answer:
    host: torch.Tensor
    done: torch.cuda.Event

    def features(self) -> Array:
        self.done.synchronize()
        features: Array = self.host.numpy().copy()  # pinned memory is scarce, and goes back at once
        return features


class _Upload:
    """One pinned buffer, used again when what it held has crossed."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._crossed = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def __call__(self, images: Pixels) -> torch.Tensor | list[torch.Tensor]:
        """The images on the device, for use on the current stream."""
        sizes = [images.nbytes] if isinstance(images, np.ndarray) else [image.nbytes for image in images]
        shapes = [images.shape] if isinstance(images, np.ndarray) else [image.shape for image in images]
        self._crossed.synchronize()
        if len(self._buffer) < sum(sizes):
            self._buffer = _pinned((sum(sizes),), torch.uint8)
        view, start = self._buffer.numpy(), 0
        for image, size in zip([images] if isinstance(images, np.ndarray) else images, sizes, strict=True):
            view[start : start + size] = image.reshape(-1)
            start += size
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            there = self._buffer[:start].to(self._device, non_blocking=True)
            self._crossed.record(self._stream)
        current.wait_event(self._crossed)
        there.record_stream(current)
        pieces = [piece.view(shape) for piece, shape in zip(torch.split(there, sizes), shapes, strict=True)]
        return pieces[0] if isinstance(images, np.ndarray) else pieces


def _pinned(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of the host that the GPU reads and writes by itself."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)


@contextmanager
def _reproducible() -> Iterator[None]:
    """The same bits each time, and float32 that is float32."""
    products = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = products
