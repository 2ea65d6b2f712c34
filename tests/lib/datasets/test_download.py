"""Fetching: resumed after a broken connection, checked, atomic, from one mirror or many addresses."""

from __future__ import annotations

import base64
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib.datasets import download
from lib.datasets.download import RemoteFile, fetch
from lib.errors import DataError

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def server(monkeypatch):
    """A loopback server that breaks the first connection half way and answers ranges; yields (url, requests seen)."""
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/d/file.bin":
                self.send_error(404)
                return
            wanted = self.headers.get("Range")
            seen.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            body = CONTENT[start:]
            self.wfile.write(body[: len(body) // 2] if len(seen) == 1 else body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/d", seen
        http.shutdown()


def remote(**changes) -> RemoteFile:
    return RemoteFile(**({"name": "file.bin", "digest": hashlib.sha256(CONTENT).hexdigest()} | changes))


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    url, seen = server
    assert fetch(remote(), tmp_path / "f", url).read_bytes() == CONTENT
    assert seen == [None, f"bytes={len(CONTENT) // 2}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_whole_file_is_not_fetched_again(server, tmp_path):
    url, seen = server
    fetch(remote(), tmp_path / "f", url)
    fetch(remote(), tmp_path / "f", url)
    assert len(seen) == 2


def test_the_next_address_is_asked_when_one_fails(server, tmp_path):
    url, _ = server
    file = remote(urls=[f"{url}/absent", f"{url}/file.bin"])
    assert fetch(file, tmp_path / "f", None).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_kept(server, tmp_path):
    with pytest.raises(DataError, match="is damaged: its sha256 is not 00"):
        fetch(remote(digest="00"), tmp_path / "f", server[0])
    assert list(tmp_path.iterdir()) == []


def test_no_network_and_no_mirror_says_what_to_set(tmp_path, server):
    file = remote(name="mnist/x.gz", urls=["http://127.0.0.1:9/x"])
    with pytest.raises(
        DataError, match=r"cannot fetch mnist/x.gz .*without network set PROBEFLOW_MIRROR=file:///FOLDER"
    ):
        fetch(file, tmp_path / "f", None)


def test_a_mirror_without_the_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such file.*check that the mirror holds file.bin"):
        fetch(remote(), tmp_path / "f", tmp_path.as_uri())


def test_a_mirror_in_a_folder_with_spaces_works(tmp_path):
    mirror = tmp_path / "my mirror"
    mirror.mkdir()
    (mirror / "file.bin").write_bytes(CONTENT)
    assert fetch(remote(), tmp_path / "out" / "f", mirror.as_uri()).read_bytes() == CONTENT


def test_a_mirrors_password_is_sent_to_it_and_shown_nowhere(tmp_path, capfd):
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Authorization"))
            if "absent" in self.path:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://ann:s3cr%40t@127.0.0.1:{http.server_port}/d"
        assert fetch(remote(), tmp_path / "f", url).read_bytes() == CONTENT
        for wrong in (remote(name="absent"), remote(digest="0" * 64)):
            with pytest.raises(DataError) as caught:
                fetch(wrong, tmp_path / "g", url)
            assert "s3cr" not in str(caught.value)
            assert f"http://127.0.0.1:{http.server_port}/d" in str(caught.value)
        http.shutdown()
    assert set(asked) == {"Basic " + base64.b64encode(b"ann:s3cr@t").decode()}
    assert "s3cr" not in "".join(capfd.readouterr())
