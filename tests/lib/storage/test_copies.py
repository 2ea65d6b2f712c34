"""Files in an object store and their copies on machines, on a real server that speaks S3."""

from __future__ import annotations

import http.client
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lib.datasets import download
from lib.datasets.download import RemoteFile
from lib.errors import ConfigError, DataError, StorageError
from lib.files import digest_file, remove_file, require_writable, write_bytes, write_json_once
from lib.places import places
from lib.storage import copies, store
from lib.storage.copies import absent, fetch, sizes
from tests.object_store import SECRET, object_at


@pytest.fixture
def machines(s3_place) -> tuple[Path, Path]:
    return s3_place.machine("one").studies / "s" / "k", s3_place.machine("other").studies / "s" / "k"


@pytest.fixture(autouse=True)
def connections_of_its_own():
    """Credentials and addresses of one test are not another's."""
    store._connect.cache_clear()
    yield
    store._connect.cache_clear()


def test_a_file_that_is_written_here_can_be_fetched_there_and_only_once(machines):
    here, other = machines
    write_bytes(here / "a.bin", b"one")
    write_bytes(here / "trials" / "b.bin", b"two")
    assert absent([other / "a.bin", other / "c.bin"]) == [other / "c.bin"]
    assert sizes(other) == {"a.bin": 3}
    assert not other.exists()
    assert fetch(other) == [other / "a.bin"]
    assert sorted(fetch(other, deep=True)) == [other / "trials" / "b.bin"]
    assert (other / "trials" / "b.bin").read_bytes() == b"two"
    for again in (here, other):
        assert fetch(again, deep=True) == []


def test_what_is_replaced_or_damaged_is_fetched_again_and_what_is_gone_is_dropped(machines, monkeypatch):
    monkeypatch.setattr(copies, "_SLACK_SECONDS", 0)
    here, other = machines
    for name in ("a", "b", "c"):
        write_bytes(here / name, b"old")
    fetch(other)
    write_bytes(here / "a", b"new")
    (other / "b").write_bytes(b"bad")
    remove_file(here / "c")
    assert sorted(fetch(other)) == [other / "a", other / "b"]
    assert {path.name: path.read_bytes() for path in other.iterdir()} == {"a": b"new", "b": b"old"}


def test_files_of_this_machine_alone_do_not_leave_it(s3_place):
    where = s3_place.machine("one")
    for mine in (where.data / "raw" / "x", where.features / ".weights" / "x"):
        write_bytes(mine, b"mine")
    write_bytes(where.features / "d" / "x", b"ours")
    assert fetch(s3_place.machine("other").data, deep=True) == [s3_place.machine("other").features / "d" / "x"]


def test_of_many_who_create_one_file_one_succeeds_and_all_hold_its_content(s3_place):
    paths = [s3_place.machine(f"m{number}").features / "d" / "batch.json" for number in range(6)]
    threads = [threading.Thread(target=write_json_once, args=(path, number)) for number, path in enumerate(paths)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = {path.read_bytes() for path in paths}
    assert len(contents) == 1
    assert object_at(paths[0]).get()["Body"].read() in contents


def test_what_does_not_reach_the_store_is_not_here_either(machines, monkeypatch):
    here, _ = machines
    write_bytes(here / "a", b"old")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store._connect.cache_clear()
    with pytest.raises(StorageError, match=r"cannot write s3://shared/.*/s/k/a \(Could not connect .*AWS_ENDPOINT_URL"):
        write_bytes(here / "a", b"new")
    assert [path.read_bytes() for path in here.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_ENDPOINT_URL": "http://user:hidden@127.0.0.1:1"}, r"does not exist|Could not connect|check"),
        ({"AWS_ACCESS_KEY_ID": ""}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_one_line_without_secrets(s3_place, monkeypatch, variables, words):
    where = s3_place.machine("one")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    for step in (lambda: require_writable(where.data), lambda: fetch(where.features, deep=True)):
        with pytest.raises(StorageError, match=words) as caught:
            step()
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)
        assert "hidden" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(s3_place):
    where = places(s3_place.variables("one") | {"PROBEFLOW_DATA": "s3://nowhere/p"})
    for step in (lambda: require_writable(where.data), lambda: sizes(where.features)):
        with pytest.raises(StorageError, match="there is no bucket 'nowhere'; make it, or correct PROBEFLOW_DATA"):
            step()


def test_a_missing_package_is_named(s3_place, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)  # known from another test
    with pytest.raises(ConfigError, match=r"s3:// cannot be used here .*: pip install 'probeflow\[team\]'"):
        sizes(s3_place.machine("one").features)


@contextmanager
def faulty(endpoint: str, faults: list[bytes]):
    """A server before the one at `endpoint`, which answers the first requests with `faults`; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which answers `Expect: 100-continue`

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if faults:
                code, content = 503, f"<Error><Code>{faults.pop().decode()}</Code><Message>later</Message></Error>"
                headers, content = {"Content-Type": "application/xml"}, content.encode()
            else:
                behind = http.client.HTTPConnection(urlsplit(endpoint).netloc)
                behind.request(self.command, self.path, body, {**self.headers, "Expect": ""})
                response = behind.getresponse()
                code, content, headers = response.status, response.read(), dict(response.headers)
            self.send_response(code)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = answer  # noqa: N815 - the names that the base class calls

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_store_that_is_busy_for_a_moment_is_asked_again(s3_place, monkeypatch):
    faults = [b"SlowDown", b"ServiceUnavailable"]
    with faulty(s3_place.environment["AWS_ENDPOINT_URL"], faults) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        path = s3_place.machine("one").studies / "s" / "a"
        write_bytes(path, b"content")
        assert faults == []
        faults += [b"InternalError"]
        assert fetch(s3_place.machine("other").studies / "s") != []
        assert faults == []
        assert sizes(path.parent) == {"a": 7}


def test_a_mirror_may_lie_in_an_object_store(s3_place, tmp_path):
    mirror = s3_place.machine("one").features / "mirror"
    write_bytes(mirror / "letters" / "a b.bin", b"content")
    file = RemoteFile("letters/a b.bin", digest=digest_file(mirror / "letters" / "a b.bin"))
    url = f"{s3_place.address}/features/mirror"
    assert places({"PROBEFLOW_MIRROR": url}).mirror == url
    assert download.fetch(file, tmp_path / "got", url).read_bytes() == b"content"
    plain = RemoteFile("letters/a b.bin")
    assert download.fetch(plain, tmp_path / "plain", url).read_bytes() == b"content"
    with pytest.raises(
        DataError, match=r"cannot fetch none \(s3://shared/.*/none: no such object\); check that the mirror"
    ):
        download.fetch(RemoteFile("none"), tmp_path / "none", url)
    write_bytes(mirror / "letters" / "a b.bin", b"altered")
    with pytest.raises(DataError, match="is damaged or altered"):
        download.fetch(file, tmp_path / "again", url)
    assert list((tmp_path / "again").iterdir()) == []
    assert download.fetch(plain, tmp_path / "plain", url).read_bytes() == b"altered"


def test_any_url_that_fsspec_writes_to_will_do(tmp_path):
    here, other = (
        places({"PROBEFLOW_DATA": "memory://place", "PROBEFLOW_CACHE": str(tmp_path / name)}).studies / "s"
        for name in ("one", "other")
    )
    write_bytes(here / "a", b"a")
    write_json_once(here / "b", 1)
    write_json_once(other / "b", 2)
    assert other / "a" in fetch(other)
    assert (other / "a").read_bytes() == b"a"
    assert (other / "b").read_bytes() == (here / "b").read_bytes()
    remove_file(here / "a")
    assert sizes(other) == {"b": 2}
