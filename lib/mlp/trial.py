"""One trial: the settings of one network's training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Activation = Literal["relu", "sigmoid", "tanh", "linear"]
Initialisation = Literal["zero", "uniform", "normal", "xavier", "he"]
Optimizer = Literal["sgd", "adam"]


class Trial(BaseModel):
    """Everything that decides a trained network, given the data: a trial is a value, equal to another of equal settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[PositiveInt, ...] = Field((100,), description="Units of each hidden layer, input side first.")
    activation: Activation = Field("relu", description="Activation of every hidden layer; the output is softmax.")
    init: Initialisation = Field("he", description="Distribution of the initial weights; biases start at zero.")
    optimizer: Optimizer = Field("sgd", description="Plain or momentum SGD, or Adam.")
    learning_rate: float = Field(0.1, gt=0, allow_inf_nan=False, description="Constant step size.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of SGD; unused by Adam.")
    l2: float = Field(0.0, ge=0, allow_inf_nan=False, description="L2 penalty on weights, as scikit-learn's alpha.")
    batch_size: PositiveInt = Field(128, description="Rows in a mini-batch.")
    epochs: PositiveInt = Field(100, description="Passes over the training rows.")
    seed: int = Field(0, ge=0, description="Seed of initial weights and row order.")
