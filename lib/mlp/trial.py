"""One trial: the settings of one network's training, each with what shows and searches it.

A field of `Trial` is all that names a hyperparameter: its label, its MLflow parameter (`lib.mlp.labels`) and its part of
a search space and a grid (`lib.search`) are made from it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from lib.validation import Frozen

Activation = Literal["relu", "sigmoid", "tanh", "linear"]
Initialisation = Literal["zero", "uniform", "normal", "xavier", "he"]
Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "step"]
ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True)
class Hyperparameter:
    """How a field of `Trial` is shown and searched; a field without one is shown by its name."""

    label: str
    """A setting in words; "{}" stands for the value."""
    values: str = ""
    """What a search space's values are, in words."""
    searched: bool = True
    """Whether grids and searches may vary it."""
    optional: bool = False
    """Whether nothing is done at its default. It is then left out of what is stored, and so of each key made of
    that: such a field can be added without making any trial anew."""


class Trial(Frozen):
    """Everything that decides a trained network, given the data: a trial is a value, equal to another of equal settings."""

    hidden: Annotated[
        tuple[PositiveInt, ...],
        Hyperparameter("layers {}", "Shapes, e.g. [[], [64], [64, 32]], or ranges of depth and units."),
    ] = Field((100,), description="Units of each hidden layer, input side first; [] is a linear probe.")
    activation: Annotated[Activation, Hyperparameter("{}", "Activations.")] = Field(
        "relu", description="Activation of every hidden layer; the output is softmax."
    )
    init: Annotated[Initialisation, Hyperparameter("{} init", "Initialisations.")] = Field(
        "he", description="Distribution of the initial weights; biases start at zero."
    )
    optimizer: Annotated[Optimizer, Hyperparameter("{}", "Optimisers.")] = Field(
        "sgd", description="Plain or momentum SGD, Adam, or Adam with decoupled weight decay."
    )
    learning_rate: Annotated[float, Hyperparameter("rate {}", "Step sizes; a range is best logarithmic.")] = Field(
        0.1, gt=0, allow_inf_nan=False, description="Step size; of a schedule, the largest."
    )
    schedule: Annotated[Schedule, Hyperparameter("{} schedule", "Courses of the step size.", optional=True)] = Field(
        "constant",
        description="Of the step size, step by step. cosine: to 0 after all epochs. step: a tenth after 60 % and again "
        "after 85 % of the steps. Shares are of the steps after the warm-up.",
    )
    warmup: Annotated[float, Hyperparameter("warm-up {}", "Shares of all steps.", optional=True)] = Field(
        0.0, ge=0, lt=1, description="Share of all steps, the first ones, in which the step size grows linearly."
    )
    momentum: Annotated[float, Hyperparameter("momentum {}", "Momenta of SGD.")] = Field(
        0.0, ge=0, lt=1, description="Momentum of SGD; unused by Adam and AdamW."
    )
    l2: Annotated[float, Hyperparameter("L2 {}", "L2 penalties.")] = Field(
        0.0, ge=0, allow_inf_nan=False, description="L2 penalty on weights, as scikit-learn's alpha."
    )
    weight_decay: Annotated[float, Hyperparameter("weight decay {}", "Decays of AdamW.", optional=True)] = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Of AdamW: a step takes step size * weight_decay of each weight (not bias).",
    )
    dropout: Annotated[float, Hyperparameter("dropout {}", "Shares of hidden units.", optional=True)] = Field(
        0.0, ge=0, lt=1, description="Share of each hidden layer's activations dropped in each step of training."
    )
    label_smoothing: Annotated[
        float, Hyperparameter("label smoothing {}", "Shares that are spread.", optional=True)
    ] = Field(0.0, ge=0, lt=1, description="Share of each label that is spread evenly over all classes in training.")
    class_weights: Annotated[
        ClassWeights, Hyperparameter("class weights {}", "Ways to weigh classes.", optional=True)
    ] = Field(
        "none", description="balanced: rows weigh in training by the inverse of their class's frequency, 1 on average."
    )
    batch_size: Annotated[
        PositiveInt, Hyperparameter("batch {}", "Rows in a mini-batch; a few choices are fastest.")
    ] = Field(128, description="Rows in a mini-batch.")
    epochs: Annotated[PositiveInt, Hyperparameter("{} epochs", "Passes over the training rows.")] = Field(
        100, description="Passes over the training rows."
    )
    seed: Annotated[int, Hyperparameter("seed {}", searched=False)] = Field(
        0, ge=0, description="Seed of initial weights, row order and dropout."
    )

    @model_validator(mode="after")
    def _used(self) -> Trial:
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                f"weight_decay {self.weight_decay:g} is AdamW's, but the optimizer is {self.optimizer}; "
                "set optimizer: adamw, or use l2"
            )
        if self.dropout and not self.hidden:
            raise ValueError(
                f"dropout {self.dropout:g} is of hidden layers, and hidden [] has none; "
                "set dropout: 0, or give hidden [] a variant of its own"
            )
        return self

    @property
    def optional(self) -> dict[str, Any]:
        """The optional settings that are not at their defaults."""
        model = type(self)
        return {
            name: value
            for name, value in self.model_dump().items()
            if hyperparameter(name, model.model_fields[name]).optional
        }

    @model_serializer(mode="wrap")
    def _stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return stated(handler(self), type(self))


def stated(settings: Mapping[str, Any], model: type[Trial] = Trial) -> dict[str, Any]:
    """A trial's settings without the optional ones that are at their defaults."""
    return {
        name: value
        for name, value in settings.items()
        if not ((field := model.model_fields[name]).default == value and hyperparameter(name, field).optional)
    }


def hyperparameter(name: str, field: FieldInfo) -> Hyperparameter:
    """What shows and searches the field `name` of `Trial`."""
    given = next((each for each in field.metadata if isinstance(each, Hyperparameter)), None)
    return given or Hyperparameter(f"{name.replace('_', ' ')} {{}}", field.description or "")


def searched_fields(model: type[Trial] = Trial) -> dict[str, FieldInfo]:
    """The fields that grids and searches may vary, in the order of `Trial`."""
    return {name: field for name, field in model.model_fields.items() if hyperparameter(name, field).searched}


def require_distinct(name: str, values: Iterable[Any]) -> None:
    """Refuse a value that is given twice; 0.1 and 0.10, 64 and 64.0, [64] and (64,) are one value.

    Raises ValueError: it names the setting and the value.
    """
    seen: set[Hashable] = set()
    for value in values:
        if (key := _hashable(value)) in seen:
            raise ValueError(f"{name}: the value {_plain(value)} is given twice; keep one")
        seen.add(key)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_hashable, value))
    key: Hashable = value  # equal numbers of different types are equal keys
    return key


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    require_distinct("seeds", seeds)
    return seeds


Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(_distinct_seeds)]
"""Seeds of a configuration's trials: at least one, and none twice, for a copy of a trial is no more evidence."""
