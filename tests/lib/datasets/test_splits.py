"""Holding out rows: stratified, groups whole, nothing lost or doubled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lib.datasets import acquire, hold_out, hold_out_rows, require_no_leakage, shared_images
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.images import packed
from lib.datasets.sources import PhotoPatches
from lib.datasets.splits import Shortage, different_images, hold_out_where_possible
from lib.errors import DataError, LeakageError


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), max_size=30), st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_where_possible_classes_without_two_groups_stay_whole_and_so_do_groups(rows, seed):
    labels, groups = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    held = hold_out_where_possible(labels, 0.3, seed, groups)
    kept = np.setdiff1d(np.arange(len(rows)), held)
    assert not np.isin(groups[held], groups[kept]).any()
    assert np.isin(labels[held], labels[kept]).all()
    counts = different_images(labels, 4, groups)
    assert not (counts[labels[held]] < 2).any()


def test_where_possible_is_everywhere_as_a_rule():
    split = grouped_split()
    given = split.labels, 0.2, 0, split.groups, split.image_digests()
    np.testing.assert_array_equal(hold_out_where_possible(*given), hold_out_rows(*given)[1])


@given(st.integers(20, 200), st.integers(2, 5), st.floats(0.1, 0.6), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_every_row_lands_on_one_side_and_classes_keep_their_shares(rows, classes, fraction, seed):
    labels = np.arange(rows) % classes
    kept, held = hold_out_rows(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(rows))
    for label in range(classes):
        members = (labels == label).sum()
        assert abs((labels[held] == label).sum() - fraction * members) <= 1


@given(st.lists(st.binary(min_size=3, max_size=3).map(lambda end: b"\0a\0" + bytes(10) + end), min_size=4, max_size=60))
@settings(deadline=None, max_examples=60)
def test_digests_are_told_apart_by_all_their_bytes_nul_or_not(digests):
    labels = np.arange(len(digests)) % 2
    expected: object = None
    try:
        expected = [rows.tolist() for rows in hold_out_rows(labels, 0.3, 0, [digest.hex() for digest in digests])]
    except DataError as error:
        expected = str(error)
    found: object = None
    try:
        found = [rows.tolist() for rows in hold_out_rows(labels, 0.3, 0, packed(digests))]
    except DataError as error:
        found = str(error)
    assert found == expected

    half = len(digests) // 2
    known = {"train": packed(digests[:half]), "test": packed(digests[half:])}
    data = Dataset("d", ("a", "b"), {}, "", "", _digests=known)
    seen = set(digests[:half])
    assert shared_images(data, "test") == [at for at, digest in enumerate(digests[half:]) if digest in seen]


def test_groups_stay_whole():
    groups = np.repeat(np.arange(20), 9)
    labels = np.repeat(np.arange(2), 90)
    kept, held = hold_out_rows(labels, 0.25, 0, groups)
    assert set(groups[kept]).isdisjoint(groups[held])
    assert len(held) == pytest.approx(45, abs=9)


def former_rows(labels, fraction, seed, groups=None):
    """The choice of rows as it was before duplicates were held together."""
    rng = np.random.default_rng(seed)
    names = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    chosen = np.zeros(names.max(initial=-1) + 1, bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        of_class = rng.permutation(np.unique(names[members]))
        wanted = fraction * len(members)
        sizes = np.cumsum(np.bincount(names[members], minlength=len(chosen))[of_class])
        count = int(np.clip(1 + np.argmin(np.abs(sizes - wanted)), 1, len(of_class) - 1))
        chosen[of_class[:count]] = True
    held = chosen[names]
    return np.flatnonzero(~held), np.flatnonzero(held)


def digits_split() -> Split:
    bunch = load_digits()
    return Split(bunch.images.astype(np.uint8), bunch.target.astype(np.int64))


def random_split() -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (3000, 28, 28), np.uint8), rng.integers(0, 10, 3000))


def grouped_split() -> Split:
    return acquire(PhotoPatches(), Path("unused")).splits["train"]


class TestDuplicates:
    @pytest.mark.parametrize("split", [digits_split, random_split, grouped_split])
    @pytest.mark.parametrize(("fraction", "seed"), [(0.1, 0), (0.25, 0), (0.2, 7)])
    def test_where_there_are_none_the_rows_are_those_of_former_versions(self, split, fraction, seed):
        split = split()
        assert len(np.unique(split.image_digests())) == len(split)
        expected = former_rows(split.labels, fraction, seed, split.groups)
        found = hold_out_rows(split.labels, fraction, seed, split.groups, split.image_digests())
        for mine, former in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, former)
        for part, rows in zip(hold_out(split, fraction, seed), expected, strict=True):
            np.testing.assert_array_equal(part.images, split.images[rows])
            np.testing.assert_array_equal(part.labels, split.labels[rows])

    def test_stay_on_one_side(self):
        split = random_split()
        copies = np.random.default_rng(1).integers(0, len(split), 2000)
        split = Split(
            np.concatenate([split.images, split.images[copies]]), np.concatenate([split.labels, split.labels[copies]])
        )
        kept, held = hold_out(split, 0.2, 0)
        assert not np.isin(held.image_digests(), kept.image_digests()).any()
        assert len(held) == pytest.approx(1000, abs=20)

    @given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 25)), min_size=6, max_size=60), st.integers(0, 5))
    @settings(deadline=None, max_examples=100)
    def test_make_one_of_the_groups_they_join(self, rows, seed):
        groups, images = (np.array(column) for column in zip(*rows, strict=True))
        joined = joined_groups(groups.tolist(), images.tolist())
        labels = np.zeros(len(rows), np.int64)
        digests = packed([bytes([image]) * 16 for image in images])
        if len(set(joined)) < 2:
            with pytest.raises(DataError, match=r"too few different images of class 0 \(1\): each needs 2"):
                hold_out_rows(labels, 0.3, seed, groups, digests)
            return
        found = hold_out_rows(labels, 0.3, seed, groups, digests)
        for mine, expected in zip(found, former_rows(labels, 0.3, seed, joined), strict=True):
            np.testing.assert_array_equal(mine, expected)

    def test_that_lie_in_several_classes_may_leave_none_of_a_class(self):
        digests = packed([bytes([image]) * 16 for image in (0, 1, 2, 3, 0, 1)])
        labels = np.array([0, 0, 0, 0, 1, 1])
        outcomes = []
        for seed in range(20):
            try:
                kept, held = hold_out_rows(labels, 0.5, seed, digests=digests)
            except DataError as error:
                outcomes.append(str(error))
            else:
                assert set(labels[kept]) == set(labels[held]) == {0, 1}
                outcomes.append("parted")
        assert set(outcomes) == {
            "parted",
            "class 1 would be held out whole: all its groups also hold images of other classes; "
            "check the data for images that lie in several classes, or add images",
        }


def joined_groups(groups: list[int], images: list[int]) -> list[int]:
    """By a slow loop: the smallest group that each row's group is joined to by equal images."""
    joined = list(groups)
    changed = True
    while changed:
        changed = False
        for one in range(len(joined)):
            for other in range(len(joined)):
                if (images[one] == images[other] or groups[one] == groups[other]) and joined[one] > joined[other]:
                    joined[one], changed = joined[other], True
    return joined


def test_a_class_of_one_cannot_be_parted():
    with pytest.raises(DataError, match=r"too few different images of class 1 \(1\): each needs 2 to hold some out"):
        hold_out_rows(np.array([0, 0, 0, 1]), 0.5, 0)


def test_classes_with_too_few_different_images_are_named_with_what_is_needed():
    images = np.zeros((9, 2, 2), np.uint8)
    images[:, 0, 0] = [0, 1, 2, 3, 3, 3, 4, 5, 6]
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 3, 3])
    data = build("d", ["a", "b", "c", "d", "e"], {"train": Split(images, labels)}, "")
    assert data.shortages("train", 2) == (Shortage(1, 1, 2), Shortage(2, 1, 2), Shortage(4, 0, 2))
    assert data.shortages("train", 0) == ()
    with pytest.raises(DataError) as caught:
        data.require_different("train", 3, "to be sure")
    assert str(caught.value) == (
        "train of 'd' has too few different images of 4 classes 'e' (0), 'b' (1), 'c' (1), 'd' (2): each needs 3 to be sure; "
        "add images, or list the other classes in the setting classes"
    )
    with pytest.raises(DataError, match=r"train of 'd' has too few different images of 2 classes 'b' \(1\), 'c' \(1\)"):
        data.hold_out(0.2, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_different_images_are_counted_as_a_slow_loop_counts_groups(rows):
    labels, groups, images = (np.array(column) for column in zip(*rows, strict=True))
    joined = joined_groups(groups.tolist(), images.tolist())
    found = different_images(labels, 4, groups, packed([bytes([image]) * 16 for image in images]))
    expected = [len({group for group, label in zip(joined, labels, strict=True) if label == each}) for each in range(4)]
    assert found.tolist() == expected


def test_the_reference_study_s_test_set_of_training_images_is_refused():
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    split = Split(images, np.arange(40) % 2)
    data = build("two classes", ["a", "b"], {"train": split, "test": split}, "as in the reference study")
    with pytest.raises(
        LeakageError, match=r"40 of 40 test images of 'two classes' \(100.0%\) are also training images"
    ):
        require_no_leakage(data)


def test_one_shared_image_is_found_whatever_its_position():
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    train, test = hold_out(Split(images, np.arange(40) % 2), 0.25, 0)
    data = build("d", ["a", "b"], {"train": train, "test": test}, "")
    require_no_leakage(data)
    test.images[3] = train.images[17]
    data = build("d", ["a", "b"], {"train": train, "test": test}, "")
    assert shared_images(data, "test") == [3]
    with pytest.raises(LeakageError, match="number 3"):
        require_no_leakage(data)


def test_tiny_bitmaps_may_coincide_but_not_by_half():
    rng = np.random.default_rng(0)
    bitmaps = rng.integers(0, 2, (100, 16, 8), np.uint8)
    train, validation = Split(bitmaps[:80], np.zeros(80, int)), Split(bitmaps[75:95], np.zeros(20, int))
    require_no_leakage(build("letters", ["a"], {"train": train, "validation": validation}, "", maximum=1))
    copied = Split(bitmaps[60:80], np.zeros(20, int))
    with pytest.raises(LeakageError, match="20 of 20 validation"):
        require_no_leakage(build("letters", ["a"], {"train": train, "validation": copied}, "", maximum=1))


def test_the_digest_follows_content_order_and_labels():
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3)
    base = build("d", ["a", "b"], {"train": Split(images, np.array([0, 1]))}, "")
    others = [
        build("d", ["a", "b"], {"train": Split(images[::-1], np.array([0, 1]))}, ""),
        build("d", ["a", "b"], {"train": Split(images, np.array([1, 0]))}, ""),
        build("d", ["a", "c"], {"train": Split(images, np.array([0, 1]))}, ""),
        build("d", ["a", "b"], {"test": Split(images, np.array([0, 1]))}, ""),
        build("d", ["a", "b"], {"train": Split(images.reshape(2, 9, 1), np.array([0, 1]))}, ""),
    ]
    assert len({data.digest for data in [base, *others]}) == 6


def test_the_header_faults_of_the_study_are_caught(tmp_path):
    from lib.datasets.letters import _lost_row, read_csv

    rows = [",".join([str(label), *["0"] * 128]) for label in range(10) for _ in range(3)]
    path = tmp_path / "l.csv"
    path.write_text("\n".join(["label," + ",".join(f"p{k}" for k in range(128)), *rows]) + "\n")
    with pytest.raises(
        DataError, match=r"row 1 looks like a header \('label', …\).*delete that line; 30 data rows follow it"
    ):
        read_csv(path)
    path.write_text("\n".join(rows[1:]) + "\n")  # a data row taken for a header and lost, as the study's code did
    assert "29 rows, and class 'a' is one row short" in _lost_row(read_csv(path), "l.csv")[0]
    path.write_text("\n".join(rows) + "\n")
    assert _lost_row(read_csv(path), "l.csv") == []
