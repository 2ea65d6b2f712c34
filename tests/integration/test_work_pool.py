"""A sweep in chunks on a real Prefect server and a real worker, one chunk killed on the way, beside the same sweep inline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from lib.config import places
from lib.datasets import acquire
from lib.errors import ConfigError
from lib.studies.record import open_record
from lib.studies.sweep import run_sweep
from lib.tracking.store import connect
from tasks.chunks import plan_chunks
from tests.integration.test_servers import REPOSITORY, children, free_port, listens, wait_for
from tests.small_profile import SMALL

pytestmark = pytest.mark.integration
STUDY = "hidden_units"


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """An environment whose Prefect server is the test's own, where this checkout's code comes first."""
    foreign = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }


@contextmanager
def running(environment, log: Path, *arguments: str):
    """A process and its children, which are killed at the block's end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for pid in (*children(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def of_environment(name: str, value: str) -> list[int]:
    """Ids of processes that were started with this variable."""
    wanted = f"{name}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def flows(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done


def without_seconds(runs) -> list[dict]:
    def strip(figures):
        return {name: value for name, value in figures.items() if "seconds" not in name}

    return [
        {"params": run.params, "metrics": strip(run.metrics), "history": list(map(strip, run.history))} for run in runs
    ]


def test_a_sweep_in_chunks_equals_the_same_sweep_inline_though_a_chunk_was_killed(
    environment, tmp_path, small, monkeypatch
):
    monkeypatch.setenv("PROBEFLOW_DATA", environment["PROBEFLOW_DATA"])
    url = environment["PREFECT_API_URL"]
    port = url.rsplit(":", 1)[1].removesuffix("/api")
    settings = [option for each in SMALL for option in ("--set", each)]
    server = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
    with running(environment, tmp_path / "server.log", *server):
        wait_for(lambda: listens(int(port)))
        with temporary_settings({PREFECT_API_URL: url}):
            with pytest.raises(
                ConfigError, match=r"no work pool 'few' with .*; make both with `python -m flows deploy"
            ):
                plan_chunks.fn(STUDY, small.hidden_units, "few", 2)
            for state in ("made", "there already"):
                assert f"work pool  few ({state})" in flows(environment, "deploy", "--pool=few").stdout
            with pytest.raises(
                ConfigError, match=r"no worker online; start one with `.*prefect worker start --pool few"
            ):
                plan_chunks.fn(STUDY, small.hidden_units, "few", 2)
        with (
            running(environment, tmp_path / "worker.log", "prefect", "worker", "start", "--pool=few"),
            temporary_settings({PREFECT_API_URL: url}),
            get_client(sync_client=True) as client,
        ):
            assert len(client.read_automations_by_name("crash lost runs of sweep-chunk/few")) == 1
            wait_for(lambda: client.read_workers_for_work_pool("few"))
            command = ("flows", "sweep", "--study", STUDY, "--pool=few", "--chunks=2", *settings)
            with running(environment, tmp_path / "sweep.log", *command) as sweep:

                def runs():
                    return {run.name: run for run in client.read_flow_runs()}

                first = f"{STUDY} chunk 1 of 2"
                wait_for(lambda: sweep.poll() is not None or (first in runs() and runs()[first].state.is_running()))
                for pid in of_environment("PREFECT__FLOW_RUN_ID", str(runs()[first].id)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                assert sweep.wait(120) == 0, (tmp_path / "sweep.log").read_text()[-3000:]
            done = runs()

            chunks = {
                name: run.state.type.value for name, run in done.items() if name.startswith(STUDY) and "chunk" in name
            }
            assert chunks == {
                first: "CRASHED",
                f"{first}, attempt 2": "COMPLETED",
                f"{STUDY} chunk 2 of 2": "COMPLETED",
            }
            parent = done[f"{STUDY} on digits"].id
            assert {client.read_task_run(done[name].parent_task_run_id).flow_run_id for name in chunks} == {parent}

    where = places(environment)
    (folder,) = (where.studies / STUDY).iterdir()
    record = open_record(folder)
    dataset = acquire(small.hidden_units.data, tmp_path)
    inline = run_sweep(STUDY, small.hidden_units, dataset, tmp_path / "inline")
    assert record.key == inline.key
    assert record.summary == inline.summary
    assert without_seconds(record.children) == without_seconds(inline.children)

    tracked = connect(where).client
    experiment = tracked.get_experiment_by_name(f"probeflow/{STUDY}").experiment_id
    logged = tracked.search_runs([experiment])
    parents = [run for run in logged if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert {run.data.tags.get("mlflow.parentRunId") for run in logged} == {None, parents[0].info.run_id}
    assert len(logged) - 1 == sum(len(arm.trials(small.hidden_units.seeds)) for arm in small.hidden_units.arms.values())
