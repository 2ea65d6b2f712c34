"""Tar shards in WebDataset's layout, read in place: each tar is gone through once, then images are read by offset.

A sample is the members that follow each other with the same name up to the first dot: `0001.jpg` with `0001.cls`, a
number or name, or with `0001.json` that has a `label` or `cls`.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import Catalogue, CatalogueBuilder, Container, shown
from lib.datasets.collection import Collection, classes_of, dataset_of
from lib.datasets.containers import catalogue_of, container_splits, find, name_of, splits_of
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import IMAGE_ENDINGS, UnreadableError
from lib.datasets.download import digest_of
from lib.datasets.places import Place, remote_errors, without_secrets
from lib.datasets.sources import WebDataset
from lib.errors import DataError
from lib.progress import bar

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}
_LARGEST_LABEL = 1 << 20
_END = 1 << 20
"""Bytes after the last member that may be padding."""


class TarStore:
    """Images within uncompressed tars."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        """The content of each row's member."""
        columns, containers = catalogue.columns, catalogue.containers
        return self._place.fetch(
            (
                containers[columns["container"][row]].name.encode("utf-8", "surrogateescape"),
                int(columns["offset"][row]),
                int(columns["size"][row]),
            )
            for row in rows
        )


def load(source: WebDataset, raw: Path, mirror: str | None) -> Dataset:
    """Index, verify and split the samples.

    Raises
    ------
    ConfigError
        For a URL whose file system is not known here.
    DataError
        When a shard, a class or an image is not usable; it names it.
    """
    place, containers = find(source.path, ".tar", mirror)
    decoder = source.decoder
    file = raw / "webdataset" / f"catalogue-{digest_of(place.shown, source.path)}.parquet"
    with bar(f"index {name_of(source.path, place)}", len(containers), "shard") as advance:
        catalogue, is_new = catalogue_of(
            containers,
            splits_of(containers, place),
            lambda container: index(place, container),
            catalogues.read(file, decoder.identity),
            advance,
        )
    class_names, classes = classes_of(catalogue, source.classes, None, place.shown)
    return dataset_of(
        Collection(
            name=name_of(source.path, place),
            shown=place.shown,
            origin=f"tar shards {without_secrets(source.path)}",
            class_names=class_names,
            classes=classes,
            catalogue=catalogue,
            store=TarStore(place),
            decoder=decoder,
            file=file,
            is_new=is_new,
        ),
        source,
    )


def splits_ahead(source: WebDataset, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits that files on this machine are of."""
    return container_splits(source.path, ".tar")


def index(place: Place, container: Container) -> Catalogue:
    """The samples of one tar, in its order.

    Raises
    ------
    DataError
        When it is compressed, damaged, or holds links.
    """
    name = container.name.encode("utf-8", "surrogateescape")
    told = f"{place.shown}/{shown(name)}"
    rows, sample = CatalogueBuilder(), _Sample("")
    with remote_errors(told):
        try:
            with place.open(name) as file:
                for kind, form in _COMPRESSED.items():
                    file.seek(0)
                    if file.read(len(kind)) == kind:
                        raise DataError(
                            f"{told} is compressed ({form}), so that nothing in it can be found by its place; "
                            "unpack it to a plain .tar (images hardly shrink anyway)"
                        )
                file.seek(0)
                for member in _members(file, told):
                    key, _, extension = member.name.rpartition("/")[2].partition(".")
                    key = member.name[: len(member.name) - len(extension) - 1] if extension else member.name
                    if not member.name.rpartition("/")[2].startswith("."):
                        if key != sample.key:
                            sample.add_to(rows, name)
                            sample = _Sample(key)
                        sample.take(member, extension.lower(), file)
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{told} is damaged ({error}); fetch or make it again") from None
        except FileNotFoundError:
            raise DataError(f"{told} is gone; restore it") from None
    sample.add_to(rows, name)
    return rows.catalogue()


@dataclass
class _Sample:
    """The members of one key, as far as they were seen."""

    key: str
    image: tarfile.TarInfo | None = None
    label: str | None = None
    problem: str | None = None

    def take(self, member: tarfile.TarInfo, extension: str, file: IO[bytes]) -> None:
        """Note what one more member says."""
        name = shown(_raw(member.name))
        if extension in IMAGE_ENDINGS:
            if self.image is not None:
                self.problem = f"the sample has several images ({shown(_raw(self.image.name))}, {name})"
            self.image = member
        elif extension == "cls" or (extension == "json" and self.label is None):
            if member.size > _LARGEST_LABEL:
                self.problem = f"its label file {name} has {member.size:,} bytes"
                return
            file.seek(member.offset_data)
            content = file.read(member.size)
            try:
                self.label = _label(content) if extension == "cls" else _label_in_json(content)
            except (ValueError, RecursionError):  # the latter of brackets within brackets
                self.problem = f"its label file {name} is no text or JSON"

    def add_to(self, rows: CatalogueBuilder, container: bytes) -> None:
        """Add the sample, once all of its members were seen."""
        if not self.key:
            return
        problem = self.problem
        if self.image is None:
            problem = problem or "the sample has no image"
        elif self.label is None:
            problem = problem or "no label beside it: a .cls file, or .json with label or cls"
        name = self.key if self.image is None else self.image.name
        offset, size = (0, 0) if self.image is None else (self.image.offset_data, self.image.size)
        full = container + b"/" + _raw(name)
        rows.add(full, self.label, size, offset=offset, reason=problem)


def _members(file: IO[bytes], told: str) -> Iterator[tarfile.TarInfo]:
    """The files of an open tar, none of them kept."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise DataError(f"{told}: {member.name!r} is a link, a device or sparse; only plain files are taken")
            yield member
        # tarfile takes a damaged header for the end.
        file.seek(tar.offset)
        rest = file.read(_END)
        if rest.strip(b"\0") or len(rest) == _END:
            raise DataError(f"{told} is damaged after {tar.offset:,} bytes, or two tars joined; make it again")
        if len(rest) < tarfile.BLOCKSIZE:  # cut between two samples nothing else tells of it
            raise DataError(
                f"{told} is damaged: it ends after {tar.offset:,} bytes without a tar's end; fetch it again"
            )


def _label(content: bytes) -> str | None:
    return _canonical(content.decode().strip())


def _label_in_json(content: bytes) -> str | None:
    found = json.loads(content)
    if not isinstance(found, dict):
        return None
    value = found.get("label", found.get("cls"))
    return _canonical(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _raw(name: str) -> bytes:
    """A member's name as it stands in the tar, where it need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def _canonical(text: str) -> str | None:
    """The label without leading zeros: "007" and "7" are one class. Raises ValueError when it is no Unicode text."""
    text.encode()  # JSON may hold half of a surrogate pair
    if not text:
        return None
    return str(int(text)) if re.fullmatch(r"-?[0-9]+", text) else text
