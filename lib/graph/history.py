"""What several runs came to, and the whole runs of a profile in time: typed, so that any two can be held side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.errors import DataError
from lib.evaluation.paired import PairedPredictions
from lib.graph.leaderboard import Entry, Standing, leaderboard
from lib.graph.past import PastRecord, changes, flat, past_records
from lib.graph.summary import NAME, RunResult, studies_of
from lib.studies.record import open_record, read_origin
from lib.studies.study import DatasetNote, Record
from lib.studies.sweep.predictions import Predictions, compare_chosen, read_predictions


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    name: str
    """The profile of a whole run, else the study."""
    when: str
    """When its record was made, such as "2026-11-26 18:40 UTC"."""
    key: str
    folder: Path
    commit: str
    data: tuple[DatasetNote, ...] = field(repr=False)
    """Each dataset once. Two may have one name, as folders of the same name have."""
    settings: Mapping[str, Any] = field(repr=False)
    """All that its profile says, by dotted names."""
    best: Entry | None
    """The model that its main study chose; None where nothing was scored."""
    predictions: Predictions | None = field(default=None, repr=False)
    """For each test image, where they were kept."""


@dataclass(frozen=True)
class DataChange:
    """A dataset before and after, of which one may be None: it came, went, or has other content."""

    before: DatasetNote | None
    after: DatasetNote | None

    @property
    def name(self) -> str:
        there = self.after or self.before
        assert there is not None
        return there.name

    @property
    def images(self) -> tuple[int, int]:
        """How many there were, and are, in all splits."""
        before, after = (0 if each is None else sum(each.rows.values()) for each in (self.before, self.after))
        return before, after

    @property
    def classes_added(self) -> tuple[str, ...]:
        return _lacking(self.after, self.before)

    @property
    def classes_removed(self) -> tuple[str, ...]:
        return _lacking(self.before, self.after)


def _lacking(of: DatasetNote | None, other: DatasetNote | None) -> tuple[str, ...]:
    """The classes of one that are not in the other."""
    there = () if other is None else other.classes
    return () if of is None else tuple(name for name in of.classes if name not in there)


@dataclass(frozen=True)
class Step:
    """A run, and what was other than in the one before it."""

    run: Outcome
    before: Outcome | None = None
    """None for the first."""
    data: tuple[DataChange, ...] = ()
    """Datasets whose content changed, came or went."""
    settings: tuple[str, ...] = ()
    code: bool = False
    """Whether another commit made it."""
    lead: PairedPredictions | None = None
    """Accuracy of its model less that of the run before, on the same test images; None where these differ."""


@dataclass(frozen=True)
class History:
    """The whole runs of a profile, the earliest first. A run that found nothing changed made no record of its own."""

    profile: str
    steps: tuple[Step, ...]
    unreadable: int
    """Runs whose records an older probeflow made, or that are damaged."""


def outcome(record: Record[Any]) -> Outcome:
    """What a record of a whole run or of one study came to.

    Raises DataError when a study of a whole run is not there.
    """
    whole = isinstance(record.result, RunResult)
    records = studies_of(record) if whole else {record.name: record}
    main = record.result.main if whole else record.name
    every = leaderboard(records, main)
    entries = [each for each in every if each.study == main] or every
    best = next((each for each in entries if each.standing is Standing.CHOSEN), next(iter(entries), None))
    origin = None if whole else read_origin(record.folder)
    profile = record.result.profile if whole else {} if origin is None else origin.identity.profile
    return Outcome(
        name=str(profile["name"]) if whole else record.name,
        when=record.made.get("when", ""),
        key=record.key,
        folder=record.folder,
        commit=record.made.get("commit", ""),
        data=tuple({each.dataset.digest: each.dataset for each in records.values()}.values()),
        settings=flat(profile),
        best=best,
        predictions=None if best is None else _predictions(records[best.study].folder),
    )


def history(root: Path, profile: str) -> History:
    """The whole runs of a profile whose records lie under the root of studies."""
    found = _recorded(root, profile)
    runs = [run for past in found if (run := _readable(past)) is not None]
    steps = [Step(runs[0])] if runs else []
    steps += [_step(before, run) for before, run in itertools.pairwise(runs)]
    return History(profile, tuple(steps), len(found) - len(runs))


def last_step(record: Record[Any]) -> Step | None:
    """A whole run held against the one of its profile before it; None where there is none, or `record` is of one study.

    Raises DataError when a study of the run is not there.
    """
    if not isinstance(record.result, RunResult):
        return None
    found = _recorded(record.folder.parent.parent, str(record.result.profile["name"]))
    earlier = itertools.takewhile(lambda past: past.folder.name != record.folder.name, found)
    before = next((run for past in reversed(list(earlier)) if (run := _readable(past)) is not None), None)
    return None if before is None else _step(before, outcome(record))


def _recorded(root: Path, profile: str) -> list[PastRecord]:
    """The whole runs of a profile, of any format, the earliest first."""
    found = [each for each in past_records(root, NAME)[::-1] if _profile(each.content) == profile]
    return sorted(found, key=lambda past: past.when)  # of one minute, by their files


def _readable(past: PastRecord) -> Outcome | None:
    try:
        return outcome(open_record(past.folder))
    except DataError:
        return None


def profiles_with_history(root: Path) -> list[str]:
    """The profiles of which whole runs are recorded, the one that ran last first."""
    names = (_profile(each.content) for each in past_records(root, NAME))
    return list(dict.fromkeys(name for name in names if name is not None))


def lead(run: Outcome, other: Outcome) -> PairedPredictions | None:
    """Accuracy of a run's model less another's, on the test images that both predicted; None where these differ."""
    return compare_chosen(run.predictions, other.predictions)


def _step(before: Outcome, run: Outcome) -> Step:
    return Step(
        run,
        before,
        data=tuple(data_changes(before.data, run.data)),
        settings=tuple(changes(before.settings, run.settings)),
        code=before.commit != run.commit,
        lead=lead(run, before),
    )


def data_changes(before: Sequence[DatasetNote], after: Sequence[DatasetNote]) -> Iterator[DataChange]:
    """The datasets whose content is in one run alone, by their names; of the same content under another name nothing."""
    there = {each.digest for each in after}
    gone = [each for each in before if each.digest not in there]
    known = {each.digest for each in before}
    for each in after:
        if each.digest not in known:
            then = next((other for other in gone if other.name == each.name), None)
            if then is not None:
                gone.remove(then)
            yield DataChange(then, each)
    yield from (DataChange(each, None) for each in gone)


def _profile(content: Mapping[str, Any]) -> str | None:
    """The name of the profile of a whole run's record, whatever its format."""
    result = content.get("result")
    profile = result.get("profile") if isinstance(result, dict) else None
    return str(profile["name"]) if isinstance(profile, dict) and "name" in profile else None


def _predictions(folder: Path) -> Predictions | None:
    try:
        return read_predictions(folder)
    except DataError:
        return None


def comparable(runs: Sequence[Outcome]) -> bool:
    """Whether all runs were scored on the same rows."""
    return len({None if run.best is None else run.best.digest for run in runs}) == 1
