"""The profile that `try` runs and `new` writes: it loads, fits the images, and is never written over anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.errors import ConfigError, StorageError
from lib.profile import load_profile
from lib.profile.starter import budget_for, profile_of, source_of, starter_text, write_starter


def starter_profile(images, count, pixels, *options, **more):
    return profile_of(starter_text(Path("mine.yaml"), "pets", images, count, pixels, *options, **more))


@pytest.mark.parametrize("images", [None, "pets", "s3://bucket/pets", 'p #2: "mine"', "data/train.parquet"])
def test_what_is_written_loads_as_it_is(images, tmp_path):
    file = tmp_path / "1 of mine.yaml"
    written = write_starter(file, images)
    loaded = load_profile(file=file, environment={})
    assert loaded == written
    assert loaded.name == "1-of-mine"
    assert [node.kind for node in loaded.graph.recorded] == ["features", "exploration", "inspection", "sweep", "map"]
    (source,) = loaded.data.values()
    if images is None:
        assert source.source == "photo-patches"
    else:
        assert source.path.endswith(images)
        assert "://" in images or source.path.startswith("/")
    with pytest.raises(ConfigError, match="is there already; give another name"):
        write_starter(file, images)
    with pytest.raises(StorageError, match="is no folder; make it first"):
        write_starter(tmp_path / "absent" / "mine.yaml", images)


def test_comments_stand_two_spaces_after_what_they_explain(tmp_path):
    write_starter(tmp_path / "mine.yaml", None)
    lines = (tmp_path / "mine.yaml").read_text().splitlines()
    explained = [line for line in lines if " # " in line and not line.lstrip().startswith("#")]
    assert explained
    assert all(line[line.index(" # ") - 1] == " " != line[line.index(" # ") - 2] for line in explained)


def test_more_images_have_fewer_passes_and_a_quick_look_has_one_seed():
    epochs = [budget_for(images).epochs for images in (100, 3_001, 20_001, 10_000_000)]
    assert epochs == sorted(epochs, reverse=True)
    quick = starter_profile("/data/pets", 500, (32, 32, 3), quick=True).studies["heads"]
    whole = starter_profile("/data/pets", 500, (32, 32, 3)).studies["heads"]
    assert quick.seeds == (0,)
    assert whole.variants["linear"].search.configurations == 40 > quick.variants["linear"].search.configurations
    assert whole.variants["linear"].base.hidden == ()
    assert whole.test
    assert whole.baselines == ("majority", "logistic", "knn")


@pytest.mark.parametrize(
    ("pixels", "also_on"),
    [((32, 32, 3), ("images",)), ((512, 512, 3), ()), (None, ())],
    ids=["small", "large", "several"],
)
def test_raw_pixels_are_tried_as_well_where_images_have_one_small_size(pixels, also_on):
    assert starter_profile("/data/pets", 500, pixels).studies["heads"].also_on == also_on


def test_new_and_try_ask_for_the_same(tmp_path):
    written = write_starter(tmp_path / "mine.yaml", "/data/pets", 300, (32, 32, 3), "own.pth")
    tried = starter_profile("/data/pets", 300, (32, 32, 3), weights_file="own.pth")
    assert written == tried.model_copy(update={"name": "mine"})


def test_few_images_get_a_map_that_their_rows_can_have():
    settings = starter_profile("/data/pets", 30, None).studies["map"]
    assert settings.perplexity < settings.sample < 30


def test_the_layer_names_its_feature_set_and_weights_of_a_file_are_not_random():
    profile = starter_profile("/data/pets", 500, None, "random", layer="fc7")
    assert profile.features["fc7"].extraction.weights == "random"
    assert profile.studies["heads"].on == "fc7"
    assert starter_profile("/data/pets", 500, None, weights_file="a b.pth").features["pool5"].weights_file == "a b.pth"
    with pytest.raises(ConfigError, match=r"features\.pool5"):
        starter_profile("/data/pets", 500, None, "random", "weights.pth")


def test_parquet_files_are_read_as_such():
    assert source_of("hf://data/train.parquet")["source"] == "parquet"
    assert source_of("pets.tar") == {"source": "folder", "path": "pets.tar"}
