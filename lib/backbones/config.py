"""Settings that choose a frozen network, a layer of it, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lib.backbones.backbone import Backbone
from lib.backbones.registry import find_backbone, known_backbones
from lib.errors import ConfigError


def without_default(schema: dict[str, Any]) -> None:
    """Take a default that follows the backbone out of the form: there it would be AlexNet's for all of them."""
    schema.pop("default", None)


class NetworkSettings(BaseModel):
    """Which network, cut where, with which weights.

    Attributes
    ----------
    backbone : str
        A name of the registry (`lib.backbones`).
    layer : str
        One of the backbone's cuts; the backbone's default when none is given.
    weights : {"imagenet", "random"}
        What tells random weights from pretrained ones: ask this, never a description.
    weights_file : str, optional
        A local file with ImageNet weights under torchvision's names, PyTorch's own kind or safetensors; `~` is the home
        folder. It need hold no more than the layer needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = Field("alexnet", description=f"The frozen network: {', '.join(known_backbones())}.")
    layer: str = Field(
        "fc8",
        description="Where the network is cut, a name of the backbone's; empty: its default (AlexNet: fc8).",
        json_schema_extra=without_default,
    )
    weights: Literal["imagenet", "random"] = Field("imagenet", description="Pretrained, or random (said everywhere).")
    weights_file: str | None = Field(None, description="A local file with ImageNet weights, instead of torchvision's.")
    seed: int = Field(0, ge=0, description="Seed of random weights.")

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        try:
            backbone = find_backbone(str(given.get("backbone") or "alexnet"))
        except ConfigError as error:
            raise ValueError(str(error)) from None
        chosen = {name: value for name, value in given.items() if value is not None}
        return cls._defaults(backbone) | chosen

    @classmethod
    def _defaults(cls, backbone: Backbone) -> dict[str, Any]:
        """Settings whose defaults are the backbone's."""
        return {"layer": backbone.default}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            self.entry.cut(self.layer)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if self.weights_file and self.weights != "imagenet":
            raise ValueError(f"weights_file {self.weights_file!r} needs weights: imagenet, got weights: {self.weights}")
        if self.weights == "imagenet" and self.entry.weights is None and not self.weights_file:
            raise ValueError(f"no ImageNet weights are known of {self.backbone}: give weights_file, or weights: random")
        return self

    @property
    def entry(self) -> Backbone:
        """The backbone's entry in the registry."""
        return find_backbone(self.backbone)

    @property
    def width(self) -> int:
        """Features of one image."""
        return self.entry.cut(self.layer).width

    def describe(self) -> str:
        """In words, for every table, tag and figure: "AlexNet fc8, RANDOM weights (seed 0)"."""
        weights = f"RANDOM weights (seed {self.seed})" if self.weights == "random" else "ImageNet weights"
        return f"{self.entry.title} {self.layer}, {weights}"
