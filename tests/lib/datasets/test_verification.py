"""Verification: all cores work, however few images there are."""

from __future__ import annotations

from threading import Barrier

from lib.datasets import acquire, verification
from lib.datasets.decoding import Decoder
from lib.datasets.sources import ImageFolder
from tests.image_files import write_images

CORES = 2


def test_cores_share_a_few_large_images(tmp_path, monkeypatch):
    """One is decoded once another is, too."""
    folder = write_images(tmp_path / "pets", ("cat", "dog"), 4)
    size = (folder / "cat" / "0.png").stat().st_size
    together, inspect = Barrier(CORES, timeout=30), Decoder.inspect

    def waiting(decoder, data):
        together.wait()
        return inspect(decoder, data)

    monkeypatch.setattr(Decoder, "inspect", waiting)
    monkeypatch.setattr(verification, "cores", lambda: CORES)
    monkeypatch.setattr(verification, "_BATCH_BYTES", 2 * size)
    data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    assert sum(len(split) for split in data.splits.values()) == 8
    assert data.quarantined is None or not data.quarantined.num_rows


def test_small_images_are_taken_many_at_once_and_each_once(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "pets", ("cat", "dog"), 40)
    taken: list[list[int]] = []
    parts = verification.parts_of_bytes

    def noted(*arguments):
        for part in parts(*arguments):
            taken.append(part.tolist())
            yield part

    monkeypatch.setattr(verification, "parts_of_bytes", noted)
    acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    assert [len(batch) for batch in taken] == [32, 32, 16]
    assert sorted(row for batch in taken for row in batch) == list(range(80))
