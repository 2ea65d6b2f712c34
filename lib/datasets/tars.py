"""Tar files, gone through member by member: whatever ends one early is told, where tarfile takes it for the end."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Literal, Self

_END = 1 << 20
"""Bytes after the last member that may be padding."""

_LARGEST_HEADER = 1 << 20
_EXTENDED = {
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
}
"""Kinds of headers that are read whole into memory."""


Open = Callable[[], IO[bytes] | None]


class _Header(tarfile.TarInfo):
    """A header of which damage is an error, and not the end of the tar."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):
            return super().frombuf(buf, encoding, errors)  # the end
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error) if buf else "no end, as if it were cut off") from None
        if found.size < 0 or (found.type in _EXTENDED and found.size > _LARGEST_HEADER):
            raise tarfile.ReadError(f"a header that claims {found.size:,} bytes")
        return found


def members(file: IO[bytes], mode: Literal["r:", "r|"]) -> Iterator[tuple[tarfile.TarInfo, Open | None]]:
    """Everything in an open tar without compression, in order, and none of it kept; of a plain file what opens it too.

    `mode`: "r:" for a file with positions, of which only headers are read; "r|" for a stream, read once.

    Raises tarfile.TarError when it is damaged, cut off, or two tars joined; other errors as a damaged header has
    tarfile raise them.
    """
    with tarfile.open(fileobj=file, mode=mode, tarinfo=_Header) as tar:
        before = -1
        while (member := tar.next()) is not None:
            if tar.offset <= before:
                raise tarfile.ReadError(f"a member that leads back to {tar.offset:,}")
            before = tar.offset
            tar.members.clear()  # type: ignore[attr-defined]
            plain = member.isreg() and not member.issparse()
            yield member, partial(tar.extractfile, member) if plain else None
        rest = tar.fileobj.read(_END)
        if rest.strip(b"\0") or len(rest) == _END:
            raise tarfile.ReadError(f"more after its end at {tar.offset:,} bytes: two tars joined, or damage")
