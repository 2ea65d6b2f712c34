"""What a study has measured of one model, as a line of a run's leaderboard: numbers and enums, no sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lib.evaluation.intervals import Interval
from lib.studies.presentation import Rows


class ModelKind(StrEnum):
    """What a model is."""

    NETWORK = "network"
    BASELINE = "baseline"


class Standing(StrEnum):
    """How a model compares with the one that its study chose, by the study's own test."""

    CHOSEN = "chosen"
    """It is the one: chosen on other rows than those it is scored on, where the study tests."""
    BETTER = "significantly better"
    WORSE = "significantly worse"
    NOT_SIGNIFICANT = "not significantly different"
    NOT_COMPARED = "not compared"
    """The study tests no difference."""


@dataclass(frozen=True)
class Entry:
    """A model and its score; entries of equal `digest` are scored on the same images."""

    study: str
    model: str
    """Its method: "MLP 512-256", "linear probe", "logistic regression"."""
    settings: str
    """By what it differs from others of its study, for reading: "rate 0.001 · L2 0.01"; may be empty."""
    kind: ModelKind
    input: str
    """The node whose values went in."""
    random_weights: bool
    """Whether a frozen network of random weights made its input."""
    data: str
    """The data at the root of its input."""
    digest: str
    """Of the rows that it is scored on: of test rows the data's, of validation rows, which each study has of its own, the
    study's key."""
    rows: Rows
    count: int
    """The rows that it is scored on, and how many these are."""
    score: Interval
    """Mean accuracy over seeds, with a 95 % interval for other seeds and other rows of the same kind."""
    seeds: tuple[float, ...]
    """The accuracy of each seed, or draw; the first is the one that `difference` is of."""
    standing: Standing
    difference: Interval | None = None
    """Its accuracy less the chosen model's on the same rows, of first seeds; None of the chosen and where none is tested."""
    test: str = ""
    """What tested it, for reading: "McNemar's exact test with Holm's correction"."""
    parameters: int | None = None
    """Trainable ones; None where there is no such number."""
    choosing_seconds: float | None = None
    """How long all took that its settings were chosen among."""
    seconds: float | None = None
    """How long training it once took; None where that is not known."""
