"""A past run made again from what its record tells, in a place of its own, and held against the record.

Nothing that was computed before is used: only downloads are shared, as links. MLflow and Prefect take no part.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError

from lib.config import SWEEPS, Places, Profile, describe, load_profile
from lib.datasets import Dataset, acquire
from lib.datasets.sources import Source
from lib.errors import ConfigError, DataError, FeatureSetError
from lib.features import FeatureSet, extract
from lib.features.manifest import read_manifest
from lib.files import storage_errors
from lib.mlp.store import read_tensors
from lib.studies.classifier import classify
from lib.studies.embedding import embed
from lib.studies.exploration import explore
from lib.studies.features import describe_features, described_set
from lib.studies.identity import read_origin
from lib.studies.pipeline import studies_of
from lib.studies.predictions import FILE as PREDICTIONS
from lib.studies.record import FORMAT, RunNote, StudyRecord, open_record
from lib.studies.stages import STUDIES, what_runs
from lib.studies.sweep import run_sweep

ALIKE = 1e-6
"""How far two figures may differ, relative to their size, and still count as the same."""

_TIMES = ("seconds", "per_second")
"""Figures with these in their names tell of the machine, not of the result."""

_NETWORK = "network.safetensors"


@dataclass(frozen=True)
class PastRun:
    """A past run as its record tells it.

    Attributes
    ----------
    profile : Profile
        Of a single study's run, only the parts are the run's that this study and those it needs are made of.
    records : dict of str to StudyRecord
        Its studies in the order they run; those that others need come first.
    """

    record: StudyRecord
    profile: Profile
    records: dict[str, StudyRecord]


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same again, and what it was then and is now; `figure` tells a figure from a digest."""

    what: str
    then: str
    now: str
    figure: bool = False


@dataclass(frozen=True)
class StudyVerdict:
    """How one study came out again.

    Attributes
    ----------
    digests : dict of str to str or None
        What has a digest -> that digest, or None where it is another now.
    figures : int
        Figures that were compared: metrics of the study and of every trial, and their curves.
    exact : int
        Of these, those that are the same to the last bit.
    differences : tuple of Difference
        Digests that differ, and figures that differ by more than `ALIKE`.
    """

    study: str
    digests: dict[str, str | None]
    figures: int
    exact: int
    differences: tuple[Difference, ...]

    @property
    def same_bits(self) -> bool:
        """Whether every digest and every figure is the same."""
        return None not in self.digests.values() and self.exact == self.figures and not self.differences

    @property
    def same_figures(self) -> bool:
        """Whether every figure is the same, within `ALIKE`."""
        return not any(each.figure for each in self.differences)

    @property
    def words(self) -> str:
        """The verdict."""
        if self.same_bits:
            return "same to the last bit"
        return "same figures" if self.same_figures else "DIFFERENT"


def past_run(folder: Path) -> PastRun:
    """The run whose record lies in `folder`, of a whole pipeline or of one study.

    Raises
    ------
    ConfigError
        When its settings are not recorded, or are none that this version of probeflow has.
    DataError
        When there is no record, it is damaged, or a record of a study that it needs is not there.
    """
    _require_format(folder)
    record = open_record(folder)
    origin = read_origin(folder)
    if record.study == "pipeline":
        records = studies_of(record)
        profile = _profile(record.summary.get("settings"), folder)
        for each in records.values():
            if (its := read_origin(each.folder)) is not None:
                profile = _profile(_resolved(profile, its.identity.parts), folder)
        return PastRun(record, profile, {name: records[name] for name in STUDIES if name in records})
    if origin is None:
        raise ConfigError(
            f"{folder} does not record its settings (an older probeflow made it); run its study again, or give a whole run"
        )
    parts = {"name": record.study.replace("_", "-"), **origin.identity.parts}
    profile = _profile(load_profile(environment={}).model_dump(mode="json") | parts, folder)
    return PastRun(record, profile, {record.study: record})


def reproduce(past: PastRun, where: Places, folder: Path) -> dict[str, StudyVerdict]:
    """Make the studies of `past` again in `folder`, and compare; `where` is the place whose downloads are used.

    Raises
    ------
    DataError
        When the data is gone, or is not what the run had.
    WeightsError
        When weights are missing.
    """
    fresh = Places(data=folder / "data", mlruns=folder / "mlruns", mirror=where.mirror, tracking_uri="")
    with storage_errors(folder):
        share_downloads(where.data, fresh.data)
    datasets: dict[Source, Dataset] = {}

    def dataset(source: Source) -> Dataset:
        if source not in datasets:
            datasets[source] = acquire(source, fresh.data, fresh.mirror)
        return datasets[source]

    wanted = what_runs(past.profile, list(past.records))
    for name, record in past.records.items():
        _require_same_data(record, _source(past.profile, name), dataset)
    made = _run(past.profile, wanted, fresh, dataset)
    return {
        name: compare_records(record, made[name], where.features, fresh.features)
        for name, record in past.records.items()
    }


def share_downloads(data: Path, fresh: Path) -> None:
    """Link what was downloaded to `data` into `fresh`: raw data without the catalogues made of it, and weights' files."""
    for kind in sorted((data / "raw").glob("[!.]*/")):
        (fresh / "raw" / kind.name).mkdir(parents=True)
        for item in kind.glob("[!.]*"):
            if not item.name.startswith("catalogue-"):
                (fresh / "raw" / kind.name / item.name).symlink_to(item.absolute())
    for weights in (data / "features" / ".weights").glob("*.pth"):
        target = fresh / "features" / ".weights" / weights.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(weights.absolute())


def compare_records(then: StudyRecord, now: StudyRecord, features: Path, fresh: Path) -> StudyVerdict:
    """Hold a study's record against the one that was made again; the roots are those of both records' feature sets."""
    before, after = _digests(then, features), _digests(now, fresh)
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
    return StudyVerdict(then.study, digests, len(figures.keys() | again.keys()), exact, tuple(told))


def surroundings(then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """In what commit, versions and machine two records' making differs."""
    names = [name for name in dict.fromkeys([*then, *now]) if name != "when"]
    return [
        Difference(name, then.get(name, "none"), now.get(name, "none"))
        for name in names
        if then.get(name) != now.get(name)
    ]


def _run(
    profile: Profile, wanted: Sequence[str], where: Places, dataset: Callable[[Source], Dataset]
) -> dict[str, StudyRecord]:
    """The studies `wanted`, as the pipeline's stages make them."""
    made: dict[str, StudyRecord] = {}
    feature_set: FeatureSet | None = None
    for name in wanted:
        if name == "exploration":
            made[name] = explore(profile.exploration, dataset(profile.images), where.studies)
        elif name == "features":
            images = dataset(profile.images)
            feature_set = extract(images, profile.features, where.features, where.mirror)
            made[name] = describe_features(feature_set, images, where.studies)
        elif name in SWEEPS:
            study = profile.sweep(name)
            made[name] = run_sweep(name, study, dataset(study.data), where.studies)
        elif name == "classifier":
            assert feature_set is not None
            made[name] = classify(profile.classifier, feature_set, dataset(profile.images), where.studies)
        elif name == "tsne":
            data = dataset(profile.activations.data)
            made[name] = embed(profile.tsne, made["activations"], data, where.studies)
    return made


def _source(profile: Profile, study: str) -> Source:
    if study in SWEEPS:
        return profile.sweep(study).data
    return profile.activations.data if study == "tsne" else profile.images


def _require_same_data(record: StudyRecord, source: Source, dataset: Callable[[Source], Dataset]) -> None:
    place = getattr(source, "path", None) or source.source
    note = record.dataset
    try:
        found = dataset(source)
    except DataError as problem:
        raise DataError(f"the data of {record.study}, {place}, cannot be had any more: {problem}") from None
    if found.digest != note.digest:
        raise DataError(
            f"the data of {record.study}, {place}, is not what the run had: its digest was {note.digest[:12]} and is "
            f"{found.digest[:12]}; put the former data back"
        )


def _require_format(folder: Path) -> None:
    """Refuse a record of another format with words of its own: its reader takes it for damaged."""
    try:
        made = json.loads((folder / "record.json").read_text(encoding="utf-8")).get("format")
    except (OSError, ValueError, AttributeError):
        return  # the reader says what is wrong
    if made != FORMAT:
        raise ConfigError(
            f"{folder} has format {made}, and this probeflow reads {FORMAT}: reproduce it with the commit that made it"
        )


def _profile(content: Any, folder: Path) -> Profile:
    if not content:
        raise ConfigError(f"{folder} does not record its settings; give another run")
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{folder} was made with settings that this probeflow has not: {describe(error)}") from None


def _resolved(profile: Profile, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The profile with the places of its data as a study found them: absolute paths in place of relative ones."""
    content = profile.model_dump(mode="json")
    if parts.get("images"):
        content["images"] = parts["images"]
    for name in SWEEPS:
        if name in parts:
            content[name]["data"] = parts[name]["data"]
    return content


def _digests(record: StudyRecord, features: Path) -> dict[str, str]:
    """What a record has of digests: of its inputs, and of the files that came out."""
    found = {"data": record.dataset.digest}
    if record.study == "features":
        found["features"] = str(record.summary["digest"])
        shards = record.folder / "tables" / "shards.csv"
        if shards.exists():
            with shards.open(encoding="utf-8", newline="") as lines:
                rows = [row["sha256"] for row in csv.DictReader(lines)]
            found["shards"] = hashlib.sha256(" ".join(rows).encode()).hexdigest()
        with suppress(FeatureSetError):  # the set was removed since, or lies elsewhere; its digest covers the weights
            found["weights"] = read_manifest(described_set(record, features)).weights_sha256
    elif "features_digest" in record.summary:
        found["features"] = str(record.summary["features_digest"])
    for name, file in (("network", _NETWORK), ("predictions", PREDICTIONS)):
        if digest := _tensors(record.folder / file):
            found[name] = digest
    if record.tables:
        found["tables"] = _tables(record)
    return found


def _tables(record: StudyRecord) -> str:
    """Digest of a record's tables, without columns that tell how long something took."""
    digest = hashlib.sha256()
    for name in sorted(record.tables):
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
    """Digest of what a safetensors file holds; the file's own bytes may have its metadata in any order."""
    try:
        tensors, metadata = read_tensors(path)
    except (OSError, SafetensorError):
        return None
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _figures(record: StudyRecord) -> Iterator[tuple[str, float | None]]:
    yield from _of_run("", record.parent)
    seen: dict[str, int] = {}
    for child in record.children:
        arm = f"{child.params['arm']}: " if "arm" in child.params and not child.name.startswith("final") else ""
        name = child.name if child.name.startswith(arm) else f"{arm}{child.name}"
        seen[name] = seen.get(name, 0) + 1
        again = f" ({seen[name]})" if seen[name] > 1 else ""
        yield from _of_run(f"{name}{again}: ", child)


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
