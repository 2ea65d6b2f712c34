"""Tar shards in WebDataset's layout, read in place: each tar is gone through once, then images are read by offset.

A sample is the members that follow each other with the same name up to the first dot: `0001.jpg` with `0001.cls`, a
number or name, or with `0001.json` that has a `label` or `cls`.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from lib.datasets import catalogue as catalogues
from lib.datasets import tars
from lib.datasets.catalogue import Catalogue, CatalogueBuilder, Container, shown
from lib.datasets.collection import NO_SAMPLE
from lib.datasets.containers import find, kept_at, load_containers, splits_of
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import IMAGE_ENDINGS, UnreadableError
from lib.datasets.formats import require_no_pointer
from lib.datasets.places import Place, remote_errors
from lib.datasets.recognition import HEAD, format_of, is_hidden
from lib.datasets.sources import WebDataset
from lib.datasets.split_names import SPLITS, read_name, require_no_words
from lib.datasets.understood import Reading, SplitsBy
from lib.errors import DataError

_OWN_SHARDS = "write each split into shards of its own (train-000.tar, test-000.tar)"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}
_HEAD = 512
_LONGEST_ENDING, _LISTED = 8, 5
_LARGEST_LABEL = 1 << 20


class TarStore:
    """Images within uncompressed tars."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        columns, containers = catalogue.columns, catalogue.containers
        return self._place.fetch(
            (containers[columns["container"][row]].path, int(columns["offset"][row]), int(columns["size"][row]))
            for row in rows
        )


def load(source: WebDataset, raw: Path, mirror: str | None) -> Dataset:
    """Index, verify and split the samples.

    Raises ConfigError for a URL whose file system is not known here; DataError naming a shard, a class or an image that is not
    usable.
    """
    shards = find(source, ".tar", mirror)
    place, file = shards.place, kept_at(source, shards, raw / "webdataset")

    def require_splits(catalogue: Catalogue, reading: Reading) -> Sequence[str]:
        if reading.splits_by is SplitsBy.NOTHING:
            labelled = np.flatnonzero(catalogue.columns["label"] >= 0).tolist()
            require_no_words(map(catalogue.name, labelled), place.shown, _OWN_SHARDS)
        return ()

    return load_containers(
        source,
        shards,
        file,
        catalogues.read(file, source.decoder.identity),
        lambda container: index(place, container),
        TarStore(place),
        "tar shards",
        notes=require_splits,
    )


def splits_ahead(source: WebDataset, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits that files on this machine are of; None when only the folders within them may tell it."""
    return splits_of(source, ".tar", _members_may_tell)


def _members_may_tell(place: Place, container: Container) -> bool:
    """Whether the first member of a tar lies in a folder that is called as a split, or cannot be read."""
    try:
        with place.open(container.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            member = tar.next()
            return member is not None and _told(member.name.rpartition("/")[0]) > 0
    except (tarfile.TarError, OSError, EOFError, DataError):
        return True


def index(place: Place, container: Container) -> Catalogue:
    """The samples of one tar, in its order. Raises DataError when it is compressed, damaged, or holds links."""
    name = container.path
    told = f"{place.shown}/{shown(name)}"
    rows, sample = CatalogueBuilder(), _Sample("")
    with remote_errors(told):
        try:
            with place.open(name) as file:
                head = file.read(_HEAD)
                require_no_pointer(told, head)
                for kind, form in _COMPRESSED.items():
                    if head.startswith(kind):
                        raise DataError(
                            f"{told} is compressed ({form}), so that nothing in it can be found by its place; "
                            "unpack it to a plain .tar (images hardly shrink anyway)"
                        )
                file.seek(0)
                for member in _members(file, told):
                    key, _, extension = member.name.rpartition("/")[2].partition(".")
                    key = member.name[: len(member.name) - len(extension) - 1] if extension else member.name
                    if not any(map(is_hidden, _raw(member.name).split(b"/"))):
                        if key != sample.key:
                            sample.add_to(rows, name, file)
                            sample = _Sample(key)
                        sample.take(member, extension.lower(), file)
                sample.add_to(rows, name, file)
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{told} is damaged ({error}); fetch or make it again") from None
        except FileNotFoundError:
            raise DataError(f"{told} is gone; restore it") from None
    return rows.catalogue()


@dataclass
class _Sample:
    """The members of one key, as far as they were seen."""

    key: str
    image: tarfile.TarInfo | None = None
    label: str | None = None
    problem: str | None = None
    labels: list[tarfile.TarInfo] = field(default_factory=list)
    others: list[tarfile.TarInfo] = field(default_factory=list)

    def take(self, member: tarfile.TarInfo, extension: str, file: IO[bytes]) -> None:
        name = shown(_raw(member.name))
        if extension in IMAGE_ENDINGS:
            if self.image is not None:
                self.problem = f"the sample has several images ({shown(_raw(self.image.name))}, {name})"
            self.image = member
        elif extension == "cls" or (extension == "json" and self.label is None):
            self.labels.append(member)
            if member.size > _LARGEST_LABEL:
                self.problem = f"its label file {name} has {member.size:,} bytes"
                return
            file.seek(member.offset_data)
            content = file.read(member.size)
            try:
                self.label = _label(content) if extension == "cls" else _label_in_json(content)
            except (ValueError, RecursionError):  # the latter of brackets within brackets
                self.problem = f"its label file {name} is no text or JSON"
        else:
            self.others.append(member)

    def add_to(self, rows: CatalogueBuilder, container: bytes, file: IO[bytes]) -> None:
        """Add the sample, once all of its members were seen; without an image's ending, by content."""
        if not self.key:
            return
        if self.image is None:
            for member in self.others:
                file.seek(member.offset_data)
                if format_of(file.read(min(HEAD, member.size))):
                    self.image = member
                    break
        problem = self.problem
        if self.image is None:
            stray = self.label is None and problem is None
            problem = problem or (NO_SAMPLE if stray else "the sample has no image")
        elif self.label is None:
            kinds = sorted({_kind(member.name) for member in (self.image, *self.labels, *self.others)})
            beside = ", ".join(kinds[:_LISTED]) + (", …" if len(kinds) > _LISTED else "")
            problem = problem or f"no label beside it (.cls, or label or cls in .json); there is {beside}"
        name = self.key if self.image is None else self.image.name
        if problem == NO_SAMPLE and self.others:
            name = self.others[0].name
        offset, size = (0, 0) if self.image is None else (self.image.offset_data, self.image.size)
        full = container + b"/" + _raw(name)
        rows.add(full, self.label, size, offset=offset, reason=problem, told=_told(self.key.rpartition("/")[0]))


@lru_cache
def _told(folder: str) -> int:
    """1 + the position in `SPLITS` that a folder tells, or 0: classes may be called so, so nothing else may be in its name."""
    read = map(read_name, folder.split("/"))
    found = {split for said in read if not said.rest and not said.weak for split in said.splits}
    return 1 + SPLITS.index(found.pop()) if len(found) == 1 else 0


def _members(file: IO[bytes], told: str) -> Iterator[tarfile.TarInfo]:
    """The files of an open tar, none of them kept."""
    for member, opened in tars.members(file, "r:"):
        if opened is not None:
            yield member
        elif not member.isdir():
            raise DataError(f"{told}: {member.name!r} is a link, a device or sparse; only plain files are taken")


def _kind(name: str) -> str:
    """A member's ending, to be told; "…" for a long one, of which each sample may have another."""
    ending = name.rpartition("/")[2].rpartition(".")[2].lower()
    return f".{ending}" if ending.isalnum() and len(ending) <= _LONGEST_ENDING else "…"


def _label(content: bytes) -> str | None:
    return _canonical(content.decode("utf-8-sig").strip())


def _label_in_json(content: bytes) -> str | None:
    found = json.loads(content)
    if not isinstance(found, dict):
        return None
    value = found.get("label", found.get("cls"))
    if isinstance(value, float) and value.is_integer():  # as tables write whole numbers
        value = int(value)
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
