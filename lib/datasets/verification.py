"""Decoding every image of a catalogue once, on all cores, in windows: what is found is noted, never raised."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from lib.datasets.catalogue import NOT_REGULAR, UNVERIFIED, Catalogue, Verified
from lib.datasets.decoding import NO_FILE, Decoder, UnreadableError
from lib.datasets.encoded import ByteStore
from lib.datasets.images import parts_of_bytes
from lib.datasets.recognition import HEAD, format_of
from lib.datasets.small_copies import Keeper
from lib.machine import cores, in_turn
from lib.progress import bar

_BATCH = 32
_BATCH_BYTES = 1 << 24
"""Images that a thread takes at once, and their bytes: so few large ones that none is left alone with the last."""
_SAVE_EVERY_SECONDS = 60.0

Note = Verified | tuple[str, int, int]
"""What a usable image is; of others the reason, the bytes, and the format that they begin as."""


def verify(
    catalogue: Catalogue,
    wanted: npt.NDArray[np.bool_],
    store: ByteStore,
    decoder: Decoder,
    label: str,
    save: Callable[[], None],
    keeper: Keeper,
) -> bool:
    """Decode the wanted rows that are not verified and note what they are; whether there were any.

    Pillow decodes outside of Python's lock, so threads use all cores. At most a few batches of images are in memory.

    `save`: called at times and in any case at the end, also when interrupted: what was verified stays verified.
    `keeper`: keeps small copies of what is decoded.
    """
    _refuse_by_size(catalogue, decoder)
    rows = np.flatnonzero(wanted & (catalogue.columns["state"] == UNVERIFIED))
    if not len(rows):
        return False
    saved = time.monotonic()

    def check(batch: list[int]) -> tuple[list[int], list[Note]]:
        return batch, [_note(decoder, data, keeper) for data in store.fetch(catalogue, batch)]

    sizes = np.maximum(catalogue.columns["size"][rows], 0)  # negative ones are unknown
    batches = (batch.tolist() for batch in parts_of_bytes(rows, sizes, _BATCH, _BATCH_BYTES))
    pool = ThreadPoolExecutor(cores(), "verify")
    try:
        with bar(f"verify {label}", len(rows), "image") as advance:
            for batch, notes in in_turn(pool, check, batches, 2 * cores()):
                for row, note in zip(batch, notes, strict=True):
                    if isinstance(note, Verified):
                        catalogue.accept(row, note)
                    else:
                        catalogue.refuse(row, *note)
                advance(len(batch))
                if time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                    save()
                    saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        save()
    return True


def _refuse_by_size(catalogue: Catalogue, decoder: Decoder) -> None:
    """Refuse what need not be read: an image that was read whole before its header is seen must fit into memory."""
    sizes = catalogue.columns["size"]
    new = catalogue.columns["state"] == UNVERIFIED
    for row in np.flatnonzero(new & ((sizes == NOT_REGULAR) | (sizes > decoder.largest_bytes))):
        catalogue.refuse(
            int(row),
            f"{sizes[row]:,} bytes, more than an image of largest_pixels {decoder.largest_pixels:,} can have"
            if sizes[row] > 0
            else NO_FILE,
        )


def _note(decoder: Decoder, data: bytes | UnreadableError, keeper: Keeper) -> Note:
    if isinstance(data, UnreadableError):
        return str(data), 0, 0
    form = format_of(data[:HEAD])
    try:
        decoded = decoder.inspect(data)
    except UnreadableError as problem:
        return str(problem), len(data), form
    height, width, _ = decoded.pixels.shape
    digest = decoder.digest(data, decoded.pixels)
    keeper.add(digest, decoded.pixels)
    return Verified(digest, len(data), form, height, width, decoded.several_frames)
