"""From text to a profile: a file over a built-in profile, variables over both, `--set` over all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.errors import ConfigError
from lib.profile import is_built_in, load_profile, profile_names

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
        "  hidden_units: {variants: {sgd: null, study: {search: {configurations: 4, space: {hidden: [[5], [9], [20], [50]]}}}}}\n",
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


@pytest.mark.parametrize("text", ["p #2", "2024", "no", "pets: mine", "1e5", "~", "[a]", "null ", "", " x", "a=b", "*x"])
def test_a_setting_that_is_text_is_the_text_as_it_was_given(pets: Path, text: str) -> None:
    assert load(pets, f"data.pets.path={text}").data["pets"].path == text


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


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant(pets: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.pets\.pth: there is no such setting; did you mean 'data\.pets\.path'"):
        load(pets, "data.pets.pth=/x")
    with pytest.raises(ConfigError, match="--set dta.pets.path: unknown setting 'dta'"):
        load(pets, "dta.pets.path=/x")
    with pytest.raises(ConfigError, match="has no '='"):
        load(pets, "data.pets.path")


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(PETS + "  look: {kind: exploration, on: pets, grid: 4}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'look' is given twice"):
        load(file)


def test_files_that_are_no_profile_are_refused_in_one_line(tmp_path: Path) -> None:
    for name, text in (("list.yaml", b"- a\n"), ("broken.yaml", b"a: [\n"), ("latin.yaml", "name: caf\xe9".encode("latin-1"))):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_a_byte_order_mark_is_no_part_of_a_profile(pets: Path) -> None:
    pets.write_bytes(b"\xef\xbb\xbf" + PETS.encode())
    assert load(pets).name == "pets"
