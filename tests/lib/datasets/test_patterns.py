"""Patterns of paths: what Python's glob finds on a disk is what they match, and folders stand for all below."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets.patterns import Match, Patterns
from lib.errors import DataError

FILES = (
    *("train/cat/0.png", "train/cat/more/1.png", "train/dog/0.PNG", "train/0.png", "Train/cat/0.png"),
    *("cat/train/0.png", "dog/test/0.png", "a[1]/b.png", "a1/b.png", "0.png", "x/y/z/0.png", "{a}.png"),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    "pattern",
    [
        *("**", "*", "**/*", "*.png", "**/*.png", "train/**", "train/*/*", "*/train/*", "**/train/**", "?/**", "train/?at/0.png"),
        *("a[[]1]/*", "a[0-9]/*", "a[!0]/*", "[tT]rain/**", "**/more/**", "x/**/0.png", "**/**/0.png", "Train/*/*", "absent/*"),
    ],
)  # fmt: skip
def test_match_the_files_that_glob_finds_and_those_below_folders_that_it_finds(tree, pattern):
    found = {Path(name) for name in glob.glob(pattern, root_dir=tree, recursive=True)}  # noqa: PTH207 - Path's differs
    files = [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]
    expected = {str(file) for file in files if file in found or found & set(file.parents)}
    patterns = Patterns({"train": pattern})
    assert {str(file) for file in files if patterns.match(str(file))} == expected


@pytest.mark.parametrize(
    ("pattern", "path", "folder"),
    [
        ("train/**", "train/cat/0.png", "cat"),
        ("train", "train/cat/more/0.png", "cat"),
        ("./train/", "train/cat/0.png", "cat"),
        ("train/*", "train/cat/0.png", "cat"),
        ("train/*", "train/0.png", None),
        ("train/**", "train/0.png", None),
        ("*/train/**", "cat/train/more/0.png", "cat"),
        ("**/train/**", "cat/train/0.png", "cat"),
        ("**/train/**", "train/cat/0.png", "cat"),
        ("**/train_*", "cat/train_0.png", "cat"),
        ("part_*/**", "part_1/cat/0.png", "cat"),
        ("{one,two}/**", "two/cat/0.png", "cat"),
        ("*.png", "0.png", None),
    ],
)
def test_tell_the_class_by_the_first_folder_that_is_not_named(pattern, path, folder):
    assert Patterns({"test": pattern}).match(path) == Match("test", folder)


def test_one_file_is_matched_once_and_each_pattern_matches():
    patterns = Patterns({"train": "a/**", "test": "**/b*"})
    assert patterns.match("c/b.png") == Match("test", "c")
    with pytest.raises(DataError, match=r"splits: train: 'a/\*\*' matches nothing in /x; .* a path there is 'c/b.png'"):
        patterns.require_all_matched("/x", "c/b.png")
    with pytest.raises(DataError, match=r"'a/b.png' is matched by two patterns of splits, train: 'a/\*\*' and test: "):
        patterns.match("a/b.png")


@given(st.text(alphabet="ab/*?[]!^{},.\\-("))
def test_whatever_is_written_is_a_pattern_or_refused_in_one_line(text):
    try:
        patterns = Patterns({"train": text})
    except DataError as problem:
        refused = str(problem)
    else:
        refused = ""
        patterns.match("a/b/ab.a")
    assert not refused or re.fullmatch(r"pattern train: .* is no pattern \(.*\); put .*", refused)
