"""What the machine did while a node computed: sampled by MLflow's monitors, kept in the record's folder, shown in its run."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from prefect.logging import disable_run_logger

from lib.errors import ConfigError
from lib.files import write_json
from lib.graph import ready_node
from lib.places import places
from lib.profile import parse_profile
from lib.studies.record import open_record
from lib.tracking.records import log_record
from lib.tracking.store import connect
from lib.tracking.system_metrics import sampled, system_metrics
from tasks import node as tasks
from tasks.tracking import require_store
from tests.small_profile import SMALL

PROFILE = {"name": "look", "data": {"digits": SMALL["data"]["digits"]}} | {
    "studies": {"look": {"kind": "exploration", "on": "digits", "scatter": 100}}
}
MONITORS = "mlflow.system_metrics.metrics."


@pytest.fixture
def psutil():
    return pytest.importorskip("psutil", reason="psutil is not installed: make setup does")


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PROBEFLOW_MLRUNS", str(tmp_path / "mlruns"))
    monkeypatch.setenv("PROBEFLOW_SYSTEM_METRICS", "1")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    with disable_run_logger():
        yield


def kept(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("system-*")]


def test_a_node_s_run_has_the_samples_of_the_time_it_computed(psutil, wanted):
    profile = parse_profile(PROFILE)
    begun = time.time()
    record = open_record(Path(tasks.run_here.fn(profile, "look")))
    ended = time.time()
    tracking = connect(places())
    run = log_record(tracking, record, {})
    memory = tracking.client.get_metric_history(run.info.run_id, "system/system_memory_usage_megabytes")
    assert {point.step for point in memory} == set(range(len(memory)))
    assert all(1000 * begun <= point.timestamp <= 1000 * ended for point in memory)
    assert all(0 < point.value < psutil.virtual_memory().total / 1e6 for point in memory)
    shown = {name for name in run.data.metrics if name.startswith("system/")}
    assert {"system/cpu_utilization_percentage", "system/network_receive_megabytes"} < shown
    files = kept(record.folder)
    tasks.run_here.fn(profile, "look")  # finds the record
    assert kept(record.folder) == files


def test_a_worker_s_samples_of_a_chunk_are_kept_where_the_record_will_be(psutil, wanted):
    settings = {"kind": "sweep", "on": "digits", "seeds": [0, 1], "variants": {"sgd": {"base": {"epochs": 40}}}}
    node = ready_node(parse_profile(PROFILE | {"studies": {"heads": settings}}), "heads", places())
    work = node.work()
    tasks.do.fn(dict(node.profile), "heads", [0], work.key)
    assert len(kept(node.folder.path)) == 1
    assert {metric.key for metric in system_metrics(node.folder.path)} > {"system/cpu_utilization_percentage"}


def test_off_and_of_a_block_that_fails_nothing_is_kept(psutil, wanted, tmp_path, monkeypatch):
    def fail():
        time.sleep(0.2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), sampled(tmp_path):
        fail()
    monkeypatch.delenv("PROBEFLOW_SYSTEM_METRICS")
    record = Path(tasks.run_here.fn(parse_profile(PROFILE), "look"))
    assert kept(tmp_path) == kept(record) == []


def test_long_courses_are_means_of_stretches_and_each_machine_has_its_own(psutil, wanted, tmp_path):
    with sampled(tmp_path):
        time.sleep(0.2)
    (name,) = kept(tmp_path)
    content = json.loads((tmp_path / name).read_text())
    sample = content["samples"][0]
    cpu = "cpu_utilization_percentage"
    shares = np.random.default_rng(0).uniform(0, 100, 200)
    samples = [
        {"time": 10.0 * at, "metrics": sample["metrics"] | {cpu: share}} for at, share in enumerate(shares.tolist())
    ]
    write_json(tmp_path / name, content | {"samples": samples})
    points = [each for each in system_metrics(tmp_path) if each.key == f"system/{cpu}"]
    assert [(each.step, each.timestamp) for each in points] == [(at, 20_000 * at + 5_000) for at in range(100)]
    np.testing.assert_allclose([each.value for each in points], shares.reshape(100, 2).mean(axis=1))
    write_json(tmp_path / "system-other.json", content | {"machine": "Anna's"})
    machines = {each.key.removeprefix("system/").rpartition("/")[0] for each in system_metrics(tmp_path)}
    assert machines == {content["machine"], "Anna-s"}, "MLflow takes no apostrophe"


@pytest.mark.parametrize("content", ['{"machine": "here", "sam', "[1]", '{"machine": "here"}', b"\xff"])
def test_a_damaged_file_of_samples_is_left_out(psutil, wanted, tmp_path, content):
    with sampled(tmp_path):
        time.sleep(0.2)
    whole = system_metrics(tmp_path)
    (tmp_path / "system-0.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert system_metrics(tmp_path) == whole
    assert whole


@pytest.mark.parametrize("seconds", ["ten", "0", "-1", "nan", "inf"])
def test_a_time_between_samples_that_is_none_is_named_before_a_run_begins(psutil, wanted, monkeypatch, seconds):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", seconds)
    with pytest.raises(ConfigError, match=f"^MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL is '{seconds}'; give seconds"):
        require_store()


def test_what_is_missing_is_named_before_a_run_begins(wanted, monkeypatch):
    for name in ("cpu_monitor", "disk_monitor", "network_monitor"):
        monkeypatch.delitem(sys.modules, MONITORS + name, raising=False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ConfigError, match=r"^PROBEFLOW_SYSTEM_METRICS needs the package psutil: pip install psutil"):
        require_store()
    monkeypatch.setenv("PROBEFLOW_SYSTEM_METRICS", "yes")
    with pytest.raises(ConfigError, match=r"^PROBEFLOW_SYSTEM_METRICS is 'yes'; give 1"):
        require_store()
