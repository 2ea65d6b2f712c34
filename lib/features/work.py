"""Work of one extraction: which shards, which are missing, computing some of them, sealing all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib.datasets.dataset import Dataset
from lib.errors import DataError, FeatureSetError
from lib.features.config import FeatureSettings
from lib.features.extractor import Extraction, feature_set_digest
from lib.features.shards import FeatureSet, check_shard, open_feature_set, shard_name
from lib.features.weights import weights_digest
from lib.files import require_writable


@dataclass(frozen=True)
class ExtractionWork:
    """A feature set that is not sealed yet; `shards` are the rows of each."""

    folder: Path
    digest: str
    shards: tuple[range, ...]
    extraction: Extraction
    cache: Path
    mirror: str | None

    def missing(self, indexes: Sequence[int] | None = None) -> list[int]:
        """Those of `indexes` (default: all) whose shards are not there whole."""
        every = range(len(self.shards)) if indexes is None else indexes
        paths = zip(every, self.paths(every), strict=True)
        return [index for index, path in paths if check_shard(path, self.digest, len(self.shards[index])) is None]

    def paths(self, indexes: Sequence[int]) -> list[Path]:
        """The files of shards."""
        return [self.folder / shard_name(index) for index in indexes]

    def compute(self, indexes: Sequence[int]) -> int:
        """Compute those of `indexes` that are missing; returns how many images that were."""
        return self.extraction.compute(self.missing(indexes), self.cache, self.mirror)

    def seal(self) -> FeatureSet:
        """Write the manifest. Raises FeatureSetError when a shard is missing."""
        if missing := self.missing():
            raise FeatureSetError(f"shard {self.paths(missing)[0]} is missing; run the extraction again")
        return self.extraction.run(self.cache, self.mirror)


def plan_extraction(
    dataset: Dataset, settings: FeatureSettings, features_dir: Path, mirror: str | None = None
) -> ExtractionWork | FeatureSet:
    """What there is to do; the sealed set when there is nothing."""
    require_writable(features_dir)
    cache = features_dir / ".weights"
    weights = weights_digest(settings, cache, mirror)
    digest = feature_set_digest(dataset.digest, settings, weights)
    folder = features_dir / dataset.name / digest[:16]
    with suppress(FeatureSetError):
        return open_feature_set(folder)
    extraction = Extraction(dataset, settings, folder, digest, weights)
    return ExtractionWork(folder, digest, tuple(extraction.plan()), extraction, cache, mirror)


def extract_shards(
    dataset: Dataset,
    settings: FeatureSettings,
    features_dir: Path,
    mirror: str | None,
    indexes: Sequence[int],
    digest: str,
) -> dict[str, int]:
    """Compute those of `indexes` that are missing; returns how many shards were stored and how many extracted.

    Raises
    ------
    DataError
        When the set's digest is another here.
    """
    work = plan_extraction(dataset, settings, features_dir, mirror)
    here = work.digest if isinstance(work, ExtractionWork) else work.manifest.digest
    if here != digest:
        raise DataError(
            f"the features of {dataset.name} have digest {here[:16]} on this worker and {digest[:16]} where the "
            "extraction was started: their data, weights or versions of probeflow differ; give both the same"
        )
    if isinstance(work, FeatureSet):
        return {"stored": len(indexes), "extracted": 0}
    missing = work.missing(indexes)
    work.compute(missing)
    return {"stored": len(indexes) - len(missing), "extracted": len(missing)}
