"""The gate before the registry, with networks that differ in nothing but the test images they are right on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.features.config import FeatureSettings
from lib.studies.record import Identity, StudyFolder
from lib.studies.study import Input, Record, kind_named
from lib.studies.sweep.answers import Answer, Judged, Model
from lib.studies.sweep.predictions import Predictions, save_predictions
from lib.studies.sweep.result import SweepResult, Verdict
from lib.tracking.promotion import Decision, consider
from lib.tracking.records import log_record
from lib.tracking.registry import Registry, model_name
from lib.tracking.store import Tracking
from tests.records import WholeRun


def empty_model(tracking: Tracking, run_id: str, *_: Any) -> str:
    """A logged model without files: the gate looks at none."""
    run = tracking.client.get_run(run_id)
    return str(tracking.client.create_logged_model(run.info.experiment_id, source_run_id=run_id).model_id)


class Gate:
    """The gate for a study of a run, before a registered model of its own."""

    def __init__(self, tracking: Tracking, run: WholeRun, study: str, folder: Path) -> None:
        self.tracking, self.where, self.folder = tracking, run.where, folder
        self.trained: Record[SweepResult] = run.records[study]
        on = run.input(study)
        self.on = replace(on, dataset=replace(on.dataset, name=folder.name))
        self.extraction: FeatureSettings | None = run.extraction(study)
        self.name = model_name(self.on.dataset)
        self.registry = Registry(tracking, self.name)
        test = on.dataset.splits["test"]
        self.judged = Judged(test.labels, test.groups)

    def record(
        self,
        title: str,
        right: npt.NDArray[np.bool_],
        known: bool = True,
        dataset_digest: str | None = None,
        **changes: Any,
    ) -> Record[SweepResult]:
        """A record of a network that is right on just the images of the mask `right`, sealed as any is.

        Without `known` the predictions for single images are not kept. `changes` are of the result.
        """
        labels, classes = self.judged.labels, len(self.trained.dataset.classes)
        result = _only_best(self.trained.result)
        predicted = np.where(right, labels, (labels + 1) % classes)
        of = result.models[0]
        answer = Answer("network", of.scores[0].seed, np.eye(classes)[predicted], 1.0)
        model = Model(of.role, 0, 0, (answer,), of.tuning, of.trials).scored(self.judged)
        digest = dataset_digest or self.trained.dataset.digest
        identity = Identity(
            "sweep",
            f"{self.folder.name[:40]}",
            kind_named("sweep").version,
            {"title": title, "known": known},
            {"on": digest},
        )
        folder = StudyFolder(self.folder / "studies", identity)
        folder.path.mkdir(parents=True)
        for file in ("network.safetensors", "example.safetensors"):
            shutil.copy(self.trained.folder / file, folder.path)
        if known:
            save_predictions(
                folder.path,
                Predictions(digest, labels, {"network": answer.probabilities}, self.judged.groups, "network"),
            )
        whole = result.model_copy(update={"models": (model,), **changes})
        return folder.seal(whole, replace(self.trained.dataset, digest=digest))

    def log(self, record: Record[SweepResult]) -> str:
        """The MLflow run that shows it."""
        return str(log_record(self.tracking, record, {}).info.run_id)

    def consider(
        self, record: Record[SweepResult], on: Input | None = None, extraction: FeatureSettings | None = None
    ) -> Decision:
        """Log it and put it before the gate."""
        run_id = self.log(record)
        return consider(self.tracking, record, run_id, on or self.on, extraction or self.extraction, self.where)

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> version."""
        return {alias: each.number for each in self.registry.versions() for alias in each.aliases}

    def right_on(self, *ranges: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which of the test images are recognised: those of the ranges."""
        mask = np.zeros(len(self.judged.labels), bool)
        for start, stop in ranges:
            mask[start:stop] = True
        return mask


def _only_best(result: SweepResult) -> SweepResult:
    """The sweep as if it had tried its best configuration alone, with one seed: little to log."""
    best, chosen = result.configurations[result.best], result.models[result.chosen]
    one_seed = result.settings.model_copy(update={"seeds": result.settings.seeds[:1], "axis": None})
    return result.model_copy(
        update={
            "settings": one_seed,
            "configurations": (best.model_copy(update={"trials": best.trials[:1], "rank": 1}),),
            "best": 0,
            "judgement": result.judgement.model_copy(update={"verdict": Verdict.ONLY, "rivals": ()}),
            "steps": (),
            "explored": (),
            "representations": (result.representations[chosen.representation],),
            "models": (
                chosen.model_copy(update={"trials": chosen.trials[:1], "configuration": 0, "representation": 0}),
            ),
            "chosen": 0,
            "leads": (),
            "calibration": result.calibration[:1],
            "remarks": (),
        }
    )
