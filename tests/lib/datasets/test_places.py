"""Images at URLs: the same dataset wherever they lie, and one line when they cannot be had."""

from __future__ import annotations

import functools
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import addresses
from lib.datasets import acquire, copies, on_disk
from lib.datasets.sources import ImageFolder, ParquetImages, WebDataset
from lib.errors import ChangedError, ConfigError, DataError
from tests.image_files import encoded_noise, write_images
from tests.lib.datasets.test_web_dataset import samples, write_tar
from tests.wrong_servers import hanging


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder of images, tar shards, and a Parquet file."""
    root = tmp_path / "here it is"
    write_images(root / "pets", ("cat", "dog"), 40)
    for seed in range(2):
        write_tar(root / "shards" / f"{seed:03d}.tar", samples(seed))
    table = pa.table({"image": encoded_noise(0, 20), "label": [0, 1] * 10})
    pq.write_table(table, root / "images.parquet", row_group_size=6)
    shutil.make_archive(str(root / "pets"), "zip", root, "pets")
    return root


@pytest.fixture
def memory(here) -> Iterator[str]:
    """The same in fsspec's memory file system."""
    filesystem = fsspec.filesystem("memory")
    filesystem.put(f"{here}/", "/bucket/", recursive=True)
    yield "memory://bucket"
    filesystem.rm("/bucket", recursive=True)


class WithRanges(SimpleHTTPRequestHandler):
    """Python's own server, taught to send parts of files."""

    knows_ranges = True

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not self.knows_ranges or asked is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = int(asked.group(1)), int(asked.group(2) or len(content) - 1)
        part = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(here) -> Iterator[str]:
    """The same on a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(WithRanges, directory=str(here)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def sources(root: str) -> dict[str, object]:
    return {
        "folder": ImageFolder(path=f"{root}/pets"),
        "zip": ImageFolder(path=f"{root}/pets.zip"),
        "shards": WebDataset(path=f"{root}/shards/{{000..001}}.tar"),
        "shards by pattern": WebDataset(path=f"{root}/shards/0*.tar"),
        "table": ParquetImages(path=f"{root}/images.parquet"),
    }


def require_same(source: str, root: str, here: Path, tmp_path: Path) -> None:
    expected = acquire(sources(str(here))[source], tmp_path / "data")
    for _ in range(2):  # anew, and from the catalogue
        data = acquire(sources(root)[source], tmp_path / "other")
        assert data.digest == expected.digest
    for name, split in data.splits.items():
        for row, image in enumerate(split.images.read(range(len(split)))):
            np.testing.assert_array_equal(image, expected.splits[name].images[row])


@pytest.mark.parametrize("source", list(sources("")))
def test_a_memory_url_gives_what_the_files_give(here, memory, tmp_path, source):
    require_same(source, memory, here, tmp_path)


@pytest.mark.parametrize("source", list(sources("")))
def test_a_file_url_gives_what_the_files_give(here, tmp_path, source):
    require_same(source, here.as_uri(), here, tmp_path)


@pytest.mark.parametrize("source", ["zip", "shards", "table"])
def test_a_web_address_gives_what_the_files_give(here, web, tmp_path, source):
    require_same(source, web, here, tmp_path)


def test_a_folder_on_a_web_server_is_refused_with_the_fix(web, tmp_path):
    with pytest.raises(DataError, match=r"http://.*/pets lists its files without their sizes.*give tar shards"):
        acquire(ImageFolder(path=f"{web}/pets"), tmp_path)


def test_a_server_that_sends_no_parts_is_refused(web, tmp_path, monkeypatch):
    monkeypatch.setattr(WithRanges, "knows_ranges", False)
    with pytest.raises(DataError, match="the server knows no ranges"):
        acquire(sources(web)["shards"], tmp_path)


def test_an_archive_at_a_url_is_copied_again_when_replaced_and_used_when_away(memory, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(copies, "_unasked", {})
    source, filesystem = ImageFolder(path=f"{memory}/pets.zip"), fsspec.filesystem("memory")
    first = acquire(source, tmp_path)
    assert on_disk(source, tmp_path).digest == first.digest
    (tmp_path / "new" / "cat").mkdir(parents=True)
    (tmp_path / "new" / "dog").mkdir()
    for number, content in enumerate(encoded_noise(7, 20)):
        (tmp_path / "new" / ("cat", "dog")[number % 2] / f"{number}.png").write_bytes(content)
    filesystem.put_file(shutil.make_archive(str(tmp_path / "new"), "zip", tmp_path / "new"), "/bucket/pets.zip")
    second = acquire(source, tmp_path)
    assert sum(len(each) for each in second.splits.values()) == 20
    filesystem.rm("/bucket/pets.zip")
    assert acquire(source, tmp_path).digest == second.digest
    assert "memory://bucket/pets.zip cannot be asked whether it changed" in capfd.readouterr().err


def test_an_image_replaced_at_its_url_is_noticed(memory, tmp_path):
    data = acquire(ImageFolder(path=f"{memory}/pets"), tmp_path)
    images = data.splits["train"].images
    filesystem = fsspec.filesystem("memory")
    for name, content in ((images.name(0), encoded_noise(7, 1)[0]), (images.name(1), None)):
        before = images.name(0) if content else images.name(1)
        path = f"/bucket/pets/{before}"
        filesystem.pipe(path, content) if content else filesystem.rm(path)
        with pytest.raises(ChangedError, match=rf"image {name} changed since it was verified"):
            images.read([0] if content else [1])
    assert acquire(ImageFolder(path=f"{memory}/pets"), tmp_path).digest != data.digest


class TestANetworkThatFails:
    @pytest.fixture
    def failing(self, monkeypatch):
        """Every third request fails; all, when `always` is put into the list."""
        switch: list[str] = []
        calls = []
        real = fsspec.get_filesystem_class("memory").cat_file

        def cat_file(self, *arguments, **options):
            calls.append(1)
            if switch or len(calls) % 3 == 0:
                raise ConnectionError("the network is down")
            return real(self, *arguments, **options)

        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", cat_file)
        monkeypatch.setattr("time.sleep", lambda _: None)
        monkeypatch.setattr("lib.datasets.places._ATTEMPTS", 8)
        return switch

    def test_is_asked_again(self, memory, tmp_path, failing):
        assert len(acquire(ImageFolder(path=f"{memory}/pets"), tmp_path).splits["train"]) == 64

    def test_never_sets_an_image_aside(self, memory, tmp_path, failing):
        failing.append("always")
        source = ImageFolder(path=f"{memory}/pets", unreadable="quarantine")
        with pytest.raises(DataError, match=r"80 image\(s\) of .* could not be read, e.g. cat/0.png .*network is down"):
            acquire(source, tmp_path)
        failing.clear()
        assert acquire(source, tmp_path).quarantined is None


class TestWhatCannotBeHad:
    @pytest.mark.parametrize("kind", [ImageFolder, WebDataset, ParquetImages])
    def test_a_missing_package_is_named(self, tmp_path, kind, monkeypatch):
        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)  # known from another test
        with pytest.raises(ConfigError, match=r"s3:// cannot be read here .*: pip install s3fs"):
            acquire(kind(path="s3://bucket/images"), tmp_path)

    def test_an_unknown_file_system_is_told(self, tmp_path):
        with pytest.raises(ConfigError, match=r"ftpx://host/x: .*; known are file, s3, gs"):
            acquire(WebDataset(path="ftpx://host/x"), tmp_path)

    def test_a_server_that_is_not_there_is_one_line(self, tmp_path):
        with pytest.raises(DataError, match=r"127.0.0.1:1/x.tar not found"):
            acquire(WebDataset(path="http://127.0.0.1:1/x.tar"), tmp_path)

    @pytest.mark.parametrize("name", ["pets.zip", "pets"])
    def test_a_server_that_hangs_is_one_line(self, tmp_path, name, monkeypatch):
        monkeypatch.setattr(addresses, "PATIENCE_SECONDS", 0.3)
        with hanging() as address, pytest.raises(DataError, match=rf"^{address}/{name} does not answer within"):
            acquire(ImageFolder(path=f"{address}/{name}"), tmp_path)

    def test_a_file_system_without_its_driver_is_one_line(self, tmp_path):  # libhdfs needs Java and Hadoop
        with pytest.raises(DataError, match=r"^hdfs://absent/pets cannot be opened \(.*reads hdfs:// is installed$"):
            acquire(ImageFolder(path="hdfs://absent/pets"), tmp_path)

    def test_an_absent_folder_is_told(self, memory, tmp_path):
        with pytest.raises(DataError, match="image folder memory://bucket/absent not found"):
            acquire(ImageFolder(path=f"{memory}/absent"), tmp_path)

    def test_nothing_is_fetched_when_only_the_disk_is_asked(self, memory, tmp_path):
        assert on_disk(ImageFolder(path=f"{memory}/pets"), tmp_path) is None
        assert on_disk(WebDataset(path=f"{memory}/shards"), tmp_path) is None

    def test_passwords_and_signatures_are_not_shown(self):
        assert (
            addresses.without_secrets("https://me:secret@host:80/a/b.tar?X-Amz-Signature=1")
            == "https://host:80/a/b.tar"
        )
        assert addresses.without_secrets("/a/b?.tar") == "/a/b?.tar"
