"""The rows that a sweep trains on and is judged by: one source of them, whether pixels or features of a frozen network.

Rows lie in one array, those trained on before those watched, filled in place and standardised in place: there is never a
second copy of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lib.datasets import Dataset
from lib.errors import DataError
from lib.files import digest_json
from lib.mlp.standardise import Standardiser
from lib.mlp.training import TrialData
from lib.studies.study import Input, Study
from lib.studies.sweep.result import Representation, Weights
from lib.studies.sweep.settings import ComparingSettings, SweepSettings

HOLD_OUT_SEED = 0
PIXELS = "raw pixels"
_EXAMPLES = 5

Positions = npt.NDArray[np.int64]
Compared = TypeVar("Compared", bound=ComparingSettings)
Part = tuple[str, Positions]
"""A split, and which of its rows."""


@dataclass(frozen=True)
class Source:
    """The rows of one input of a sweep."""

    input: Input
    standardise: bool

    @property
    def dataset(self) -> Dataset:
        return self.input.dataset

    @cached_property
    def width(self) -> int:
        if self.input.feature_set is not None:
            return self.input.feature_set.manifest.width
        return math.prod(self.dataset.require_pixel_shape())

    @property
    def description(self) -> str:
        """In words: "raw pixels", or network, layer and weights."""
        return PIXELS if self.input.feature_set is None else self.input.feature_set.manifest.description

    @property
    def representation(self) -> Representation:
        features = self.input.feature_set
        return Representation(
            node=self.input.name,
            description=self.description,
            weights=None if features is None else Weights(features.manifest.settings.weights),
            width=self.width,
            digest=self.input.digest,
            standardised=self.standardise,
        )

    def fill(self, out: npt.NDArray[np.float32], split: str, rows: Positions) -> None:
        """Write some rows of a split to `out`, shape (n, width)."""
        features = self.input.feature_set
        if features is None:
            self.dataset.fill(out, split, rows)
        else:
            features.fill(out, features.rows(split).start + rows)

    def candidates(self, settings: SweepSettings) -> Candidates:
        """Training rows, and the validation rows that choices are made by, of each seed of a sweep."""
        self.whole("train")  # refuses features of other images
        divided: dict[HeldOut | None, Division] = {}
        of_seed = {}
        for seed, held_out in held_out_by(settings, "validation" in self.dataset.splits).items():
            if held_out not in divided:
                divided[held_out] = self._divided(held_out)
            of_seed[seed] = divided[held_out]
        return Candidates(of_seed)

    def _divided(self, held_out: HeldOut | None) -> Division:
        key = candidates_key(self.input.digest, self.standardise, held_out)
        if held_out is None:
            return Division(self, key, (self.whole("train"),), (self.whole("validation"),))
        kept, held = held_out.rows(self.dataset)
        return Division(self, key, (("train", kept),), (("train", held),))

    def finals(self) -> Division:
        """All development rows, and the test rows; the latter are watched for curves, and nothing is chosen by them.

        Raises DataError when the data has no test split.
        """
        self.dataset.require("test", "the sweep scores its winners on test rows (test: true)")
        development = tuple(self.whole(split) for split in ("train", "validation") if split in self.dataset.splits)
        key = _rows_key(self.input.digest, self.standardise, "finals")
        return Division(self, key, development, (self.whole("test"),))

    def whole(self, split: str) -> Part:
        """All rows of a split. Raises FeatureSetError or DataError for features of other images."""
        count, features = len(self.dataset.splits[split]), self.input.feature_set
        if features is not None and len(features.rows(split)) != count:
            raise DataError(
                f"feature set {features.folder} has {len(features.rows(split)):,} {split} rows and its data "
                f"{self.dataset.name!r} has {count:,}; extract the features again"
            )
        return split, np.arange(count)


@dataclass(frozen=True)
class HeldOut:
    """Which training rows are watched instead of trained on."""

    share: float
    seed: int
    """Draws them; of folds, which all are of one draw, the fold's place."""
    folds: int | None = None
    """As many folds there are; None: rows of another seed may be the same."""

    def rows(self, dataset: Dataset) -> tuple[Positions, Positions]:
        """Rows kept and rows held out, both sorted; groups and exact duplicates stay whole."""
        if self.folds is None:
            return dataset.hold_out(self.share, self.seed)
        return dataset.fold(self.seed, self.folds)

    @property
    def key(self) -> tuple[float | int | str, ...]:
        return (self.share, self.seed) if self.folds is None else ("fold", self.seed, self.folds)


def held_out_by(settings: SweepSettings, has_validation: bool) -> dict[int, HeldOut | None]:
    """What each seed of a sweep holds out; None where the data has validation rows."""
    share, seeds = settings.validation_fraction, settings.seeds
    if has_validation:
        return dict.fromkeys(seeds)
    if settings.splits == "fixed":
        return dict.fromkeys(seeds, HeldOut(share, HOLD_OUT_SEED))
    if settings.splits == "folds":
        count = len(seeds)
        return {seed: HeldOut(1 / count, place, count) for place, seed in enumerate(seeds)}
    return {seed: HeldOut(share, seed) for seed in seeds}


def candidates_key(digest: str, standardise: bool, held_out: HeldOut | None) -> str:
    """Names the rows of a division of `Source.candidates`; part of the key under which a trial's result is kept."""
    return _rows_key(digest, standardise, "candidates", *(() if held_out is None else held_out.key))


def _rows_key(digest: str, standardise: bool, *rows: str | float) -> str:
    return digest_json([digest, "standardised" if standardise else "raw", *rows])


@dataclass(frozen=True)
class Rows:
    """Rows as they are trained on and watched."""

    data: TrialData
    """Views of one array."""
    standardiser: Standardiser | None
    """What was done to them."""
    examples: npt.NDArray[np.float32]
    """Float32, shape (n, width). The first watched rows, at most five, as they were before that."""


@dataclass(frozen=True)
class Division:
    """Which rows of a source are trained on and which are watched; they are read when they are first asked for."""

    source: Source
    key: str
    """Digest of what decides them."""
    train: tuple[Part, ...]
    watched: tuple[Part, ...]

    @cached_property
    def y_train(self) -> npt.NDArray[np.int64]:
        """Labels of the rows trained on, shape (n,)."""
        return np.concatenate([self.source.dataset.splits[split].labels[rows] for split, rows in self.train])

    @cached_property
    def y_watched(self) -> npt.NDArray[np.int64]:
        """Labels of the rows watched, shape (n,)."""
        return np.concatenate([self.source.dataset.splits[split].labels[rows] for split, rows in self.watched])

    @property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """Groups of the rows watched, shape (n,), where rows are not independent."""
        parts = [
            groups[rows]
            for split, rows in self.watched
            if (groups := self.source.dataset.splits[split].groups) is not None
        ]
        return np.concatenate(parts) if parts else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows trained on, features, classes."""
        return len(self.y_train), self.source.width, len(self.source.dataset.class_names)

    @cached_property
    def rows(self) -> Rows:
        """The rows, read now if they were not before; held as long as this division is."""
        count = len(self.y_train)
        X = np.empty((count + len(self.y_watched), self.source.width), np.float32)
        for place, (split, rows) in self._places():
            self.source.fill(X[place : place + len(rows)], split, rows)
        examples = X[count : count + _EXAMPLES].copy()
        standardiser = None
        if self.source.standardise:
            standardiser = Standardiser.fit(X[:count])
            standardiser.apply_in_place(X)
        data = TrialData(X[:count], self.y_train, X[count:], self.y_watched, self.shape[2])
        return Rows(data, standardiser, examples)

    def release(self) -> None:
        """Free the rows; who asks for them again reads them again."""
        self.__dict__.pop("rows", None)

    def _places(self) -> Iterator[tuple[int, Part]]:
        place = 0
        for part in (*self.train, *self.watched):
            yield place, part
            place += len(part[1])


@dataclass(frozen=True)
class Candidates:
    """The rows that each seed's candidates train on and are watched on: the same for all, or a split of its own."""

    of_seed: Mapping[int, Division]

    @property
    def first(self) -> Division:
        """The first seed's."""
        return next(iter(self.of_seed.values()))

    def by_division(self) -> list[tuple[Division, list[int]]]:
        """Each division with its seeds."""
        found: dict[str, tuple[Division, list[int]]] = {}
        for seed, division in self.of_seed.items():
            found.setdefault(division.key, (division, []))[1].append(seed)
        return list(found.values())

    def release(self) -> None:
        for division in self.of_seed.values():
            division.release()


def parts_of(dataset: Dataset, splits: Sequence[str], rows: Positions) -> tuple[Part, ...]:
    """Rows by their positions, rising, among all rows of these splits, as parts of each."""
    ends = np.cumsum([len(dataset.splits[name]) for name in splits])
    starts = np.r_[0, ends[:-1]]
    own = [rows[(rows >= start) & (rows < end)] - start for start, end in zip(starts, ends, strict=True)]
    return tuple((name, part) for name, part in zip(splits, own, strict=True) if len(part))


def sources_of(study: Study[Compared]) -> list[Source]:
    """The input that a study is on, then the others, in order."""
    inputs = [study.inputs[role] for role in study.settings.roles]
    standardise = study.settings.standardises(inputs[0].feature_set is not None)
    return [Source(each, standardise) for each in inputs]
