"""Settings of a sweep: many trials on one input, compared on validation rows; winners tested once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, field_validator, model_validator

from lib.mlp.trial import Seeds, require_distinct, searched_fields
from lib.search.variant import Variant
from lib.studies.study import Group, Need, StudySettings
from lib.validation import Frozen


class Rung(Frozen):
    """One rung of successive halving."""

    epoch: PositiveInt = Field(description="After this epoch,")
    keep: float = Field(gt=0, lt=1, description="this share of the configurations still running goes on.")


Splits = Literal["repeated", "folds", "fixed"]

Baseline = Literal["majority", "logistic", "knn", "sklearn-mlp"]


VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)]
"""Files of a study are named by it."""


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a name that is given twice."""
    require_distinct("names", names)
    return names


class ComparingSettings(StudySettings):
    """Settings of a study on one input, and on others of the same images."""

    on: str = Field(description="The data (raw pixels) or feature set that networks are trained on.")
    also_on: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        (), description="Other inputs of the same images, to be compared with it."
    )
    standardise: bool | None = Field(
        None,
        description="Scale each input by training rows to mean 0 and deviation 1; empty: of features, not of pixels.",
    )

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of its inputs: "on", then "also_on.0" and so on."""
        return ("on", *(f"also_on.{place}" for place in range(len(self.also_on))))

    @property
    def needs(self) -> tuple[Need, ...]:
        """The nodes of its inputs, by their roles."""
        groups = (Group.DATA, Group.FEATURES)
        return tuple(Need(role, node, groups) for role, node in zip(self.roles, (self.on, *self.also_on), strict=True))

    def standardises(self, on_features: bool) -> bool:
        """Whether all its inputs are standardised: as it says, else where it is on features."""
        return on_features if self.standardise is None else self.standardise


class SweepSettings(ComparingSettings):
    """Many trials on one input; every choice is made on validation rows, and winners are tested once."""

    kind: Literal["sweep"] = "sweep"
    variants: dict[VariantName, Variant] = Field(
        min_length=1, description="Named groups of trials, reported side by side."
    )
    axis: str | None = Field(
        None,
        description="The setting whose values are compared: each value's winner is tested. Empty: only the best is.",
    )
    seeds: Seeds = Field((0, 1, 2), description="Each configuration is trained once with each seed.")
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of training rows held out when the dataset has no validation split."
    )
    splits: Splits = Field(
        "repeated",
        description="Where the dataset has no validation split, what is held out: by each seed its own share (repeated), by "
        "each its own fold of as many as there are seeds (folds), or by all seeds the same rows (fixed).",
    )
    patience: PositiveInt | None = Field(
        None, description="End a trial after so many epochs without a lower validation loss; empty: never."
    )
    rungs: tuple[Rung, ...] = Field(
        (), description="Successive halving among a variant's configurations (of a round), by the first seed's loss."
    )
    test: bool = Field(
        False, description="Train winners again on training and validation rows and score them on test rows, once."
    )
    baselines: Annotated[tuple[Baseline, ...], AfterValidator(distinct)] = Field(
        ("majority",), description="Other models on the same rows: majority, logistic, knn, sklearn-mlp."
    )
    also_on: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        (), description="Other inputs of the same images: the winner's settings are trained and tested on them, too."
    )

    def overlap(self, train_rows: int, held_out_rows: int) -> float:
        """How much the splits of different seeds have in common; see `lib.evaluation.intervals.half_width`.

        `held_out_rows` are those held out of the training split: 0 where the data has validation rows.
        """
        return 0.0 if self.splits == "fixed" else held_out_rows / train_rows

    @field_validator("variants")
    @classmethod
    def _in_one_order(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        """By name: what went through a server's JSON has lost its own order, and equal settings must give equal results."""
        return dict(sorted(variants.items()))

    @model_validator(mode="after")
    def _consistent(self) -> SweepSettings:
        known = searched_fields()
        if self.axis is not None and self.axis not in known:
            raise ValueError(f"axis {self.axis!r} is no trial setting; known: {', '.join(known)}")
        for name, variant in self.variants.items():
            if self.axis is not None and self.axis not in variant.varied and variant.search is None:
                raise ValueError(f"variant {name!r} does not vary the axis {self.axis!r}; add it to the variant's grid")
            for rung in self.rungs if "epochs" not in variant.varied else ():
                if rung.epoch >= variant.base.epochs:
                    raise ValueError(
                        f"the rung at epoch {rung.epoch} comes too late for variant {name!r}, whose trials end after "
                        f"{variant.base.epochs} epochs; put it earlier"
                    )
        if self.splits == "folds" and len(self.seeds) < 2:
            raise ValueError("splits: folds are as many as seeds, and there is one seed; give more seeds")
        epochs = [rung.epoch for rung in self.rungs]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"the rungs' epochs {epochs} do not rise; put them in order, each once")
        if self.also_on and not self.test:
            raise ValueError("also_on compares test figures; set test: true, or leave also_on out")
        if self.on in self.also_on:
            raise ValueError(f"also_on names {self.on!r}, which the sweep is on already; leave it out there")
        return self
