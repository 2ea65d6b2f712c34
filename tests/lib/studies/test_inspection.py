"""Planted wrong labels, near duplicates and outliers are found, within and across splits; where nothing is, it says so."""

from __future__ import annotations

import csv
import doctest
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from lib.errors import ConfigError
from lib.evaluation.projections import random_directions
from lib.graph import check_graph, ready_node
from lib.places import Places
from lib.profile import parse_profile
from lib.studies import inspection, likeness
from lib.studies.inspection import InspectionResult, Judging
from lib.studies.record import open_record
from lib.studies.study import Record
from tests.image_files import write_images

POOL5 = {"of": "mine", "layer": "pool5", "weights": "random", "input_size": 64}

ONE = {"learning_rates": [0.001], "l2": [1]}
"""One network a fold."""


def inspected(folder: Path, data: dict[str, Any], features: bool = False, **settings: Any) -> Record[InspectionResult]:
    profile = parse_profile(
        {
            "name": "mine",
            "data": {"mine": data},
            "features": {"pool5": POOL5} if features else {},
            "studies": {"look": {"kind": "inspection", "on": "pool5" if features else "mine"} | settings},
        }
    )
    where = Places(data=folder / "data", mlruns=folder / "mlruns", tracking_uri="")
    check_graph(profile, list(profile.graph.nodes), where)
    if features:
        ready_node(profile, "pool5", where).run()
    return ready_node(profile, "look", where).run()


@pytest.fixture(scope="module")
def flipped(tmp_path_factory) -> tuple[Record[InspectionResult], set[str]]:
    """scikit-learn's digits as files, one in twenty in the folder of another digit; and the names of these."""
    folder, rng = tmp_path_factory.mktemp("flipped"), np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    wrong = rng.choice(len(labels), len(labels) // 20, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    for number, (pixels, label) in enumerate(zip(images, given, strict=True)):
        path = folder / "digits" / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8)).save(path)
    for number in range(3):  # black on white
        Image.fromarray(255 - (images[number].reshape(8, 8) * 15.9).astype(np.uint8)).save(
            folder / "digits" / str(number) / f"black-{number}.png"
        )
    record = inspected(folder, {"source": "folder", "path": str(folder / "digits")})
    return record, {f"{number:04}" for number in wrong}


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> tuple[Record[InspectionResult], dict[str, str]]:
    """Patches of two photographs; files that are changed copies of others, by what they are of."""
    folder = tmp_path_factory.mktemp("copied")
    copies: dict[str, str] = {}
    changes = {
        "recompressed": lambda image: image,
        "smaller": lambda image: image.resize((24, 24)),
        "larger": lambda image: image.resize((96, 96)),
        "cropped": lambda image: image.crop((1, 1, 47, 47)).resize((48, 48)),
    }
    for name in ("china", "flower"):
        photograph = Image.fromarray(load_sample_image(f"{name}.jpg"))
        corners = [(x, y) for y in range(0, 378, 48) for x in range(0, 590, 48)]
        for number, at in enumerate(corners):
            split = "test" if number % 4 == 3 else "train"
            path = folder / "patches" / split / name / f"{number:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            patch = photograph.crop((*at, at[0] + 48, at[1] + 48))
            if np.asarray(patch).std() < 30:  # plain sky, of which all patches look alike
                continue
            patch.save(path, quality=95)
            if split == "train" and number % 8 == 1:
                change = list(changes)[len(copies) % len(changes)]
                copy = path.parents[2] / ("train" if len(copies) % 3 else "test") / name / f"{change}-{number:03}.jpg"
                changes[change](patch).save(copy, quality=60)
                copies[f"{name}/{copy.name}"] = f"{name}/{path.name}"
    record = inspected(folder, {"source": "folder", "path": str(folder / "patches")})
    return record, copies


def short(name: str) -> str:
    return "/".join(name.split("/")[-2:])


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(inspection).failed == 0


def test_of_planted_wrong_labels_of_digits_four_in_five_are_found_and_few_others(flipped):
    record, wrong = flipped
    found = {Path(each.name).stem for each in record.result.labels.found}
    recall, precision = len(found & wrong) / len(wrong), len(found & wrong) / len(found)
    assert recall > 0.78
    assert precision > 0.8


def test_suspected_labels_have_the_digit_that_was_there_first(flipped):
    record, wrong = flipped
    truth = load_digits().target
    planted = [each for each in record.result.labels.found if Path(each.name).stem in wrong]
    right = [record.result.classes[each.suggested] == str(truth[int(Path(each.name).stem)]) for each in planted]
    assert np.mean(right) > 0.9
    assert all(each.confidence < each.of_suggested for each in record.result.labels.found)
    assert record.result.labels.images == 1800, "those of the test split, too"


def test_changed_copies_are_found_within_and_across_splits(copied):
    record, copies = copied
    pairs = {frozenset((short(each.name), short(each.of.name))) for each in record.result.duplicates.found}
    assert set(copies) <= set().union(*pairs)
    with_original = [frozenset(pair) in pairs for pair in copies.items()]
    assert np.mean(with_original) > 0.9, "an image of another split that is as near comes first"
    assert len(pairs) <= len(copies) + 3
    crossing = [each for each in record.result.duplicates.found if each.split == "test" and each.of.split == "train"]
    assert len(crossing) == record.result.duplicates.across >= 4
    assert any(str(record.result.duplicates.across) in warning for warning in record.present().warnings)


def test_images_unlike_all_others_are_the_first_outliers(flipped):
    record, _ = flipped
    assert {Path(each.name).stem for each in record.result.outliers.found[:3]} == {"black-0", "black-1", "black-2"}


def test_all_findings_are_in_one_table_with_their_files(flipped):
    record, _ = flipped
    rows = list(csv.DictReader(io.StringIO((record.folder / "tables" / "found.csv").read_text())))
    result = record.result
    assert len(rows) == len(result.labels.found) + len(result.duplicates.found) + len(result.outliers.found)
    first, of = rows[0], result.labels.found[0]
    assert (first["reason"], first["file"], first["class"]) == ("label error", of.name, result.classes[of.label])
    assert first["suggested_class"] == result.classes[of.suggested]
    assert float(first["self_confidence"]) == of.confidence


def test_the_record_is_read_again_as_it_was_made_and_its_notes_are_short(flipped):
    record, _ = flipped
    assert open_record(record.folder) == record
    assert "labels.svg" in [figure.file for figure in record.figures]
    shown = record.present()
    assert f"{len(record.result.labels.found)} labels of 1,800 probably wrong" in shown.headline
    assert max(section.body.count("\n") for section in shown.sections) < record.result.settings.show + 10
    assert shown.parent.metrics["label_errors"] == len(record.result.labels.found)


def test_parts_that_are_not_looked_for_are_not_there(tmp_path):
    result = inspected(tmp_path, {"source": "digits"}, parts=["outliers"]).result
    assert (result.labels, result.duplicates) == (None, None)
    assert result.outliers is not None


@pytest.mark.parametrize(
    ("classes", "count", "judging", "words"),
    [
        (("images",), 20, Judging.NO_LABELS, "Not judged: the images have no labels."),
        (("a", "b"), 3, Judging.TOO_FEW, "Not judged: fewer than two classes have 5 different images"),
    ],
)
def test_labels_that_cannot_be_judged_and_findings_that_are_not_there_are_told(
    tmp_path, classes, count, judging, words
):
    folder = write_images(tmp_path / "pets", classes, count)
    path = folder / "images" if classes == ("images",) else folder
    record = inspected(tmp_path, {"source": "folder", "path": str(path)})
    assert record.result.labels.judging is judging
    bodies = [section.body for section in record.present().sections]
    assert words in bodies[0]
    assert bodies[1].split("\n")[-1] == "No near duplicates."


def test_where_nothing_is_found_there_is_no_picture_and_no_table(tmp_path):
    folder = write_images(tmp_path / "pets", ("a", "b"), 2)
    record = inspected(tmp_path, {"source": "folder", "path": str(folder)})
    assert (record.figures, record.tables) == ((), ())
    assert [section.body.split("\n")[-1] for section in record.present().sections[1:3]] == [
        "No near duplicates.",
        "No outliers.",
    ]


def test_classes_with_too_few_images_are_left_out_by_name(tmp_path):
    folder = write_images(tmp_path / "pets", ("a", "b"), 12)
    write_images(folder / "more", ("rare",), 2)
    (folder / "more" / "rare").rename(folder / "rare")
    (folder / "more").rmdir()
    record = inspected(tmp_path, {"source": "folder", "path": str(folder)}, parts=["labels"], **ONE)
    assert [record.result.classes[label] for label in record.result.labels.left_out] == ["rare"]
    assert record.result.labels.images == 24
    assert "Left out, for they have fewer than 5 different images: rare." in record.present().sections[0].body


def test_patches_of_one_group_are_no_duplicates_and_are_judged_together(tmp_path):
    record = inspected(tmp_path, {"source": "photo-patches", "stride": 16}, **ONE)
    assert record.result.labels.judging is Judging.DONE
    from lib.datasets import acquire
    from lib.datasets.sources import parse_source

    data = acquire(parse_source({"source": "photo-patches", "stride": 16}), tmp_path)
    for each in record.result.duplicates.found:
        assert data.splits[each.split].groups[each.row] != data.splits[each.of.split].groups[each.of.row]


def test_wide_features_are_projected_block_by_block(tmp_path, monkeypatch):
    from lib.features import open_feature_set
    from lib.studies.study import Input

    folder = write_images(tmp_path / "pets", ("a", "b"), 12)
    monkeypatch.setattr(likeness, "_VALUES_AT_ONCE", 9216 * 5)
    monkeypatch.setattr(likeness, "NARROW", 64)
    record = inspected(tmp_path, {"source": "folder", "path": str(folder)}, features=True, parts=["duplicates"])
    assert record.present().warnings[-1] == "the weights of pool5 are RANDOM"
    (sealed,) = (tmp_path / "data" / "features").glob("*/*/manifest.json")
    features = open_feature_set(sealed.parent)
    from lib.datasets import acquire
    from lib.datasets.sources import parse_source

    dataset = acquire(parse_source({"source": "folder", "path": str(folder)}), tmp_path / "data")
    rows = np.array([3, 1, 7, 0, 5, 6, 9])
    found = likeness.rows_to_compare(Input("pool5", dataset, features), [("train", rows)])
    np.testing.assert_allclose(
        found, features.load("train").X[rows] @ random_directions(9216, 64), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"folds": 1}, "folds"), ({"parts": []}, "parts"), ({"parts": ["labels", "labels"]}, "given twice")],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        inspected(tmp_path, {"source": "digits"}, **settings)
