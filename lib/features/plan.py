"""What a feature set is to be, before any of it is computed: its identity, its rows, and their cut into shards and blocks.

`plan.json` in the set's folder says it to whoever goes on with the set: another process, another machine, `resume`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from lib.datasets.dataset import Dataset
from lib.errors import FeatureSetError
from lib.features.config import FeatureSettings
from lib.features.quarantine import quarantine_digest
from lib.files import digest_json, write_json, write_json_once
from lib.validation import Frozen

NAME = "plan.json"
SPLITS = ("train", "validation", "test")


class SetPlan(Frozen):
    """What a set holds and where it comes from.

    `settings`: those that decide the features; device and batch size are left at their defaults.
    `splits`: rows of each split; a set's rows run through the splits in this order, and number the samples.
    `quarantined`: images that could not be read; `quarantine.parquet` lists them with reasons, and has the digest
    `quarantine`.
    `source`: settings of the data source, so that the set can be resumed from its folder; in `plan.json` alone, as is
    the path of a weights file.
    """

    digest: str
    dataset: str
    dataset_digest: str
    class_names: tuple[str, ...]
    description: str
    weights_sha256: str
    settings: FeatureSettings
    width: int
    rows: int
    splits: dict[str, int]
    quarantined: int
    quarantine: str | None
    source: dict[str, Any] | None
    versions: dict[str, str]

    @property
    def content(self) -> SetPlan:
        """The plan without where its images and weights were read from: equal for sets of equal content."""
        settings = self.settings.model_copy(update={"weights_file": None})
        return SetPlan(
            **{name: getattr(self, name) for name in SetPlan.model_fields} | {"source": None, "settings": settings}
        )

    def cut(self) -> tuple[range, ...]:
        return cut(self.rows, self.settings.shard_rows)

    def split_codes(self, rows: range) -> npt.NDArray[np.int8]:
        """For each of `rows` the position of its split in `splits`."""
        ends = np.cumsum(list(self.splits.values()))
        return np.searchsorted(ends, np.arange(rows.start, rows.stop), side="right").astype(np.int8)

    def parts(self, rows: range) -> Iterator[tuple[str, range]]:
        """`rows` as pieces of splits: their names, and positions within them."""
        start = 0
        for name, count in self.splits.items():
            first, last = max(rows.start, start), min(rows.stop, start + count)
            if first < last:
                yield name, range(first - start, last - start)
            start += count


def feature_set_digest(dataset_digest: str, settings: FeatureSettings, weights_sha256: str) -> str:
    """SHA-256 over all that decides the features: images and order, weights, layer, size, interpolation, precision."""
    return digest_json([dataset_digest, weights_sha256, settings.identity()])


def plan_set(dataset: Dataset, settings: FeatureSettings, weights_sha256: str) -> SetPlan:
    splits = {name: len(dataset.splits[name]) for name in SPLITS if name in dataset.splits}
    return SetPlan(
        digest=feature_set_digest(dataset.digest, settings, weights_sha256),
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        class_names=dataset.class_names,
        description=settings.describe(),
        weights_sha256=weights_sha256,
        settings=settings.model_copy(update={"device": "auto", "batch_size": None}),
        width=settings.width,
        rows=sum(splits.values()),
        splits=splits,
        quarantined=0 if dataset.quarantined is None else dataset.quarantined.num_rows,
        quarantine=quarantine_digest(dataset.quarantined),
        source=dataset.source,
        versions={name: version(name) for name in ("torch", "torchvision", "pyarrow")},
    )


def set_folder(root: Path, plan: SetPlan) -> Path:
    return root / folder_name(plan.dataset) / plan.digest[:16]


def folder_name(dataset: str) -> str:
    """A dataset's name as the name of a folder anywhere: letters, digits and a few signs, not hidden, not too long."""
    name = re.sub(r"[^\w .+@-]", "-", dataset)[:60].strip(" .")
    return name or "dataset"


def write_plan(folder: Path, plan: SetPlan) -> None:
    write_json(folder / NAME, plan.model_dump(mode="json"))


def read_plan(folder: Path) -> SetPlan:
    """The plan of the set in `folder`, sealed or not. Raises FeatureSetError when there is none, or it is damaged."""
    try:
        return SetPlan.model_validate_json((folder / NAME).read_bytes())
    except FileNotFoundError:
        raise FeatureSetError(
            f"{folder} is no feature set (no {NAME}); give the folder of one, as `features` lists them"
        ) from None
    except (ValidationError, OSError):
        raise FeatureSetError(
            f"{folder / NAME} is damaged; extract again with the same settings to write it anew"
        ) from None


def cut(rows: int, shard_rows: int) -> tuple[range, ...]:
    return tuple(blocks(range(rows), shard_rows))


def blocks(rows: range, size: int) -> list[range]:
    """Rows in pieces, of which each but the last has this size: those of a shard that are computed together."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


class _Settled(BaseModel):
    model_config = ConfigDict(strict=True)

    batch_size: PositiveInt


def settled_batch(folder: Path, kind: str) -> int | None:
    """The size of blocks that was settled for this kind of device ("cpu" or "cuda"), if one was.

    Raises FeatureSetError when the file that says so is damaged.
    """
    path = _settled_path(folder, kind)
    try:
        return _Settled.model_validate_json(path.read_bytes()).batch_size
    except FileNotFoundError:
        return None
    except ValidationError:
        raise FeatureSetError(
            f"{path} is damaged; if no shard is there yet delete it, else delete the folder, and extract again"
        ) from None


def settle_batch(folder: Path, kind: str, batch_size: int) -> int:
    """The size of blocks for this kind of device: whichever comes first holds, so that all who compute give equal bits."""
    write_json_once(_settled_path(folder, kind), _Settled(batch_size=batch_size).model_dump())
    return settled_batch(folder, kind) or batch_size


def _settled_path(folder: Path, kind: str) -> Path:
    return folder / f"batch-{kind}.json"
