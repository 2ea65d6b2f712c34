"""Chaos on the team's stack: what runs is killed in the middle, round after round, and nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lib.config import load_profile
from lib.datasets import acquire
from lib.features import extract, open_feature_set
from tests.processes import wait_for
from tests.small_profile import SMALL
from tests.team import (
    all_runs,
    kill_tree,
    prefect_worker,
    records,
    require_one_run_each,
    running_chunk,
    start,
    wait_ended,
)

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(3600)]

WORKER = "worker-chunks"
EXTRACTION, SWEEP = "extract-unit", "sweep-chunk"
ROUNDS = [
    ("the worker alone", EXTRACTION),
    ("prefect", SWEEP),
    ("postgres", EXTRACTION),
    ("mlflow", SWEEP),
    ("the worker and its runs", SWEEP),
    ("the worker alone", SWEEP),
    ("prefect", EXTRACTION),
    ("postgres", SWEEP),
    ("mlflow", EXTRACTION),
    ("the worker and its runs", EXTRACTION),
]
"""What is killed, and while a chunk of which flow runs."""


def changes(number: int) -> list[str]:
    """A small profile with work of its own in each round, long enough to be met in the middle."""
    return [
        *SMALL,
        f"images.seed={number}",
        "images.stride=16",
        "features.shard_rows=16",
        "features.batch_size=16",
        f"hidden_units.seeds=[{1000 + number}]",
        "hidden_units.arms.study.base.epochs=250",
        "hidden_units.arms.sgd.base.epochs=250",
    ]


def test_every_run_completes_whatever_is_killed(as_user, stack, request, tmp_path):
    data = Path(stack.client["PROBEFLOW_DATA"])
    rounds = ROUNDS[: request.config.getoption("--chaos-rounds")]
    dice = random.Random(0)
    runs, told = [], []
    for number, (victim, flow) in enumerate(rounds, 1):
        begun = time.monotonic()
        runs.append(
            start(f"chaos round {number}: kill {victim} in {flow}", changes(number), ["extract", "hidden_units"])
        )
        wait_for(lambda flow=flow, run=runs[-1]: running_chunk(as_user, flow, run), 120)
        time.sleep(dice.uniform(0, 2))
        if victim == "the worker and its runs":
            kill_tree(stack.pid(WORKER))
        elif victim == "the worker alone":
            os.kill(prefect_worker(stack.pid(WORKER)), signal.SIGKILL)
        else:
            stack.kill(victim)
        (ended,) = wait_ended(as_user, [runs[-1]], 600).values()
        assert ended.state.is_completed(), f"round {number}: {ended.state.message}"
        told.append(f"round {number}: {victim} killed in {flow}, done after {time.monotonic() - begun:.0f} s")
        sys.stdout.write(f"\n{told[-1]}")
        sys.stdout.flush()

    wait_for(lambda: not [run for run in all_runs(as_user) if run.state.is_running()], 180)  # none is stuck
    unfinished = [run.name for run in all_runs(as_user) if not run.state.is_final() and not run.state.is_scheduled()]
    assert unfinished == []
    require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data)

    made = {open_feature_set(path.parent).digest: path.parent for path in data.glob("features/*/*/manifest.json")}
    for number in range(1, len(rounds) + 1):
        profile = load_profile(assignments=changes(number), environment={})
        undisturbed = extract(acquire(profile.images, tmp_path), profile.features, tmp_path / "features")
        assert open_feature_set(made[undisturbed.digest]).manifest == undisturbed.manifest
    assert len([study for study, _ in records(data) if study == "hidden_units"]) >= len(rounds)
