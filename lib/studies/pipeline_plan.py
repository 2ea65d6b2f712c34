"""What a run would do, stage by stage, without doing it: what is there, what is to do and why, and how long it may take.

Keys are made by the functions by which the studies themselves make them, so a plan says what the run then finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lib.config import SWEEPS, ClassifierStudy, Places, Profile, SweepName, Workers
from lib.datasets import Dataset, on_disk
from lib.datasets.sources import Source
from lib.errors import FeatureSetError
from lib.features.plan import read_plan
from lib.features.sets import FoundSet, found_sets
from lib.mlp.store import trial_key
from lib.mlp.trial import Trial
from lib.storage.copies import sizes
from lib.studies.classifier import candidate_key, candidate_rows, classifier_identity
from lib.studies.device import program_memory, training_device
from lib.studies.embedding import tsne_identity
from lib.studies.estimate import Estimate, Training, of_extraction, of_training, of_work, parameters
from lib.studies.exploration import exploration_identity
from lib.studies.extraction_plan import ExtractionPlan, plan_features_of
from lib.studies.features import features_identity
from lib.studies.identity import Identity, Origin
from lib.studies.past import PastRecord, differences, past_records, several, why_to_do
from lib.studies.pipeline import pipeline_identity
from lib.studies.plan import ProgramPlan, SweepPlan, plan_sweep_on, programs, refitted_values
from lib.studies.record import FORMAT, StudyFolder
from lib.studies.stages import STUDIES, what_runs
from lib.studies.sweep import sweep_identity

State = Literal["cached", "to do", "each run"]

_NONE = Estimate(0.0, "")
_BYTES_OF_EPOCH = 160
"""One epoch of a stored trial, as JSON."""

_ROW_BESIDE_FEATURES = 16
"""Bytes of a row of a shard beside its features: id, label, split, and the pages' heads."""


@dataclass(frozen=True)
class StagePlan:
    """What one stage would do.

    Attributes
    ----------
    name : str
        A study, or "acquire", "promote" or "report".
    state : str
        "cached" is found as it is; "each run" is done always, and quickly.
    told : str
        Where it is that is cached; why it is to do that is not.
    key : str or None
        The study's key; None when it has none, or it is not known before an earlier stage has run.
    trials, stored : int or None
        All trials of the stage that are known ahead, and those whose results are there already; None when that is not known.
    shards, missing : int or None
        All shards, and those to be made.
    bytes : int or None
        About so many will be written; None when that is not known.
    programs : tuple of ProgramPlan
        In which the trials that are to do train.
    """

    name: str
    state: State
    told: str
    key: str | None = None
    trials: int | None = 0
    stored: int | None = 0
    shards: int | None = 0
    missing: int | None = 0
    bytes: int | None = 0
    programs: tuple[ProgramPlan, ...] = ()
    estimate: Estimate = _NONE


@dataclass(frozen=True)
class PipelinePlan:
    """What a run would do: its stages in their order, and the plans of the extraction and the sweeps among them."""

    stages: tuple[StagePlan, ...]
    extraction: ExtractionPlan | None
    sweeps: tuple[SweepPlan, ...]


def plan_pipeline(profile: Profile, stages: Sequence[str] | None, where: Places, workers: Workers) -> PipelinePlan:
    """The plan of a run of `stages`, or of everything; nothing is fetched, trained, written or asked of a server.

    Raises
    ------
    ConfigError
        For an unknown stage; when chunks are wanted of a study that cannot be cut, or a trial does not fit in memory.
    DataError
        When data on disk is not what it claims to be, or a record is damaged: a run would say so and stop.
    """
    return _Planner(profile, where, workers).plan(what_runs(profile, stages))


class _Planner:
    def __init__(self, profile: Profile, where: Places, workers: Workers) -> None:
        self.profile = profile
        self.where = where
        self.workers = workers
        self.root = where.studies
        self.keys: dict[str, str | None] = {}
        self.sweeps: dict[str, SweepPlan] = {}
        self.extraction: ExtractionPlan | None = None
        self._datasets: dict[Source, Dataset | None] = {}
        self._records: dict[str, list[PastRecord]] = {}

    def plan(self, running: Sequence[str]) -> PipelinePlan:
        stages = [self._acquire(running)]
        for name in running:
            if name in SWEEPS:
                stages.append(self._sweep(name))
            elif name != "acquire":
                stages.append(getattr(self, f"_{name}")())
            self.keys[name] = stages[-1].key
        sweeps = tuple(self.sweeps[name] for name in running if name in self.sweeps)
        return PipelinePlan(tuple(stages), self.extraction, sweeps)

    def dataset(self, source: Source) -> Dataset | None:
        """The dataset if it is on this machine."""
        if source not in self._datasets:
            self._datasets[source] = on_disk(source, self.where.data)
        return self._datasets[source]

    def records(self, study: str) -> list[PastRecord]:
        """Earlier records of a study."""
        if study not in self._records:
            self._records[study] = past_records(self.root, study)
        return self._records[study]

    def _acquire(self, running: Sequence[str]) -> StagePlan:
        needed = {name: self.profile.sweep(name).data for name in SWEEPS if name in running}
        if "acquire" in running:
            sources = self.profile.sources()
        else:
            images = [self.profile.images] if {"exploration", "features"} & {*running} else []
            sources = list(dict.fromkeys([*needed.values(), *images]))
        held = {source: self.dataset(source) for source in sources}
        absent = [source.source for source, dataset in held.items() if dataset is None]
        told = [f"{each.name} {each.digest[:12]}" for each in held.values() if each is not None]
        if absent:
            there = f"; there: {', '.join(told)}" if told else ""
            words = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not on this machine yet{there}"
            return StagePlan(
                "acquire", "to do", words, bytes=None, estimate=Estimate(None, "downloads are not estimated")
            )
        return StagePlan("acquire", "cached", ", ".join(told))

    def _exploration(self) -> StagePlan:
        dataset = self.dataset(self.profile.images)
        if dataset is None:
            return _unknown("exploration", "its images are not on this machine yet")
        identity = exploration_identity(self.profile.exploration, dataset)
        rows = sum(len(split) for split in dataset.splits.values())
        done = of_work(
            self.records("exploration"), "exploration", rows, lambda record: sum(record["dataset"]["rows"].values())
        )
        return self._of_study(identity, done)

    def _features(self) -> StagePlan:
        settings = self.profile.features
        dataset = self.dataset(self.profile.images)
        plan = plan_features_of(dataset, self.profile.images, settings, self.where, self.workers)
        self.extraction = plan
        if dataset is None:
            return _unknown("features", "its images are not on this machine yet", shards=None, missing=None, bytes=None)
        described = of_work(
            self.records("features"),
            "features",
            (plan.images or 0) * settings.width,
            lambda record: sum(record["dataset"]["rows"].values()) * record["parent"]["params"]["width"],
            lambda record: sum(speed["seconds"] for speed in record["summary"]["speeds"]),
        )
        if plan.sealed and plan.digest and plan.folder:
            identity = features_identity(plan.digest, settings, dataset)
            found = self._of_study(identity, described)
            if found.state == "cached":
                return replace(found, told=f"{plan.folder}, digest {plan.digest[:12]}", shards=plan.shards)
            return replace(found, told="the set is sealed, but not described: " + found.told, shards=plan.shards)
        kind = training_device() if settings.device == "auto" else settings.device.partition(":")[0]
        extracted = of_extraction(plan.missing_images, settings, self.where.features, kind)
        if extracted.seconds is None:
            estimate = extracted
        else:
            estimate = Estimate(extracted.seconds + (described.seconds or 0.0), extracted.basis)
        item = 2 if settings.storage == "float16" else 4
        return StagePlan(
            "features",
            "to do",
            self._why_features(plan, dataset),
            None if plan.digest is None else self._folder(features_identity(plan.digest, settings, dataset)).key,
            shards=plan.shards,
            missing=plan.missing,
            bytes=plan.missing_images * (settings.width * item + _ROW_BESIDE_FEATURES),
            estimate=estimate,
        )

    def _why_features(self, plan: ExtractionPlan, dataset: Dataset) -> str:
        if plan.missing is not None and plan.shards and plan.missing < plan.shards:
            if not plan.missing:
                return "all shards are there, but the set is not sealed"
            return f"shards {plan.missing:,} of {plan.shards:,} missing"
        sets = [_origin_of(each) for each in found_sets(self.where.features) if each.plan is not None]
        if not sets:
            return "no features are extracted yet"
        wanted = Identity(
            "features",
            None,
            {"data": dataset.digest},
            {"images": dataset.source, "features": self.profile.features.model_dump(mode="json")},
        )
        if plan.folder is not None and sizes(plan.folder):
            return f"begun, and no shard of {plan.shards:,} is there yet" if plan.shards else "begun"
        told = min((differences(wanted, each) for each in sets), key=len)
        return several(told) if told else "other weights, or another version of torch"

    def _sweep(self, name: SweepName) -> StagePlan:
        study = self.profile.sweep(name)
        dataset = self.dataset(study.data)
        plan = plan_sweep_on(dataset, name, study, self.where, self.workers)
        self.sweeps[name] = plan
        if dataset is None or plan.sealed:
            if dataset is None:
                found = _unknown(name, "its data is not on this machine yet", bytes=None)
            else:
                found = self._of_study(sweep_identity(name, study, dataset), _NONE)
            return replace(found, trials=plan.trials, stored=plan.stored, programs=plan.programs)
        assert plan.shape is not None
        rows, features, classes = plan.shape
        every = [trial for arm in study.arms.values() if arm.search is None for trial in arm.trials(study.seeds)]
        last = _largest(every, features, classes)
        finals = len(refitted_values(study)) * len(study.seeds) if study.refit else 0
        todo = [*plan.missing, *([last] * finals if last else [])]
        wanted = Training.of(todo, rows, features, classes, study.compare_sklearn)
        estimate = of_training(wanted, self.records(name))
        if estimate.seconds is None:
            others = [each for other in SWEEPS for each in self.records(other)]
            estimate = of_training(wanted, others)
        found = self._of_study(sweep_identity(name, study, dataset), estimate)
        return replace(
            found,
            told=_begun(found.told, plan.stored, plan.trials),
            trials=plan.trials,
            stored=plan.stored,
            programs=plan.programs,
            bytes=_bytes(todo, features, classes),
        )

    def _classifier(self) -> StagePlan:
        study, plan = self.profile.classifier, self.extraction
        dataset = self.dataset(self.profile.images)
        finals = len(study.seeds) * (2 if study.pixel_baseline else 1)
        candidates = study.arm.trials(study.seeds)
        trials = len(candidates)
        if dataset is None or plan is None:
            return _unknown("classifier", "its images are not on this machine yet", trials=trials, stored=None)
        kept, _ = candidate_rows(study, dataset)
        width, classes = self.profile.features.width, len(dataset.class_names)
        shape = (len(kept), width, classes)
        identity, missing = None, list(dict.fromkeys(candidates))
        if plan.digest is not None:
            identity = classifier_identity(study, plan.digest, self.profile.features, dataset)
            folder = self._folder(identity)
            there = sizes(folder.trials)
            key = candidate_key(study, plan.digest)
            missing = [trial for trial in missing if f"{trial_key(trial, key)}.json" not in there]
        last = _largest(candidates, width, classes)
        todo = [*missing, *([last] * finals if last else [])]
        wanted = Training.of(todo, len(kept), width, classes, beside=True)
        estimate = of_training(wanted, self.records("classifier"))
        if identity is None:
            found = StagePlan("classifier", "to do", self._without_features(study), estimate=estimate)
        else:
            found = self._of_study(identity, estimate)
        if found.state == "cached":
            return replace(found, trials=trials, stored=trials)
        device = training_device()
        return replace(
            found,
            told=_begun(found.told, len(candidates) - len(missing), len(candidates)),
            trials=trials,
            stored=len(candidates) - len(missing),
            programs=tuple(programs(missing, device, shape, program_memory(device))),
            bytes=_bytes(todo, width, classes),
        )

    def _without_features(self, study: ClassifierStudy) -> str:
        if not self.records("classifier"):
            return "nothing of it is recorded yet"
        return "its features are to be extracted first; only then its key is known"

    def _tsne(self) -> StagePlan:
        study = self.profile.activations
        dataset = self.dataset(study.data)
        if dataset is None:
            return _unknown("tsne", "its data is not on this machine yet")
        activations = sweep_identity("activations", study, dataset)
        identity = tsne_identity(self.profile.tsne, self._folder(activations).key, activations.parts, dataset)
        rows = min(self.profile.tsne.sample or np.inf, len(dataset.splits["train"]))
        estimate = of_work(
            self.records("tsne"),
            "tsne",
            rows * self.profile.tsne.iterations,
            lambda record: record["parent"]["params"]["rows"] * record["parent"]["params"]["iterations"],
        )
        return self._of_study(identity, estimate)

    def _promote(self) -> StagePlan:
        return StagePlan(
            "promote", "each run", "the gate holds the classifier against the champion there is then",
            estimate=Estimate(0.0, ""),
        )  # fmt: skip

    def _report(self) -> StagePlan:
        studies = [name for name in STUDIES if name in self.keys]
        known = {name: key for name in studies if (key := self.keys[name]) is not None}
        estimate = of_work(self.records("pipeline"), "pipeline", 1, lambda _: 1)
        if unknown := [name for name in studies if name not in known]:
            words = f"the keys of {', '.join(unknown)} are not known before they have run"
            return StagePlan("report", "to do", words, estimate=estimate)
        return replace(self._of_study(pipeline_identity(self.profile, known), estimate), name="report")

    def _of_study(self, identity: Identity, estimate: Estimate) -> StagePlan:
        """A study whose key is known: cached in its folder, or to do in the time of `estimate`."""
        folder = self._folder(identity)
        if folder.finished() is not None:
            return StagePlan(identity.study, "cached", str(folder.path), folder.key)
        told = why_to_do(self.root, identity)
        return StagePlan(identity.study, "to do", told, folder.key, estimate=estimate)

    def _folder(self, identity: Identity) -> StudyFolder:
        return StudyFolder.of(self.root, identity)


def _unknown(name: str, why: str, **known: Any) -> StagePlan:
    """A stage whose key is not known before data is here."""
    estimate = Estimate(None, "the size of its data is not known yet")
    return replace(StagePlan(name, "to do", f"{why}, so its key is not known", None, estimate=estimate), **known)


def _begun(told: str, stored: int | None, trials: int) -> str:
    return f"begun: {stored:,} of {trials:,} trials stored" if stored else told


def _origin_of(found: FoundSet) -> Origin:
    """A feature set as if it were a record: its settings, images and their digest."""
    plan = found.plan
    assert plan is not None
    with suppress(FeatureSetError):  # it tells the source too, which a manifest does not
        plan = read_plan(found.folder)
    parts = {"images": plan.source or {}, "features": plan.settings.model_dump(mode="json")}
    return Origin(FORMAT, Identity("features", None, {"data": plan.dataset_digest}, parts))


def _largest(trials: Sequence[Trial], features: int, classes: int) -> Trial | None:
    """Which trial will win is not known ahead; the largest is assumed."""
    return max(trials, key=lambda each: parameters(each, features, classes), default=None)


def _bytes(trials: Sequence[Trial], features: int, classes: int) -> int:
    return sum(4 * parameters(each, features, classes) + _BYTES_OF_EPOCH * each.epochs for each in trials)
