"""From a dataset to its sealed feature set: what is missing is computed, here or by many machines, then sealed.

A shard appears whole, by a rename, and all who make it make the same bytes, so neither a crash nor a second worker changes any.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.backbones.weights import weights_digest
from lib.datasets.dataset import Dataset
from lib.errors import FeatureSetError
from lib.features import plan as plans
from lib.features.config import FeatureSettings
from lib.features.manifest import Shard, write_manifest
from lib.features.plan import SetPlan, plan_set, set_folder, settle_batch, settled_batch, write_plan
from lib.features.quarantine import quarantine_is_whole, write_quarantine
from lib.features.reading import FeatureSet, open_feature_set
from lib.features.shards import check_shard, restore_entry, shard_name, stray_shards
from lib.features.speed import Speed, write_speed
from lib.files import remove_abandoned, remove_file, require_writable
from lib.progress import bar
from lib.storage.copies import fetch, shown

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionWork:
    """A set that is not sealed yet, in `<features_dir>/<dataset>/<16 letters of the digest>`, and how it is computed."""

    folder: Path
    plan: SetPlan
    dataset: Dataset
    settings: FeatureSettings
    cache: Path
    mirror: str | None

    @property
    def digest(self) -> str:
        return self.plan.digest

    @cached_property
    def shards(self) -> tuple[range, ...]:
        return self.plan.cut()

    def images(self, indexes: Sequence[int]) -> int:
        return sum(len(self.shards[index]) for index in indexes)

    def paths(self, indexes: Sequence[int]) -> list[Path]:
        return [self.folder / shard_name(index) for index in indexes]

    def sealed(self) -> FeatureSet | None:
        """The set, if it is sealed, is the one that is planned, and nothing of it is damaged; every byte is read.

        What lies beside a whole set and has been lost, the plan and the shards' entries, is put there again. A dataset's name
        is only shown: a set may have been made under another one.
        """
        try:
            found = open_feature_set(self.folder)
        except FeatureSetError:
            return None
        shown_only = {"versions": found.manifest.versions, "dataset": found.manifest.dataset}
        if found.manifest.content != self.plan.content.model_copy(update=shown_only):
            return None
        if not quarantine_is_whole(self.folder, self.plan.quarantine) or stray_shards(self.folder, len(self.shards)):
            return None
        for entry in found.manifest.shards:
            restore_entry(self.folder / entry.name, entry)
        if not (self.folder / plans.NAME).exists():
            write_plan(self.folder, self.plan)
        return found

    def missing(self, indexes: Sequence[int] | None = None) -> list[int]:
        """Those of `indexes` (default: all) whose shards are not there whole; every byte is read."""
        every = range(len(self.shards)) if indexes is None else indexes
        self._fetch(every)
        return [index for index in every if self._entry(index) is None]

    def compute(self, indexes: Sequence[int] | None = None) -> list[int]:
        """Make those of `indexes` (default: all) that are missing; returns which these were.

        Raises WeightsError when weights are missing or do not fit; FeatureSetError when the network gives a value that
        is not finite; StorageError when the disk is full or cannot be written (the same call goes on from there);
        DataError when an image is not what it was when the dataset was verified.
        """
        every = range(len(self.shards)) if indexes is None else indexes
        remove_abandoned(self.folder)
        self._fetch(every)
        with bar(f"extract {self.plan.dataset}", self.images(every), "image") as advance:
            missing = []
            for index in every:
                if self._entry(index) is None:
                    missing.append(index)
                else:
                    advance(len(self.shards[index]))
            if not missing:
                return []
            # Here, for they import PyTorch, which a run with nothing to compute need not.
            from lib.features.device import choose_device
            from lib.features.extractor import write_shards
            from lib.features.programs import make_program

            started = time.perf_counter()
            kind = choose_device(self.settings.device).type
            settled = settled_batch(self.folder, kind)
            program = make_program(self.settings, self.cache, self.mirror, settled or self.settings.batch_size)
            write_plan(self.folder, self.plan)
            program.batch_size = settled or settle_batch(self.folder, kind, program.batch_size)
            if self.settings.batch_size not in (None, program.batch_size):
                _logger.warning(
                    "%s: batches of %d, as the set was begun with, not %d",
                    self.folder, program.batch_size, self.settings.batch_size,
                )  # fmt: skip
            begun = time.perf_counter()
            first = None
            for _, when in write_shards(program, self.plan, self.dataset, self.folder, missing, advance):
                first = first or when - started
        seconds, images = time.perf_counter() - begun, self.images(missing)
        speed = Speed(
            device=program.device_name,
            batch_size=program.batch_size,
            images=images,
            seconds=seconds,
            seconds_to_first_shard=first or seconds,
        )
        write_speed(self.folder, speed)
        _logger.info("%s: %d images, %s", self.plan.description, images, speed.words)
        return missing

    def seal(self) -> FeatureSet:
        """Write the manifest over all shards, read once more. Raises FeatureSetError when one is missing or damaged."""
        fetch(self.folder)
        entries: list[Shard] = []
        for index in range(len(self.shards)):
            entry = self._entry(index)
            if entry is None:
                raise FeatureSetError(
                    f"shard {shown(self.folder / shard_name(index))} is missing or damaged; extract again, it makes just "
                    "that one"
                )
            entries.append(entry)
        remove_abandoned(self.folder)
        for stray in stray_shards(self.folder, len(self.shards)):
            remove_file(stray)
        write_plan(self.folder, self.plan)
        write_quarantine(self.folder, self.dataset.quarantined)
        write_manifest(self.folder, self.plan, tuple(entries))
        return open_feature_set(self.folder, verify=False)

    def _fetch(self, indexes: Sequence[int]) -> None:
        """Bring what others have made of these shards, and what the set has beside shards."""
        own = {path.with_suffix(suffix).name for path in self.paths(indexes) for suffix in (".parquet", ".json")}
        fetch(self.folder, lambda name: name in own or not name.startswith("part-"))

    def _entry(self, index: int) -> Shard | None:
        return check_shard(self.folder / shard_name(index), self.digest, len(self.shards[index]))


def plan_extraction(
    dataset: Dataset, settings: FeatureSettings, features_dir: Path, mirror: str | None = None
) -> ExtractionWork | FeatureSet:
    """The sealed set, checked, or what is to be done for it. Raises WeightsError, or StorageError for `features_dir`."""
    require_writable(features_dir)
    cache = features_dir / ".weights"
    plan = plan_set(dataset, settings, weights_digest(settings, cache, mirror))
    work = ExtractionWork(set_folder(features_dir, plan), plan, dataset, settings, cache, mirror)
    return work.sealed() or work


def extract(dataset: Dataset, settings: FeatureSettings, features_dir: Path, mirror: str | None = None) -> FeatureSet:
    """The sealed set of `dataset`'s features; what is missing of it is computed here. Raises what `compute` raises."""
    work = plan_extraction(dataset, settings, features_dir, mirror)
    if isinstance(work, FeatureSet):
        return work
    work.compute()
    return work.seal()
