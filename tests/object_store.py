"""A real server that speaks S3 (moto's, as a process of its own), for tests of data at a URL."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.places import Places, places
from lib.storage.address import store_of
from tests.processes import free_port, start, wait_for

KEY, SECRET = "AKIAPROBEFLOWTESTS", "a-secret-that-nobody-may-print"


def start_s3(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """A server with the bucket `shared`, and the environment of its clients."""
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = ("moto.server", "--host", "127.0.0.1", "--port", str(port))
    server = start(dict(os.environ), folder / "server.log", *command)
    _make_bucket(environment["AWS_ENDPOINT_URL"], "shared")
    return server, environment


def _make_bucket(endpoint: str, name: str) -> None:
    def made() -> bool:
        with suppress(OSError):
            request = urllib.request.Request(f"{endpoint}/{name}", method="PUT")
            urllib.request.urlopen(request, timeout=5).close()
            return True
        return False

    wait_for(made)


@dataclass(frozen=True)
class DataPlace:
    """A place of data that machines share: a path that all mount, or a URL of which each has copies.

    Attributes
    ----------
    kind : str
        "path" or "s3".
    address : str
        What PROBEFLOW_DATA is on every machine.
    environment : dict of str to str
        Of every machine, but for where its copies are.
    """

    kind: str
    address: str
    folder: Path
    environment: dict[str, str]

    def variables(self, machine: str) -> dict[str, str]:
        """The environment of a machine."""
        caches = {"PROBEFLOW_CACHE": str(self.folder / machine), "PROBEFLOW_MLRUNS": str(self.folder / "mlruns")}
        return self.environment | caches | {"PROBEFLOW_DATA": self.address}

    def machine(self, name: str) -> Places:
        """The places of a machine."""
        return places(self.variables(name))


def object_at(path: Path) -> Any:
    """The object that `path` is a copy of, as another client sees it: boto3's `Object`."""
    import boto3

    store = store_of(path)
    assert store is not None
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    return boto3.resource("s3").Object(bucket, f"{prefix}/{path.relative_to(store.cache).as_posix()}")
