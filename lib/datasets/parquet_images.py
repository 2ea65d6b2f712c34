"""Parquet files with a column of encoded images and one of labels, read in place, a few megabytes at a time.

A row group can only be read from its beginning: images are cheap in order, and dear at random where groups are large.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import UNKNOWN_SIZE, Catalogue, Container, shown
from lib.datasets.containers import find, kept_at, load_containers, splits_of
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import UnreadableError
from lib.datasets.formats import require_no_pointer
from lib.datasets.places import Place, unreadable
from lib.datasets.sources import ParquetImages
from lib.datasets.split_names import SPLITS, read_name, read_names, words
from lib.errors import DataError, ProbeflowError, one_line

_LABELS_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 1 << 10
_BATCH_BYTES = 4 << 20
_BATCHES, _GROUPS, _FILES = 4, 4, 8
"""Batches of a row group, row groups and open files that are kept."""

_BUFFER = 1 << 20
_HEAD = 512
_LISTED = 20

_NO_LABEL, _NO_TEXT = -1, -2

_SURE_COLUMNS = ("split", "partition")
_SPLIT_COLUMNS = (*_SURE_COLUMNS, "subset", "set", "usage", "fold", "phase")
"""What a column is called that tells which split each row is of, the surest first; `_SURE_COLUMNS` are nothing else."""

_SPLIT_VALUES = 20
"""Values that a column of splits has at most, if its name does not tell what it is."""


@dataclass
class _File:
    """An open file: each row group's first row, and how many of its rows take about `_BATCH_BYTES`."""

    parquet: Any
    leaf: str
    first_rows: npt.NDArray[np.int64]
    batch_rows: Sequence[int]


class _Group:
    """A row group on its way from the first row to the last, and the batches that were read last."""

    def __init__(self, file: _File, number: int) -> None:
        self._batches = file.parquet.iter_batches(
            file.batch_rows[number], row_groups=[number], columns=[file.leaf], use_threads=False
        )
        self._next = self._first = int(file.first_rows[number])
        self._kept: deque[tuple[int, Any]] = deque(maxlen=_BATCHES)
        self._error: Exception | None = None

    def has(self, row: int) -> bool:
        """Whether the row is kept, or still to come."""
        return row >= (self._kept[0][0] if self._kept else self._first)

    def cell(self, row: int) -> Any:
        """The cell of a row that it has. Raises what Arrow does, then for all that follow too."""
        while self._next <= row:
            if self._error is not None:  # nothing that follows can be read, which need not be tried for each row
                raise self._error
            try:
                images = _bytes_of(next(self._batches).column(0))
            except (OSError, pa.ArrowException, StopIteration) as error:
                self._error = pa.ArrowInvalid("it ends early") if isinstance(error, StopIteration) else error
                continue
            self._kept.append((self._next, images))
            self._next += len(images)
        return next(images[row - first] for first, images in self._kept if 0 <= row - first < len(images))


class ParquetStore:
    """Images in a column of Parquet files, for which offsets are row numbers."""

    def __init__(self, place: Place, containers: Sequence[Container], column: str) -> None:
        self._place = place
        self._containers = containers
        self._column = column
        self._lock = threading.Lock()
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], _Group] = OrderedDict()

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        columns = catalogue.columns
        for row in rows:
            try:
                with self._lock:
                    content = self._read(int(columns["container"][row]), int(columns["offset"][row]))
            except ProbeflowError:
                raise
            except UnreadableError as problem:
                yield problem
            except Exception as error:  # Arrow's, the disk's, or any file system's
                damage = UnreadableError(f"its row group is damaged ({one_line(error)})")
                yield damage if _damaged(error) else unreadable(error)
            else:
                yield content if content is not None else UnreadableError("the cell is empty (null)")

    def _read(self, container: int, row: int) -> bytes | None:
        file = self._file(container)
        number = int(np.searchsorted(file.first_rows, row, side="right")) - 1
        group = self._groups.pop((container, number), None)
        if group is None or not group.has(row):
            group = _Group(file, number)
        self._groups[container, number] = group
        if len(self._groups) > _GROUPS:
            self._groups.popitem(last=False)
        return _content(group.cell(row))

    def _file(self, container: int) -> _File:
        file = self._files.get(container)
        if file is not None:
            self._files.move_to_end(container)
            return file
        parquet = pq.ParquetFile(
            self._place.open(self._containers[container].path), buffer_size=_BUFFER, pre_buffer=False
        )
        paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        # A column of lists has its leaf further down.
        leaves = (f"{self._column}.bytes", self._column)
        leaf = next(leaf for leaf in leaves if any(f"{path}.".startswith(f"{leaf}.") for path in paths))
        # Of a damaged file what is told of single columns ends the process, where it should raise.
        groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
        rows = np.array([group.num_rows for group in groups], np.int64)
        a_batch = [
            int(np.clip(_BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1), 1, _ROWS_AT_ONCE))
            for group in groups
        ]
        file = self._files[container] = _File(parquet, leaf, np.cumsum(rows) - rows, a_batch)
        if len(self._files) > _FILES:
            oldest, closed = self._files.popitem(last=False)
            for key in [key for key in self._groups if key[0] == oldest]:
                del self._groups[key]
            closed.parquet.close(force=True)
        return file


def _content(cell: Any) -> bytes | None:
    """The bytes of a cell, which may be a list of numbers; None when it is empty."""
    if not isinstance(cell, pa.ListScalar):
        content: bytes | None = cell.as_py()
        return content
    if not cell.is_valid:
        return None
    try:
        numbers = cell.values.cast(pa.uint8())
    except pa.ArrowInvalid:
        raise UnreadableError("its list holds numbers that are no bytes (0 to 255)") from None
    if numbers.null_count:
        raise UnreadableError("its list of bytes has empty places (null)")
    return numbers.to_numpy(zero_copy_only=False).tobytes()  # type: ignore[no-any-return]


def _damaged(error: Exception) -> bool:
    """Whether Arrow found the content wrong; it tells so with OSError too, but without a number."""
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, pa.ArrowException | ValueError) or (isinstance(error, OSError) and error.errno is None)


def load(source: ParquetImages, raw: Path, mirror: str | None) -> Dataset:
    """Index, verify and split the rows.

    Raises ConfigError for a URL whose file system is not known here; DataError naming a file, a column, a class or an image
    that is not usable.
    """
    shards = find(source, ".parquet", mirror)
    tables, containers = _Tables(shards.place, source), shards.containers
    file = kept_at(source, shards, raw / "parquet", source.image_column, source.label_column)
    known = catalogues.read(file, source.decoder.identity)
    first, names = containers[0], tables.class_names(containers[0])

    def index(container: Container) -> Catalogue:
        own = tables.class_names(container)
        _require_alike({tables.shown(first): names, tables.shown(container): own})
        return tables.index(container, own)

    # Those that are known agree, so that one stands for all of them.
    for other in [each for each in known.containers if each in set(containers)][:1] if known is not None else ():
        _require_alike({tables.shown(first): names, tables.shown(other): tables.class_names(other)})
    return load_containers(
        source,
        shards,
        file,
        known,
        index,
        ParquetStore(shards.place, containers, source.image_column),
        "Parquet files",
        names,
        lambda *_: tables.pooled(first) if shards.splits is None else (),
    )


def splits_ahead(source: ParquetImages, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits that files on this machine are of; None when only a column of theirs tells it."""

    def rows_may_tell(place: Place, container: Container) -> bool:
        tables = _Tables(place, source)
        try:
            with tables.opened(container) as parquet:
                return tables.split_column(parquet) is not None
        except DataError:
            return True

    return splits_of(source, ".parquet", rows_may_tell)


def _require_alike(names: dict[str, list[str] | None]) -> None:
    """Raise DataError when one file names its classes and another does not: its numbers would be other classes."""
    named = [file for file, each in names.items() if each is not None]
    bare = [file for file, each in names.items() if each is None]
    if named and bare:
        raise DataError(
            f"{bare[0]} has no class names (Hugging Face's, in the schema) as {named[0].rpartition('/')[2]} has; "
            "write all files alike, or give those of one kind by path"
        )


class _Tables:
    def __init__(self, place: Place, source: ParquetImages) -> None:
        self._place = place
        self._image, self._label = source.image_column, source.label_column

    def shown(self, container: Container) -> str:
        return f"{self._place.shown}/{shown(container.path)}"

    @contextmanager
    def opened(self, container: Container) -> Iterator[Any]:
        """An open Parquet file; what is wrong with it becomes a DataError that names it."""
        told = self.shown(container)
        try:
            with (
                self._place.open(container.path) as file,
                pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as parquet,
            ):
                yield parquet
        except FileNotFoundError:
            raise DataError(f"{told} is gone; restore it") from None
        except (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError) as error:
            with suppress(OSError), self._place.open(container.path) as file:
                require_no_pointer(told, file.read(_HEAD))
            raise DataError(
                f"{told} is damaged or cannot be read ({one_line(error)}); fetch or make it again"
            ) from None

    def class_names(self, container: Container) -> list[str] | None:
        """The class names, if a file tells them. Raises DataError when it lacks a column, or one is of the wrong type."""
        told = self.shown(container)
        with self.opened(container) as parquet:
            schema = parquet.schema_arrow
        for column in (self._image, self._label):
            if schema.names.count(column) > 1:
                raise DataError(f"{told} has several columns {column!r}; give each a name of its own")
            if column not in schema.names:
                known = ", ".join(schema.names[:_LISTED]) + (" …" if len(schema.names) > _LISTED else "")
                raise DataError(
                    f"{told} has no column {column!r}; name it by image_column and label_column: it has {known}"
                )
        image, label = schema.field(self._image).type, _plain(schema.field(self._label).type)
        if pa.types.is_struct(image) and "bytes" in [field.name for field in image]:
            image = image.field("bytes").type
        if not (_is_binary(_plain(image)) or (_is_list(image) and pa.types.is_integer(image.value_type))):
            raise DataError(
                f"{told}: column {self._image!r} holds {image}, not encoded images as bytes; write the content of "
                "the image files into it, or name another column by image_column"
            )
        number = pa.types.is_primitive(label) and not pa.types.is_temporal(label)
        if not (number or _is_binary(label) or _is_text(label)):
            raise DataError(
                f"{told}: column {self._label!r} holds {label}, neither numbers nor names; "
                "name another column by label_column"
            )
        try:  # as Hugging Face notes them in a file's schema
            names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][self._label]["names"]
            return [str(name).encode().decode() for name in names]  # JSON may hold half of a surrogate pair
        except (KeyError, TypeError, ValueError, RecursionError):
            return None

    def index(self, container: Container, names: Sequence[str] | None) -> Catalogue:
        """The rows of one file with their labels; the images are not read yet. Raises DataError when it is damaged."""
        told = self.shown(container)
        values: dict[str, int] = {}
        labels, splits = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        with self.opened(container) as parquet:
            is_struct = pa.types.is_struct(parquet.schema_arrow.field(self._image).type)
            if is_struct and not _has_bytes(parquet, f"{self._image}.bytes"):
                raise DataError(
                    f"{told}: column {self._image!r} has no bytes, only paths, which "
                    "are not followed; write the content of the image files into it"
                )
            of_split = self.split_column(parquet)
            columns = [self._label, *([of_split] if of_split is not None else [])]
            for batch in parquet.iter_batches(_LABELS_AT_ONCE, columns=columns, use_threads=False):
                column = _label_column(batch.column(self._label), f"{told}: column {self._label!r}")
                labels.append(_coded(column, lambda value: _code(value, names, values)))
                if of_split is not None:
                    splits.append(_coded(batch.column(of_split), _told))
        found = np.concatenate(labels)
        rows = np.arange(len(found))
        catalogue = Catalogue.listed(
            pc.binary_join_element_wise(
                pa.scalar(container.path + b":", pa.large_binary()),
                pa.array(rows).cast(pa.large_string()).cast(pa.large_binary()),
                pa.scalar(b"", pa.large_binary()),
            ),
            list(values),
            label=np.maximum(found, _NO_LABEL),
            offset=rows,
            size=UNKNOWN_SIZE,
            told=np.concatenate(splits) if of_split is not None else 0,
        )
        for row in np.flatnonzero(found < 0).tolist():
            fault = "not in UTF-8" if found[row] == _NO_TEXT else "empty or none of the classes"
            catalogue.refuse(row, f"its label in {self._label!r} is {fault}")
        return catalogue

    def split_column(self, parquet: Any) -> str | None:
        """The column of text that tells each row's split, if there is one: by its name, or because nothing else is in it."""
        texts = [field.name for field in parquet.schema_arrow if _is_text(field.type) and field.name != self._label]
        named = [name for known in _SPLIT_COLUMNS for name in texts if name.lower() == known]
        return next(iter(named), None) or next((name for name in texts if _holds_splits(parquet, name)), None)

    def pooled(self, container: Container) -> list[str]:
        """Warnings of a column that may tell splits and is not taken; of one called so, with other words, a DataError."""
        with self.opened(container) as parquet:
            schema, column = parquet.schema_arrow, self.split_column(parquet)
            if column is not None:
                found: dict[int, list[str]] = {}
                for value in sorted(set(filter(_told, _distinct(parquet, column)))):
                    found.setdefault(_told(value), []).append(value)
                if found:
                    return [
                        f"{', '.join(map(repr, names))} in column {column!r} are all taken as {SPLITS[split - 1]}"
                        for split, names in found.items()
                        if len({tuple(words(name)) for name in names}) > 1
                    ]
        others = [field for field in schema if field.name != self._label and not pa.types.is_null(field.type)]
        sure = [field.name for field in others if field.name.lower() in _SURE_COLUMNS or _is_of_one_split(field)]
        if sure:
            raise DataError(
                f"{self.shown(container)}: column {sure[0]!r} ({schema.field(sure[0]).type}) may tell each row's split, and "
                "holds no words of splits; for splits write train, validation or test into it; to take all rows together "
                'set splits: {train: "**"}'
            )
        return [
            f"column {field.name!r} ({field.type}) holds no words of splits (train, validation, test): it is not used"
            for field in others
            if field.name.lower() in _SPLIT_COLUMNS
        ]


def _is_of_one_split(field: Any) -> bool:
    """Whether a column tells of each row whether it is of one split, such as `is_train`."""
    said, kind = read_name(field.name), _plain(field.type)
    return bool(said.splits) and (pa.types.is_boolean(kind) or (said.rest == ("is",) and pa.types.is_primitive(kind)))


def _holds_splits(parquet: Any, column: str) -> bool:
    """Whether all values of a column are words of splits, of train and of another."""
    found: set[Any] = set()
    for value in _distinct(parquet, column, _ROWS_AT_ONCE):
        if value is not None:
            found.add(value)
            if len(found) > _SPLIT_VALUES or not _told(value):
                return False
    return read_names(sorted(found)).whole and not all(read_name(value).weak for value in found)


def _distinct(parquet: Any, column: str, rows: int = _LABELS_AT_ONCE) -> Iterator[Any]:
    """The values of a column, those of so many rows each once."""
    for batch in parquet.iter_batches(rows, columns=[column], use_threads=False):
        yield from _values(pc.unique(_flat(batch.column(0))))


def _label_column(labels: Any, told: str) -> Any:
    """The labels as whole numbers or as bytes. Raises DataError when a number is not whole."""
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    if pa.types.is_floating(labels.type):  # as tables write whole numbers of which some are missing
        numbers = labels.cast(pa.float64())
        try:
            return pc.if_else(pc.is_nan(numbers), None, numbers).cast(pa.int64())
        except pa.ArrowInvalid:
            raise DataError(f"{told} holds numbers that are not whole; a class has a whole number or a name") from None
    if pa.types.is_boolean(labels.type):
        labels = labels.cast(pa.string())
    return labels if pa.types.is_integer(labels.type) else labels.cast(pa.large_binary())


def _coded(column: Any, code: Callable[[Any], int]) -> npt.NDArray[np.int32]:
    """The code of each value of a column, of which each distinct one is asked once."""
    column = _flat(column)
    distinct = pc.unique(column)
    codes = np.array([code(value) for value in _values(distinct)], np.int32)
    coded: npt.NDArray[np.int32] = codes[pc.index_in(column, value_set=distinct).to_numpy(zero_copy_only=False)]
    return coded


def _flat(column: Any) -> Any:
    """A column without its dictionary, of text as bytes: not all of it need be UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_binary()) if _is_text(column.type) else column


def _told(value: Any) -> int:
    """What a cell tells of its row's split: 1 + its position in `SPLITS`, or 0."""
    found = read_name(value).splits if isinstance(value, str) else ()
    return 1 + SPLITS.index(found[0]) if len(found) == 1 else 0


def _values(labels: Any) -> Iterator[Any]:
    """The labels as Python's; bytes where one is not in UTF-8, which Arrow and Parquet let pass."""
    for value in labels.to_pylist():
        try:
            yield value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            yield value


def _code(value: Any, names: Sequence[str] | None, values: dict[str, int]) -> int:
    """The position of a label in `values`, where it is put if it is new; `_NO_LABEL` or `_NO_TEXT` for none."""
    if isinstance(value, bytes):
        return _NO_TEXT
    if value is None or value == "":
        return _NO_LABEL
    if names is not None and isinstance(value, int):
        if not 0 <= value < len(names):
            return _NO_LABEL  # Hugging Face marks images without a label by -1
        value = names[value]
    return values.setdefault(str(value), len(values))


def _has_bytes(parquet: Any, leaf: str) -> bool:
    """Whether any row of a file has content in this column, or there is no row."""
    first = next(parquet.iter_batches(1, columns=[leaf], use_threads=False), None)
    if first is None or not _bytes_of(first.column(0)).null_count:  # most often the first row has
        return True
    batches = parquet.iter_batches(_ROWS_AT_ONCE, columns=[leaf], use_threads=False)
    return any(_bytes_of(batch.column(0)).null_count < len(batch) for batch in batches)


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_binary(kind: Any) -> bool:
    types = pa.types
    kinds = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return any(is_so(kind) for is_so in kinds)


def _is_text(kind: Any) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_so(_plain(kind)) for is_so in kinds)


def _is_list(kind: Any) -> bool:
    return any(is_so(kind) for is_so in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _bytes_of(column: Any) -> Any:
    return column.field("bytes") if pa.types.is_struct(column.type) else column
