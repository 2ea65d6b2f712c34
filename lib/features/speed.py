"""How fast a set was made: one small file for each process that made shards of it, beside the set, not part of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from lib.files import write_json
from lib.validation import Frozen


class Speed(Frozen):
    """One process's share: images from the first read to the last shard on disk, without loading the network."""

    device: str
    batch_size: int
    images: int
    seconds: float
    seconds_to_first_shard: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds

    @property
    def words(self) -> str:
        return (
            f"{self.images_per_second:,.0f} images/s on {self.device} in batches of {self.batch_size}, "
            f"first shard after {self.seconds_to_first_shard:.1f} s"
        )


def write_speed(folder: Path, speed: Speed) -> None:
    write_json(folder / f"speed-{uuid4().hex[:8]}.json", speed.model_dump())


def read_speeds(folder: Path) -> Sequence[Speed]:
    """What is known of a set's making; killed processes leave nothing."""
    found = []
    for path in sorted(folder.glob("speed-*.json")):
        try:
            found.append(Speed.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue  # a note beside the set: nothing depends on it
    return found


def speed_words(speeds: Sequence[Speed]) -> str:
    """In one line: each of one or two processes, of more how many they were and the fastest."""
    if len(speeds) <= 2:
        return "; ".join(each.words for each in speeds)
    fastest = max(speeds, key=lambda each: each.images_per_second)
    return f"{sum(each.images for each in speeds):,} images by {len(speeds)} processes, the fastest {fastest.words}"
