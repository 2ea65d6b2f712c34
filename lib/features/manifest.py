"""The manifest of a feature set: what it is, and each shard's rows, bytes and sha256. Its presence seals the set."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.errors import FeatureSetError
from lib.files import write_json

NAME = "manifest.json"


class Shard(BaseModel):
    """One Parquet file of the set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a sealed feature set holds and where it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    dataset: str
    dataset_digest: str
    class_names: tuple[str, ...]
    description: str
    weights_sha256: str
    layer: str
    width: int
    input_size: int
    interpolation: str
    precision: str
    storage: str
    rows: int
    splits: dict[str, int]
    shards: tuple[Shard, ...]
    device: str
    images_per_second: float | None
    versions: dict[str, str]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Seal the set in `folder`."""
    write_json(folder / NAME, manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the sealed set in `folder`.

    Raises
    ------
    FeatureSetError
        When the set is not sealed, or its manifest is damaged.
    """
    path = folder / NAME
    if not path.exists():
        raise FeatureSetError(f"feature set {folder} is not sealed (no {NAME}): run the extraction again to finish it")
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError):
        raise FeatureSetError(f"{path} is damaged; delete it and run the extraction again") from None
