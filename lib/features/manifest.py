"""The manifest of a feature set: its plan, and each shard's rows, bytes and sha256. Its presence seals the set."""

from __future__ import annotations

import json
from pathlib import Path

from lib.errors import FeatureSetError, command
from lib.features.plan import SetPlan
from lib.files import sealed, unsealed, write_json
from lib.validation import Frozen

NAME = "manifest.json"


class Shard(Frozen):
    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(SetPlan):
    """What a sealed feature set holds; equal for equal sets, whoever made them and when."""

    shards: tuple[Shard, ...]


def write_manifest(folder: Path, plan: SetPlan, shards: tuple[Shard, ...]) -> None:
    content = plan.content.model_dump(mode="json")
    write_json(folder / NAME, sealed(content | {"shards": [shard.model_dump() for shard in shards]}))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the set in `folder`. Raises FeatureSetError when it is not sealed, or its manifest is damaged."""
    path = folder / NAME
    try:
        return Manifest.model_validate_json(json.dumps(unsealed(json.loads(path.read_bytes()))))
    except FileNotFoundError:
        raise FeatureSetError(
            f"feature set {folder} is not sealed (no {NAME}): {command(f'resume {folder.name}')} finishes it"
        ) from None
    except (OSError, ValueError, RecursionError):
        raise FeatureSetError(f"{path} is damaged; {command(f'resume {folder.name}')} writes it anew") from None
