"""From a dataset's images to a sealed feature set; only missing or damaged shards are computed.

Rows run through the splits train, validation, test; sample_id is the position in that order. A shard is owned by
(set digest, index) and its batches start at its first row, so a crash anywhere changes nothing in the result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Dataset, Split
from lib.errors import FeatureSetError
from lib.features.config import FeatureSettings
from lib.features.manifest import Manifest, Shard, write_manifest
from lib.features.shards import FeatureSet, ShardContent, check_shard, open_feature_set, shard_name, write_shard
from lib.features.weights import weights_digest
from lib.files import digest_json, require_writable
from lib.progress import bar

if TYPE_CHECKING:
    import torch

_logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


def feature_set_digest(dataset_digest: str, settings: FeatureSettings, weights_sha256: str) -> str:
    """SHA-256 over all that decides the features: images and order, weights, layer, size, interpolation, precision."""
    return digest_json([dataset_digest, weights_sha256, settings.identity()])


def extract(dataset: Dataset, settings: FeatureSettings, features_dir: Path, mirror: str | None = None) -> FeatureSet:
    """Return the sealed set of `dataset`'s features, computing what is missing.

    The folder is `<features_dir>/<dataset name>/<digest>`.

    Raises
    ------
    WeightsError
        When weights are missing or do not fit.
    FeatureSetError
        When the network gives a value that is not finite.
    StorageError
        When the disk is full or cannot be written; the same call goes on from there.
    """
    require_writable(features_dir)
    cache = features_dir / ".weights"
    weights = weights_digest(settings, cache, mirror)
    digest = feature_set_digest(dataset.digest, settings, weights)
    folder = features_dir / dataset.name / digest[:16]
    with suppress(FeatureSetError):
        return open_feature_set(folder)
    return Extraction(dataset, settings, folder, digest, weights).run(cache, mirror)


class Extraction:
    """The state of one extraction: the plan of shards, and the network once a shard is missing."""

    def __init__(self, dataset: Dataset, settings: FeatureSettings, folder: Path, digest: str, weights: str) -> None:
        self.dataset = dataset
        self.settings = settings
        self.folder = folder
        self.digest = digest
        self.weights = weights
        self.splits = [(name, dataset.splits[name]) for name in SPLITS if name in dataset.splits]
        self.rows = sum(len(split) for _, split in self.splits)

    def plan(self) -> list[range]:
        """The rows of each shard."""
        size = self.settings.shard_rows
        return [range(start, min(start + size, self.rows)) for start in range(0, self.rows, size)]

    def compute(self, indexes: Sequence[int], cache: Path, mirror: str | None) -> int:
        """Write these shards; returns how many images they hold."""
        compute = _Compute(self.settings, cache, mirror) if indexes else None
        for index in indexes:
            assert compute is not None
            path, content = self.folder / shard_name(index), self._content(compute, self.plan()[index])
            write_shard(path, content, self.digest, self.settings.describe(), self.dataset.class_names)
        return sum(len(self.plan()[index]) for index in indexes)

    def run(self, cache: Path, mirror: str | None) -> FeatureSet:
        plan = self.plan()
        shards: list[Shard] = []
        computed, seconds, device = 0, 0.0, "none: every shard was there"
        compute: _Compute | None = None
        with bar(f"extract {self.dataset.name}", self.rows, "image") as advance:
            for index, rows in enumerate(plan):
                path = self.folder / shard_name(index)
                shard = check_shard(path, self.digest, len(rows))
                if shard is None:
                    compute = compute or _Compute(self.settings, cache, mirror)
                    device = compute.device_name
                    started = time.perf_counter()
                    content = self._content(compute, rows)
                    write_shard(path, content, self.digest, self.settings.describe(), self.dataset.class_names)
                    seconds += time.perf_counter() - started
                    computed += len(rows)
                    shard = check_shard(path, self.digest, len(rows))
                    if shard is None:
                        raise FeatureSetError(f"shard {path} cannot be read back after writing; check the disk")
                shards.append(shard)
                advance(len(rows))
        rate = computed / seconds if computed else None
        if rate:
            _logger.info("%s: %d images, %.0f images/s on %s", self.settings.describe(), computed, rate, device)
        write_manifest(self.folder, self._manifest(shards, device, rate))
        return open_feature_set(self.folder)

    def _content(self, compute: _Compute, rows: range) -> ShardContent:
        parts, labels, names = [], [], []
        for first in range(rows.start, rows.stop, self.settings.batch_size):
            images = []
            for position in range(first, min(first + self.settings.batch_size, rows.stop)):
                name, split, index = self._locate(position)
                images.append(split.images[index])
                labels.append(split.labels[index])
                names.append(name)
            features = compute(images)
            broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
            if broken.size:
                raise FeatureSetError(
                    f"sample {first + int(broken[0])} of {self.dataset.name} gives features that are not finite "
                    f"({self.settings.precision}, stored as {self.settings.storage}); use float32 or check the weights"
                )
            parts.append(features)
        ids = np.arange(rows.start, rows.stop, dtype=np.int64)
        return ShardContent(ids, np.array(labels, np.int64), names, np.concatenate(parts))

    def _locate(self, position: int) -> tuple[str, Split, int]:
        for name, split in self.splits:
            if position < len(split):
                return name, split, position
            position -= len(split)
        raise IndexError(position)

    def _manifest(self, shards: Sequence[Shard], device: str, rate: float | None) -> Manifest:
        settings = self.settings
        return Manifest(
            digest=self.digest,
            dataset=self.dataset.name,
            dataset_digest=self.dataset.digest,
            class_names=self.dataset.class_names,
            description=settings.describe(),
            weights_sha256=self.weights,
            layer=settings.layer,
            width=settings.width,
            input_size=settings.input_size,
            interpolation=settings.interpolation,
            precision=settings.precision,
            storage=settings.storage,
            rows=self.rows,
            splits={name: len(split) for name, split in self.splits},
            shards=tuple(shards),
            device=device,
            images_per_second=rate,
            versions={name: version(name) for name in ("torch", "torchvision", "pyarrow")},
        )


class _Compute:
    """The network on its device: a list of uint8 images in, features out."""

    def __init__(self, settings: FeatureSettings, cache: Path, mirror: str | None) -> None:
        import torch

        from lib.features.alexnet import DEVIATION, MEAN, choose_device, device_name, load_network

        self._settings = settings
        self._device = choose_device(settings.device)
        self.device_name = device_name(self._device)
        self._precision = getattr(torch, settings.precision)
        network = load_network(settings, cache, mirror).to(self._device, self._precision)
        self._network = network.to(memory_format=torch.channels_last)
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=self._device).view(1, 3, 1, 1)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.floating]:
        import torch

        with torch.inference_mode():
            one_size = len({image.shape for image in images}) == 1
            groups = [np.stack(images)] if one_size else [image[None] for image in images]
            batch = torch.cat([self._resized(group) for group in groups])
            batch = (batch - self._mean) / self._deviation
            batch = batch.to(self._precision, memory_format=torch.channels_last)
            features = self._network(batch).float().cpu().numpy()
        with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which the caller refuses
            stored: npt.NDArray[np.floating] = features.astype(self._settings.storage)
        return stored

    def _resized(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Images (n, h, w[, 3]) of one size as float32 (n, 3, size, size) in [0, 1]; whole images, squeezed to squares."""
        import torch

        # uint8 crosses to the device: a quarter of the bytes of float32
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self._device)
        pixels = pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels[:, None].expand(-1, 3, -1, -1)
        pixels = pixels.float().div_(255)
        size, mode = self._settings.input_size, self._settings.interpolation
        smooth = mode != "nearest"
        resized = torch.nn.functional.interpolate(
            pixels,
            (size, size),
            mode=mode,
            align_corners=False if smooth else None,
            antialias=smooth and max(pixels.shape[2:]) > size,
        )
        return resized.clamp_(0, 1)  # bicubic overshoots
