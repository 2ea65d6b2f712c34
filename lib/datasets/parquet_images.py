"""Parquet files with a column of encoded images and one of labels, read in place, a few megabytes at a time.

Rows of one row group can only be read from its beginning, so each group that is being read keeps its reader: images are
cheap in order, and dear at random where row groups are large.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
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
from lib.datasets.collection import Collection, classes_of, dataset_of
from lib.datasets.containers import INDEXED, catalogue_of, container_splits, find, name_of, parted, set_splits
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import UnreadableError
from lib.datasets.formats import require_no_pointer
from lib.datasets.origins import digest_of
from lib.datasets.places import Place, unreadable, without_secrets
from lib.datasets.sources import ParquetImages
from lib.datasets.split_names import SPLITS, read_name, read_names, words
from lib.errors import DataError, ProbeflowError
from lib.progress import bar

_LABELS_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 1 << 10
_BATCH_BYTES = 4 << 20
_BATCHES, _READERS, _FILES = 8, 4, 8
"""Batches of images, readers within row groups, and open files that are kept."""

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
    """An open file: each row group's first row, its rows, and how many of them take about `_BATCH_BYTES`."""

    parquet: Any
    leaf: str
    first_rows: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    batch_rows: Sequence[int]


@dataclass
class _Reader:
    """The rest of a row group, from a row on."""

    batches: Iterator[Any]
    row: int


@dataclass(frozen=True)
class _Batch:
    """Images of rows that follow each other; with an error in their place, all that follow in the group."""

    first: int
    images: Any
    error: Exception | None = None

    def holds(self, row: int) -> bool:
        return self.first <= row and (self.error is not None or row < self.first + len(self.images))


_Group = tuple[int, int]
"""A container's number and its row group's."""


class ParquetStore:
    """Images in a column of Parquet files, for which offsets are row numbers."""

    def __init__(self, place: Place, containers: Sequence[Container], column: str) -> None:
        self._place = place
        self._containers = containers
        self._column = column
        self._lock = threading.Lock()
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._readers: OrderedDict[tuple[_Group, int], _Reader] = OrderedDict()
        self._batches: OrderedDict[tuple[_Group, int], _Batch] = OrderedDict()

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        """The content of each row's cell."""
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
                yield (
                    UnreadableError(f"its row group is damaged ({_line(error)})")
                    if _damaged(error)
                    else unreadable(error)
                )
            else:
                yield content if content is not None else UnreadableError("the cell is empty (null)")

    def _read(self, container: int, row: int) -> bytes | None:
        file = self._file(container)
        number = int(np.searchsorted(file.first_rows, row, side="right")) - 1
        group = (container, number)
        batch = next((each for (of, _), each in self._batches.items() if of == group and each.holds(row)), None)
        if batch is None:
            batch = self._forward(file, group, row)
        if batch.error is not None:
            raise batch.error
        return _content(batch.images[row - batch.first])

    def _forward(self, file: _File, group: _Group, row: int) -> _Batch:
        """Read on to the row, from the nearest reader before it."""
        before = [key for key, reader in self._readers.items() if key[0] == group and reader.row <= row]
        if before:
            key = max(before, key=lambda each: self._readers[each].row)
            reader = self._readers.pop(key)
        else:
            batches = file.parquet.iter_batches(
                file.batch_rows[group[1]], row_groups=[group[1]], columns=[file.leaf], use_threads=False
            )
            reader = _Reader(batches, int(file.first_rows[group[1]]))
        while True:
            first = reader.row
            try:
                images = _bytes_of(next(reader.batches).column(0))
            except (OSError, pa.ArrowException, StopIteration) as error:
                # Nothing that follows in the group can be read, which need not be tried for each row.
                damage = pa.ArrowInvalid("it ends early") if isinstance(error, StopIteration) else error
                return self._keep(group, _Batch(first, pa.array([], pa.binary()), damage))
            reader.row += len(images)
            batch = self._keep(group, _Batch(first, images))
            if batch.holds(row):
                if reader.row < file.first_rows[group[1]] + file.rows[group[1]]:
                    self._readers[group, reader.row] = reader
                    _limit(self._readers, _READERS)
                return batch

    def _keep(self, group: _Group, batch: _Batch) -> _Batch:
        self._batches[group, batch.first] = batch
        _limit(self._batches, _BATCHES)
        return batch

    def _file(self, container: int) -> _File:
        file = self._files.get(container)
        if file is not None:
            self._files.move_to_end(container)
            return file
        parquet = pq.ParquetFile(
            self._place.open(_name(self._containers[container])), buffer_size=_BUFFER, pre_buffer=False
        )
        paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        # A column of lists has its leaf further down.
        leaf = next(
            leaf
            for leaf in (f"{self._column}.bytes", self._column)
            if any(f"{path}.".startswith(f"{leaf}.") for path in paths)
        )
        # Of a damaged file what is told of single columns ends the process, where it should raise.
        groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
        rows = np.array([group.num_rows for group in groups], np.int64)
        a_batch = [
            int(np.clip(_BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1), 1, _ROWS_AT_ONCE))
            for group in groups
        ]
        file = self._files[container] = _File(parquet, leaf, np.cumsum(rows) - rows, rows, a_batch)
        if len(self._files) > _FILES:
            oldest, closed = self._files.popitem(last=False)
            for key in [key for key in self._readers if key[0][0] == oldest]:
                del self._readers[key]
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


def _limit(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)


def load(source: ParquetImages, raw: Path, mirror: str | None) -> Dataset:
    """Index, verify and split the rows.

    Raises
    ------
    ConfigError
        For a URL whose file system is not known here.
    DataError
        When a file, a column, a class or an image is not usable; it names it.
    """
    place, containers = find(source.path, ".parquet", mirror)
    parts = parted(containers, place, None if source.splits is None else source.splits.compiled())
    containers = parts.containers
    decoder = source.decoder
    columns = (source.image_column, source.label_column)
    file = raw / "parquet" / f"catalogue-{digest_of(INDEXED, place.shown, source.path, *columns)}.parquet"
    known = catalogues.read(file, decoder.identity)
    names = _class_names_of(place, containers[0], source)
    # Those that are known agree, so that one stands for all of them.
    of_known = [each for each in known.containers if each in set(containers)] if known is not None else []
    for other in of_known[:1]:
        _require_alike(place, (containers[0], names), (other, _class_names_of(place, other, source)))

    def index_alike(container: Container) -> Catalogue:
        _require_alike(place, (containers[0], names), (container, _class_names_of(place, container, source)))
        return index(place, container, source)

    with bar(f"index {name_of(source.path, place)}", len(containers), "file") as advance:
        catalogue, is_new = catalogue_of(
            containers,
            index_alike,
            known,
            advance,
        )
    reading = set_splits(catalogue, parts, place)
    notes = _pooled(place, containers[0], source) if parts.splits is None else []
    class_names, classes = classes_of(catalogue, source.classes, names, place.shown)
    return dataset_of(
        Collection(
            name=name_of(source.path, place),
            shown=place.shown,
            origin=f"Parquet files {without_secrets(source.path)}",
            class_names=class_names,
            classes=classes,
            catalogue=catalogue,
            store=ParquetStore(place, containers, source.image_column),
            decoder=decoder,
            file=file,
            is_new=is_new,
            reading=reading,
            notes=notes,
        ),
        source,
    )


def splits_ahead(source: ParquetImages, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits that files on this machine are of; None when only a column of theirs tells it."""

    def rows_may_tell(place: Place, container: Container) -> bool:
        try:
            with _opened(place, container) as parquet:
                return _split_column(parquet, source) is not None
        except DataError:
            return True

    return container_splits(source, source.path, ".parquet", rows_may_tell)


def _split_column(parquet: Any, source: ParquetImages) -> str | None:
    """The column of text that tells each row's split, if there is one: by its name, or because nothing else is in it."""
    texts = [field.name for field in parquet.schema_arrow if _is_text(field.type) and field.name != source.label_column]
    named = [name for known in _SPLIT_COLUMNS for name in texts if name.lower() == known]
    return next(iter(named), None) or next((name for name in texts if _holds_splits(parquet, name)), None)


def _is_of_one_split(field: Any) -> bool:
    """Whether a column tells of each row whether it is of one split, such as `is_train`."""
    said, kind = read_name(field.name), _plain(field.type)
    return bool(said.splits) and (pa.types.is_boolean(kind) or (said.rest == ("is",) and pa.types.is_primitive(kind)))


def _holds_splits(parquet: Any, column: str) -> bool:
    """Whether all values of a column are words of splits, of train and of another."""
    found: set[Any] = set()
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=[column], use_threads=False):
        found |= set(_values(_distinct(batch.column(0)))) - {None}
        if len(found) > _SPLIT_VALUES or not all(map(_told, found)):
            return False
    return read_names(sorted(found)).whole and not all(read_name(value).weak for value in found)


def _pooled(place: Place, container: Container, source: ParquetImages) -> list[str]:
    """Warnings of what a column may tell of splits and is not taken as told.

    Raises DataError when a column is called as one of splits and holds no words of them.
    """
    told = f"{place.shown}/{shown(_name(container))}"
    with _opened(place, container) as parquet:
        schema, column = parquet.schema_arrow, _split_column(parquet, source)
        if column is not None:
            batches = parquet.iter_batches(_LABELS_AT_ONCE, columns=[column], use_threads=False)
            values = {value for batch in batches for value in _values(_distinct(batch.column(0)))}
            found: dict[int, list[str]] = {}
            for value in sorted(filter(_told, values)):
                found.setdefault(_told(value), []).append(value)
            if found:
                return [
                    f"{', '.join(map(repr, names))} in column {column!r} are all taken as {SPLITS[split - 1]}"
                    for split, names in found.items()
                    if len({tuple(words(name)) for name in names}) > 1
                ]
    others = [field for field in schema if field.name != source.label_column and not pa.types.is_null(field.type)]
    weak = [field.name for field in others if field.name.lower() in _SPLIT_COLUMNS]
    sure = [field.name for field in others if field.name.lower() in _SURE_COLUMNS or _is_of_one_split(field)]
    if sure:
        raise DataError(
            f"{told}: column {sure[0]!r} ({schema.field(sure[0]).type}) may tell each row's split, and holds no words of "
            'splits; for splits write train, validation or test into it; to take all rows together set splits: {train: "**"}'
        )
    return [
        f"column {name!r} ({schema.field(name).type}) holds no words of splits (train, validation, test): it is not used"
        for name in weak
    ]


def _require_alike(place: Place, *files: tuple[Container, Sequence[str] | None]) -> None:
    """Raise DataError when one file names its classes and another does not: its numbers would be other classes."""
    named = [shown(_name(container)) for container, names in files if names is not None]
    bare = [shown(_name(container)) for container, names in files if names is None]
    if named and bare:
        raise DataError(
            f"{place.shown}/{bare[0]} has no class names (Hugging Face's, in the schema) as {named[0]} has; "
            "write all files alike, or give those of one kind by path"
        )


def index(place: Place, container: Container, source: ParquetImages) -> Catalogue:
    """The rows of one file with their labels; the images are not read yet.

    Raises DataError when the file is damaged or lacks a column.
    """
    names = _class_names_of(place, container, source)
    of_labels = f"{place.shown}/{shown(_name(container))}: column {source.label_column!r}"
    values: dict[str, int] = {}
    labels, splits = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    with _opened(place, container) as parquet:
        if pa.types.is_struct(parquet.schema_arrow.field(source.image_column).type) and not _has_bytes(
            parquet, f"{source.image_column}.bytes"
        ):
            raise DataError(
                f"{place.shown}/{shown(_name(container))}: column {source.image_column!r} has no bytes, only paths, which "
                "are not followed; write the content of the image files into it"
            )
        of_split = _split_column(parquet, source)
        columns = [source.label_column, *([of_split] if of_split is not None else [])]
        for batch in parquet.iter_batches(_LABELS_AT_ONCE, columns=columns, use_threads=False):
            column = _label_column(batch.column(source.label_column), of_labels)
            labels.append(_coded(column, lambda value: _code(value, names, values)))
            if len(columns) > 1:
                splits.append(_coded(batch.column(of_split), _told))
    found = np.concatenate(labels)
    told = np.concatenate(splits) if len(columns) > 1 else 0
    rows = np.arange(len(found))
    prefix = pa.scalar(f"{container.name}:".encode("utf-8", "surrogateescape"), pa.large_binary())
    numbers = pa.array(rows).cast(pa.large_string()).cast(pa.large_binary())
    row_names = pc.binary_join_element_wise(prefix, numbers, pa.scalar(b"", pa.large_binary()))
    labels_found = np.maximum(found, _NO_LABEL)
    catalogue = Catalogue.listed(row_names, list(values), label=labels_found, offset=rows, size=UNKNOWN_SIZE, told=told)
    for row in np.flatnonzero(found < 0).tolist():
        fault = "not in UTF-8" if found[row] == _NO_TEXT else "empty or none of the classes"
        catalogue.refuse(row, f"its label in {source.label_column!r} is {fault}")
    return catalogue


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


def _distinct(column: Any) -> Any:
    return pc.unique(_flat(column))


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


def _class_names_of(place: Place, container: Container, source: ParquetImages) -> list[str] | None:
    """The class names, if the file tells them. Raises DataError when it lacks a column, or one is of the wrong type."""
    told = f"{place.shown}/{shown(_name(container))}"
    with _opened(place, container) as parquet:
        schema = parquet.schema_arrow
    for column in (source.image_column, source.label_column):
        if schema.names.count(column) > 1:
            raise DataError(f"{told} has several columns {column!r}; give each a name of its own")
        if column not in schema.names:
            known = ", ".join(schema.names[:_LISTED]) + (" …" if len(schema.names) > _LISTED else "")
            raise DataError(
                f"{told} has no column {column!r}; name it by image_column and label_column: it has {known}"
            )
    image, label = (schema.field(column).type for column in (source.image_column, source.label_column))
    if pa.types.is_struct(image) and "bytes" in [field.name for field in image]:
        image = image.field("bytes").type
    if not (_is_binary(_plain(image)) or (_is_list(image) and pa.types.is_integer(image.value_type))):
        raise DataError(
            f"{told}: column {source.image_column!r} holds {image}, not encoded images as bytes; write the content of "
            "the image files into it, or name another column by image_column"
        )
    label = _plain(label)
    if not (pa.types.is_primitive(label) and not pa.types.is_temporal(label)) and not (
        _is_binary(label) or _is_text(label)
    ):
        raise DataError(
            f"{told}: column {source.label_column!r} holds {label}, neither numbers nor names; "
            "name another column by label_column"
        )
    return _class_names(schema.metadata or {}, source.label_column)


def _has_bytes(parquet: Any, leaf: str) -> bool:
    """Whether any row of a file has content in this column, or there is no row."""
    seen = False
    for rows in (1, _ROWS_AT_ONCE):  # most often the first row has
        for batch in parquet.iter_batches(rows, columns=[leaf], use_threads=False):
            if _bytes_of(batch.column(0)).null_count < len(batch):
                return True
            seen = True
            if rows == 1:
                break
    return not seen


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_binary(kind: Any) -> bool:
    types = pa.types
    return any(
        is_so(kind)
        for is_so in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    )


def _is_text(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(is_so(kind) for is_so in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_list(kind: Any) -> bool:
    return any(is_so(kind) for is_so in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _class_names(metadata: dict[bytes, bytes], column: str) -> list[str] | None:
    """The names of the classes as Hugging Face notes them in a file's schema."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
        return [str(name).encode().decode() for name in names]  # JSON may hold half of a surrogate pair
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


@contextmanager
def _opened(place: Place, container: Container) -> Iterator[Any]:
    """An open Parquet file; what is wrong with it becomes a DataError that names it."""
    told = f"{place.shown}/{shown(_name(container))}"
    try:
        with (
            place.open(_name(container)) as file,
            pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as parquet,
        ):
            yield parquet
    except FileNotFoundError:
        raise DataError(f"{told} is gone; restore it") from None
    except (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError) as error:
        with suppress(OSError), place.open(_name(container)) as file:
            require_no_pointer(told, file.read(_HEAD))
        raise DataError(f"{told} is damaged or cannot be read ({_line(error)}); fetch or make it again") from None


def _name(container: Container) -> bytes:
    return container.name.encode("utf-8", "surrogateescape")


def _bytes_of(column: Any) -> Any:
    return column.field("bytes") if pa.types.is_struct(column.type) else column


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
