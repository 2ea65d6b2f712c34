"""Encoded images: verified once, compared with their digest at every read, and never held in memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from lib.datasets import acquire, verification
from lib.datasets import catalogue as catalogues
from lib.datasets.decoding import Decoder
from lib.datasets.images import read_images
from lib.datasets.shrinking import Shrink
from lib.datasets.sources import AnySource, ImageFolder, WebDataset
from lib.errors import ChangedError, DataError
from tests import awkward
from tests.image_files import write_images


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_images(tmp_path / "pets", ("cat", "dog"), 40)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """One entry for each image that is verified."""
    calls: list[int] = []
    inspect = Decoder.inspect

    def counted(self, data):
        calls.append(len(data))
        return inspect(self, data)

    monkeypatch.setattr(Decoder, "inspect", counted)
    return calls


DECODINGS = ({"decode": "full"}, {"decode_side": 16}, {"decode_side": 32})


PHOTOS = [awkward.File("", "ab"[n % 2], f"{n}.jpg", awkward.image(str(n), "JPEG", 128, 128)) for n in range(8)]


def acquired(folder: Path, tmp_path: Path, **settings):
    return acquire(ImageFolder(path=str(folder), **settings), tmp_path / "data")


def test_the_digest_is_that_of_the_images_and_labels_in_the_order_of_their_paths(folder, tmp_path):
    (folder / "cat" / "1").mkdir()
    shutil.move(folder / "cat" / "3.png", folder / "cat" / "1" / "z.png")
    shutil.move(folder / "cat" / "4.png", folder / "cat" / "1-a.png")
    (folder / "cat" / ".hidden.png").write_text("ignored")
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / "parts" / split)
    data = acquired(tmp_path / "parts", tmp_path)

    total = hashlib.sha256(repr(("cat", "dog")).encode())  # a slow loop over the files, as a reference
    for split in ("test", "train"):
        paths = [
            (path, label)
            for label, name in enumerate(("cat", "dog"))
            for path in sorted((tmp_path / "parts" / split / name).rglob("[!.]*"))
            if path.is_file()
        ]
        total.update(f"{split}:{len(paths)}".encode())
        total.update(np.array([label for _, label in paths], "<i8").tobytes())
        for path, _ in paths:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            total.update(hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest())
    assert data.digest == total.hexdigest()


def test_digests_and_shapes_are_known_without_decoding(folder, tmp_path, monkeypatch):
    split = acquired(folder, tmp_path).splits["train"]
    images = [split.images[row] for row in range(len(split))]
    monkeypatch.setattr(Decoder, "__call__", None)
    digests = split.image_digests()
    assert (digests.shape, digests.dtype) == ((len(split),), np.dtype("S16"))
    for row, image in enumerate(images):
        expected = hashlib.blake2b(b"(8, 8, 3)" + image.tobytes(), digest_size=16).digest()
        assert digests[row : row + 1].tobytes() == expected
    assert split.images.decoded_bytes(range(len(split))).tolist() == [8 * 8 * 3] * len(split)


def test_several_threads_read_what_one_reads(folder, tmp_path):
    split = acquired(folder, tmp_path).splits["train"]
    with ThreadPoolExecutor(8) as pool:
        ranges = [range(start, start + 4) for start in range(0, len(split), 4)]
        parts = list(pool.map(lambda rows: read_images(split.images, rows), ranges))
    read = [image for part in parts for image in part]
    for row, image in enumerate(read):
        np.testing.assert_array_equal(image, split.images[row])


def test_images_of_several_frames_are_counted_and_named(folder, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "dog" / "moving.gif", save_all=True, append_images=frames[1:])
    for _ in range(2):  # the second time from the catalogue
        assert acquired(folder, tmp_path).warnings == (
            "1 image(s) hold several frames or pages, of which the first is taken: dog/moving.gif",
        )


class TestTheCatalogue:
    def test_what_is_unchanged_is_not_decoded_again(self, folder, tmp_path, decoded):
        first = acquired(folder, tmp_path)
        assert len(decoded) == 80
        assert acquired(folder, tmp_path).digest == first.digest
        assert len(decoded) == 80
        Image.new("RGB", (8, 8)).save(folder / "cat" / "3.png")
        Image.new("RGB", (8, 8), "red").save(folder / "cat" / "new.png")
        (folder / "dog" / "0.png").unlink()
        assert acquired(folder, tmp_path).digest != first.digest
        assert len(decoded) == 82

    def test_an_unreadable_image_keeps_its_reason(self, folder, tmp_path, decoded):
        (folder / "cat" / "bad.png").write_text("no image")
        tables = [acquired(folder, tmp_path, unreadable="quarantine").quarantined for _ in range(2)]
        assert tables[0].equals(tables[1])
        assert len(decoded) == 81
        (folder / "cat" / "bad.png").unlink()
        assert acquired(folder, tmp_path).quarantined is None

    def test_a_disk_that_failed_is_asked_again(self, folder, tmp_path, monkeypatch):
        good = acquired(folder, tmp_path).digest
        shutil.rmtree(tmp_path / "data")
        with monkeypatch.context() as broken:
            failing = OSError(5, "Input/output error")
            broken.setattr("lib.datasets.places.LocalPlace.open", lambda *_: (_ for _ in ()).throw(failing))
            with pytest.raises(DataError, match=r"cat/0.png \(cannot be read: Input/output error\)"):
                acquired(folder, tmp_path)
        assert acquired(folder, tmp_path).digest == good

    def test_an_interrupted_verification_goes_on_from_there(self, folder, tmp_path, decoded, monkeypatch):
        monkeypatch.setattr(verification, "_BATCH", 8)
        with monkeypatch.context() as interrupted:
            inspect = Decoder.inspect

            def stop_in_the_middle(self, data):
                if len(decoded) == 60:
                    raise KeyboardInterrupt
                return inspect(self, data)

            interrupted.setattr(Decoder, "inspect", stop_in_the_middle)
            with pytest.raises(KeyboardInterrupt):
                acquired(folder, tmp_path)
        acquired(folder, tmp_path)
        assert 80 <= len(decoded) <= 120

    def test_a_damaged_catalogue_is_made_anew(self, folder, tmp_path):
        good = acquired(folder, tmp_path).digest
        (file,) = (tmp_path / "data").rglob("catalogue-*.parquet")
        for content in (b"", b"PAR1 nonsense", file.read_bytes()[:-40]):
            file.write_bytes(content)
            assert acquired(folder, tmp_path).digest == good

    def test_no_bit_that_a_disk_lost_in_a_catalogue_is_believed(self, folder, tmp_path):
        acquired(folder, tmp_path)
        (file,) = (tmp_path / "data").rglob("catalogue-*.parquet")
        whole, known = file.read_bytes(), catalogues.read(file, None)
        rng, refused = np.random.default_rng(0), 0
        for position in rng.choice(len(whole), 200, replace=False).tolist():
            content = bytearray(whole)
            content[position] ^= 1 << int(rng.integers(8))
            file.write_bytes(content)
            found = catalogues.read(file, None)
            refused += found is None
            assert found is None or (found.same_rows(known) and (found.digests == known.digests).all())
        assert refused > 20

    @pytest.mark.parametrize("holder", ["folder", "webdataset", "parquet"])
    def test_settings_of_decoding_that_take_turns_verify_once_each(self, holder, tmp_path, decoded):
        kind, write = awkward.HOLDERS[holder]
        path = str(write(tmp_path / "photos", PHOTOS))
        first = [acquire(kind(path=path, **each), tmp_path / "data", small_copies=[Shrink(16)]) for each in DECODINGS]
        assert len({data.digest for data in first}) == len(DECODINGS)
        assert len(decoded) == len(DECODINGS) * len(PHOTOS)
        again = [acquire(kind(path=path, **each), tmp_path / "data") for each in DECODINGS]
        assert [data.digest for data in again] == [data.digest for data in first]
        assert len(decoded) == len(DECODINGS) * len(PHOTOS)

    def test_another_limit_verifies_anew(self, folder, tmp_path, decoded):
        Image.new("RGB", (30, 30)).save(folder / "cat" / "big.png")
        acquired(folder, tmp_path)
        data = acquired(folder, tmp_path, unreadable="quarantine", largest_pixels=800)
        assert data.quarantined.column("reason").to_pylist() == [
            "30x30 pixels, more than largest_pixels 800: it may be a decompression bomb"
        ]


class TestAChangedImage:
    def change(self, path: Path) -> None:
        """Other pixels; same size and time."""
        before, content = path.stat(), bytearray(path.read_bytes())
        replaced = Image.fromarray(255 - np.asarray(Image.open(path)))
        replaced.save(path)
        content = path.read_bytes()
        path.write_bytes(content + b"\0" * (before.st_size - len(content)))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size

    @pytest.mark.parametrize("how", ["other pixels", "cut", "gone"])
    def test_is_found_at_reading_and_verified_anew_by_the_same_command(self, folder, tmp_path, how):
        for name in ("cat", "dog"):  # files of one length, which differ in their pixels
            for path in (folder / name).iterdir():
                path.write_bytes(path.read_bytes().ljust(1000, b"\0"))
        data = acquired(folder, tmp_path, seed=1)
        images = data.splits["train"].images
        path = folder / images.name(5)
        if how == "other pixels":
            self.change(path)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:60])
        else:
            path.unlink()
        with pytest.raises(ChangedError, match=rf"image {images.name(5)} changed since it was verified .*run the same"):
            read_images(images, range(0, 10))
        read_images(images, range(0, 5))
        again = acquired(folder, tmp_path, seed=1, unreadable="quarantine")
        assert again.digest != data.digest
        for split in again.splits.values():
            read_images(split.images, range(len(split)))


class TestQuarantine:
    def test_is_a_table_of_name_split_class_bytes_and_reason(self, folder, tmp_path):
        for split in ("train", "test"):
            shutil.copytree(folder, tmp_path / "parts" / split)
        (tmp_path / "parts" / "test" / "dog" / "words.jpg").write_text("no image")
        (tmp_path / "parts" / "train" / "cat" / "empty.jpg").touch()
        (tmp_path / "parts" / "train" / "cat" / "link.png").symlink_to("nowhere")
        os.mkfifo(tmp_path / "parts" / "train" / "cat" / "pipe.png")
        table = acquired(tmp_path / "parts", tmp_path, unreadable="quarantine").quarantined
        irregular = "no regular file: a broken link, a pipe or a device"
        assert [tuple(row.values()) for row in table.to_pylist()] == [
            ("train/cat/empty.jpg", "train", "cat", 0, "the file is empty"),
            ("train/cat/link.png", "train", "cat", 0, irregular),
            ("train/cat/pipe.png", "train", "cat", 0, irregular),
            ("test/dog/words.jpg", "test", "dog", 8, "not an image that Pillow knows"),
        ]

    def test_a_class_without_a_readable_image_stays_an_error(self, folder, tmp_path):
        for path in (folder / "dog").iterdir():
            path.write_text("no image")
        with pytest.raises(DataError, match="class 'dog' has no readable image in"):
            acquired(folder, tmp_path, unreadable="quarantine")

    def test_names_that_are_not_utf_8_are_read_and_told_with_escapes(self, folder, tmp_path):
        name = os.fsencode(folder) + b"/cat/caf\xe9"
        shutil.copy(folder / "cat" / "1.png", os.fsdecode(name + b".png"))
        Path(os.fsdecode(name + b"-bad.png")).write_text("no image")
        data = acquired(folder, tmp_path, unreadable="quarantine")
        assert data.quarantined.column("name").to_pylist() == [r"cat/caf\xe9-bad.png"]
        assert sum(len(split) for split in data.splits.values()) == 81
        with pytest.raises(DataError, match=r"e.g. cat/caf\\xe9-bad.png \(not an image"):
            acquired(folder, tmp_path)
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).mkdir()
        with pytest.raises(DataError, match=r"class folder caf\\xe9 in .* is not named in UTF-8; rename it"):
            acquired(folder, tmp_path)

    def test_a_link_to_a_folder_is_followed_but_not_in_circles(self, folder, tmp_path):
        shutil.move(folder / "cat", tmp_path / "elsewhere")
        (folder / "cat").mkdir()
        (folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
        (folder / "cat" / "circle").symlink_to(folder / "cat")
        data = acquired(folder, tmp_path)
        assert sum(len(split) for split in data.splits.values()) == 80


def peak_memory(folder: Path, data: Path) -> int:
    """KiB that acquiring a folder takes at its peak, in a process of its own."""
    script = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from lib.datasets import acquire, require_no_leakage\nfrom lib.datasets.sources import ImageFolder\n"
        "data = acquire(ImageFolder(path=sys.argv[1]), Path(sys.argv[2]))\nrequire_no_leakage(data)\n"
        "for split in data.splits.values():\n"
        "    for start in range(0, len(split), 64):\n"
        "        split.images.read(range(start, min(start + 64, len(split))))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(data)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
def test_memory_grows_by_less_than_400_bytes_an_image(tmp_path):
    # A path and a digest as objects, as they used to be kept, take over 700 bytes, the pixels 768. The smaller folder is
    # large enough to fill every window and buffer, which then grow no more.
    peaks = {}
    for count in (10_000, 30_000):
        for label in (b"0", b"1"):
            folder = tmp_path / str(count) / label.decode()
            folder.mkdir(parents=True)
            for number in range(count // 2):
                pixels = number.to_bytes(4, "big") + label * (16 * 16 * 3 - 4)
                (folder / f"an image of an ordinary name {number:06d}.ppm").write_bytes(b"P6 16 16 255\n" + pixels)
        peaks[count] = peak_memory(tmp_path / str(count), tmp_path / f"data{count}")
    growth = (peaks[30_000] - peaks[10_000]) * 1024 / 20_000
    assert growth < 400, peaks


class TestTheSourceOfADataset:
    def test_is_found_from_another_folder_and_not_decoded_again(self, folder, tmp_path, monkeypatch, decoded):
        monkeypatch.chdir(tmp_path)
        first = acquire(ImageFolder(path="pets"), tmp_path / "data")
        assert first.source["path"] == str(folder)
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        decoded.clear()
        again = acquire(TypeAdapter(AnySource).validate_python(first.source), tmp_path / "data")
        assert (again.digest, again.name, decoded) == (first.digest, first.name, [])

    def test_keeps_a_name_that_is_the_mirrors(self, folder, tmp_path, monkeypatch):
        shutil.make_archive(str(tmp_path / "mirror" / "pets"), "tar", folder)
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        mirror = (tmp_path / "mirror").as_uri()
        assert acquire(ImageFolder(path="pets.tar"), tmp_path / "data", mirror).source["path"] == "pets.tar"

    @pytest.mark.parametrize("kind", [ImageFolder, WebDataset])
    @pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody-of-this-name/x"], ids=["long", "NUL", "home"])
    def test_is_told_when_its_path_is_odd(self, kind, path, tmp_path):
        with pytest.raises(DataError):
            acquire(kind(path=path), tmp_path / "data")
