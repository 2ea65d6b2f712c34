"""The feature sets under one root, `<root>/<dataset>/<digest>/`: listing them, and finding one by its folder or digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.errors import FeatureSetError
from lib.features import manifest, plan
from lib.features.manifest import read_manifest
from lib.features.plan import SetPlan, read_plan
from lib.features.shards import shard_name
from lib.machine import from_home
from lib.storage.copies import fetch, shown, sizes
from lib.text import listed


@dataclass(frozen=True)
class FoundSet:
    """A set as it lies on disk, sealed or not; shards are counted, not checked.

    `plan`: None when neither its plan nor its manifest can be read; `problem` says why.
    `bytes`: of the shards that are there.
    """

    folder: Path
    plan: SetPlan | None
    problem: str
    sealed: bool
    present: int
    bytes: int

    @property
    def shards(self) -> int:
        return 0 if self.plan is None else len(self.plan.cut())

    @property
    def digest(self) -> str:
        return self.folder.name if self.plan is None else self.plan.digest


def found_sets(root: Path) -> list[FoundSet]:
    fetch(root, lambda name: Path(name).name in (manifest.NAME, plan.NAME), deep=True)
    return [look_at(each) for each in sorted(root.glob("*/*")) if _is_set(each)]


def _is_set(folder: Path) -> bool:
    return any((folder / name).exists() for name in (manifest.NAME, plan.NAME))


def look_at(folder: Path) -> FoundSet:
    files = sizes(folder)
    sealed = manifest.NAME in files
    held: SetPlan | None = None
    problem = ""
    try:
        held = read_manifest(folder) if sealed else read_plan(folder)
    except FeatureSetError as error:
        problem = str(error)
    count = 0 if held is None else len(held.cut())
    shards = [files[name] for index in range(count) if (name := shard_name(index)) in files]
    return FoundSet(folder, held, problem, sealed, len(shards), sum(shards))


def find_set(name: str, root: Path) -> Path:
    """The set that `name` means: a folder, the beginning of a digest, or DATASET/DIGEST. Raises FeatureSetError."""
    folder = from_home(name)
    if folder.is_dir() and _is_set(folder):
        return folder
    known = found_sets(root)
    dataset, _, digest = name.rpartition("/")
    fitting = [
        each
        for each in known
        if digest and each.digest.startswith(digest.lower()) and dataset in ("", each.folder.parent.name)
    ]
    if len(fitting) == 1:
        return fitting[0].folder
    if fitting:
        raise FeatureSetError(
            f"{name!r} begins the digests of {len(fitting)} feature sets ({_names(fitting)}): give more, or DATASET/DIGEST"
        )
    if name and folder.is_dir():
        raise FeatureSetError(f"{name!r} is a folder but no feature set (no {manifest.NAME}); {_those(known, root)}")
    raise FeatureSetError(f"no feature set {name!r}: it is no folder and begins no digest; {_those(known, root)}")


def _those(known: Sequence[FoundSet], root: Path) -> str:
    where = shown(root)
    return f"{where} has {_names(known)}" if known else f"{where} has none; extract one"


def _names(sets: Sequence[FoundSet]) -> str:
    return listed([f"{each.digest[:16]} of {each.folder.parent.name}" for each in sets], 4)
