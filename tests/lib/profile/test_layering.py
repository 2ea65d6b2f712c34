"""From text to a profile: a file over a built-in profile, variables over both, `--set` over all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lib.errors import ConfigError
from lib.profile import is_built_in, load_profile, parse_profile, profile_names

PETS = """
name: pets
data:
  pets: {source: folder, path: /data/pets}
studies:
  look: {kind: exploration, on: pets}
"""


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    file = tmp_path / "pets.yaml"
    file.write_text(PETS, encoding="utf-8")
    return file


def load(file: Path, *assignments: str, **variables: str) -> object:
    return load_profile(file=file, assignments=assignments, environment=variables)


@pytest.mark.parametrize("name", ["embedded", "reference"])
def test_the_built_in_profiles_are_graphs_and_know_themselves(name: str) -> None:
    assert name in profile_names()
    profile = load_profile(name, environment={})
    assert is_built_in(profile)
    assert not is_built_in(load_profile(name, assignments=["studies.map.seed=7"], environment={}))


def test_an_unknown_profile_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown profile 'mine'; known: embedded, reference"):
        load_profile("mine")


def test_a_file_changes_the_profile_that_it_extends(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(
        "extends: embedded\nname: small\nfeatures: {fc8: {layer: pool5}}\nstudies:\n  map: null\n"
        "  hidden_units: {variants: {sgd: null, study: "
        "{search: {configurations: 4, space: {hidden: [[5], [9], [20], [50]]}}}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match=r"studies\.hidden_units\.variants\.sgd"):
        load_profile(file=file, environment={})
    file.write_text(file.read_text(encoding="utf-8").replace("sgd: null, ", ""), encoding="utf-8")
    profile = load_profile(file=file, environment={})
    assert profile.features["fc8"].layer == "pool5"
    assert profile.features["fc8"].weights == "random", "what is not said stays"
    assert "map" not in profile.studies, "a node that is set to nothing goes"
    study = profile.studies["hidden_units"].variants["study"]
    assert study.search is not None
    assert not study.grid, "a search takes the place of the grid"


def test_a_node_of_another_kind_replaces_the_former_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "extends: embedded\nname: own\ndata: {patches: {source: folder, path: /data/x}}\n", encoding="utf-8"
    )
    assert load_profile(file=file, environment={}).data["patches"].model_dump()["path"] == "/data/x"


def test_variables_come_before_assignments_and_reach_any_path(pets: Path) -> None:
    variables = {
        "PROBEFLOW_NAME": "by-variable",
        "PROBEFLOW_DATA__PETS__PATH": "/by/variable",
        "PROBEFLOW_STUDIES__LOOK__GRID": "9",
        "PROBEFLOW_POOL": "gpu",
    }
    profile = load(pets, "studies.look.grid=4", **variables)
    assert profile.name == "by-variable"
    assert profile.data["pets"].path == "/by/variable"
    assert profile.studies["look"].grid == 4


def test_a_source_may_be_set_before_or_after_its_settings(pets: Path) -> None:
    changes = ["data.pets.path=/data/shards", "data.pets.source=webdataset", "data.pets.unreadable=quarantine"]
    for order in (changes, changes[::-1]):
        source = load(pets, *order).data["pets"]
        assert (source.source, source.path, source.unreadable) == ("webdataset", "/data/shards", "quarantine")
    variables = {"PROBEFLOW_DATA__PETS__PATH": "/data/shards", "PROBEFLOW_DATA__PETS__SOURCE": "webdataset"}
    assert load(pets, **variables).data["pets"].path == "/data/shards"


@pytest.mark.parametrize("text", ["p #2", "2024", "no", "pets: mine", "1e5", "~", "[a]", "null ", " x", "a=b", "*x"])
def test_a_setting_that_is_text_is_the_text_as_it_was_given(pets: Path, text: str) -> None:
    assert load(pets, f"data.pets.path={text}").data["pets"].path == text


@pytest.mark.parametrize(
    "text", ["2024", "no", "null", "~", "~/x", "2024-05-01", "1.50", "1e3", "010", "0x1F", "1_000", "1:30", "=", "p $x"]
)
def test_what_is_text_in_a_file_is_as_it_is_written_without_quotes(pets: Path, text: str) -> None:
    content = PETS.replace("path: /data/pets", f"path: {text}, classes: [a, {text}, 'no # b']")
    pets.write_text(content.replace("name: pets", "name: 1.50"), encoding="utf-8")
    profile = load(pets)
    assert profile.name == "1.50"
    assert (profile.data["pets"].path, profile.data["pets"].classes) == (text, ("a", text, "no # b"))


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("[no, 1]", ("no", "1")),
        ("no, 1,", ("no", "1")),
        ("[a #1, b: c, $x, *, ~, {x}]", ("a #1", "b: c", "$x", "*", "~", "{x}")),
        ("""['a, b', "c d", it's]""", ("a, b", "c d", "it's")),
    ],
)
def test_texts_stand_between_commas_and_quotes_keep_a_comma(pets: Path, text: str, classes: tuple[str, ...]) -> None:
    assert load(pets, f"data.pets.classes={text}").data["pets"].classes == classes
    assert load(pets, PROBEFLOW_DATA__PETS__CLASSES=text).data["pets"].classes == classes


def test_a_whole_node_s_texts_are_as_they_are_written(pets: Path) -> None:
    source = load(pets, "data.pets={source: folder, path: 2024-05-01, classes: [no, 1], seed: 010}").data["pets"]
    assert (source.path, source.classes, source.seed) == ("2024-05-01", ("no", "1"), 10)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("data.pets={source: folder, path: /x/photos #2}", "--set data.pets: .* cannot be read .*put quotes"),
        (
            "data.photos={source: digits}",
            "--set data.photos: there is no data.photos, and nothing would use it; .*: pets",
        ),
        ("data.pets.path=caf\udce9", r"data.pets.path: 'caf\\udce9' is no UTF-8"),
    ],
)
def test_a_text_that_would_be_lost_is_refused(pets: Path, assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(pets, assignment)


@pytest.mark.parametrize("emptied", ["data={}", "data=", "data=5", "studies=[]", "studies={}"])
def test_a_new_node_whose_group_is_replaced_later_is_no_defect(pets: Path, emptied: str) -> None:
    group = emptied.partition("=")[0]
    with pytest.raises(ConfigError):
        load(pets, f"{group}.new.classes=a,b", emptied, "data.pets.path=")


def test_a_group_may_be_replaced_after_a_node_was_set(pets: Path) -> None:
    profile = load(pets, "studies.x.on=pets", "studies={y: {kind: exploration, on: pets}}")
    assert list(profile.studies) == ["y"]


def test_other_settings_are_read_as_what_they_are(pets: Path) -> None:
    profile = load(pets, "data.pets.classes=[no, 2024, yes]", "data.pets.test_fraction=1e-1", "data.pets.seed=7")
    source = profile.data["pets"]
    assert source.classes == ("no", "2024", "yes")
    assert (source.test_fraction, source.seed) == (0.1, 7)
    assert load(pets, "data.pets.classes=null").data["pets"].classes is None


def test_grids_and_whole_nodes_are_set_by_assignments(pets: Path) -> None:
    profile = load(
        pets,
        "studies.heads={kind: sweep, on: pets, variants: {a: {base: {hidden: [8]}, grid: {learning_rate: [0.1, 1e-2]}}}}",
        "studies.heads.seeds=[4, 5]",
        "studies.heads.variants.a.grid.l2=[0, 0.5]",
    )
    heads = profile.studies["heads"]
    assert heads.seeds == (4, 5)
    assert heads.variants["a"].combinations()[1] == {"learning_rate": 0.1, "l2": 0.5}


def test_a_setting_that_is_misspelt_is_looked_for_where_it_stands_before_anywhere_else(pets: Path) -> None:
    base = "{hidden: [8], epoch: 25}"
    with pytest.raises(ConfigError) as caught:
        load(pets, f"studies.heads={{kind: sweep, on: pets, rungs: [], variants: {{a: {{base: {base}}}}}}}")
    at = "studies.heads.variants.a.base"
    told = f"{at}.epoch: there is no such setting; did you mean '{at}.epochs'?"
    assert str(caught.value) == f"profile 'pets': {told}"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("data.pets.pth=/x", r"data\.pets\.pth: there is no such setting; did you mean 'data\.pets\.path'"),
        ("dta.pets.path=/x", r"--set dta\.pets\.path: unknown setting 'dta'"),
        ("data.pets.path", "has no '='"),
        (
            "studies.look.decode=full",  # of the very name elsewhere, and only somewhat alike here
            r"studies.look.decode: there is no such setting; did you mean 'data.pets.decode'\?",
        ),
        ("studies.look.scater=5", r"did you mean 'studies.look.scatter'\?"),
        (
            "data.petz.decode=full",
            r"--set data.petz.decode: there is no data.petz; did you mean data.pets\? A new one needs source=...$",
        ),
        ("features.birds.layer=fc7", r"there is no features.birds; there are: .* A new one needs of=...$"),
        (
            "studies.lok.scatter=5",
            r"there is no studies.lok; did you mean studies.look\? A new one needs kind=...$",
        ),
    ],
)
def test_what_is_misspelt_is_told_with_what_was_meant(pets: Path, assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(pets, assignment)


def test_nodes_may_share_settings_by_yaml_s_anchors(tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    file.write_text(
        PETS + "  more: &more {kind: exploration, on: pets, grid: 4}\n  most: {<<: *more, grid: 9}\n", "utf-8"
    )
    studies = load(file).studies
    assert [studies[name].grid for name in ("more", "most")] == [4, 9]


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(PETS + "  look: {kind: exploration, on: pets, grid: 4}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'look' is given twice"):
        load(file)


def test_files_that_are_no_profile_are_refused_in_one_line(tmp_path: Path) -> None:
    for name, text in (
        ("list.yaml", b"- a\n"),
        ("broken.yaml", b"a: [\n"),
        ("latin.yaml", "name: caf\xe9".encode("latin-1")),
    ):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_a_byte_order_mark_is_no_part_of_a_profile(pets: Path) -> None:
    pets.write_bytes(b"\xef\xbb\xbf" + PETS.encode())
    assert load(pets).name == "pets"


def test_the_reference_profile_has_the_study_s_settings() -> None:
    studies = load_profile("reference", environment={}).studies
    (activations,) = studies["activations"].variants.values()
    assert activations.base.hidden == (256, 128, 64)
    assert (activations.base.learning_rate, activations.base.epochs) == (0.1, 100)
    units, rates = studies["hidden_units"].variants["study"], studies["learning_rates"].variants["study"]
    assert [trial.hidden[0] for trial in units.trials((0,))] == [5, 20, 50, 100, 200]
    assert (units.base.optimizer, units.base.learning_rate, units.base.batch_size) == ("adam", 0.01, 1024)
    assert [trial.learning_rate for trial in rates.trials((0,))] == [0.1, 0.01, 0.001]
    assert rates.base.hidden == (4,)
    assert studies["classifier"].variants["mlp"].base.hidden == (512, 256)


def test_every_configuration_of_the_built_in_profiles_has_several_seeds() -> None:
    for name, seeds in (("embedded", 3), ("reference", 5)):
        studies = load_profile(name, environment={}).studies.values()
        assert {len(study.seeds) for study in studies if study.kind == "sweep"} == {seeds}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("data.patches.source=imagenet", "data.patches.source: there is no such source"),
        ("studies.activations.variants.sgd.grid.activation=[relu, gelu]", "'gelu'"),
        ("studies.activations.variants.sgd.base.learning_rate=-1", r"learning_rate: input should be greater than 0"),
        ("studies.activations.variants.sgd.base.batch_size=0", "batch_size.*greater than 0"),
        ("studies.hidden_units.variants.sgd.grid.hidden=[[0]]", "hidden.*greater than 0"),
        ("studies.activations.variants.sgd.grid.lr=[1]", "unknown trial setting 'lr'; known: hidden, activation"),
        ("studies.activations.variants.sgd.grid.init=[he, he]", "init: the value he is given twice"),
        ("features.fc8.input_size=10", r"features.fc8.input_size: 10 does not fit alexnet"),
        ("features.fc8.layer=fc9", "features.fc8.layer: .*'fc9'; it has: "),
        ("features.fc8.backbone=resnet19", "features.fc8.backbone: unknown backbone 'resnet19'; there are: alexnet"),
        ("features.fc8.device=tpu", "features.fc8.device"),
        ("features.fc8.weights_file=w.pth", "weights_file 'w.pth' needs weights: imagenet"),
        ("studies.activations.seeds=[1, 1]", "seeds: the value 1 is given twice; keep one"),
        ("studies.activations.axis=lr", "axis 'lr' is no trial setting; known: hidden"),
        ("studies.classifier.baselines=[svm]", r"studies.classifier.baselines \(entry 1\)"),
        ("data.patches.strid=8", "data.patches.strid: there is no such setting; did you mean 'data.patches.stride'?"),
        ("studies.map.perplexity=0", "studies.map.perplexity"),
        ("studies.map.epochs=3", "studies.map.epochs: there is no such setting; did you mean"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_profile(assignments=[assignment], environment={})
    assert "\n" not in str(caught.value)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="environment variable PROBEFLOW_FEATURE__FC8: unknown setting 'feature'"):
        load_profile(environment={"PROBEFLOW_FEATURE__FC8": "1"})


def test_a_profile_survives_the_json_that_prefect_sends() -> None:
    for name in profile_names():
        profile = load_profile(name, environment={})
        assert parse_profile(json.loads(profile.model_dump_json())) == profile
        assert parse_profile(yaml.safe_load(yaml.safe_dump(profile.model_dump(mode="json")))) == profile


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("data.pets.path=", "data.pets.path: is empty; give a path or an address"),
        ("data.pets.path=  ", "data.pets.path: is empty; give a path or an address"),
        ("data.pets.seed=true", "data.pets.seed: true is a truth value; give a number"),
        ("data.pets.test_fraction=false", "data.pets.test_fraction: false is a truth value; give a number"),
    ],
)
def test_an_empty_path_and_a_truth_value_for_a_number_are_refused(pets: Path, setting: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(pets, setting)


@pytest.mark.parametrize(
    "setting",
    ["activations.seeds=[0, true]", "activations.variants.tanh.base.epochs=true", "map.seed=true"],
)
def test_no_number_of_a_study_is_a_truth_value(setting: str) -> None:
    with pytest.raises(ConfigError, match="true is a truth value; give a number"):
        load_profile("embedded", assignments=[f"studies.{setting}"], environment={})


def test_an_empty_weights_file_is_refused(pets: Path) -> None:
    nodes = "features:\n  f: {of: pets, backbone: alexnet, weights_file: ''}\n"
    pets.write_text(PETS + nodes, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"features\.f\.weights_file: is empty; give a file, or leave it out"):
        load(pets)


_LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: p\ndata: &d\n  pets: *d\n", "an alias contains itself"),
        ("name: &d [*d]\n", "an alias contains itself"),
        (_LAUGHS, "its aliases make more than 100,000 values"),
        ("name: " + "[" * 5000, "nested too deeply"),
        (f"name: [{'x, ' * 5000}]\n", "input should be a valid string"),
    ],
)
def test_a_file_whose_aliases_or_values_are_endless_is_one_short_line(pets: Path, text: str, problem: str) -> None:
    pets.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem) as told:
        load(pets)
    assert len(str(told.value)) < 1000
