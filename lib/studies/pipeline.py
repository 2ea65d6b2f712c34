"""A whole run as a record of its own: the table "reference study / this run" and one line a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib.evaluation.reference import comparison
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord, study_key

TABLE = "reference-study"


def summarise(profile: str, records: Mapping[str, StudyRecord], root: Path) -> StudyRecord:
    """Lay the run's studies beside the reference study's printed results, or return the record when nothing has changed."""
    key = study_key("pipeline", profile, *(f"{name} {record.key}" for name, record in sorted(records.items())))
    folder = StudyFolder(root, "pipeline", key)
    if record := folder.finished():
        return record
    rows = comparison({name: record.summary for name, record in records.items()})
    folder.table(TABLE, rows)
    flags = [f"{name}: {flag}" for name, record in records.items() for flag in record.flags]
    lines = [
        f"## Profile {profile}: reference study / this run",
        "",
        "| part | figure | setting | reference study | this run | data |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['part']} | {row['figure']} | {row['setting']} | {row['reference']} | {row['this_run']} | {row['data']} |"
            for row in rows
        ),
        "",
        "| study | result |",
        "|---|---|",
        *(f"| {name} | {record.headline} |" for name, record in records.items()),
    ]
    if flags:
        lines += ["", "**Read with care:**", *(f"- {flag}" for flag in flags)]
    first = next(iter(records.values()))
    main = records.get("classifier", first)
    return folder.seal(
        title=f"Profile {profile}",
        headline=f"{len(records)} studies",
        notes="\n".join(lines) + "\n",
        dataset=main.dataset if isinstance(main.dataset, DatasetNote) else first.dataset,
        summary={"profile": profile, "rows": rows, "studies": {name: record.key for name, record in records.items()}},
        parent=RunNote(
            folder.key, f"Pipeline {profile}", {"profile": profile, "studies": len(records)}, main.parent.metrics
        ),
        flags=tuple(flags),
    )
