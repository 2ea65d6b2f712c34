"""The errors a caller may act on. Each message is one line: the thing, its value, and the fix.

The command line prints the message and exits with status 2; a traceback is for bugs only, and goes to a file.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from pathlib import Path

_SCRIPT = "probeflow"
PLACES = "PROBEFLOW_DATA / PROBEFLOW_MLRUNS"
"""The settings that say where most files are."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FAILING = "the disk or its network share fails; check it, then run the same command again"
_FIXES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "check its permissions, or point {setting} elsewhere"),
    **dict.fromkeys((errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESTALE), _FAILING),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open; raise the limit (ulimit -n)"),
    errno.EISDIR: "a folder of that name is in its place; move it away, or give a file",
    errno.ENOTDIR: "a part of that path is a file, not a folder; move it away, or give another path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its symbolic links lead in a circle; remove one",
}
_FIXES_OF_WRITING = _FIXES | {errno.EEXIST: _FIXES[errno.ENOTDIR]}


_CONTROLS = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]")


class ProbeflowError(Exception):
    """Bad input or a missing means, told in one line, whatever names or texts of others are in it.

    >>> str(ProbeflowError("class 'a\\nb' is empty"))
    "class 'a\\\\nb' is empty"
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(_CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), str(message)))


class ConfigError(ProbeflowError):
    """A setting, profile or name that cannot be used."""


class DataError(ProbeflowError):
    """A dataset that is missing, damaged, or not what it claims to be."""


class AbsentError(DataError):
    """Data that would have to be fetched first."""


class ChangedError(DataError):
    """An image that is no longer what it was when it was verified; acquiring again verifies it anew."""


class LeakageError(DataError):
    """Test images that are also training images."""


class WeightsError(ProbeflowError):
    """Network weights that are missing or do not fit."""


class FeatureSetError(ProbeflowError):
    """A feature set that is unsealed, damaged, or not the one asked for."""


class StorageError(ProbeflowError):
    """A disk that is full, or a place that cannot be written."""


class LostStoreError(StorageError):
    """A store that answered before and fails now: it may be back soon."""


class WorkerError(ProbeflowError):
    """Work handed to another process or machine that did not come back."""


class LostProcessError(WorkerError):
    """A process of this one's that was killed or crashed: another may do the same work."""


def system_words(error: OSError, path: object, *, writing: bool = False, setting: str = PLACES) -> str | None:
    """What the system refused at `path`, with the fix, in one line; None where it is no fault of disk, path or rights.

    `setting`: what says where `path` is.

    >>> system_words(OSError(errno.ENOSPC, ""), "/data")
    'disk full while writing /data: free some space and run the same command again'
    """
    if error.errno in _FULL:
        return f"disk full while writing {path}: free some space and run the same command again"
    fix = (_FIXES_OF_WRITING if writing else _FIXES).get(error.errno or 0)
    if fix is None:
        return None
    verb = "write" if writing else "use"
    return f"cannot {verb} {path} ({os.strerror(error.errno or 0)}): {fix.format(setting=setting)}"


def one_line(error: object) -> str:
    """What an error of others says, in one line; what it is called where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def program() -> str:
    """What a user types here to start this program: its script, by its path if it is not on PATH, or Python."""
    if shutil.which(_SCRIPT):
        return _SCRIPT
    script = Path(sys.executable).with_name(_SCRIPT)
    found = script if script.exists() else Path(sys.executable)
    short = os.path.relpath(found)
    return f"{found if short.startswith('..') else short}{'' if found is script else ' -m flows'}"


def command(arguments: str) -> str:
    """A command of this program as an error shows it, such as "`probeflow resume pets/1a2b`"."""
    return f"`{program()} {arguments}`"
