"""Fetching: resumed after a broken connection, checked, atomic, from one mirror or many addresses."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lib.datasets import copies, origins
from lib.datasets.copies import offline
from lib.datasets.download import RemoteFile, fetch, file_name
from lib.errors import AbsentError, DataError
from tests.wrong_servers import hanging

CONTENT = bytes(range(256)) * 4096


@dataclass
class Web:
    """A loopback server of `/d/file.bin` that knows ranges, and what was asked of it."""

    url: str = ""
    content: bytes = CONTENT
    breaks: int = 0
    """Answers that end half way."""
    pause: float = 0
    """Seconds after each eighth of an answer."""
    etags: bool = True
    dates: bool = False
    heads: bool = True
    asked: list[str] = field(default_factory=list)
    users: set[str | None] = field(default_factory=set)

    def replace(self, content: bytes) -> None:
        self.content = content
        self.asked.clear()


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr(origins.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(copies, "_unasked", {})
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            state.asked.append("HEAD")
            self.answer(0, 200) if state.heads else self.send_error(405)

        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append(wanted or "GET")
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if self.answer(start, 206 if wanted else 200):
                body = state.content[start:]
                state.breaks -= 1
                sent = body[: len(body) // 2] if state.breaks >= 0 else body
                for part in range(8):
                    self.wfile.write(sent[part * len(sent) // 8 : (part + 1) * len(sent) // 8])
                    threading.Event().wait(state.pause)

        def answer(self, start: int, status: int) -> bool:
            state.users.add(self.headers.get("Authorization"))
            if self.path != "/d/file.bin":
                self.send_error(404)
                return False
            self.send_response(status)
            self.send_header("Content-Length", str(len(state.content) - start))
            if state.etags:
                self.send_header("ETag", f'"{hashlib.md5(state.content).hexdigest()}"')
            if state.dates:
                self.send_header("Last-Modified", formatdate(sum(state.content[:9]), usegmt=True))
            self.end_headers()
            return True

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}/d"
        yield state
        http.shutdown()


def proven(**changes) -> RemoteFile:
    return RemoteFile(**({"name": "file.bin", "digest": hashlib.sha256(CONTENT).hexdigest()} | changes))


PLAIN = RemoteFile("file.bin")
"""A file without a published digest."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_broken_download_goes_on_where_it_stopped(web, tmp_path):
    web.breaks = 1
    assert fetch(proven(), tmp_path, web.url).read_bytes() == CONTENT
    assert web.asked == ["GET", f"bytes={len(CONTENT) // 2}-"]
    assert names(tmp_path) == ["file.bin"]


def test_a_whole_file_is_not_fetched_again(web, tmp_path):
    fetch(proven(), tmp_path, web.url)
    fetch(proven(), tmp_path, web.url)
    assert web.asked == ["GET"]


def test_the_next_address_is_asked_when_one_fails(web, tmp_path):
    file = proven(urls=[f"{web.url}/absent", f"{web.url}/file.bin"])
    assert fetch(file, tmp_path, None).read_bytes() == CONTENT


@pytest.mark.parametrize("file", [proven(), PLAIN])
def test_a_mirror_that_hangs_is_named_in_one_line_and_asked_once(file, tmp_path, monkeypatch):
    monkeypatch.setattr(origins, "PATIENCE_SECONDS", 0.3)
    begun = time.monotonic()
    with hanging() as address, pytest.raises(DataError, match=rf"{address}/file.bin: no answer within 0.3 s\)"):
        fetch(file, tmp_path, address)
    assert time.monotonic() - begun < 1.2


def test_a_slow_mirror_may_take_longer_than_a_silent_one(web, tmp_path, monkeypatch):
    monkeypatch.setattr(origins, "PATIENCE_SECONDS", 0.3)
    web.pause = 0.1
    assert fetch(proven(), tmp_path, web.url).read_bytes() == CONTENT
    assert web.asked == ["GET"]


def test_a_wrong_checksum_is_refused_and_nothing_kept(web, tmp_path):
    with pytest.raises(DataError, match="is damaged or altered: its sha256 is not 00; try again or use a mirror"):
        fetch(proven(digest="00"), tmp_path, web.url)
    assert list(tmp_path.iterdir()) == []


def test_no_network_and_no_mirror_says_what_to_set(tmp_path, web):
    file = proven(name="mnist/x.gz", urls=["http://127.0.0.1:9/x"])
    with pytest.raises(
        DataError, match=r"cannot fetch mnist/x.gz .*without network set PROBEFLOW_MIRROR=file:///FOLDER"
    ):
        fetch(file, tmp_path, None)


@pytest.mark.parametrize("file", [proven(), PLAIN])
def test_a_mirror_without_the_file_is_named(tmp_path, file):
    with pytest.raises(DataError, match=r"no such file.*check that the mirror holds file.bin"):
        fetch(file, tmp_path, tmp_path.as_uri())


def test_a_mirror_in_a_folder_with_spaces_works(tmp_path):
    mirror = tmp_path / "my mirror"
    mirror.mkdir()
    (mirror / "file.bin").write_bytes(CONTENT)
    assert fetch(proven(), tmp_path / "out", mirror.as_uri()).read_bytes() == CONTENT


@pytest.mark.parametrize("file", [proven, RemoteFile])
def test_a_mirrors_password_is_sent_to_it_and_shown_nowhere(file, web, tmp_path, capfd):
    url = web.url.replace("http://", "http://ann:s3cr%40t@")
    assert fetch(file(name="file.bin"), tmp_path, url).read_bytes() == CONTENT
    for wrong in (file(name="absent"), proven(digest="0" * 64)):
        with pytest.raises(DataError) as caught:
            fetch(wrong, tmp_path / "other", url)
        assert "s3cr" not in str(caught.value)
        assert web.url in str(caught.value)
    assert web.users == {"Basic " + base64.b64encode(b"ann:s3cr@t").decode()}
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.json"))
    assert "s3cr" not in "".join(capfd.readouterr())
    assert b"s3cr" not in kept


class TestAFileWithoutAPublishedDigest:
    @pytest.mark.parametrize("tells", [{}, {"etags": False, "dates": True}])
    def test_is_fetched_again_when_it_was_replaced(self, web, tmp_path, tells):
        for name, value in tells.items():
            setattr(web, name, value)
        fetch(PLAIN, tmp_path, web.url)
        web.asked.clear()
        assert fetch(PLAIN, tmp_path, web.url).read_bytes() == CONTENT
        assert web.asked == ["HEAD"]
        web.replace(CONTENT[::-1])  # of the same size
        assert fetch(PLAIN, tmp_path, web.url).read_bytes() == CONTENT[::-1]
        assert fetch(PLAIN, tmp_path, offline(web.url)).read_bytes() == CONTENT[::-1]

    def test_is_never_joined_from_parts_of_two_versions(self, web, tmp_path):
        web.breaks = 9
        with pytest.raises(DataError, match="connection lost"):
            fetch(PLAIN, tmp_path, web.url)
        web.breaks = 0
        web.replace(CONTENT[::-1])
        assert fetch(PLAIN, tmp_path, web.url).read_bytes() == CONTENT[::-1]
        assert web.asked[-1] == "GET"
        assert [name for name in names(tmp_path) if name.endswith(".part")] == []

    def test_goes_on_from_a_part_of_its_own_version(self, web, tmp_path):
        web.breaks = 4
        with pytest.raises(DataError, match="connection lost"):
            fetch(PLAIN, tmp_path, web.url)
        web.asked.clear()
        assert fetch(PLAIN, tmp_path, web.url).read_bytes() == CONTENT
        assert web.asked[-1].startswith("bytes=")

    def test_of_a_server_that_tells_no_version_starts_anew(self, web, tmp_path):
        web.etags, web.breaks = False, 4
        with pytest.raises(DataError, match="connection lost"):
            fetch(PLAIN, tmp_path, web.url)
        web.replace(CONTENT[::-1])
        assert fetch(PLAIN, tmp_path, web.url).read_bytes() == CONTENT[::-1]

    def test_is_used_while_its_origin_cannot_be_asked_which_is_told_once(self, web, tmp_path, capfd):
        copy = fetch(PLAIN, tmp_path, web.url)
        web.heads = False
        for _ in range(2):
            assert fetch(PLAIN, tmp_path, web.url) == copy
        assert capfd.readouterr().err == (
            f"{web.url}/file.bin cannot be asked whether it changed (Method Not Allowed); the copy of before is used\n"
        )
        assert web.asked.count("HEAD") == 3  # two before it was there

    def test_is_not_fetched_when_only_this_machine_is_asked(self, web, tmp_path):
        with pytest.raises(AbsentError):
            fetch(PLAIN, tmp_path, offline(web.url))
        fetch(PLAIN, tmp_path, web.url)
        web.replace(b"other")
        assert fetch(PLAIN, tmp_path, offline(web.url)).read_bytes() == CONTENT
        assert web.asked == []
        for other in (f"{web.url}/other", None):
            with pytest.raises(AbsentError):
                fetch(PLAIN, tmp_path, offline(other))

    def test_has_a_copy_for_each_address(self, tmp_path):
        for mirror, folder in (("one", "a"), ("one", "b"), ("two", "a")):
            path = tmp_path / mirror / folder / "file.bin"
            path.parent.mkdir(parents=True)
            path.write_text(f"{mirror} {folder}")
        for _ in range(2):
            for mirror, folder in (("one", "a"), ("one", "b"), ("two", "a")):
                copy = fetch(RemoteFile(f"{folder}/file.bin"), tmp_path / "out", (tmp_path / mirror).as_uri())
                assert copy.read_text() == f"{mirror} {folder}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/letters.csv", "letters.csv"), ("..", "file"), (".hidden", "hidden"), ("a/", "a"), ("ä" * 300, "ä" * 50)],
)
def test_a_copy_has_a_name_that_any_file_system_takes(name, expected):
    assert file_name(name) == expected
