"""A past run made again from what its record tells, in a place of its own, and held against the record.

Nothing that was computed before is used: only downloads are shared, as links. MLflow and Prefect take no part. Records of
any kind are compared by what all have: digests of inputs, networks, predictions and tables, and the figures they present.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lib.datasets import Dataset
from lib.errors import ConfigError, DataError
from lib.files import storage_errors
from lib.graph.data import acquire_data
from lib.graph.inputs import ready_node
from lib.graph.summary import RunResult, studies_of
from lib.mlp.tensor_files import digest_tensors, read_tensors
from lib.places import Places
from lib.profile import Profile, parse_profile
from lib.storage.copies import fetch_file
from lib.studies.presentation import RunNote
from lib.studies.record import FORMAT, RECORD, open_record, read_origin
from lib.studies.study import Group, Record

ALIKE = 1e-6
"""How far two figures may differ, relative to their size, and still count as the same."""

_TIMES = ("seconds", "per_second")
"""Figures with these in their names tell of the machine, not of the result."""


@dataclass(frozen=True)
class PastRun:
    """A past run as its record tells it."""

    record: Record[Any]
    profile: Profile
    """Of a single study's run, the nodes that this one needs."""
    records: dict[str, Record[Any]]
    """Its nodes' in the order they run."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same again, and what it was then and is now; `figure` tells a figure from a digest."""

    what: str
    then: str
    now: str
    figure: bool = False


@dataclass(frozen=True)
class Verdict:
    """How one node came out again."""

    name: str
    digests: dict[str, str | None]
    """What has a digest -> that digest, or None where it is another now."""
    figures: int
    """Figures that were compared: metrics of the study and of every run below it, and their curves."""
    exact: int
    """Of these, those that are the same to the last bit."""
    differences: tuple[Difference, ...]
    """Digests that differ, and figures that differ by more than `ALIKE`."""

    @property
    def same_bits(self) -> bool:
        return None not in self.digests.values() and self.exact == self.figures and not self.differences

    @property
    def same_figures(self) -> bool:
        """Whether every figure is the same, within `ALIKE`."""
        return not any(each.figure for each in self.differences)

    @property
    def words(self) -> str:
        if self.same_bits:
            return "same to the last bit"
        return "same figures" if self.same_figures else "DIFFERENT"


def past_run(folder: Path) -> PastRun:
    """The run whose record lies in `folder`, of a whole profile or of one node.

    Raises ConfigError when its settings are not recorded, or are none that this version of probeflow has; DataError
    when there is no record, it is damaged, or a record of a study that it needs is not there.
    """
    _require_format(folder)
    record = open_record(folder)
    whole = isinstance(record.result, RunResult)
    records = studies_of(record) if whole else {record.name: record}
    content: dict[str, Any] = dict(record.result.profile) if whole else {}
    for each in records.values():
        origin = read_origin(each.folder)
        if origin is not None:  # paths in it are absolute
            part = origin.identity.profile
            content = {**content, "name": content.get("name", part.get("name"))} | {
                group.value: content.get(group.value, {}) | part.get(group.value, {}) for group in Group
            }
    if not content.get(Group.DATA.value):
        raise ConfigError(f"{folder} does not record its settings; run its study again, or give another run")
    try:
        profile = parse_profile(content)
    except ConfigError as problem:
        raise ConfigError(f"{folder} was made with settings that this probeflow has not: {problem}") from None
    return PastRun(record, profile, {node.name: records[node.name] for node in profile.graph if node.name in records})


def reproduce(past: PastRun, where: Places, folder: Path) -> Iterator[Verdict]:
    """Make the nodes of `past` again in `folder`, one after another, and compare each; `where` has the downloads to use.

    Raises DataError when the data is gone, or is not what the run had; WeightsError when weights are missing.
    """
    fresh = Places(data=folder / "data", mlruns=folder / "mlruns", mirror=where.mirror, tracking_uri="")
    with storage_errors(folder):
        share_downloads(where.data, fresh.data)
    graph = past.profile.graph
    wanted = graph.with_needs(past.records)
    data = {name: _data(past, name, fresh) for name in wanted if graph[name].group is Group.DATA}
    for name, record in past.records.items():
        on = graph.data_of(name).name
        if data[on].digest != record.dataset.digest:
            raise DataError(
                f"the data of {name}, {_place(past.profile, on)}, is not what the run had: its digest was "
                f"{record.dataset.digest[:12]} and is {data[on].digest[:12]}; restore the former data"
            )
    for name in wanted:
        if graph[name].group is not Group.DATA:
            made = ready_node(past.profile, name, fresh).run()
            if name in past.records:
                yield compare_records(past.records[name], made)


def share_downloads(data: Path, fresh: Path) -> None:
    """Link what was downloaded to `data` into `fresh`: raw data without the catalogues made of it, and weights' files.

    Notes and seals, which tell that copies are whole, are hidden files; what is being written is left out.
    """
    for kind in sorted((data / "raw").glob("[!.]*/")):
        (fresh / "raw" / kind.name).mkdir(parents=True)
        for item in kind.iterdir():
            if not item.name.startswith("catalogue-") and item.suffix not in (".tmp", ".lock", ".part"):
                (fresh / "raw" / kind.name / item.name).symlink_to(item.absolute())
    for weights in (data / "features" / ".weights").glob("*.pth"):
        target = fresh / "features" / ".weights" / weights.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(weights.absolute())


def compare_records(then: Record[Any], now: Record[Any]) -> Verdict:
    before, after = _digests(then), _digests(now)
    digests = {name: digest if after.get(name) == digest else None for name, digest in before.items()}
    told = [
        Difference(f"digest of {name}", before[name][:12], after.get(name, "none")[:12])
        for name, same in digests.items()
        if same is None
    ]
    figures, again = dict(_figures(then)), dict(_figures(now))
    exact = 0
    for name in dict.fromkeys([*figures, *again]):
        one, other = figures.get(name, math.nan), again.get(name, math.nan)
        if one == other:
            exact += 1
        elif one is None or other is None or not math.isclose(one, other, rel_tol=ALIKE, abs_tol=1e-12):
            told.append(Difference(name, _number(one), _number(other), figure=True))
    return Verdict(then.name, digests, len(figures.keys() | again.keys()), exact, tuple(told))


def surroundings(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """In what commit, versions and machine two records' making differs."""
    names = [name for name in dict.fromkeys([*then, *now]) if name != "when"]
    return [
        Difference(name, then.get(name, "none"), now.get(name, "none"))
        for name in names
        if then.get(name) != now.get(name)
    ]


def _data(past: PastRun, name: str, where: Places) -> Dataset:
    try:
        return acquire_data(past.profile.graph, name, where)
    except DataError as problem:
        raise DataError(f"the data {name}, {_place(past.profile, name)}, cannot be had any more: {problem}") from None


def _place(profile: Profile, name: str) -> str:
    source = profile.graph[name].settings
    return str(getattr(source, "path", None) or profile.graph[name].kind)


def _require_format(folder: Path) -> None:
    """Refuse a record of another format with words of its own: its reader takes it for damaged."""
    fetch_file(folder / RECORD)
    try:
        made = json.loads((folder / RECORD).read_text(encoding="utf-8")).get("format")
    except (OSError, ValueError, AttributeError):
        return  # the reader says what is wrong
    if made != FORMAT:
        raise ConfigError(
            f"{folder} has format {made}, and this probeflow reads {FORMAT}: reproduce it with the commit that made it"
        )


def _digests(record: Record[Any]) -> dict[str, str]:
    """What a record has of digests: of its inputs, and of the files that came out."""
    origin = read_origin(record.folder)
    found = {"data": record.dataset.digest} | ({} if origin is None else dict(origin.identity.digests))
    for path in sorted(record.folder.glob("*.safetensors")):
        if not path.name.startswith("checkpoint-") and (digest := _tensors(path)):
            found[path.stem] = digest
    if record.tables:
        found["tables"] = _tables(record)
    return found


def _tables(record: Record[Any]) -> str:
    """Digest of a record's tables, without columns that tell how long something took."""
    digest = hashlib.sha256()
    for name in sorted(table.file for table in record.tables):
        try:
            with (record.folder / "tables" / name).open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines))
        except OSError:
            continue
        kept = [{column: value for column, value in row.items() if not _timed(column)} for row in rows]
        digest.update(json.dumps([name, kept]).encode())
    return digest.hexdigest()


def _timed(name: str) -> bool:
    """Whether a figure of this name tells of the machine, not of the result."""
    return any(word in name for word in _TIMES)


def _tensors(path: Path) -> str | None:
    try:
        return digest_tensors(*read_tensors(path))
    except (OSError, SafetensorError):
        return None


def _figures(record: Record[Any]) -> Iterator[tuple[str, float | None]]:
    """Every figure that a record presents. Runs below it are known by their names and places, for keys may differ."""
    shown = record.present()
    yield from _of_run("", shown.parent)
    names = {run.key: run.name for run in shown.runs}
    seen: dict[str, int] = {}
    for run in shown.runs:
        name = f"{names[run.below]}: {run.name}" if run.below in names else run.name
        seen[name] = seen.get(name, 0) + 1
        again = f" ({seen[name]})" if seen[name] > 1 else ""
        yield from _of_run(f"{name}{again}: ", run)


def _of_run(before: str, run: RunNote) -> Iterator[tuple[str, float | None]]:
    for name, value in run.metrics.items():
        if not _timed(name):
            yield f"{before}{name}", value
    for row in run.history:
        for name, of_epoch in row.items():
            if name not in ("epoch", "seconds"):
                yield f"{before}{name} of epoch {int(row['epoch'] or 0)}", of_epoch


def _number(value: float | None) -> str:
    if value is None:
        return "not finite"
    return "none" if math.isnan(value) else f"{value:.8g}"
