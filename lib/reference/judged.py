"""What a run says of a study's claims: verdicts, and the figures they rest on."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from lib.evaluation.intervals import Difference, Estimate
from lib.evaluation.paired import PairedPredictions
from lib.validation import Stored


class Verdict(StrEnum):
    """What a run says of a claim; of a question without a claim, the answer."""

    CONFIRMED = "confirmed"
    PARTLY = "partly confirmed"
    REFUTED = "refuted"
    PARTLY_REFUTED = "partly refuted"
    NOT_SIGNIFICANT = "not significant"
    """The seeds, or the rows, do not settle it."""
    NOT_COMPARABLE = "not comparable"
    YES = "yes"
    PARTLY_YES = "in part"
    NO = "no"


class Reason(StrEnum):
    """Why a claim is not comparable."""

    ONE_SEED = "one seed"
    STOPPED_EARLY = "trials were stopped early"
    TOO_FEW = "too few values or epochs"
    NOT_TRIED = "the value was not tried"
    NOT_TESTED = "nothing was tested"
    OTHER_CLASSES = "other classes"
    OTHER_MACHINE = "another machine"
    TRAINING_ROWS = "the printed shares are of training images"
    NO_BASELINE = "the model was not trained"


class Circumstance(StrEnum):
    """In what the run is not the study's case; a claim is confirmed or refuted for the study's case alone."""

    OTHER_DATA = "other data"
    OTHER_SETTINGS = "other settings"
    RANDOM_WEIGHTS = "random weights"


class Direction(StrEnum):
    """What a difference, or a figure against a limit, says."""

    HIGHER = "higher"
    LOWER = "lower"
    NOT_SIGNIFICANT = "not significantly different"
    NOT_FINITE = "not finite"
    ABOVE = "above the limit"
    BELOW = "below the limit"
    DIVERGED = "diverged"
    UNCLEAR = "not clear"
    """The interval holds the limit, or the curves are too short or do not fall."""


class Evidence(Stored):
    """One comparison or figure."""

    figure: str
    """What is compared: "test accuracy", "validation loss (mean over epochs)"."""
    subject: str
    other: str = ""
    """Of what: values of the axis, or models, as they are shown; `other` is empty where a figure stands for itself."""
    difference: Difference | PairedPredictions | None = None
    """Subject less other, over seeds or on the same rows."""
    estimate: Estimate | None = None
    """Of a figure that stands for itself."""
    p: float | None = None
    """Corrected by Holm over the tests that were made at once; not where a claim needs every one of them."""
    direction: Direction

    @property
    def differs(self) -> bool:
        """Whether the two differ significantly."""
        return self.direction in (Direction.HIGHER, Direction.LOWER)


class Finding(Stored):
    """A claim and what the run says of it, for one variant."""

    part: str
    claim: str
    study: str
    variant: str = ""
    verdict: Verdict
    reason: Reason | None = None
    circumstances: tuple[Circumstance, ...] = ()
    printed: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """The run's figure beside the printed one, with its 95 % interval, where there is one."""
    evidence: tuple[Evidence, ...] = ()
    trend_p: float | None = None
    """Page's test that the figure goes the claimed way over all values, one-sided."""
    shown: dict[str, int | float] = Field({})
    """Figures by what they are of, e.g. images of each class."""


class Row(Stored):
    """A printed result beside the run's: a mean over seeds with its interval."""

    part: str
    study: str
    variant: str
    figure: str
    model: str
    value: str
    printed: float | None
    note: str
    ours: Estimate
    circumstances: tuple[Circumstance, ...]


class Judged(Stored):
    """Everything that a run says of the claims `name`."""

    name: str
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]
