"""A past run made again, in a place of its own, and on the terminal whether it came out the same."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.tables import aligned
from lib.errors import ConfigError
from lib.files import require_writable
from lib.graph import PastRun, Verdict, past_run, reproduce
from lib.graph.past import records_of_key
from lib.graph.reproduce import ALIKE, surroundings
from lib.machine import from_home
from lib.places import Places
from lib.provenance import made_now
from lib.storage.copies import fetch_file, shown
from lib.studies.record import RECORD

_WIDTH = 118
_NAMED = 4
_MOST = 12
"""Differences of a study that are listed."""


def reproduce_run(wanted: str, keep: Path | None, where: Places) -> int:
    """Make a past run again and print how it came out; the exit status is 1 when figures differ, 0 when digests alone do.

    `wanted`: a record: its folder, its key, or the beginning of that; or an MLflow run: its id, the beginning of that,
    or its name, where only one run has it.
    `keep`: where the new run stays; without it nothing of it does.

    Raises ConfigError when there is no such run or several, its settings are not recorded, or `keep` is taken;
    DataError when its record is damaged, or its data is gone or changed.
    """
    past = past_run(_folder(wanted, where))
    with _place(keep) as folder:
        what = (
            f"{past.record.name!r} of {past.record.made.get('when', 'unknown date')} again: {shown(past.record.folder)}"
        )
        gone = "" if keep else ", which is removed at the end (--keep FOLDER keeps it)"
        sys.stdout.write(f"probeflow · makes {what}\nin {folder}{gone}; nothing is logged to MLflow\n")
        sys.stdout.flush()
        verdicts = []
        for verdict in reproduce(past, where, folder):
            verdicts.append(verdict)
            sys.stdout.write(f"{verdict.name}: {verdict.words}\n")
            sys.stdout.flush()
    sys.stdout.write("\n".join(_lines(past, verdicts)) + "\n")
    return 0 if all(each.same_figures for each in verdicts) else 1


def _folder(wanted: str, where: Places) -> Path:
    folder = from_home(wanted)
    if folder.is_dir():
        fetch_file(folder / RECORD)
        if not (folder / RECORD).exists():
            raise ConfigError(f"{wanted!r} is a folder but no record (no {RECORD}); give one of {shown(where.studies)}")
        return folder.absolute()
    folders = records_of_key(where.studies, wanted)
    if len(folders) == 1:
        return folders[0]
    if folders:
        some = ", ".join(f"{each.parent.name}/{each.name}" for each in folders[:_NAMED])
        raise ConfigError(f"{wanted!r} begins the keys of {len(folders)} records ({some}): give more of the key")
    from lib.tracking.past_runs import record_of_run

    return record_of_run(wanted, where)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="probeflow-reproduce-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(
            f"--keep {keep} is not empty: give a folder that is, or is not there yet, so that all is made anew"
        )
    require_writable(keep)
    yield keep.absolute()


def _lines(past: PastRun, verdicts: Sequence[Verdict]) -> Iterable[str]:
    yield ""
    yield from aligned(("node", "result", "digests", ">figures the same"), list(map(_row, verdicts)))
    differing = [(each.name, one.what, one.then, one.now) for each in verdicts for one in each.differences[:_MOST]]
    if differing:
        yield ""
        yield from aligned(("node", "what differs", ">then", ">now"), differing)
        for each in verdicts:
            if (more := len(each.differences) - _MOST) > 0:
                yield f"{each.name}: and {more:,} more"
    yield ""
    changed = surroundings(past.record.made, made_now())
    if changed:
        yield "Made elsewhere than then" + (", which is the likely cause:" if differing else ":")
        for one in changed:
            yield from textwrap.wrap(f"  {one.what}: {one.then} -> {one.now}", _WIDTH, subsequent_indent="    ")
    else:
        yield "Commit, versions and machine are the same as then."
    yield f"Figures count as the same within {ALIKE:g} of their size; seconds are not compared, promotion is not repeated."
    yield _verdict(verdicts)


def _row(verdict: Verdict) -> tuple[str, ...]:
    digests = ", ".join(name if digest else f"{name.upper()}" for name, digest in verdict.digests.items())
    differing = sum(1 for each in verdict.differences if each.figure)
    return verdict.name, verdict.words, digests, f"{verdict.figures - differing:,} of {verdict.figures:,}"


def _verdict(verdicts: Sequence[Verdict]) -> str:
    if all(each.same_bits for each in verdicts):
        return "The run came out the same to the last bit."
    if all(each.same_figures for each in verdicts):
        return "The run came out with the same figures, though not to the last bit."
    different = [each.name for each in verdicts if not each.same_figures]
    return f"The run came out DIFFERENT in {', '.join(different)}."
