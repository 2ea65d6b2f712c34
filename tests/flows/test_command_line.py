"""The command line as a user meets it: quick help, one-line errors, exit statuses, nothing half-written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image_files import write_images
from tests.small_profile import SMALL

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*arguments: str, expect: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROBEFLOW_", "PREFECT_API", "MLFLOW_"))
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-3000:]
    return done


@pytest.fixture
def home(tmp_path) -> dict[str, str]:
    return {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("probeflow: ")
    return lines[0]


def files_in(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "command",
    [(), ("run",), ("plan",), ("features",), ("predict",), ("promote",), ("reproduce",), ("work",), ("doctor",)],
)
def test_help_imports_nothing_heavy(command):
    """The import list stands in for the second: it does not depend on how busy the machine is."""
    done = run("-X", "importtime", "-m", "flows", *command, "--help")
    imported = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert not imported & {"prefect", "mlflow", "torch", "numpy", "pydantic", "sklearn", "pandas"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "mine"], "unknown profile 'mine'; known: embedded, reference"),
        (["run", "--only", "everything"], "unknown stage 'everything'; known: acquire, extract"),
        (["sweep", "--study", "depth"], "unknown sweep 'depth'; known: activations, hidden_units, learning_rates"),
        (["plan", "--study", "depth"], "unknown sweep 'depth'; known: activations, hidden_units, learning_rates"),
        (["sweep", "--chunks", "2"], "workers: 2 chunks need a work pool to run on; name one"),
        (["run", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["extract", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["work", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["deploy", "--pool", "gpu", "--limit", "0"], "--limit 0: a pool must be let run one at least"),
        (["deploy", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["sweep", "--study", "hidden_units", "--study", "depth"], "unknown sweep 'depth'"),
        (["run", "--set", "activations.arms.sgd.grid.activation=[gelu]"], "'gelu'"),
        (["run", "--set", "features.batch_size=-1"], "features.batch_size: input should be greater than 0 (got -1)"),
        (["run", "--set", "images.source=cifar11"], "'cifar11'"),
        (["run", "--profile-file", "/absent.yaml"], "profile file /absent.yaml: cannot be read"),
    ],
)
def test_a_bad_argument_gets_one_line_and_leaves_nothing(arguments, message, home):
    assert message in one_line(run("-m", "flows", *arguments, expect=2, **home))
    assert files_in(home["PROBEFLOW_DATA"]) == []


@pytest.fixture
def served(home, prefect_server) -> dict[str, str]:
    """With a Prefect server that is there already, for tests that are not about starting one."""
    return home | {"PREFECT_API_URL": prefect_server["PREFECT_API_URL"]}


def test_data_that_cannot_be_had_gets_one_line(served, tmp_path):
    arguments = ["--profile", "reference", "--set", "images.source=cifar10", "--set", "images.classes=[car, dog]"]
    done = run("-m", "flows", "run", "--only", "exploration", *arguments, expect=2, **served)
    assert "CIFAR-10 has no class 'car'" in one_line(done)
    done = run("-m", "flows", "sweep", "--study", "hidden_units", "--profile", "reference", expect=2, **served)
    assert "no public address: give its path, set PROBEFLOW_MIRROR" in one_line(done)
    assert files_in(served["PROBEFLOW_DATA"]) == []


def test_missing_weights_get_one_line(served, tmp_path):
    done = run(
        "-m",
        "flows",
        "extract",
        "--set",
        "features.weights=imagenet",
        expect=2,
        PROBEFLOW_MIRROR=tmp_path.as_uri(),
        **served,
    )
    assert "no ImageNet weights" in one_line(done)
    assert "features.weights=random" in one_line(done)


def test_places_that_cannot_be_written_get_one_line(home, tmp_path):
    (tmp_path / "file").touch()
    for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS"):
        done = run("-m", "flows", "run", expect=2, **(home | {name: str(tmp_path / "file" / "x")}))
        assert "is a file, not a folder" in one_line(done)


def test_unreadable_images_are_named_or_set_aside_by_option(served, tmp_path):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    (pets / "a" / "bad.png").write_text("no image")
    folder = ["--only", "exploration", "--set", "images.source=folder", "--set", f"images.path={pets}"]
    assert "e.g. a/bad.png (not an image" in one_line(run("-m", "flows", "run", *folder, expect=2, **served))
    done = run("-m", "flows", "run", *folder, "--quarantine", **served)
    assert "1 unreadable image(s) quarantined: a/bad.png" in done.stdout


@pytest.mark.integration
@pytest.mark.stack
def test_the_pipeline_file_runs_as_a_script_and_the_command_line_reports(home):
    variables = {}
    for assignment in SMALL:
        key, _, value = assignment.partition("=")
        variables["PROBEFLOW_" + key.upper().replace(".", "__")] = value
    run(str(REPOSITORY / "flows" / "pipeline.py"), **home, **variables)
    done = run("-m", "flows", "run", **home, **variables)
    assert done.stderr == ""
    assert "RANDOM weights (seed 0)" in done.stdout
    assert "probeflow-photo-patches version 1" in done.stdout


def test_plan_says_what_the_sweeps_would_do_and_does_nothing(home):
    done = run("-m", "flows", "plan", "--study", "learning_rates", PROBEFLOW_POOL="gpu", PROBEFLOW_CHUNKS="2", **home)
    assert done.stderr == ""
    assert re.search(r"^learning_rates +to do +18 +0 +18 ", done.stdout, re.MULTILINE)
    assert "learning_rates: nothing of it is recorded yet" in done.stdout
    assert set(re.findall(r"^learning_rates +(. of 2) ", done.stdout, re.MULTILINE)) == {"1 of 2", "2 of 2"}
    assert files_in(home["PROBEFLOW_DATA"]) == []


def test_plan_says_what_extraction_would_do_in_which_chunks(home):
    settings = [option for each in (*SMALL, "features.shard_rows=50") for option in ("--set", each)]
    variables = {"PROBEFLOW_POOL": "gpu", "PROBEFLOW_CHUNKS": "2", "PROBEFLOW_CHUNK_IMAGES": "200"}
    told = run("-m", "flows", "plan", *settings, **home, **variables).stdout
    assert re.search(r"^features +to do +10 +10 ", told, re.MULTILINE)
    assert "features of photo-patches, 480 images" in told
    assert re.findall(r"^(. of .) +(\d+) +(\d+)$", told, re.MULTILINE) == [
        ("1 of 2", "5", "250"),
        ("2 of 2", "5", "230"),
    ]
    assert files_in(home["PROBEFLOW_DATA"]) == []


def test_doctor_says_what_works_and_how_to_mend_the_rest(home, tmp_path):
    assert "MEND" not in run("-m", "flows", "doctor", **home).stdout
    done = run("-m", "flows", "doctor", "--profile", "reference", expect=1, PROBEFLOW_MIRROR=tmp_path.as_uri(), **home)
    for subject in ("mnist", "letters", "cifar10", "weights"):
        assert re.search(rf"^MEND +{subject} ", done.stdout, flags=re.MULTILINE), done.stdout
