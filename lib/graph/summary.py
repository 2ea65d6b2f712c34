"""A whole run as a record of its own: which records it is made of, and what they say of the claims it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from lib.errors import DataError
from lib.graph.leaderboard import answer, drawings, leaderboard, markdown_sections, same_rows
from lib.places import Places
from lib.profile import Profile, is_built_in
from lib.reference import Judged, judge, judged_sections
from lib.studies.presentation import Presentation, RunNote, Section, escaped, table
from lib.studies.record import FOLDER_LETTERS, Identity, StudyFolder, open_record
from lib.studies.study import Effort, Kind, Need, Record, Result, Study, StudySettings

NAME = "pipeline"
"""What a whole run's record is called, and its kind."""


def run_name(profile: str) -> str:
    """What MLflow calls the whole runs of a profile."""
    return f"Pipeline {profile}"


class RunSettings(StudySettings):
    """Settings of a whole run: it stands in no profile, it has one."""

    kind: Literal["pipeline"] = "pipeline"


class RunResult(Result):
    """What a whole run came to."""

    profile: dict[str, Any]
    """The profile as it was given."""
    built_in: bool
    """Whether it is a built-in profile, unchanged."""
    studies: dict[str, str]
    """Name -> key of each record, in the order in which they were made; they lie beside the run's."""
    promoted: str | None
    """The study whose best network went to the gate."""
    warnings: dict[str, int]
    """How many warnings each record has."""
    judged: Judged | None
    """What the records say of the claims that the profile names."""

    @property
    def title(self) -> str:
        return f"Profile {self.profile['name']}"

    @property
    def main(self) -> str:
        """The study whose figures are the run's own: the one that is promoted, else the first."""
        return self.promoted or next(iter(self.studies), "")


class Run(Kind[RunSettings, RunResult]):
    """A whole run. Its record is made by `summarise`, not by a node's run."""

    name = NAME
    settings = RunSettings
    result = RunResult
    question = "What came of the whole run?"

    def needs(self, settings: RunSettings) -> tuple[Need, ...]:
        return ()

    def compute(self, study: Study[RunSettings]) -> RunResult:
        raise NotImplementedError("a whole run is summarised, not computed")

    def present(self, record: Record[RunResult]) -> Presentation:
        """One line a study, the claims, and what to read with care; from the records that lie beside it."""
        result = record.result
        name = str(result.profile["name"])
        records = studies_of(record)
        shown = {name: each.present() for name, each in records.items()}
        entries = leaderboard(records, result.main)
        board = next(same_rows(entries), [])
        warnings = [f"{name}: {warning}" for name, each in shown.items() for warning in each.warnings]
        sections = [*markdown_sections(entries), *_sections(result, shown)]
        main = shown.get(result.main)
        return Presentation(
            title=result.title,
            question=self.question,
            headline=answer(board) if board else "no model was scored",
            sections=tuple(sections),
            warnings=tuple(dict.fromkeys(warnings)),
            parent=RunNote(
                record.key,
                run_name(name),
                {"profile": name, "studies": len(shown)},
                {} if main is None else dict(main.parent.metrics),
            ),
        )

    def effort(self, result: RunResult) -> Effort | None:
        return Effort(1.0)


KIND = Run()


def run_identity(profile: Profile, keys: Mapping[str, str]) -> Identity:
    """What decides the record of a whole run; `keys` are its studies'."""
    content = profile.model_dump(mode="json")
    settings = {name: content[name] for name in ("name", "promote", "claims")}
    return Identity(NAME, NAME, KIND.version, settings, dict(sorted(keys.items())), content)


def summarise(profile: Profile, records: Mapping[str, Record[Any]], where: Places) -> Record[Any]:
    """The record of a run that made `records`, by name; the one that is there when nothing has changed.

    Raises ConfigError when there are no claims of the profile's name for them.
    """
    folder = StudyFolder(where.studies, run_identity(profile, {name: each.key for name, each in records.items()}))
    if record := folder.finished():
        return record
    result = RunResult(
        profile=profile.model_dump(mode="json"),
        built_in=is_built_in(profile),
        studies={name: each.key for name, each in records.items()},
        promoted=profile.promote if profile.promote in records else None,
        warnings={name: len(each.present().warnings) for name, each in records.items()},
        judged=None if profile.claims is None else judge(profile.claims, records),
    )
    for drawing in drawings(leaderboard(records, result.main)):
        folder.keep(drawing)
    main = records.get(profile.promote or "") or next(iter(records.values()))
    return folder.seal(result, main.dataset)


def studies_of(record: Record[Any]) -> dict[str, Record[Any]]:
    """The records of a run's studies, which lie beside its own.

    Raises DataError when `record` is not of a whole run, or a study is not there.
    """
    if not isinstance(record.result, RunResult):
        raise DataError(f"{record.folder} is a record of the study {record.name}, not of a whole run")
    root = record.folder.parent.parent
    return {name: open_record(root / name / key[:FOLDER_LETTERS]) for name, key in record.result.studies.items()}


def _sections(result: RunResult, shown: Mapping[str, Presentation]) -> Iterator[Section]:
    # MLflow's page shows the first 8,000 characters: results and verdicts stand first, what they rest on last.
    rows = [[escaped(name), escaped(each.headline)] for name, each in shown.items()]
    yield Section("Results", table(["study", "result"], rows))
    if result.judged is not None:
        yield from judged_sections(result.judged)
