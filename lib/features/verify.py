"""Whether a feature set is what its plan and manifest say: every byte and every row of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.errors import FeatureSetError, one_line
from lib.features import manifest as manifests
from lib.features import quarantine
from lib.features.manifest import Shard, read_manifest
from lib.features.plan import SetPlan, read_plan
from lib.features.quarantine import quarantine_is_whole
from lib.features.shard_reading import OpenShard, ShardError
from lib.features.shards import ROW_GROUP, check_shard, shard_name, stray_shards
from lib.files import digest_file
from lib.progress import bar
from lib.storage.copies import fetch


@dataclass(frozen=True)
class Verdict:
    """What was found of a set.

    `faults`: file name -> what is wrong with it. Without faults, a sealed set is whole.
    `missing`: indexes of shards that are to be made again: those with faults, and those that are not there.
    """

    folder: Path
    plan: SetPlan
    sealed: bool
    faults: dict[str, str]
    missing: tuple[int, ...]

    @property
    def whole(self) -> bool:
        return self.sealed and not self.faults


def verify(folder: Path) -> Verdict:
    """Read the set in `folder` and check rows, order, labels, splits, checksums, and that all features are finite.

    Of a set in a store every byte is downloaded again.

    Raises FeatureSetError when the folder holds no feature set, or its plan is damaged.
    """
    fetch(folder, afresh=True)
    sealed, faults, entries = False, {}, {}
    plan: SetPlan | None = None
    if (folder / manifests.NAME).exists():
        try:
            plan = manifest = read_manifest(folder)
            sealed, entries = True, {shard.name: shard for shard in manifest.shards}
        except FeatureSetError:
            faults[manifests.NAME] = "is damaged"
    plan = plan or read_plan(folder)
    missing = []
    with bar(f"verify {folder.name}", plan.rows, "row") as advance:
        for index, rows in enumerate(plan.cut()):
            name = shard_name(index)
            fault = _fault(folder / name, plan, rows, entries.pop(name, None), sealed)
            if fault is not None:
                missing.append(index)
                if sealed or (folder / name).exists():
                    faults[name] = fault
            advance(len(rows))
    for name in entries:
        faults[name] = "is in the manifest, but the set has no such shard"
    for path in stray_shards(folder, len(plan.cut())):
        faults[path.name] = "is no shard of this set"
    if sealed and not quarantine_is_whole(folder, plan.quarantine):
        faults[quarantine.NAME] = "is missing, damaged or another's"
    return Verdict(folder, plan, sealed, faults, tuple(missing))


def _fault(path: Path, plan: SetPlan, rows: range, entry: Shard | None, sealed: bool) -> str | None:
    if not path.exists():
        return "is missing"
    try:
        if sealed and entry is None:
            return "is not in the manifest"
        if entry is not None and path.stat().st_size != entry.bytes:
            return f"has {path.stat().st_size:,} bytes, and the manifest says {entry.bytes:,}"
        if entry is not None and digest_file(path) != entry.sha256:
            return "is damaged: its sha256 is not the manifest's"
        if fault := _content_fault(path, plan, rows):
            return fault
        if entry is not None or check_shard(path, plan.digest, len(rows)):
            return None
        return f"is not the file that {path.stem}.json tells of"
    except OSError as error:
        return f"cannot be read ({one_line(error)[:120]})"


def _content_fault(path: Path, plan: SetPlan, rows: range) -> str | None:
    try:
        with OpenShard(path, plan, rows) as shard:
            for group in range(len(shard.groups)):
                for features, labels, ids in shard.pieces(group, ROW_GROUP):
                    if labels.min() < 0 or labels.max() >= len(plan.class_names):
                        return f"has labels outside 0 to {len(plan.class_names) - 1}"
                    if not np.isfinite(features).all():
                        return f"has features that are not finite among samples {ids[0]} to {ids[-1]}"
    except ShardError as error:
        return error.fault
    return None
