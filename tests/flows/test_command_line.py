"""The command line as a user meets it: quick help, one-line errors, exit statuses, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.__main__ import main
from tests.command_line import FOREIGN, Told, flows
from tests.image_files import write_images
from tests.processes import REPOSITORY
from tests.small_profile import SMALL


def process(*arguments: str, expect: int = 0, **environment: str) -> Told:
    """Python as a process of its own, with these arguments and variables."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-3000:]
    return Told(done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path) -> dict[str, str]:
    return {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }


def one_line(told: Told) -> str:
    lines = told.stderr.strip().splitlines()
    assert len(lines) == 1, told.stderr
    assert lines[0].startswith("probeflow: ")
    return lines[0]


def files_in(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "command",
    [(), *((name,) for name in ("try", "new", "run", "plan", "features", "predict", "promote", "reproduce", "doctor"))],
)
def test_help_imports_nothing_heavy(command):
    """The import list stands in for the second: it does not depend on how busy the machine is."""
    told = process("-X", "importtime", "-m", "flows", *command, "--help")
    imported = set(re.findall(r"\|\s+([\w.]+)$", told.stderr, flags=re.MULTILINE))
    assert not imported & {"prefect", "mlflow", "torch", "numpy", "pydantic", "sklearn", "pandas"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "mine"], "unknown profile 'mine'; known: embedded, reference"),
        (["run", "--only", "everything"], "unknown node 'everything'; known: digits, patches, fc8"),
        (["plan", "--only", "depth"], "unknown node 'depth'; known: digits, patches, fc8"),
        (["run", "--chunks", "2"], "workers: 2 chunks need a work pool to run on; name one"),
        (["run", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["work", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["deploy", "--pool", "gpu", "--limit", "0"], "--limit 0: a pool must be let run one at least"),
        (["deploy", "--pool", "gpu"], "work pool 'gpu' needs a Prefect server that its workers share: start one with"),
        (["run", "--set", "studies.activations.variants.sgd.grid.activation=[gelu]"], "'gelu'"),
        (["run", "--set", "features.fc8.batch_size=-1"], "features.fc8.batch_size: input should be greater than 0"),
        (["run", "--set", "data.patches.source=cifar11"], "'cifar11'"),
        (["try", "/absent", "--weights", "random"], "'/absent' not found"),
        (["new", "/absent/mine.yaml"], "/absent is no folder; make it first"),
        (["run", "mine.yaml"], "unrecognized argument mine.yaml; did you mean --profile-file mine.yaml?"),
        (["run", "--profile-file", "/absent.yaml"], "profile file /absent.yaml: cannot be read"),
    ],
)
def test_a_bad_argument_gets_one_line_and_leaves_nothing(arguments, message, home):
    assert message in one_line(flows(*arguments, expect=2, **home))
    assert files_in(home["PROBEFLOW_DATA"]) == []


@pytest.fixture
def served(home, prefect_server) -> dict[str, str]:
    """With a Prefect server that is there already, for tests that are not about starting one."""
    return home | {"PREFECT_API_URL": prefect_server["PREFECT_API_URL"]}


def test_a_file_that_is_taken_for_an_option_is_told_how_to_be_given(tmp_path, monkeypatch, capsys):
    (tmp_path / "-rf.jpg").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["probeflow", "predict", "-rf.jpg"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith("required: IMAGES; put -- before names such as -rf.jpg\n")


@pytest.mark.slow
def test_data_that_cannot_be_had_gets_one_line(served):
    arguments = ["--profile", "reference", "--set", "data.images.classes=[car, dog]"]
    told = process("-m", "flows", "run", "--only", "exploration", *arguments, expect=2, **served)
    assert "CIFAR-10 has no class 'car'" in one_line(told)
    told = flows("run", "--only", "hidden_units", "--profile", "reference", expect=2, **served)
    assert "no public address: give its path, set PROBEFLOW_MIRROR" in one_line(told)
    assert files_in(served["PROBEFLOW_DATA"]) == []


def test_missing_weights_get_one_line_before_anything_is_computed(served, tmp_path):
    write_images(tmp_path / "pets", ("a", "b"), 12)
    nowhere = served | {"PROBEFLOW_MIRROR": (tmp_path / "mirror").as_uri()}
    told = flows("run", "--only", "features", "--set", "features.fc8.weights=imagenet", expect=2, **nowhere)
    assert "no ImageNet weights" in one_line(told)
    told = flows("try", str(tmp_path / "pets"), expect=2, **nowhere)
    assert "no ImageNet weights" in one_line(told)
    assert "--weights-file PATH" in one_line(told)
    assert "--weights random" in one_line(told)
    assert [
        path for path in files_in(served["PROBEFLOW_DATA"]) if "features" in path.parts and "part-" in path.name
    ] == []


@pytest.mark.slow
def test_try_goes_from_a_folder_of_images_to_the_report(served, tmp_path):
    write_images(tmp_path / "pets", ("a", "b"), 40)
    arguments = (str(tmp_path / "pets"), "--weights", "random", "--layer", "fc8", "--quick")
    told = flows("try", *arguments, **served)
    assert re.search(r"^pets: 80 images of 2 classes$", told.stdout, re.MULTILINE)
    (profile,) = re.findall(r"^this run as a profile: (\S+)$", told.stdout, re.MULTILINE)
    assert "All of it is there: a run computes nothing." in flows("plan", "--profile-file", profile, **served).stdout
    for name in ("data", "look (exploration)", "fc8 (features)", "heads (sweep)", "map (map)", "report"):
        begun, ended = re.findall(rf"^\d\d:\d\d:\d\d {re.escape(name)}: (.*)$", told.stdout, re.MULTILINE)
        assert begun == "begins"
        assert ended.endswith(" s]")
    for name in ("look", "fc8", "heads", "map"):
        (picture,) = re.findall(rf"^\d\d:\d\d:\d\d {name}: first picture (\S+)$", told.stdout, re.MULTILINE)
        assert Path(picture).read_text().startswith("<?xml")
    report = re.search(r"^report +(\S+)$", told.stdout, re.MULTILINE)
    assert report is not None
    assert Path(report[1]).is_file()


def test_new_writes_a_profile_that_loads_and_overwrites_none(home, tmp_path):
    file, pets = tmp_path / "mine.yaml", tmp_path / "my pets"
    assert "profile 'mine'" in flows("new", str(file), "--images", str(pets), **home).stdout
    assert str(pets) in file.read_text()
    assert "mine.yaml is there already" in one_line(flows("new", str(file), expect=2, **home))
    bundled = tmp_path / "2nd try.yaml"
    flows("new", str(bundled), **home)
    planned = flows("plan", "--profile-file", str(bundled), **home).stdout
    assert "profile 2nd-try" in planned
    assert re.search(r"^heads +sweep +to do ", planned, re.MULTILINE)


def test_places_that_cannot_be_written_get_one_line(home, tmp_path):
    (tmp_path / "file").touch()
    for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS"):
        told = flows("run", expect=2, **(home | {name: str(tmp_path / "file" / "x")}))
        assert "is a file, not a folder" in one_line(told)


def test_unreadable_images_are_named_or_set_aside_by_option(served, tmp_path):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    (pets / "a" / "bad.png").write_text("no image")
    folder = ["--only", "exploration", "--set", "data.patches.source=folder", "--set", f"data.patches.path={pets}"]
    assert "e.g. a/bad.png (not an image" in one_line(flows("run", *folder, expect=2, **served))
    told = flows("run", *folder, "--quarantine", **served)
    assert "1 unreadable image(s) quarantined: a/bad.png" in told.stdout


@pytest.mark.integration
@pytest.mark.stack
def test_the_pipeline_file_runs_as_a_script_and_the_command_line_reports(home):
    variables = {"PROBEFLOW_DATA__PATCHES__STRIDE": "32", "PROBEFLOW_FEATURES__FC8__INPUT_SIZE": "64"}
    for study in ("ACTIVATIONS", "HIDDEN_UNITS", "LEARNING_RATES", "CLASSIFIER"):
        variables[f"PROBEFLOW_STUDIES__{study}__SEEDS"] = "[0, 1]"
        variables[f"PROBEFLOW_STUDIES__{study}__BASELINES"] = "[majority]"
    variables["PROBEFLOW_STUDIES__CLASSIFIER__VARIANTS__MLP__BASE__EPOCHS"] = "3"
    for study, setting in (("HIDDEN_UNITS", "hidden: [[5], [20]]"), ("LEARNING_RATES", "learning_rate: [0.1, 0.01]")):
        for variant in ("STUDY", "SGD"):
            variables[f"PROBEFLOW_STUDIES__{study}__VARIANTS__{variant}__GRID"] = f"{{{setting}}}"
    process(str(REPOSITORY / "flows" / "pipeline.py"), **home, **variables)
    told = process("-m", "flows", "run", **home, **variables)
    assert told.stderr == ""
    assert "RANDOM weights (seed 0)" in told.stdout
    assert " version 1: " in told.stdout


@pytest.fixture
def small_file(tmp_path) -> str:
    """The small profile as a file."""
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(SMALL))
    return str(file)


def test_plan_says_what_nodes_would_do_in_which_chunks_and_does_nothing(home, small_file):
    variables = home | {"PROBEFLOW_POOL": "gpu", "PROBEFLOW_CHUNKS": "2", "PROBEFLOW_CHUNK_IMAGES": "200"}
    only = ("--only", "hidden_units", "--only", "fc8")
    told = flows("plan", "--profile-file", small_file, *only, **variables)
    assert told.stderr == ""
    assert re.search(r"^hidden_units +sweep +to do +4 +0 +4 ", told.stdout, re.MULTILINE)
    assert re.search(r"^fc8 +features +to do +5 +5 ", told.stdout, re.MULTILINE)
    assert "hidden_units: nothing of it is recorded yet" in told.stdout
    for name in ("hidden_units", "fc8"):
        assert re.findall(rf"^{name} +(. of 2) ", told.stdout, re.MULTILINE) == ["1 of 2", "2 of 2"]
    assert files_in(home["PROBEFLOW_DATA"]) == []


def test_doctor_says_what_works_and_how_to_fix_the_rest(home, tmp_path):
    assert "FIX" not in flows("doctor", **home).stdout
    told = flows("doctor", "--profile", "reference", expect=1, PROBEFLOW_MIRROR=tmp_path.as_uri(), **home)
    for subject in ("mnist", "letters", "images", "fc8"):
        assert re.search(rf"^FIX +{subject} ", told.stdout, flags=re.MULTILINE), told.stdout
