"""This machine's copies of a store's files: brought when lacking or replaced, dropped when gone; a plain folder has none.

`.copies` remembers which version of an object each file is, so that what is here is not downloaded twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lib.files import digest_file, storage_errors, temporary_beside
from lib.storage.address import store_of
from lib.storage.store import Item, Store

_AT_ONCE = 8
"""Downloads side by side."""

_SLACK_SECONDS = 0.1
"""A file that is younger than a listing may be in the store and not in the listing; file systems' clocks tick slowly."""


def everything(name: str) -> bool:
    return True


def fetch(
    folder: Path, wanted: Callable[[str], bool] = everything, *, deep: bool = False, afresh: bool = False
) -> Collection[Path]:
    """Make this machine's files in `folder` those of its store; returns which were downloaded.

    `wanted`: takes a file's name, with `deep` its path within the folder, and says whether it is to be brought.
    `deep`: look into folders below too.
    `afresh`: download also what seems to be here.

    Raises StorageError when the store does not answer, or the disk is full.
    """
    store = store_of(folder)
    if store is None:
        return ()
    folder = folder.absolute()
    begun = time.time()
    held = {
        path: item
        for path, item in store.listing(folder, deep).items()
        if store.shares(path) and wanted(path.relative_to(folder).as_posix())
    }
    for path in folder.rglob("*") if deep else folder.glob("*"):
        if path not in held and store.shares(path) and wanted(path.relative_to(folder).as_posix()):
            _drop(path, begun)
    lacking = [(path, item) for path, item in held.items() if afresh or not _is_here(store, path, item)]
    with ThreadPoolExecutor(_AT_ONCE, "fetch") as pool:
        came = list(pool.map(lambda each: _download(store, *each), lacking))
    return [path for (path, _), whole in zip(lacking, came, strict=True) if whole]


def fetch_file(path: Path) -> None:
    fetch_files([path])


def fetch_files(paths: Sequence[Path]) -> None:
    """`fetch` for these files by name: their folders are not listed. Raises StorageError as `fetch`."""
    asked = [(store, path.absolute()) for path in paths if (store := store_of(path)) is not None]
    with ThreadPoolExecutor(_AT_ONCE, "fetch") as pool:
        list(pool.map(lambda each: _fetch_one(*each), asked))


def _fetch_one(store: Store, path: Path) -> None:
    if not store.shares(path):
        return
    begun = time.time()
    item = store.item(path)
    if item is None:
        _drop(path, begun)
    elif not _is_here(store, path, item):
        _download(store, path, item)


def sizes(folder: Path) -> dict[str, int]:
    """Names and sizes of the files in `folder`: of the store's, whether or not they are here, or of a plain folder's."""
    store = store_of(folder)
    if store is not None:
        return {path.name: item.size for path, item in store.listing(folder.absolute()).items()}
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}


def absent(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that nobody has finished yet."""
    held: dict[Path, Collection[str]] = {}

    def there(path: Path) -> bool:
        if store_of(path) is None:
            return path.exists()
        if path.parent not in held:
            held[path.parent] = sizes(path.parent)
        return path.name in held[path.parent]

    return [path for path in paths if not there(path)]


def shown(path: Path) -> str:
    """A path for people: the URL of a copy, else itself."""
    store = store_of(path)
    return str(path) if store is None else store.shown(path)


def _download(store: Store, path: Path, item: Item) -> bool:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            store.get(path, temporary)
            words = _words(temporary.stat(), item)  # of this very file, whatever another process puts in its place
            temporary.replace(path)
        except FileNotFoundError:  # removed since it was listed
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _note(store, path, words)
    return True


def _drop(path: Path, before: float) -> None:
    with suppress(FileNotFoundError):
        if path.is_file() and path.stat().st_ctime < before - _SLACK_SECONDS:
            path.unlink()


def _is_here(store: Store, path: Path, item: Item) -> bool:
    try:
        status = path.stat()
        words = _words(status, item)
        if status.st_size != item.size:
            return False
        note = _note_path(store, path)
        if note.exists() and note.read_text(encoding="utf-8") == words:
            return True
        # Made here, most likely: S3 names an object put as a whole by its MD5.
        if item.stamp != digest_file(path, "md5"):
            return False
    except FileNotFoundError:
        return False
    _note(store, path, words)
    return True


def _words(status: os.stat_result, item: Item) -> str:
    return f"{item.stamp} {status.st_size} {status.st_mtime_ns}"


def _note(store: Store, path: Path, words: str) -> None:
    note = _note_path(store, path)
    note.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(note)
    temporary.write_text(words, encoding="utf-8")
    temporary.replace(note)


def _note_path(store: Store, path: Path) -> Path:
    return store.cache / ".copies" / path.absolute().relative_to(store.cache)
