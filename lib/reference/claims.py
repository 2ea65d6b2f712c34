"""What an earlier study claimed and printed: read from one YAML file a study, each claim with the test that judges it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field

from lib.errors import ConfigError
from lib.validation import Frozen

Value = Annotated[Any, AfterValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
"""A trial setting's value as a trial has it."""


class BestValue(Frozen):
    """The winner of this value of the axis has the highest test accuracy."""

    test: Literal["best-value"]
    value: Value


class LosesTo(Frozen):
    """Each winner's test accuracy is below the baseline's at the same settings."""

    test: Literal["loses-to"]
    baseline: str


class BaselineEquals(Frozen):
    """The baseline at one value of the axis scores what it scores at another."""

    test: Literal["baseline-equals"]
    baseline: str
    value: Value
    other: Value
    printed: float


class Along(Frozen):
    """A figure falls or rises at each step of the axis; or it does not, where `holds` is false."""

    test: Literal["along"]
    figure: Literal["train_loss", "validation_loss", "gap"]
    direction: Literal["falls", "rises"]
    holds: bool = True


class LastAlike(Frozen):
    """The two largest values of the axis have the same validation loss."""

    test: Literal["last-alike"]


class LowestLoss(Frozen):
    """This value of the axis has the lowest validation loss."""

    test: Literal["lowest-loss"]
    value: Value


class Curve(Frozen):
    """A property of the training loss that exceeds `limit` at this value of the axis, and at no other."""

    test: Literal["curve"]
    measure: Literal["rises", "last-fall"]
    limit: float
    value: Value


class Counts(Frozen):
    """Training images of each class."""

    test: Literal["counts"]
    train: tuple[int, ...]


class Speed(Frozen):
    """Images per second, on another machine: shown, not judged."""

    test: Literal["speed"]
    printed: float


class HardlyLearns(Frozen):
    """The chosen network's test accuracy is as low as printed."""

    test: Literal["hardly-learns"]
    printed: float


class BetterThan(Frozen):
    """Whether the chosen network is better than a baseline, or than the same network on another input ("pixels")."""

    test: Literal["better-than"]
    model: str


class Recalls(Frozen):
    """Share of each class that was recognised: shown, not judged."""

    test: Literal["recalls"]
    printed: tuple[float, ...]


Test = Annotated[
    BestValue | LosesTo | BaselineEquals | Along | LastAlike | LowestLoss | Curve | Counts | Speed | HardlyLearns
    | BetterThan | Recalls,
    Field(discriminator="test"),
]  # fmt: skip


class Claim(Frozen):
    """A question, what the study claimed of it, and the test that judges the claim; `claimed` is empty where it did not."""

    id: str
    question: str
    claimed: str = ""
    """In a few words."""
    details: str = ""
    """The figures that it rests on, as printed."""
    test: Test


class Printed(Frozen):
    """A printed result: a figure of a model at one value of the axis; `note` says what is wrong with it."""

    figure: Literal["accuracy", "train_loss", "validation_loss"]
    model: Literal["network", "sklearn-mlp"] = "network"
    value: Value = None
    printed: float
    note: str = ""


class Data(Frozen):
    """The data of a part: what it is called, and how it is recognised: by content digests, or the kind of source."""

    title: str
    digests: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Part(Frozen):
    """A part of the study: which node of a profile answers it, its data and settings, claims, results and faults."""

    letter: str
    title: str
    study: str
    data: str
    settings: dict[str, Value] = Field({})
    """Trial settings that the study's networks had, as far as they are known."""
    claims: tuple[Claim, ...] = ()
    printed: tuple[Printed, ...] = ()
    faults: tuple[str, ...] = ()


class Claims(Frozen):
    """All of a study's claims."""

    name: str
    title: str
    data: dict[str, Data]
    parts: tuple[Part, ...]

    def claim(self, id_: str) -> Claim:
        return next(each for part in self.parts for each in part.claims if each.id == id_)

    def part(self, letter: str) -> Part:
        return next(part for part in self.parts if part.letter == letter)


def claims_names() -> list[str]:
    """Names of the studies whose claims are known."""
    files = resources.files("lib.reference").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


@cache
def claims_named(name: str) -> Claims:
    """The claims of this name. Raises ConfigError when there are none; it names those that there are."""
    if name not in claims_names():
        raise ConfigError(f"claims: there are no claims {name!r}; known: {', '.join(claims_names())}")
    text = (resources.files("lib.reference") / f"{name}.yaml").read_text(encoding="utf-8")
    return Claims.model_validate(yaml.safe_load(text))
