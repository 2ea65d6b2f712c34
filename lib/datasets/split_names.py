"""Which split a name says: of a folder, a file, a tar or a table.

A split's word counts anywhere in a name and in any case, as a word: `Training`, `x_train`, `mnistTest`, `train-00000-of-00004`,
`val2017`; not within a longer word (`latest`, `strain`). Words that are as likely something else (`tr`, `dev`) count only where
other names complete them to a train split and another. What has two readings is refused by those who know the files.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from lib.errors import DataError

SPLITS = ("train", "validation", "test")

_SURE = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "validate", "validating"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_WEAK = {
    "tr": "train",
    **dict.fromkeys(("va", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("te", "eval", "evaluation", "holdout", "heldout"), "test"),
}
"""Words that may be something else: a language, a part of a program, a kind of work."""

_NEUTRAL = {
    *("x", "y", "set", "sets", "data", "dataset", "datasets", "split", "splits"),
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
}
"""Words that say nothing beside a split's."""

_GLUED = re.compile(r"(?:data|image|img|split|set)s?$")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Name:
    """What one name says.

    `splits`: the splits that it names; more than one says nothing for certain.
    `weak`: whether that is only by a word that may be something else.
    `rest`: its other words, in lower case.
    """

    splits: tuple[str, ...]
    weak: bool
    rest: tuple[str, ...]


def words(name: str) -> list[str]:
    """The words of a name in lower case: runs of letters, parted also where lower case turns to upper case.

    >>> words("MNISTTrain_Images-00001of2.tar")
    ['mnist', 'train', 'images', 'of', 'tar']
    """
    return [part.lower() for run in _LETTERS.findall(name) for part in _CAMEL.split(run)]


def read_name(name: str) -> Name:
    """What a name says of its split.

    >>> read_name("mnist_testset")
    Name(splits=('test',), weak=False, rest=('mnist',))
    >>> read_name("contest-latest").splits
    ()
    """
    found: dict[str, bool] = {}
    rest = []
    for word in words(name):
        split, sure = _split_of(word)
        if split:
            found[split] = found.get(split, False) or sure
        elif word not in _NEUTRAL:
            rest.append(word)
    if any(found.values()):
        found = {split: sure for split, sure in found.items() if sure}
        weak = False
    else:
        weak = bool(found)
    return Name(tuple(split for split in SPLITS if split in found), weak, tuple(rest))


def _split_of(word: str) -> tuple[str, bool]:
    """The split that one word says, or "", and whether it is sure."""
    bare = _GLUED.sub("", word)
    for each in (word, bare, bare[1:] if bare[:1] in ("x", "y") else ""):
        if each in _SURE:
            return _SURE[each], True
    return next(((_WEAK[each], False) for each in (word, bare) if each in _WEAK), ("", False))


@dataclass(frozen=True)
class Told:
    """What names side by side say together.

    `splits`: name -> split, of those that say one.
    `others`: those that say none, or more than one.
    `alike`: whether those that say one differ in nothing else: `a_train` and `a_test`, not `bullet_train` and
    `test_tube`.
    `weak`: whether one of them says it only by a word that may be something else.
    """

    splits: Mapping[str, str]
    others: tuple[str, ...]
    alike: bool
    weak: bool

    @property
    def whole(self) -> bool:
        return _whole(self.splits.values())


def read_names(names: Sequence[str]) -> Told:
    """What names side by side say of splits; a word that may be something else counts where it completes a set.

    >>> read_names(["Training", "test_set", "notes"]).splits
    {'Training': 'train', 'test_set': 'test'}
    >>> read_names(["de", "en", "tr"]).splits  # languages
    {}
    >>> read_names(["bus", "car", "bullet_train"]).splits
    {}
    """
    read = {name: read_name(name) for name in names}
    found = {name: said for name, said in read.items() if len(said.splits) == 1}
    if len(found) < len(read):  # beside others, `bullet_train` says a split only where `bullet_test` says another
        pairs: dict[tuple[str, ...], set[str]] = {}
        for said in found.values():
            pairs.setdefault(said.rest, set()).update(said.splits)
        found = {name: said for name, said in found.items() if not said.rest or len(pairs[said.rest]) > 1}
    if not _whole(said.splits[0] for said in found.values()):
        lone = len(found) == len(read)
        found = {name: said for name, said in found.items() if lone or not said.weak}
    return Told(
        {name: said.splits[0] for name, said in found.items()},
        tuple(name for name in names if name not in found),
        len({said.rest for said in found.values()}) == 1,
        any(said.weak for said in found.values()),
    )


def _whole(splits: Iterable[str]) -> bool:
    distinct = set(splits)
    return "train" in distinct and len(distinct) > 1


def read_paths(paths: Sequence[str], shown: str) -> list[str] | None:
    """The split that each of several files says, by its name or a folder above it; None when none says any.

    Folders that all are in count only where nothing else says one. Given files of training images alone, each is "train".

    Raises DataError when one says two, some say none, or there is no train split among them.

    >>> read_paths(["test-set/mnist_train.tar", "test-set/mnist_test.tar"], "")
    ['train', 'test']
    """
    steps = [PurePosixPath(path).parts for path in paths]
    shared = len(os.path.commonprefix([each[:-1] for each in steps]))  # noqa: RUF071 - steps, not letters
    read = cache(read_name)
    own = [_joined(map(read, each[shared:])) for each in steps]
    if not any(said.splits for said in own) and steps:
        own = [_joined(map(read, steps[0][:shared]))] * len(steps)
    if not _whole(split for said in own for split in said.splits) and not all(said.splits for said in own):
        own = [Name((), False, ()) if said.weak else said for said in own]
    found = {split for said in own for split in said.splits}
    if not found:
        return None
    for path, said in zip(paths, own, strict=True):
        if len(said.splits) > 1:
            raise DataError(f"{shown}/{path} may be of {' or '.join(said.splits)} by its name; {HOW_TO_SAY}")
        if not said.splits:
            other, split = next((each, told.splits[0]) for each, told in zip(paths, own, strict=True) if told.splits)
            raise DataError(
                f"{shown}/{path} does not tell its split, as {other} there does ({split}): either all do or none; rename it "
                f"to train-…, validation-… or test-…, or {HOW_TO_SAY}"
            )
    if "train" not in found:
        raise DataError(
            f"{shown} has files of {', '.join(sorted(found))} but none of train, e.g. {paths[0]}; add them, or, if that is "
            f"no split, {HOW_TO_SAY}"
        )
    return [said.splits[0] for said in own]


def require_no_words(paths: Iterable[str], root: str, fix: str) -> None:
    """Raise DataError when the name of every file tells a split and nothing else does, so that they would be pooled."""
    found: dict[str, str] = {}
    for path in paths:
        said = read_name(path.rpartition("/")[2])
        if len(said.splits) != 1 or said.weak:
            return
        found.setdefault(said.splits[0], path)
    if _whole(found):
        told = ", ".join(f"{split}: {found[split]}" for split in SPLITS if split in found)
        raise DataError(
            f"{root}: files may be of splits by their names ({told}), and nothing else tells it; {fix}; to take "
            'them together set splits: {train: "**"}'
        )


HOW_TO_SAY = 'say which are which by patterns, such as splits: {train: "…", test: "…"}'


def _joined(names: Iterable[Name]) -> Name:
    """What several parts of a path say together."""
    read = list(names)
    sure = {split for said in read for split in said.splits if not said.weak}
    found = sure or {split for said in read for split in said.splits}
    return Name(tuple(split for split in SPLITS if split in found), bool(found) and not sure, ())
