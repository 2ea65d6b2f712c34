"""A whole run as a record of its own: the table "reference study / this run", one line a study, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from lib.config import Profile, is_built_in
from lib.errors import DataError
from lib.evaluation.reference import comparison
from lib.report import write_report
from lib.studies.cautions import cautions
from lib.studies.identity import Identity
from lib.studies.questions import TITLE, answer_lines, parts, verdict_lines
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord, open_record

TABLE = "reference-study"


def pipeline_identity(profile: Profile, keys: Mapping[str, str]) -> Identity:
    """What decides the record of a whole run; `keys` are its studies'."""
    digests = {name: f"{name} {key}" for name, key in sorted(keys.items())}
    return Identity("pipeline", profile.name, digests, profile.model_dump(mode="json"))


def summarise(profile: Profile, records: Mapping[str, StudyRecord], root: Path) -> StudyRecord:
    """Lay the run's studies beside the reference study's printed results, or return the record when nothing has changed.

    Its folder then also holds the report.
    """
    folder = StudyFolder.of(root, pipeline_identity(profile, {name: record.key for name, record in records.items()}))
    if record := folder.finished():
        write_report(record, records)
        return record
    rows = comparison({name: record.summary for name, record in records.items()})
    folder.table(TABLE, rows)
    flags = [f"{name}: {flag}" for name, record in records.items() for flag in record.flags]
    care = flags + [f"{name}: {each}" for name, record in records.items() for each in cautions(record.summary)]
    answered = parts(records)
    # MLflow's page shows the first 8,000 characters: the verdicts stand first, what they rest on last.
    lines = [f"## Profile {profile.name}"]
    if answered:
        lines += ["", f"### {TITLE}", "", *verdict_lines(answered)]
    lines += ["", "### Results", "", "| study | result |", "|---|---|"]
    lines += [f"| {name} | {record.headline} |" for name, record in records.items()]
    if care:
        lines += ["", "**Read with care:**", *(f"- {each}" for each in care)]
    if answered:
        lines += ["", "## The answers in full", "", *answer_lines(answered)]
    lines += [
        "",
        "## Reference study / this run",
        "",
        "| part | figure | setting | reference study | this run | data |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['part']} | {row['figure']} | {row['setting']} | {row['reference']} | {row['this_run']} | {row['data']} |"
            for row in rows
        ),
    ]
    first = next(iter(records.values()))
    main = records.get("classifier", first)
    record = folder.seal(
        title=f"Profile {profile.name}",
        headline=f"{len(records)} studies",
        notes="\n".join(lines) + "\n",
        dataset=main.dataset if isinstance(main.dataset, DatasetNote) else first.dataset,
        summary={
            "profile": profile.name,
            "built_in": is_built_in(profile),
            "settings": profile.model_dump(mode="json"),
            "rows": rows,
            "questions": [asdict(part) for part in answered],
            "studies": {name: record.key for name, record in records.items()},
        },
        parent=RunNote(
            folder.key,
            f"Pipeline {profile.name}",
            {"profile": profile.name, "studies": len(records)},
            main.parent.metrics,
        ),
        flags=tuple(flags),
    )
    write_report(record, records, anew=True)
    return record


def studies_of(record: StudyRecord) -> dict[str, StudyRecord]:
    """The records of a run's studies, which lie beside its own.

    Raises
    ------
    DataError
        When `record` is not of a whole run, or a study is not there.
    """
    if record.study != "pipeline":
        raise DataError(f"{record.folder} is a record of the study {record.study}, not of a whole run")
    root = record.folder.parent.parent
    return {name: open_record(StudyFolder(root, name, key).path) for name, key in record.summary["studies"].items()}
