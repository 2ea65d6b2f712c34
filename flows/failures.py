"""What a command that failed says: one line with the fix; of a defect, in which file its traceback is kept."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lib.addresses import without_credentials
from lib.errors import ConfigError, ProbeflowError, system_words
from lib.text import visible

BAD_INPUT, DEFECT = 2, 70
"""Exit statuses: of bad input or a missing means, and of a defect (EX_SOFTWARE of sysexits.h)."""

_LONGEST, _SHOWN = 300, 60
"""Letters of a word that is shown whole, at most, and of the beginning of a longer one."""

_OWN = ("flows", "tasks", "lib")


def require_surroundings() -> None:
    """Raise ConfigError where no current or temporary folder is; output that is closed (`2>&-`) is thrown away."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder was removed; change to another (cd)") from None
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ConfigError("no temporary folder can be written; point TMPDIR at one that can") from None


def tell(error: Exception, command: Sequence[str]) -> int:
    """Print one line about an error, keep the traceback if it is a defect, and return the exit status."""
    words = explained(error)
    if words is not None:
        _print(words)
        return BAD_INPUT
    trace = without_credentials("".join(traceback.format_exception(error)))
    file = _keep(trace, command)
    what = f"{type(error).__name__}: {error}"[:_LONGEST]
    kept = f"please report it with {file}" if file else "its traceback follows, for no log could be written"
    _print(f"a defect of probeflow, not of your input ({what}); {kept}. The same command goes on from what is done")
    if file is None:
        sys.stderr.write(trace)
    return DEFECT


def explained(error: BaseException) -> str | None:
    """An error in one line with its fix, if it comes of input, machine or servers; None of a defect."""
    return next((words for each in _causes(error) if (words := _explained(each))), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _explained(error: BaseException) -> str | None:
    if isinstance(error, ProbeflowError):
        return str(error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return (
            f"the memory of this machine is too small ({str(error) or 'nothing was left'}): close other programs, or use "
            "smaller settings, fewer images, or a larger machine"
        )
    if isinstance(error, ImportError) and error.name and error.name.partition(".")[0] not in _OWN:
        return (
            f"a package that probeflow needs cannot be imported ({error}); install probeflow again with what it needs"
        )
    if isinstance(error, OSError):
        return system_words(error, repr(error.filename) if error.filename else "a file")
    package = type(error).__module__.partition(".")[0]  # by name: who fails without it need not wait for its import
    if package == "torch" and type(error).__name__ == "OutOfMemoryError":
        return "the GPU's memory is full: end what else uses it, lower batch_size, or run on the CPU (device: cpu)"
    if package in ("httpx", "prefect"):
        from tasks.server import lost_server

        return lost_server(error)
    if package in ("mlflow", "sqlalchemy"):
        from lib.tracking.store import lost_store

        return lost_store(error)
    return None


def _print(words: str) -> None:
    """One line, whatever stands in it: a word of thousands of letters is cut."""
    short = re.sub(rf"\S{{{_LONGEST},}}", lambda word: f"{word[0][:_SHOWN]}… ({len(word[0]):,} letters)", words)
    sys.stderr.write(f"probeflow: {visible(without_credentials(short))}\n")


def _keep(trace: str, command: Sequence[str]) -> Path | None:
    """Write a traceback to a new file under the data folder's logs, or where temporary files go; None if neither takes it."""
    from lib.provenance import made_now

    made = "".join(f"{name}: {value}\n" for name, value in made_now().items())
    text = f"{made}command: {' '.join(command)}\n\n{trace}"
    name = f"defect-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            return folder / name
    return None


def _folders() -> Iterator[Path]:
    from lib.places import places

    with suppress(Exception):  # what failed may have been this
        yield places().data / "logs"
    with suppress(OSError):
        yield Path(tempfile.gettempdir())
