"""A first look at data: counts, samples and components that follow from the images, with labels or without."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from lib.graph import ready_node
from lib.places import Places
from lib.profile import parse_profile
from lib.studies.exploration import ExplorationResult
from tests.image_files import write_images


def explored(folder, data, **settings):
    profile = parse_profile(
        {"name": "mine", "data": {"mine": data}, "studies": {"look": {"kind": "exploration", "on": "mine"} | settings}}
    )
    where = Places(data=folder / "data", mlruns=folder / "mlruns", tracking_uri="")
    return ready_node(profile, "look", where).run()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return explored(tmp_path_factory.mktemp("look"), {"source": "digits"}, grid=9, scatter=200)


def test_images_are_counted_by_split_and_class(digits):
    result = digits.result
    together = np.sum([list(of.values()) for of in result.counts.values()], axis=0)
    np.testing.assert_array_equal(together, np.bincount(load_digits().target))
    assert result.images == len(load_digits().target)
    assert result.shapes == (((8, 8), 1797),)


def test_the_components_are_those_of_the_scattered_rows(digits):
    result = digits.result
    assert len(result.scattered) == len(result.points) == 200
    points = np.array(result.points)
    # Principal components are uncorrelated, and the first has the larger variance.
    covariance = np.cov(points.T)
    assert covariance[0, 0] > covariance[1, 1]
    assert abs(covariance[0, 1]) < 1e-3 * covariance[1, 1]
    everything = PCA(2).fit(load_digits().data).explained_variance_ratio_
    np.testing.assert_allclose(result.explained_variance, everything, atol=0.03)


def test_the_figures_and_the_table_are_there(digits):
    assert [figure.file for figure in digits.figures] == ["samples.svg", "pca.svg", "classes.svg"]
    for figure in digits.figures:
        root = ElementTree.parse(digits.folder / "figures" / figure.file).getroot()
        assert min(float(size) for size in root.attrib["viewBox"].split()[2:]) > 100
    assert (digits.folder / "tables" / "classes.csv").read_text().splitlines()[0] == "split,class,images"


def test_what_is_shown_says_how_many_of_what(digits):
    shown = digits.present()
    assert shown.headline == "1,797 images, 10 classes of 174 to 183 images"
    assert "all images are 8x8 in grey" in shown.sections[0].body
    assert shown.parent.metrics["explained_variance_2d"] == pytest.approx(sum(digits.result.explained_variance))


def test_images_of_several_shapes_share_one_plane(tmp_path):
    folder = write_images(tmp_path / "pets", ("a", "b"), 12)
    for number, (mode, size) in enumerate((("L", (8, 8)), ("RGB", (40, 20)), ("RGB", (6, 6)))):
        Image.effect_noise(size, 90).convert(mode).save(folder / "a" / f"other-{number}.png")
    result = explored(tmp_path, {"source": "folder", "path": str(folder)}).result
    assert result.shapes[0] == ((8, 8, 3), 25)
    assert result.distinct_shapes == 3
    assert len(result.points) == sum(result.counts["train"].values())


def test_images_without_labels_are_looked_at_as_well(tmp_path):
    folder = write_images(tmp_path, ("images",), 20) / "images"
    record = explored(tmp_path, {"source": "folder", "path": str(folder)})
    result = record.result
    assert isinstance(result, ExplorationResult)
    assert not result.labelled
    assert result.images == 20
    assert "20 images, no labels" in record.present().headline
    assert [figure.file for figure in record.figures] == ["samples.svg", "pca.svg", "classes.svg"]
