"""An object store as the home of shared files: put, create, list, get and remove whole objects. Any that fsspec knows.

An object appears whole or not at all. What may pass by itself is tried again by the client (botocore's AWS_MAX_ATTEMPTS);
what stays is a one-line StorageError. Credentials come from the environment, and are never in a URL or a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from lib.addresses import PATIENCE_SECONDS, hangs, without_credentials
from lib.errors import ConfigError, ProbeflowError, StorageError, one_line

_SHARED = ("features", "studies")
"""Folders that are in the store. What was downloaded (`raw`) is each machine's own: it fetches and verifies it itself."""

_ONE_PUT = 5 << 29
"""s3fs cuts what is larger than twice this; up to S3's limit of 5 GiB a file is one PUT, whose ETag is its MD5."""

_TELLING = (
    *("ETag", "etag", "md5Hash", "content_hash", "Content-MD5"),
    *("mtime", "modified", "LastModified", "last_modified", "Last-Modified", "created"),
)
"""What file systems call that by which a replaced object is known, the surest first."""


@dataclass(frozen=True)
class Item:
    """An object in a listing; `stamp` changes when it is replaced."""

    size: int
    stamp: str


@dataclass(frozen=True)
class Store:
    """What lies at `url`, with copies in the folder `cache`; a file's path in the folder is its name in the store."""

    url: str
    cache: Path

    def shares(self, path: Path) -> bool:
        """Whether the file is one that the store holds, and not this machine's own."""
        parts = path.absolute().relative_to(self.cache).parts
        return len(parts) > 1 and parts[0] in _SHARED and not any(part.startswith(".") for part in parts)

    def shown(self, path: Path) -> str:
        return f"{self.url}/{self._inside(path)}".rstrip("/")

    def put(self, source: Path, path: Path) -> None:
        with self._errors(f"write {self.shown(path)}"):
            self._filesystem.pipe_file(self._key(path), source.read_bytes(), **self._whole)

    def create(self, path: Path, content: bytes) -> bool:
        """Put `path` unless the store has it; returns whether it was put. One of all who try at once succeeds."""
        try:
            with self._errors(f"write {self.shown(path)}"):
                self._filesystem.pipe_file(self._key(path), content, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, path: Path) -> None:
        with suppress(FileNotFoundError), self._errors(f"remove {self.shown(path)}"):
            self._filesystem.rm_file(self._key(path))

    def get(self, path: Path, target: Path) -> None:
        with self._errors(f"read {self.shown(path)}"):
            self._filesystem.get_file(self._key(path), str(target))

    def item(self, path: Path) -> Item | None:
        try:
            with self._errors(f"look for {self.shown(path)}"):
                found = self._filesystem.info(self._key(path))
        except FileNotFoundError:
            return None
        return Item(found["size"], version_of(found)) if found["type"] == "file" else None

    def listing(self, folder: Path, deep: bool = False) -> dict[Path, Item]:
        """The files in `folder`, with `deep` in folders below it too; none when there is no such folder."""
        key = self._key(folder)
        try:
            with self._errors(f"list {self.shown(folder)}"):
                found = (
                    list(self._filesystem.find(key, detail=True).values())
                    if deep
                    else self._filesystem.ls(key, detail=True)
                )
        except FileNotFoundError:
            return {}
        start = len(self._key(self.cache)) + 1
        return {
            self.cache / item["name"].lstrip("/")[start:]: Item(item["size"], version_of(item))
            for item in found
            if item["type"] == "file" and item["name"].rstrip("/").lstrip("/") != key
        }

    def require_writable(self) -> None:
        """Prove that the store answers and takes a file. Raises StorageError when it does not."""
        key = f"{self._key(self.cache)}/.probe.{uuid4().hex[:8]}"
        with self._errors(f"write {self.url}"):
            self._filesystem.pipe_file(key, b"")
            self._filesystem.rm_file(key)

    @property
    def _filesystem(self) -> Any:
        # A connection does not outlive a fork.
        return _connect(self.url, os.getpid())[0]

    @property
    def _whole(self) -> dict[str, Any]:
        return {"chunksize": _ONE_PUT} if self.url.startswith(("s3://", "s3a://")) else {}

    def _inside(self, path: Path) -> str:
        inside = path.absolute().relative_to(self.cache).as_posix()
        return "" if inside == "." else inside

    def _key(self, path: Path) -> str:
        with self._errors(f"use {self.url}"):
            root = _connect(self.url, os.getpid())[1]
        return f"{root.strip('/')}/{self._inside(path)}".rstrip("/")

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what the store's client raises into a StorageError; a missing or existing object stays the OSError it is."""
        try:
            yield
        except ProbeflowError:
            raise
        except Exception as error:  # each file system has its own
            if _code(error) in ("NoSuchBucket", "InvalidBucketName") or "bucket does not exist" in str(error):
                bucket = self.url.partition("://")[2].partition("/")[0]
                raise StorageError(
                    f"cannot {doing}: there is no bucket {bucket!r}; make it, or correct PROBEFLOW_DATA and AWS_ENDPOINT_URL"
                ) from None
            if _exists_already(error):
                raise FileExistsError(doing) from None
            if isinstance(error, FileNotFoundError):
                raise
            raise StorageError(f"cannot {doing} ({_line(error)}); {_fix(error)}") from None


def s3_endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """The address of the server that speaks S3; empty for Amazon's."""
    return (environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or "").rstrip("/")


@lru_cache(maxsize=8)
def _connect(url: str, process: int) -> tuple[Any, str]:
    protocol = url.partition("://")[0]
    if protocol in ("s3", "s3a") and (server := s3_endpoint()) and hangs(server):
        raise StorageError(
            f"{without_credentials(server)} does not answer within {PATIENCE_SECONDS} s; check AWS_ENDPOINT_URL and the network"
        )
    try:
        import fsspec

        options: dict[str, Any] = {}
        if protocol in ("s3", "s3a"):  # botocore would wait a minute for each of many attempts to reach nobody
            given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
            options = {"config_kwargs": {"connect_timeout": 10} | given}
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError as error:
        raise ConfigError(
            f"{protocol}:// cannot be used here ({_line(error)}): pip install 'probeflow[team]'"
        ) from None
    except ValueError as error:
        raise ConfigError(f"PROBEFLOW_DATA is {url!r}: {_line(error)}; give a path or s3://BUCKET/PREFIX") from None
    except Exception as error:  # what drives it, such as libhdfs, is missing or finds no server
        raise StorageError(
            f"{url} cannot be opened ({_line(error)}); check it, and that what reads {protocol}:// is installed"
        ) from None
    if hasattr(filesystem, "retries"):  # s3fs's own, around botocore's
        filesystem.retries = 2
    return filesystem, str(path)


def version_of(item: dict[str, Any]) -> str:
    """What changes when an object is replaced, of all that its file system tells of it."""
    return next((str(item[key]).strip('"') for key in _TELLING if item.get(key) is not None), "")


def _code(error: BaseException) -> str:
    """What S3 called the error."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _exists_already(error: BaseException) -> bool:
    # s3fs knows the first only when the server names the condition, which not all do; the second is two at one moment.
    return isinstance(error, FileExistsError) or _code(error) in (
        "PreconditionFailed",
        "412",
        "ConditionalRequestConflict",
    )


def _fix(error: BaseException) -> str:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, PermissionError):
        return "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE) and what they may do"
    return "check PROBEFLOW_DATA, AWS_ENDPOINT_URL and the network, and run the same command again to go on"


def _line(error: BaseException) -> str:
    """The error in one line, without what may be a secret in an address."""
    return re.sub(r"\?[^\s\"']*", "", without_credentials(one_line(error)))[:200]
