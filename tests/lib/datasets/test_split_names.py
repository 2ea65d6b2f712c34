"""Split words in names: found as words anywhere and in any case, nowhere else, and together with the names beside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.split_names import read_name, read_names, read_paths, words
from lib.errors import DataError

TRAIN = [
    "train",
    "Training",
    "TRAIN",
    "x_train",
    "Xtrain",
    "trainset",
    "train-00000-of-00004",
    "mnistTrain",
    "train2017",
]
TEST = ["test", "Testing", "test_set", "testdata", "mnist.test", "cifar10_test", "images-test", "Test Images", "test1"]
VALIDATION = ["val", "Valid", "validation", "VAL2017", "valset", "my val"]


class TestAName:
    @pytest.mark.parametrize(
        ("name", "split"),
        [
            (name, split)
            for split, names in (("train", TRAIN), ("test", TEST), ("validation", VALIDATION))
            for name in names
        ],
    )
    def test_says_its_split(self, name, split):
        assert (read_name(name).splits, read_name(name).weak) == ((split,), False)

    @pytest.mark.parametrize("name", ["tr", "te", "dev", "Eval", "holdout", "dev-set"])
    def test_may_say_it_by_a_word_that_may_be_something_else(self, name):
        assert read_name(name).weak

    @pytest.mark.parametrize(
        "name",
        ["contest", "latest", "strain", "trains", "value", "invalid", "evaluate", "detest", "cat", "", "123", "étrain"],
    )
    def test_with_such_letters_within_a_word_says_none(self, name):
        assert read_name(name).splits == ()

    def test_may_say_two(self):
        assert read_name("train-test-split").splits == ("train", "test")

    @given(st.text())
    def test_is_never_too_odd(self, name):
        said = read_name(name)
        assert len(said.splits) <= 3
        assert set(said.rest) <= set(words(name))

    @given(
        st.sampled_from(["", "my", "MNIST", "set", "7"]),
        st.sampled_from("-_. ()"),
        st.sampled_from(["train", "test", "val"]),
        st.sampled_from([str.lower, str.upper, str.title]),
        st.sampled_from(["", "0001", "images", "of 4"]),
    )
    def test_says_it_whatever_stands_around(self, before, between, word, case, after):
        (split,) = read_name(f"{before}{between}{case(word)}{between}{after}").splits
        assert split.startswith(word)


class TestNamesSideBySide:
    @pytest.mark.parametrize(
        ("names", "splits"),
        [
            (["tr", "te"], {"tr": "train", "te": "test"}),
            (["train", "dev"], {"train": "train", "dev": "validation"}),
            (["de", "en", "tr"], {}),
            (["cat", "dev", "dog"], {}),
            (["dev"], {"dev": "validation"}),
            (["bus", "bullet_train", "test_tube"], {}),
            (["readme", "a_train", "a_test"], {"a_train": "train", "a_test": "test"}),
            (["train", "bus"], {"train": "train"}),
            (["train", "train_test"], {"train": "train"}),
        ],
    )
    def test_complete_each_other(self, names, splits):
        told = read_names(names)
        assert told.splits == splits
        assert list(told.others) == [name for name in names if name not in splits]

    def test_may_differ_in_more_than_the_split(self):
        assert read_names(["a_train", "a_test"]).alike
        assert not read_names(["bullet_train", "test_tube"]).alike


class TestPaths:
    @pytest.mark.parametrize(
        ("paths", "splits"),
        [
            (["a.tar", "b.tar"], None),
            (["cifar10_train.tar", "cifar10_test.tar"], ["train", "test"]),
            (["x/train/0.tar", "x/Test/0.tar"], ["train", "test"]),
            (["train/0.tar", "train/1.tar"], ["train", "train"]),
            (["my-test/train.tar", "my-test/val.tar"], ["train", "validation"]),
            (["tr.tar", "te.tar"], ["train", "test"]),
            (["de.tar", "en.tar", "tr.tar"], None),
            (["latest/a.tar", "contest/b.tar"], None),
            ([], None),
        ],
    )
    def test_tell_their_splits(self, paths, splits):
        assert read_paths(paths, "root") == splits

    @pytest.mark.parametrize(
        ("paths", "message"),
        [
            (["train.tar", "b.tar"], r"root/b.tar does not tell its split, as train.tar there does \(train\)"),
            (["train/test.tar", "train/train.tar", "a/test.tar"], "root/train/test.tar may be of train or test by"),
            (["test.tar"], "root has files of test but none of train, e.g. test.tar"),
            (["crash-test/a.tar", "crash-test/b.tar"], "root has files of test but none of train"),
            (["dev.tar"], "root has files of validation but none of train"),
            (["en.tar", "tr.tar", "te.tar"], "root/en.tar does not tell its split"),
        ],
    )
    def test_with_two_readings_are_refused_with_what_to_say(self, paths, message):
        with pytest.raises(DataError, match=message) as caught:
            read_paths(paths, "root")
        assert 'splits: {train: "…", test: "…"}' in str(caught.value)
        assert "\n" not in str(caught.value)
