"""The report of a finished run, made anew from the records that are there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lib.errors import DataError, command
from lib.graph import studies_of
from lib.places import Places
from lib.report import write_report
from lib.storage.copies import fetch, shown
from lib.studies.record import RECORD, open_record
from lib.studies.study import Record


def make_report(folder: Path | None, where: Places) -> int:
    """Write `report.html` into the folder of a whole run's record, of the latest run if none is given, and print its path.

    Raises DataError when there is no such record, or one of its studies is not there; StorageError when the report
    cannot be written.
    """
    record = _latest(where) if folder is None else open_record(folder)
    sys.stdout.write(f"{shown(write_report(record, studies_of(record), anew=True))}\n")
    return 0


def _latest(where: Places) -> Record[Any]:
    runs = where.studies / "pipeline"
    fetch(runs, lambda name: name.endswith(f"/{RECORD}"), deep=True)
    found = sorted(runs.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DataError(f"no whole run is recorded in {shown(runs)}; {command('run')} makes one, with its report")
    return open_record(found[-1].parent)
