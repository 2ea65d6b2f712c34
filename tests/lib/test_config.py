"""Profiles: built in, from a file, from the environment, from --set; and one clear line for what is wrong."""

from __future__ import annotations

import pytest
import yaml

from lib.config import ClassifierStudy, Profile, SweepStudy, load_profile, places, profile_names, workers_here
from lib.errors import ConfigError


def test_the_built_in_profiles_are_valid_and_need_what_they_say():
    assert profile_names() == ["embedded", "reference"]
    embedded, reference = (load_profile(name, environment={}) for name in profile_names())
    assert {source.source for source in embedded.sources()} == {"digits", "photo-patches"}
    assert {source.source for source in reference.sources()} == {"mnist", "letters", "cifar10"}
    assert (embedded.features.weights, reference.features.weights) == ("random", "imagenet")


def test_the_reference_profile_has_the_study_s_settings():
    profile = load_profile("reference", environment={})
    (activations,) = profile.activations.arms.values()
    assert activations.base.hidden == (256, 128, 64)
    assert (activations.base.learning_rate, activations.base.epochs) == (0.1, 100)
    units, rates = profile.hidden_units.arms["study"], profile.learning_rates.arms["study"]
    assert [trial.hidden[0] for trial in units.trials((0,))] == [5, 20, 50, 100, 200]
    assert (units.base.optimizer, units.base.learning_rate, units.base.batch_size) == ("adam", 0.01, 1024)
    assert [trial.learning_rate for trial in rates.trials((0,))] == [0.1, 0.01, 0.001]
    assert rates.base.hidden == (4,)
    assert profile.classifier.base.hidden == (512, 256)


def test_every_configuration_has_several_seeds_unless_told_otherwise():
    for name, seeds in (("embedded", 3), ("reference", 5)):
        profile = load_profile(name, environment={})
        studies = (profile.activations, profile.hidden_units, profile.learning_rates, profile.classifier)
        assert {len(study.seeds) for study in studies} == {seeds}
    assert SweepStudy.model_fields["seeds"].default == ClassifierStudy.model_fields["seeds"].default == (0, 1, 2)


def test_later_settings_win_file_then_environment_then_assignment(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: embedded\nname: mine\nfeatures: {layer: fc7, seed: 3, input_size: 100}\n")
    environment = {"PROBEFLOW_FEATURES__SEED": "4", "PROBEFLOW_FEATURES__INPUT_SIZE": "110", "PROBEFLOW_DATA": "/x"}
    profile = load_profile(file=file, assignments=["features.input_size=120"], environment=environment)
    assert (profile.name, profile.features.layer, profile.features.seed, profile.features.input_size) == (
        "mine",
        "fc7",
        4,
        120,
    )
    assert profile.features.weights == "random"


def test_another_source_replaces_the_old_one_whole(tmp_path):
    profile = load_profile(assignments=["images.source=folder", "images.path=pets"], environment={})
    assert (profile.images.source, profile.images.path) == ("folder", "pets")
    (tmp_path / "p.yaml").write_text("extends: embedded\nimages: {source: folder, path: pets}\n")
    assert load_profile(file=tmp_path / "p.yaml", environment={}).images == profile.images


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("images.source=imagenet", "images.*'imagenet'"),
        ("activations.arms.sgd.grid.activation=[relu, gelu]", "'gelu'"),
        ("activations.arms.sgd.base.learning_rate=-1", r"learning_rate: input should be greater than 0 \(got -1\)"),
        ("activations.arms.sgd.base.batch_size=0", "batch_size.*greater than 0"),
        ("hidden_units.arms.sgd.grid.hidden=[[0]]", "hidden.*greater than 0"),
        ("activations.arms.sgd.grid.lr=[1]", "unknown trial setting 'lr'; known: hidden, activation"),
        ("features.input_size=10", "features.input_size: 10 does not fit alexnet, which takes 63 to 1024 pixels"),
        ("features.layer=fc9", "features.layer: .*'fc9'"),
        ("features.device=tpu", "features.device"),
        ("features.weights_file=w.pth", "weights_file 'w.pth' needs weights: imagenet"),
        ("activations.seeds=[1, 1]", "name one seed twice"),
        ("nonsense.x=1", "--set nonsense.x: unknown setting 'nonsense'; known: name, activations"),
        ("images.strid=8", "images.strid: there is no such setting; did you mean 'images.stride'?"),
        (
            "learning_rates.epochs=50",
            r"there is no such setting; did you mean '\S+' or 'learning_rates\.arms\.sgd\.base\.epochs'\?",
        ),
        (
            "tsne.activation=relu",
            r"there is no such setting; did you mean '\S+' or '\S+' or '\S+'\? \(\d+ more have that name",
        ),
        ("features.nonsense=1", "features.nonsense: there is no such setting"),
        ("features", "has no '='"),
        ("tsne.perplexity=0", "tsne.perplexity"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(assignment, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_profile(assignments=[assignment], environment={})
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_names_the_known_ones_and_the_way_to_a_file():
    with pytest.raises(ConfigError, match=r"unknown profile 'mine'; known: embedded, reference; .*--profile-file"):
        load_profile("mine")


def test_an_unknown_variable_is_refused():
    with pytest.raises(ConfigError, match="environment variable PROBEFLOW_FEATURE__SEED: unknown setting 'feature'"):
        load_profile(environment={"PROBEFLOW_FEATURE__SEED": "1"})


@pytest.mark.parametrize("content", [None, "a: [", "- a\n", b"\xff\xfe\x00"])
def test_a_profile_file_that_is_none_is_refused(tmp_path, content):
    file = tmp_path / "p.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="profile file"):
        load_profile(file=file)


def test_a_profile_survives_the_json_that_prefect_sends():
    profile = load_profile("reference", environment={})
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    assert yaml.safe_load(yaml.safe_dump(profile.model_dump(mode="json")))["name"] == "reference"


def test_places_follow_the_environment(tmp_path):
    where = places({"PROBEFLOW_DATA": str(tmp_path / "d"), "PROBEFLOW_MLRUNS": str(tmp_path / "m m")})
    assert where.data == tmp_path / "d"
    assert where.tracking_uri == f"sqlite:///{tmp_path / 'm m' / 'mlflow.db'}"
    assert places({"MLFLOW_TRACKING_URI": "http://h:1"}).tracking_uri == "http://h:1"


def test_workers_come_from_arguments_then_variables_and_change_no_profile():
    environment = {
        "PROBEFLOW_POOL": "gpu",
        "PROBEFLOW_CHUNKS": "4",
        "PROBEFLOW_CHUNK_IMAGES": "500",
        "PROBEFLOW_CHUNK_MINUTES": "30",
    }
    assert workers_here(environment=environment).model_dump() == {
        "pool": "gpu",
        "chunks": 4,
        "chunk_images": 500,
        "chunk_minutes": 30,
    }
    minutes = {"chunk_minutes": 30}
    assert (
        workers_here("cpu", 2, environment).model_dump() == {"pool": "cpu", "chunks": 2, "chunk_images": 500} | minutes
    )
    assert workers_here(environment={}).model_dump() == {"pool": None, "chunks": None, "chunk_images": 20_000} | {
        "chunk_minutes": 360
    }
    assert load_profile(environment=environment) == load_profile(environment={})


@pytest.mark.parametrize(
    ("pool", "chunks", "message"),
    [
        (None, "4", "workers: 4 chunks need a work pool"),
        ("gpu", "0", "workers: chunks: input should be greater than 0"),
        ("gpu", "many", "workers: chunks: "),
    ],
)
def test_workers_that_cannot_be_are_refused(pool, chunks, message):
    with pytest.raises(ConfigError, match=message):
        workers_here(pool, chunks, {})
    with pytest.raises(ConfigError, match="workers: chunk_images: "):
        workers_here(environment={"PROBEFLOW_CHUNK_IMAGES": "few"})


def test_a_mirror_may_be_a_path_and_is_refused_where_nothing_is_fetched(tmp_path):
    assert places({"PROBEFLOW_MIRROR": str(tmp_path)}).mirror == tmp_path.as_uri()
    assert places({"PROBEFLOW_MIRROR": "https://host/data"}).mirror == "https://host/data"
    with pytest.raises(ConfigError, match="PROBEFLOW_MIRROR is 'ftp://host': ftp is not fetched from"):
        places({"PROBEFLOW_MIRROR": "ftp://host"})
