"""Every command and every piece of Python in README and docs is run: here in one place in order, or by a test that is named.

A command that is written and not listed here fails; so does one that is listed and not written.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from lib.backbones import find_backbone
from lib.backbones.random_weights import random_network
from lib.features.sets import found_sets
from lib.places import places
from lib.tracking.registry import registered_names
from lib.tracking.store import connect
from tests.command_line import FOREIGN, flows
from tests.docs.pages import PAGES, blocks, commands
from tests.feature_sets import WIDTH, write_feature_set
from tests.processes import REPOSITORY

PROBEFLOW = ".venv/bin/probeflow"


@dataclass(frozen=True)
class Place:
    """A folder in which commands run as in a checkout, with images, data and records of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str, **environment: str) -> str:
        """What a command prints; it must end well. One of ours runs in this process, which has what it imports."""
        environment = self.environment | environment
        program, *words = shlex.split(command)
        if program == PROBEFLOW:
            own = {name: value for name, value in environment.items() if name.startswith(FOREIGN)}
            with chdir(self.folder):
                told = flows(*words, **own)
            return told.stdout + told.stderr
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def feature_set(self, dataset: str) -> str:
        """The beginning of the digest of a dataset's set."""
        found = [each for each in found_sets(self.folder / "data" / "features") if each.folder.parent.name == dataset]
        return found[0].digest[:12]

    def run_of(self, node: str, position: int = 0) -> str:
        """The id of a node's own run in MLflow, the latest first."""
        tracking = connect(places(self.environment))
        experiment = tracking.client.get_experiment_by_name(f"probeflow/{node}")
        runs = [
            run for run in tracking.all_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
        ]
        return sorted(runs, key=lambda run: -run.info.start_time)[position].info.run_id


@dataclass(frozen=True)
class Run:
    """A command that is run as it is written.

    Attributes
    ----------
    says : str
        A pattern of what it prints.
    small : mapping of str to str
        Variables that make it quick, or take the place of a download.
    put : mapping of str to callable
        What is written for a placeholder in capitals.
    """

    says: str
    small: Mapping[str, str] = field(default_factory=dict)
    put: Mapping[str, Callable[[Place], str]] = field(default_factory=dict)

    def check(self, command: str, place: Place) -> None:
        for name, found in self.put.items():
            command = re.sub(rf"\b{name}\b", found(place), command)
        assert re.search(self.says, place.run(command, **self.small), re.MULTILINE), command


WEIGHTS = {
    "PROBEFLOW_FEATURES__POOL5__WEIGHTS_FILE": "weights.safetensors",
    "PROBEFLOW_FEATURES__POOL5__INPUT_SIZE": "64",
}
MINE = WEIGHTS | {
    f"PROBEFLOW_STUDIES__HEADS__{setting}": value
    for setting, value in (
        ("SEEDS", "[0, 1]"),
        ("BASELINES", "[majority, logistic]"),
        ("VARIANTS__LINEAR__SEARCH__CONFIGURATIONS", "2"),
        ("VARIANTS__LINEAR__BASE__EPOCHS", "10"),
        ("VARIANTS__MLP__SEARCH__CONFIGURATIONS", "2"),
        ("VARIANTS__MLP__BASE__EPOCHS", "10"),
    )
}
CONTROLS = WEIGHTS | {
    "PROBEFLOW_FEATURES__CONTROL__INPUT_SIZE": "64",
    "PROBEFLOW_STUDIES__IMAGENET__VARIANTS__LINEAR__SEARCH__CONFIGURATIONS": "2",
    "PROBEFLOW_STUDIES__RANDOM__VARIANTS__LINEAR__SEARCH__CONFIGURATIONS": "2",
}
EMBEDDED = {"PROBEFLOW_DATA__PATCHES__STRIDE": "32", "PROBEFLOW_FEATURES__FC8__INPUT_SIZE": "64"}
ACTIVATIONS = {"PROBEFLOW_STUDIES__ACTIVATIONS__VARIANTS__SGD__BASE__EPOCHS": "3"}
LETTERS = {
    f"PROBEFLOW_STUDIES__{study}__{setting}": value
    for study in ("HIDDEN_UNITS", "LEARNING_RATES")
    for setting, value in (
        ("SEEDS", "[0, 1]"),
        ("BASELINES", "[majority]"),
        ("VARIANTS__STUDY__BASE__EPOCHS", "2"),
        ("VARIANTS__SGD__BASE__EPOCHS", "2"),
    )
}
REFERENCE = LETTERS | {
    "PROBEFLOW_FEATURES__FC8__INPUT_SIZE": "64",
    "PROBEFLOW_STUDIES__ACTIVATIONS__VARIANTS__SGD__BASE__EPOCHS": "1",
    "PROBEFLOW_STUDIES__ACTIVATIONS__VARIANTS__SGD__BASE__HIDDEN": "[16]",
    "PROBEFLOW_STUDIES__ACTIVATIONS__BASELINES": "[majority]",
    "PROBEFLOW_STUDIES__ACTIVATIONS__SEEDS": "[0, 1]",
    "PROBEFLOW_STUDIES__CLASSIFIER__SEEDS": "[0, 1]",
    "PROBEFLOW_STUDIES__CLASSIFIER__VARIANTS__MLP__BASE__EPOCHS": "1",
    "PROBEFLOW_STUDIES__CLASSIFIER__VARIANTS__MLP__BASE__HIDDEN": "[16]",
    "PROBEFLOW_STUDIES__CLASSIFIER__VARIANTS__MLP__GRID": "{learning_rate: [0.001]}",
    "PROBEFLOW_STUDIES__CLASSIFIER__BASELINES": "[majority]",
    "PROBEFLOW_STUDIES__MAP__SAMPLE": "200",
}

NEWCOMER: dict[str, Run] = {
    f"{PROBEFLOW} new mine.yaml --images pets": Run("^mine.yaml: profile 'mine'"),
    f"{PROBEFLOW} plan --profile-file mine.yaml": Run("^heads +sweep +to do", WEIGHTS),
    f"{PROBEFLOW} plan --profile reference": Run("^letters +letters +to do"),
}
"""Quick, in this order."""

OWN_IMAGES: dict[str, Run] = {
    f"{PROBEFLOW} run --profile-file mine.yaml": Run("^report +/.*report.html$", MINE),
    f"{PROBEFLOW} run --profile-file mine.yaml --quarantine": Run("^report +/.*report.html$", MINE),
    f"{PROBEFLOW} run --profile-file controls.yaml": Run("^random +#.*RANDOM weights", CONTROLS),
    f"{PROBEFLOW} run --profile-file mine.yaml --only heads --set 'studies.heads.seeds=[0, 1, 2, 3]'": Run(
        r"heads \(sweep\): .*4 seeds", MINE
    ),
    f"{PROBEFLOW} report": Run("report.html"),
    f"{PROBEFLOW} compare RUN OTHER": Run(
        "^seeds? ", put={"RUN": lambda place: place.run_of("heads"), "OTHER": lambda place: place.run_of("heads", 1)}
    ),
    f"{PROBEFLOW} history": Run(r"^page  .*history\.html$"),
    f"{PROBEFLOW} reproduce RUN": Run("same to the last bit", put={"RUN": lambda place: place.run_of("look")}),
    f"{PROBEFLOW} reproduce RUN --keep again": Run(
        "same to the last bit", put={"RUN": lambda place: place.run_of("look")}
    ),
    f"{PROBEFLOW} promote": Run(r"^  version 1 \(champion\)"),
    f'{PROBEFLOW} promote 2 --reason "checked by hand"': Run("version 2 .*checked by hand"),
    f'{PROBEFLOW} promote --rollback --reason "fails on new images"': Run("version 1 .*fails on new images"),
    f"{PROBEFLOW} predict 'more/**/*.jpg' --csv labels.csv": Run(r"^4 image\(s\) in.*written to labels.csv$"),
    f"{PROBEFLOW} predict more --top 2": Run("^file,label,confidence,label_2,confidence_2,error$"),
    f"{PROBEFLOW} export pets.onnx": Run("^onnxruntime's probabilities of 8 test images differ from ours by at most "),
    f"{PROBEFLOW} predict 'more/**/*.jpg' --csv labels.csv --model MODEL": Run(
        "^by probeflow-pets-", put={"MODEL": lambda place: registered_names(connect(places(place.environment)))[0]}
    ),
}
"""After the same profile as the quick ones, in this order."""

BUILT_IN: dict[str, Run] = {
    f"{PROBEFLOW} plan --set features.fc8.layer=fc7 --set 'studies.classifier.seeds=[0, 1]'": Run(
        "^fc8 +features +to do"
    ),
    f"PROBEFLOW_FEATURES__FC8__LAYER=fc7 {PROBEFLOW} plan --only classifier": Run("^classifier +sweep +to do"),
    f"{PROBEFLOW} run --only features": Run("^fc8 +.*AlexNet fc8, RANDOM weights", EMBEDDED),
    f"{PROBEFLOW} run --only exploration --only features": Run("^exploration +.* images, 2 classes", EMBEDDED),
    f"{PROBEFLOW} run --only activations --set studies.activations.standardise=true": Run("^activations ", ACTIVATIONS),
    f"{PROBEFLOW} features": Run("photo-patches"),
    f"{PROBEFLOW} features SET": Run("AlexNet fc8", put={"SET": lambda place: place.feature_set("photo-patches")}),
    f"{PROBEFLOW} verify": Run("^  whole: "),
    f"{PROBEFLOW} resume SET": Run("AlexNet fc8", put={"SET": lambda place: place.feature_set("photo-patches")}),
    f"{PROBEFLOW} run --profile reference --only hidden_units --only learning_rates": Run("^learning_rates ", LETTERS),
    f"{PROBEFLOW} run --profile reference --set features.fc8.weights=random --set data.images.source=folder "
    "--set data.images.path=images/cifar10-airplane-automobile-jpeg.tar": Run("^report +/.*report.html$", REFERENCE),
}
"""On data that comes with scikit-learn, and on the reference study's, in this order."""

_STACK = (
    "tests/integration/test_containers.py::test_down_and_up_again_loses_nothing_and_a_run_that_is_done_computes_nothing"
)
_CONTAINERS = "tests/integration/test_containers.py::test_the_documented_command_runs_a_profile_and_shows_its_end"
_SERVICES = "tests/deploy/test_compose.py::test_without_docker_the_commands_are_those_of_the_services"
_POOL = "tests/integration/test_pool_on_s3.py::test_features_made_by_a_worker_elsewhere_are_what_they_are_inline"
_SET_UP = "tests/integration/test_deployments.py::test_set_up_makes_all_that_prefect_yaml_describes_and_says_so"
_DEPLOYED = (
    "tests/integration/stack/test_pipelines.py::"
    "test_a_profile_through_the_pools_shows_what_an_inline_run_shows_whatever_was_killed"
)
_TEMPLATE = "tests/flows/test_kubernetes.py::test_nothing_is_left_to_fill_in_and_a_deployment_may_change_it"
_NODES = (
    "tests/flows/test_kubernetes.py::test_a_job_has_one_gpu_on_a_gpu_node_a_shared_volume_and_secrets_only_by_reference"
)
_SERVED = (
    "tests/lib/tracking/test_labelling.py::"
    "test_both_models_load_in_a_clean_process_and_score_alike_the_champion_as_mlflow_serves_it"
)

ELSEWHERE = {
    "make run": "tests/flows/test_command_line.py::test_the_pipeline_file_runs_as_a_script_and_the_command_line_reports",
    f"{PROBEFLOW} try pets/": "tests/flows/test_command_line.py::test_try_goes_from_a_folder_of_images_to_the_report",
    "make test": "tests/docs/test_doc_pages.py::test_a_target_of_make_is_in_the_menu_and_runs_what_there_is",
    "make ui": "tests/integration/test_browser.py::test_ui_opens_both_and_prefect_s_pages_ask_their_own_server",
    "make stack": _STACK,
    "make stack-down": _STACK,
    "docker compose exec worker-cpu prefect deployment run pipeline/on-demand --param profile=embedded --watch": _CONTAINERS,
    "docker compose logs --follow worker-cpu worker-chunks": "tests/integration/test_containers.py::"
    "test_logs_hold_no_secret_no_health_check_and_no_complaint_about_git",
    "docker compose cp worker-cpu:/data/studies studies": "tests/integration/test_containers.py::"
    "test_records_know_their_commit_and_version_and_mlflow_has_each_run_once",
    "set -a; . ./.env; set +a": _SERVICES,
    "sudo --preserve-env -u postgres psql -f deploy/databases.sql": _SERVICES,
    ".venv/bin/python -m prefect server start --host 127.0.0.1 --port 4200": _SERVICES,
    ".venv/bin/python -m mlflow server --app-name basic-auth --host 127.0.0.1 --port 5000": _SERVICES,
    ".venv/bin/python -m flows set-up": _SERVICES,
    ".venv/bin/python -m flows work --pool cpu --limit 8": _SERVICES,
    ".venv/bin/python -m flows work --pool gpu": _SERVICES,
    "export PREFECT_API_URL=http://HOST:4200/api": _SET_UP,
    "export PREFECT_API_URL=http://HOST:4200/api PROBEFLOW_DATA=/shared/probeflow": _POOL,
    ".venv/bin/prefect server start --host 0.0.0.0": _POOL,
    f"{PROBEFLOW} deploy --pool gpu": _POOL,
    f"{PROBEFLOW} work --pool gpu": _POOL,
    f"{PROBEFLOW} run --pool gpu": _POOL,
    f"{PROBEFLOW} plan --pool gpu --chunks 4": "tests/flows/test_command_line.py::"
    "test_plan_says_what_nodes_would_do_in_which_chunks_and_does_nothing",
    f"{PROBEFLOW} set-up": _SET_UP,
    f"{PROBEFLOW} work --pool cpu --limit 8": _DEPLOYED,
    ".venv/bin/prefect deployment run pipeline/on-demand --param profile=reference": _DEPLOYED,
    ".venv/bin/prefect deployment run pipeline/on-demand --param 'only=[\"classifier\"]' "
    "--param 'changes=[\"features.fc8.layer=fc7\"]'": _DEPLOYED,
    "kubectl label node NODE probeflow/pool=gpu": _NODES,
    "kubectl taint node NODE nvidia.com/gpu=present:NoSchedule": _NODES,
    "kubectl -n probeflow create secret generic probeflow --from-literal=PREFECT_API_AUTH_STRING=... "
    "--from-literal=MLFLOW_TRACKING_USERNAME=... --from-literal=MLFLOW_TRACKING_PASSWORD=...": _NODES,
    f"{PROBEFLOW} set-up --template deploy/kubernetes/gpu-pool.json": _TEMPLATE,
    f"{PROBEFLOW} deploy --pool big --template deploy/kubernetes/gpu-pool.json": _TEMPLATE,
    "export PROBEFLOW_DATA=s3://BUCKET/PREFIX AWS_ENDPOINT_URL=https://HOST:9000 AWS_PROFILE=probeflow": "tests/flows/"
    "test_doctor.py::test_doctor_says_whether_the_store_answers",
    f"{PROBEFLOW} doctor": "tests/flows/test_doctor.py::test_doctor_says_whether_the_store_answers",
    ". .venv/bin/activate": _SERVED,
    "export MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db": _SERVED,
    "mlflow models serve -m models:/MODEL@champion --env-manager local -p 5001": _SERVED,
    "curl localhost:5001/invocations -H 'Content-Type: application/json' "
    '-d "{\\"dataframe_records\\": [{\\"image\\": \\"$(base64 -w0 one.jpg)\\"}]}"': _SERVED,
}
"""Commands of servers, containers and clusters -> the test that runs them, or what they reach."""


def test_every_command_is_run_by_a_test_and_no_test_by_a_command_that_is_gone():
    listed = [*NEWCOMER, *OWN_IMAGES, *BUILT_IN, *ELSEWHERE]
    assert len(listed) == len(set(listed))
    written = commands()
    assert {command: page for command, page in written.items() if command not in listed} == {}
    assert set(listed) - set(written) == set()


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_tests_that_are_named_are_there(test):
    file, _, name = test.partition("::")
    assert f"def {name}(" in (REPOSITORY / file).read_text(encoding="utf-8")


def write_pets(folder: Path, count: int, seed: int) -> None:
    """`count` JPEG files of a class, 32x32: stripes across of cats, up and down of dogs, faint in noise."""
    rng = np.random.default_rng(seed)
    for name, axis in (("cat", 0), ("dog", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            wave = 128 + 30 * np.sin(np.arange(32) * rng.uniform(0.8, 1.2) + rng.uniform(0, 6))
            stripes = np.expand_dims(wave, 1 - axis) + rng.normal(0, 40, (32, 32))
            Image.fromarray(np.clip(stripes, 0, 255).astype(np.uint8)).convert("RGB").save(
                folder / name / f"{number}.jpg"
            )


def place_in(folder: Path, environment: Mapping[str, str]) -> Place:
    """A place as a checkout after `make setup`, with the images that docs speak of."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, module in (("probeflow", "-m flows"), ("python", "")):
        script = folder / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        script.chmod(0o755)
    write_pets(folder / "pets", 40, seed=0)
    write_pets(folder / "more", 2, seed=1)
    (folder / "one.jpg").write_bytes((folder / "more" / "cat" / "0.jpg").read_bytes())
    (controls,) = [block for page in PAGES for block in blocks("yaml", page) if "random:\n    kind: sweep" in block]
    (folder / "controls.yaml").write_text(controls)
    foreign = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"PROBEFLOW_DATA": str(folder / "data"), "PROBEFLOW_MLRUNS": str(folder / "mlruns")}
    return Place(folder, clean | {"PYTHONPATH": str(REPOSITORY)} | dict(environment) | own)


def test_quick_commands_run_as_they_are_written(tmp_path):
    place = place_in(tmp_path, {})
    trunk = random_network(find_backbone("alexnet"), 0).features.state_dict()
    save_file({f"features.{name}": each for name, each in trunk.items()}, tmp_path / "weights.safetensors")
    for command, run in NEWCOMER.items():
        run.check(command, place)


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_commands_on_own_images_run_as_they_are_written(tmp_path, prefect_server, shared_data):
    place = place_in(tmp_path, prefect_server)
    weights = shared_data / "weights" / "alexnet-imagenet-features.safetensors"
    (tmp_path / "weights.safetensors").symlink_to(weights)
    place.run(next(iter(NEWCOMER)))
    for command, run in OWN_IMAGES.items():
        run.check(command, place)
    assert (tmp_path / "labels.csv").read_text().count("\n") == 5
    (code,) = [block for page in PAGES for block in blocks("python", page) if "mlflow.pyfunc" in block]
    (tmp_path / "label.py").write_text(f"{code.rstrip()}\nprint(_)\n".replace("model.predict", "_ = model.predict"))
    assert "cat" in place.run(".venv/bin/python label.py")
    (code,) = [block for page in PAGES for block in blocks("python", page) if "onnxruntime" in block]
    (tmp_path / "onnx_label.py").write_text(f"{code}print(label)\n")
    assert "cat" in place.run(".venv/bin/python onnx_label.py")


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_commands_on_built_in_profiles_run_as_they_are_written(tmp_path, prefect_server, shared_data):
    place = place_in(tmp_path, prefect_server | {"PROBEFLOW_MIRROR": shared_data.as_uri()})
    for command, run in BUILT_IN.items():
        run.check(command, place)


def test_python_that_reads_features_runs_as_it_is_written(tmp_path, monkeypatch):
    write_feature_set(tmp_path / "data" / "features" / "photo-patches" / "d1d1", {"train": 400, "test": 100})
    (block,) = [block for page in PAGES for block in blocks("python", page) if "open_feature_set" in block]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block, names)
    assert names["frame"].shape == (100, 3 + WIDTH)
    assert len(names["few"]) == 3


def test_every_piece_of_python_is_run():
    pieces = [block for page in PAGES for block in blocks("python", page)]
    assert len(pieces) == 3, "a new one needs a test here"
