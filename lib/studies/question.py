"""A question of the reference study, what it claimed, and what a run answers: said once, for the report and for notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.evaluation.intervals import Difference, p_words
from lib.evaluation.reference import STUDY_DATA, is_study_data
from lib.studies.record import StudyRecord

CONFIRMED, IN_PART = "confirmed", "confirmed in part"
REFUTED, REFUTED_IN_PART = "refuted", "refuted in part"
"""What a run says of a claim on the study's own case."""
HOLDS, HOLDS_IN_PART = "holds here", "holds here in part"
DIFFERS, DIFFERS_IN_PART = "differs here", "differs here in part"
"""The same where the case is another: it says nothing of the study's own."""
YES, NO, PARTLY = "yes", "no", "in part"
"""What it says where the study claimed nothing."""
NOT_TOLD = "not told apart"
ONE_SEED = "cannot be asked with one seed"
CANNOT = "cannot be asked"
NOT_COMPARED = "cannot be compared"
OTHER_DATA = "other data"
NOT_ASKED = "not asked"
"""The claim, where the study had none."""

_ELSEWHERE = {CONFIRMED: HOLDS, IN_PART: HOLDS_IN_PART, REFUTED: DIFFERS, REFUTED_IN_PART: DIFFERS_IN_PART}
_CAVEATS = ("on other data", "at other settings", "with random weights")
_SETTLED = {*_ELSEWHERE, *_ELSEWHERE.values(), YES, NO, PARTLY}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "activations": {"hidden": "256-128-64", "learning_rate": 0.1, "epochs": 100},
    "hidden_units": {
        "activation": "relu",
        "optimizer": "adam",
        "learning_rate": 0.01,
        "batch_size": 1024,
        "epochs": 100,
    },
    "learning_rates": {"hidden": "4", "activation": "relu", "optimizer": "adam", "batch_size": 1024, "epochs": 100},
}
"""The reference study's settings, as trials' runs name them."""

_DATA = {
    "mnist": "MNIST",
    "letters": "the OCR letters",
    "cifar10": "two classes of CIFAR-10, which two is not recorded",
}


@dataclass(frozen=True)
class Reply:
    """What this run says: a verdict in a word or two, and why, with intervals; `arm` where there are several."""

    verdict: str
    words: str
    arm: str = ""

    @property
    def settled(self) -> bool | None:
        """Whether the seeds, or the images, tell: False where models are not told apart, None where it was not tested."""
        verdict = self.verdict.partition(", ")[0]
        return True if verdict in _SETTLED else False if verdict == NOT_TOLD else None

    @property
    def elsewhere(self) -> bool:
        """Whether the case is another than the reference study's."""
        return any(caveat in self.verdict for caveat in _CAVEATS)


@dataclass(frozen=True)
class Question:
    """A question in one sentence, what the reference study claimed with its printed figures, and this run's replies.

    `brief` is the answer in one clause, for a reader in a hurry; without one the study's headline says enough.
    """

    question: str
    claim: str
    replies: tuple[Reply, ...]
    brief: str = ""


@dataclass(frozen=True)
class Shown:
    """A small table that belongs to a part."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """A part of the reference study, A to F.

    Attributes
    ----------
    study : str
        The study of this run that answers it.
    data : str
        What it was answered on, and that this is not the study's data where it is not.
    wrong : tuple of str
        Where the study was wrong, what that did to its figures, and what stands against it here.
    """

    letter: str
    study: str
    title: str
    data: str
    questions: tuple[Question, ...]
    wrong: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = field(default=())

    @property
    def brief(self) -> str:
        """The answers that have a clause of their own, one after the other."""
        return ". ".join(question.brief for question in self.questions if question.brief)


def data_words(study: str, name: str) -> str:
    """The data by its name, and beside it the reference study's where it is other or may be."""
    theirs = _DATA[STUDY_DATA[study]]
    if not is_study_data(study, name):
        return f"{name}, other data than the study's ({theirs})"
    return f"{name} (the study: {theirs})" if STUDY_DATA[study] == "cifar10" else name


def qualified(verdict: str, study: str, summary: Mapping[str, Any], *, other_settings: bool = False) -> str:
    """A verdict with what keeps it from being on the study's own case: other data, other settings, random weights.

    There it neither confirms nor refutes: what was claimed holds or differs here.
    """
    if verdict in (ONE_SEED, CANNOT):
        return verdict
    there = (
        not is_study_data(study, summary["dataset"]["name"]),
        other_settings,
        "RANDOM" in summary.get("representation", ""),
    )
    caveats = [caveat for caveat, holds in zip(_CAVEATS, there, strict=True) if holds]
    return f"{_ELSEWHERE.get(verdict, verdict)}, {listed(caveats)}" if caveats else verdict


def is_study_settings(record: StudyRecord, arm: str = "") -> bool:
    """Whether the trials of a sweep, or of its arm, had the reference study's settings, as far as these are known."""
    candidates = [
        child
        for child in record.children
        if child.tags.get("probeflow.role") == "candidate" and (not arm or child.params.get("arm", arm) == arm)
    ]
    theirs = _SETTINGS[record.study].items()
    return all(str(child.params.get(name, value)) == str(value) for child in candidates for name, value in theirs)


def lead_words(lead: Difference, p_value: float, *, corrected: bool) -> str:
    """A paired difference in words, such as "0.0310 (0.0100 to 0.0520, Holm's p = 0.016)"."""
    if lead.low == lead.high:
        return f"{lead.estimate:.4f} (the same with each of {lead.pairs} seeds)"
    holm = "Holm's " if corrected else ""
    return f"{lead.estimate:.4f} ({lead.low:.4f} to {lead.high:.4f}, {holm}{p_words(p_value)})"


def seeds_words(seeds: int) -> str:
    """What stands against the study's single runs."""
    here = f"This run has {seeds} seeds" if seeds > 1 else "This run has one seed, and cannot tell either"
    return f"Each setting was trained once, so that no difference could be told from chance. {here}."


def listed(parts: Sequence[str]) -> str:
    """Parts as an enumeration: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
