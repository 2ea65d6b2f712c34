"""What a dataset was understood to be, made of what it knows already; said in words last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice

from lib.text import cut, listed, size_words

EXAMPLES = 5
"""Names that are told of what is left out."""

_CLASSES_SHOWN = 10


class Why(StrEnum):
    NO_IMAGE = "no-image"
    HIDDEN = "hidden"
    HIDDEN_FOLDERS = "hidden-folders"
    BESIDE_CLASSES = "beside-classes"
    BESIDE_SPLITS = "beside-splits"
    NO_PATTERN = "no-pattern"
    UNREADABLE = "unreadable"


WHY_WORDS = {
    Why.NO_IMAGE: "no image, by ending and content",
    Why.HIDDEN: "hidden, or kept by an operating system or probeflow",
    Why.HIDDEN_FOLDERS: "hidden folders of images",
    Why.BESIDE_CLASSES: "images beside the class folders",
    Why.BESIDE_SPLITS: "folders beside the splits",
    Why.NO_PATTERN: "matched by no pattern of splits",
    Why.UNREADABLE: "unreadable, set aside",
}


@dataclass(frozen=True)
class LeftOut:
    """Files or folders that were not taken for one reason, and the names of the first few."""

    why: Why
    count: int
    examples: tuple[str, ...]


def left_out(why: Why, count: int, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """A note of what is left out for one reason, of which the first few `names` are asked for; none when `count` is 0."""
    return (LeftOut(why, count, tuple(islice(names, EXAMPLES))),) if count else ()


class Tally:
    """What a listing leaves out for one reason, counted as it goes; few names are kept."""

    def __init__(self, why: Why) -> None:
        self.why = why
        self._count = 0
        self._names: list[str] = []

    def add(self, name: str) -> None:
        self._count += 1
        if len(self._names) < EXAMPLES:
            self._names.append(name)

    def take(self, other: Tally) -> None:
        self._count += other._count
        self._names = [*self._names, *other._names][:EXAMPLES]

    @property
    def notes(self) -> tuple[LeftOut, ...]:
        return left_out(self.why, self._count, self._names)


def words(left: LeftOut) -> str:
    more = left.count - len(left.examples)
    return ", ".join(cut(name) for name in left.examples) + (f" and {more:,} more" if more else "")


class SplitsBy(StrEnum):
    SOURCE = "source"
    NAMES = "names"
    PATTERNS = "patterns"
    NOTHING = "nothing"


SPLITS_WORDS = {
    SplitsBy.SOURCE: "as the source has them",
    SplitsBy.NAMES: "by names of folders or files",
    SplitsBy.PATTERNS: "by the patterns in splits",
    SplitsBy.NOTHING: "",
}


@dataclass(frozen=True)
class Reading:
    """How a source was read, beyond its images and labels.

    `splits_by`: what says which split an image is of.
    `held_out`: the splits that were held out of the training images, for want of their own.
    `formats`: images by format, by their first bytes; "" for others. Empty where nothing was encoded.
    `scaled`: whether JPEGs may have been decoded at a part of their size, so that files may be larger than images.
    """

    splits_by: SplitsBy = SplitsBy.SOURCE
    held_out: tuple[str, ...] = ()
    formats: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    scaled: bool = False


Side = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Sizes:
    smallest: Side
    median: Side
    largest: Side
    distinct: int


@dataclass(frozen=True)
class Understood:
    """What a dataset was understood to be.

    `splits`: images of each split.
    `classes`: class -> split -> images. Images without labels are of the one class "".
    `sizes`: None when there is no image.
    """

    splits: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    sizes: Sizes | None
    reading: Reading

    def lines(self) -> list[str]:
        held = dict.fromkeys(self.reading.held_out, " held out of train")
        splits = ", ".join(f"{split} {count:,}{held.get(split, '')}" for split, count in self.splits.items())
        by = SPLITS_WORDS[self.reading.splits_by]
        lines = [f"splits{f', {by}' if by else ''}: {splits}"]
        if len(self.classes) > 1:
            shown = [f"{name} {sum(rows.values()):,}" for name, rows in self.classes.items()]
            lines.append(f"{len(self.classes):,} classes: {listed(shown, _CLASSES_SHOWN)}")
        else:
            lines.append("no labels")
        if self.sizes is not None:
            scaled = ", large JPEGs as decoded (decode: scaled)" if self.reading.scaled else ""
            lines.append(f"sizes{scaled}: {_sizes(self.sizes)}")
        if self.reading.formats:
            formats = [f"{name or 'other'} {count:,}" for name, count in self.reading.formats.items()]
            lines.append(f"formats: {', '.join(formats)}")
        left = [f"left out: {each.count:,} {WHY_WORDS[each.why]}: {words(each)}" for each in self.reading.left_out]
        return [*lines, *left]


def _sizes(sizes: Sizes) -> str:
    smallest, median, largest = map(size_words, (sizes.smallest, sizes.median, sizes.largest))
    return (
        smallest if sizes.distinct == 1 else f"{smallest} to {largest}, median {median}, {sizes.distinct:,} different"
    )


def sizes_of(shapes: Mapping[tuple[int, ...], int]) -> Sizes | None:
    """The smallest, median and largest of some shapes, each with how many images have it.

    >>> sizes_of({(8, 8): 3, (32, 16, 3): 1, (4, 4): 1})
    Sizes(smallest=(4, 4), median=(8, 8), largest=(32, 16), distinct=3)
    """
    counts: Counter[Side] = Counter()
    for shape, count in shapes.items():
        counts[int(shape[0]), int(shape[1])] += count
    if not counts:
        return None
    ordered = sorted(counts, key=lambda side: (side[0] * side[1], side))
    seen = accumulate(counts[side] for side in ordered)
    median = next(side for side, upto in zip(ordered, seen, strict=True) if 2 * upto >= counts.total())
    return Sizes(ordered[0], median, ordered[-1], len(ordered))
