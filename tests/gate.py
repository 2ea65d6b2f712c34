"""The gate before the registry, with classifiers that differ in nothing but the test images they are right on."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from lib.evaluation.intervals import wilson
from lib.studies.predictions import FILE, Predictions, save_predictions
from lib.tracking.promotion import consider
from lib.tracking.records import log_record
from lib.tracking.registry import Registry


def empty_model(tracking, run_id, *_):
    """A logged model without files: the gate looks at none."""
    run = tracking.client.get_run(run_id)
    return tracking.client.create_logged_model(run.info.experiment_id, source_run_id=run_id).model_id


class Gate:
    def __init__(self, tracking, where, photos, settings, classified, folder):
        self.tracking, self.where, self.photos, self.settings = tracking, where, photos, settings
        self.classified, self.folder = classified, folder
        self.name = f"probeflow-{folder.name.replace('_', '-')[-40:]}"
        self.registry = Registry(tracking, self.name)
        self.labels = photos.splits["test"].labels

    def record(self, title, right, told=True, **summary):
        """A record of a classifier that is right on just the images of the mask `right`."""
        folder = self.folder / title
        shutil.copytree(self.classified.folder, folder, ignore=shutil.ignore_patterns("trials", FILE))
        if told:
            predicted = np.where(right, self.labels, 1 - self.labels)
            said = {"network": np.eye(2)[predicted]}
            save_predictions(folder, Predictions(self.photos.digest, self.labels, said, chosen="network"))
        share = wilson(int(right.sum()), len(right))
        figures = {
            "test_accuracy": share.estimate,
            "test_accuracy_low": share.low,
            "test_accuracy_high": share.high,
        }
        final = self.classified.summary["final"] | figures
        return replace(
            self.classified,
            folder=folder,
            children=(),
            figures=(),
            tables=(),
            summary=self.classified.summary | {"final": final} | summary,
            parent=replace(self.classified.parent, key=f"{self.name} {title}", metrics=figures),
            model=replace(self.classified.model, registered_name=self.name),
        )

    def consider(self, record, photos=None, settings=None):
        run = log_record(self.tracking, record, {})
        return consider(
            self.tracking, record, run.info.run_id, photos or self.photos, settings or self.settings, self.where
        )

    @property
    def aliases(self):
        return {alias: each.number for each in self.registry.versions() for alias in each.aliases}


def right_on(*ranges):
    """Which of the 96 test images are recognised: those of the ranges."""
    mask = np.zeros(96, bool)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask
