"""Reading a sealed feature set: as one array, row group by row group, by sample id, as a frame, or for torch.

Pages are decoded once, out of the mapped file. `batches` gives read-only views of that memory; `sample` and `fill` write to one
array, and hold less than a row group beside it. float16 stays float16, but for `fill`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.errors import FeatureSetError
from lib.features import manifest as manifests
from lib.features.manifest import Manifest, read_manifest
from lib.features.rows import Features, RowGroup
from lib.features.shard_reading import OpenShard, missing
from lib.files import digest_file
from lib.storage.copies import fetch

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.data import TensorDataset

    from lib.features.torch_reading import SplitStream

COLUMNS = ("sample_id", "label", "split", "features")

_AT_ONCE = 128
"""Rows of a row group that are decoded at once on their way to another array: then that takes half of its memory."""


class FeatureSet:
    """A sealed feature set, checked when opened; see `open_feature_set`.

    Rows are numbered through the splits in order (`sample_id`), so a split is a range of them, and what of it lies in which
    shard follows from the manifest: others are not opened. Whatever reads shards raises FeatureSetError when a shard is
    missing or damaged (pages are checked against their checksums as they are read), or a split is not the set's.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"FeatureSet({manifest.dataset}: {manifest.rows:,} rows × {manifest.width:,}, {manifest.description})"

    def rows(self, split: str) -> range:
        """Sample ids of a split."""
        start = 0
        for name, count in self.manifest.splits.items():
            if name == split:
                return range(start, start + count)
            start += count
        known = ", ".join(self.manifest.splits)
        raise FeatureSetError(f"feature set {self.folder} has no split {split!r}; it has: {known}")

    def batches(self, split: str) -> Iterator[Features]:
        """Rows of a split in order: what each row group has of it, as read-only views."""
        return self.read_row_groups(self.row_groups(split))

    def load(self, split: str) -> Features:
        """All rows of a split, in arrays made once."""
        return self.sample(self.rows(split))

    def labels(self, split: str) -> npt.NDArray[np.int64]:
        """Labels int64 (n,) of a split, without reading features."""
        parts = [np.empty(0, np.int64)]
        for shard, groups in _by_shard(self.row_groups(split)):
            with self._open(shard) as opened:
                parts += [opened.labels(each.group)[each.within] for each in groups]
        return np.concatenate(parts)

    def sample(self, sample_ids: npt.ArrayLike) -> Features:
        """The rows with these ids, in this order, out of their row groups. Raises FeatureSetError for an id it lacks."""
        ids = self._checked(sample_ids)
        X, y = np.empty((len(ids), self.manifest.width), self.manifest.settings.storage), np.empty(len(ids), np.int64)
        self._scatter(ids, X, y)
        return Features(X, y, ids.astype(np.int64))

    def fill(self, out: npt.NDArray[np.float32], sample_ids: npt.NDArray[np.int64]) -> None:
        """Fill an array of the caller's with the features of these samples, in the order given.

        Row groups that hold one of them are read in turn, so memory beside `out` is less than one row group; what is stored
        as float16 becomes float32 in `out` itself.

        `out` is float32, shape (n, width). Raises FeatureSetError when it is not, or the set has no sample of such an id.
        """
        ids = self._checked(sample_ids)
        shape = (len(ids), self.manifest.width)
        if out.dtype != np.float32 or out.shape != shape:
            raise FeatureSetError(
                f"an array of float32 and shape {shape} is needed to fill, got {out.dtype} and {out.shape}"
            )
        self._scatter(ids, out)

    def frame(self, split: str, columns: Sequence[str] = COLUMNS, wide: bool = False) -> pd.DataFrame:
        """A split for pandas, with some of the columns sample_id, label, split and features; else no features are read.

        Features are one column of arrays of shape (width,), or with `wide` a column each, f0000 and so on, over one array.
        Raises FeatureSetError when there is no such column.
        """
        import pandas as pd

        if unknown := [name for name in columns if name not in COLUMNS]:
            raise FeatureSetError(f"feature sets have no column {unknown[0]!r}; they have: {', '.join(COLUMNS)}")
        rows, splits = self.rows(split), list(self.manifest.splits)
        known: dict[str, Any] = {
            "sample_id": np.arange(rows.start, rows.stop),
            "split": pd.Categorical.from_codes(np.full(len(rows), splits.index(split), np.int8), pd.Index(splits)),
        }
        if "features" in columns:
            loaded = self.load(split)
            known |= {"label": loaded.y, "features": loaded.X}
        elif "label" in columns:
            known["label"] = self.labels(split)
        parts = []
        for name in columns:
            if name == "features" and wide:
                names = [f"f{feature:04d}" for feature in range(self.manifest.width)]
                parts.append(pd.DataFrame(known[name], columns=names, copy=False))
            else:
                column = list(known[name]) if name == "features" else known[name]
                parts.append(pd.DataFrame({name: column}))
        return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(len(rows)))

    def torch_dataset(self, split: str) -> TensorDataset:
        """A split in memory as a map-style torch Dataset of (features (width,), label); of large ones take `torch_stream`."""
        import torch
        from torch.utils.data import TensorDataset

        loaded = self.load(split)
        return TensorDataset(torch.from_numpy(loaded.X), torch.from_numpy(loaded.y))

    def torch_stream(self, split: str, batch_size: int, shuffle: bool = False, mix: int = 8) -> SplitStream:
        """A torch IterableDataset of batches (features (n, width), labels (n,)) for `DataLoader(..., batch_size=None)`.

        DataLoader workers share the row groups among them, each row comes once an epoch. With `shuffle`, row groups come in
        another order each epoch (drawn from torch's seed), and the rows of `mix` of them at a time are mixed. Batches are
        of `batch_size` rows but for the last of every `mix` row groups.
        """
        from lib.features.torch_reading import SplitStream

        return SplitStream(self.row_groups(split), self.read_row_groups, batch_size, shuffle, mix)

    def row_groups(self, split: str) -> tuple[RowGroup, ...]:
        """Where the rows of a split lie, in order; reads the footers of its shards."""
        wanted, found = self.rows(split), []
        for shard, rows in enumerate(self.manifest.cut()):
            if _overlap(wanted, rows):
                with self._open(shard) as opened:
                    for group, held in enumerate(opened.groups):
                        if part := _overlap(wanted, held):
                            found.append(RowGroup(shard, group, slice(part.start - held.start, part.stop - held.start)))
        return tuple(found)

    def read_row_groups(self, groups: Iterable[RowGroup]) -> Iterator[Features]:
        """The rows of each of these row groups, as read-only views; neighbours in one shard open it once."""
        for shard, together in _by_shard(groups):
            with self._open(shard) as opened:
                for each in together:
                    yield Features(*opened.read(each.group))[each.within]

    def _checked(self, sample_ids: npt.ArrayLike) -> npt.NDArray[np.integer]:
        ids = np.atleast_1d(np.asarray(sample_ids))
        if ids.size and (ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer)):
            raise FeatureSetError(f"sample ids must be a list of whole numbers, got {ids.dtype} of shape {ids.shape}")
        if wrong := ids[(ids < 0) | (ids >= self.manifest.rows)].tolist():
            raise FeatureSetError(
                f"feature set {self.folder} has no sample {wrong[0]}; it has 0 to {self.manifest.rows - 1}"
            )
        return ids

    def _scatter(
        self, ids: npt.NDArray[np.integer], X: npt.NDArray[np.floating], y: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Write features and labels of samples to the places that their ids have in `ids`."""
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        for shard, rows in enumerate(self.manifest.cut()):
            if not _places(ordered, rows):
                continue
            with self._open(shard) as opened:
                for group, held in enumerate(opened.groups):
                    if not _places(ordered, held):
                        continue
                    for features, labels, piece in opened.pieces(group, _AT_ONCE):
                        first = int(piece[0])
                        places = _places(ordered, range(first, first + len(piece)))
                        source, target = ordered[places.start : places.stop] - first, order[places.start : places.stop]
                        X[target] = features[source]
                        if y is not None:
                            y[target] = labels[source]

    def _open(self, shard: int) -> OpenShard:
        return OpenShard(self.folder / self.manifest.shards[shard].name, self.manifest, self.manifest.cut()[shard])


def _overlap(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _places(ordered: npt.NDArray[np.integer], rows: range) -> range:
    """Where in the sorted ids those of `rows` stand."""
    first, last = np.searchsorted(ordered, [rows.start, rows.stop])
    return range(int(first), int(last))


def _by_shard(groups: Iterable[RowGroup]) -> Iterator[tuple[int, Iterator[RowGroup]]]:
    return groupby(groups, key=lambda each: each.shard)


def open_feature_set(folder: Path | str, verify: bool = True) -> FeatureSet:
    """The sealed set in `folder`, by default with every sha256 read. Raises FeatureSetError for a missing or damaged shard."""
    folder = Path(folder)
    fetch(folder, lambda name: name == manifests.NAME)
    manifest = read_manifest(folder)
    if sum(manifest.splits.values()) != manifest.rows or [shard.rows for shard in manifest.shards] != [
        len(rows) for rows in manifest.cut()
    ]:
        raise FeatureSetError(f"manifest of {folder} is damaged (its rows do not add up); run the extraction again")
    came = set(fetch(folder))
    for shard in manifest.shards:
        path = folder / shard.name
        if not path.exists():
            raise missing(path)
        if (verify or path.absolute() in came) and digest_file(path) != shard.sha256:
            raise FeatureSetError(f"shard {path} is damaged (its sha256 has changed); run the extraction again")
    return FeatureSet(folder, manifest)
