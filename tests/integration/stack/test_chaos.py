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

from lib.datasets import acquire
from lib.features import extract, open_feature_set
from tests.processes import wait_for
from tests.small_profile import longer_profile
from tests.team import (
    all_runs,
    prefect_worker,
    records,
    require_one_run_each,
    running_chunk,
    start,
    wait_ended,
)

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(3600)]

WORKER = "worker-chunks"
EXTRACTION, SWEEP = "fc8", "hidden_units"
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
"""What is killed, and while a chunk of which node runs."""


def test_every_run_completes_whatever_is_killed(as_user, stack, request, tmp_path):
    data = Path(stack.client["PROBEFLOW_DATA"])
    rounds = ROUNDS[: request.config.getoption("--chaos-rounds")]
    dice = random.Random(0)
    runs, told = [], []
    for number, (victim, node) in enumerate(rounds, 1):
        begun = time.monotonic()
        runs.append(
            start(
                f"chaos round {number}: kill {victim} in {node}", longer_profile(number), ["features", "hidden_units"]
            )
        )
        wait_for(lambda node=node, run=runs[-1]: running_chunk(as_user, [node], run), 120)
        time.sleep(dice.uniform(0, 2))
        if victim == "the worker alone":
            os.kill(prefect_worker(stack.pid(WORKER)), signal.SIGKILL)
            again = ()
        else:
            again = (WORKER if victim == "the worker and its runs" else victim,)
        with stack.killed(*again):
            (ended,) = wait_ended(as_user, [runs[-1]], 600).values()
        assert ended.state.is_completed(), f"round {number}: {ended.state.message}"
        told.append(f"round {number}: {victim} killed in {node}, done after {time.monotonic() - begun:.0f} s")
        sys.stdout.write(f"\n{told[-1]}")
        sys.stdout.flush()

    wait_for(lambda: not [run for run in all_runs(as_user) if run.state.is_running()], 180)  # none is stuck
    unfinished = [run.name for run in all_runs(as_user) if not run.state.is_final() and not run.state.is_scheduled()]
    assert unfinished == []
    require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data)

    made = {open_feature_set(path.parent).digest: path.parent for path in data.glob("features/*/*/manifest.json")}
    for number in range(1, len(rounds) + 1):
        profile = longer_profile(number)
        settings = profile.features["fc8"].extraction
        undisturbed = extract(acquire(profile.data["patches"], tmp_path), settings, tmp_path / "features")
        assert open_feature_set(made[undisturbed.digest]).manifest == undisturbed.manifest
    assert len([study for study, _ in records(data) if study == "hidden_units"]) >= len(rounds)
