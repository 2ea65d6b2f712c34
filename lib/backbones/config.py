"""Settings that choose a frozen network, a layer of it, and its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lib.backbones.backbone import Backbone
from lib.backbones.registry import find_backbone, known_backbones
from lib.errors import ConfigError


def without_default(schema: dict[str, Any]) -> None:
    """Take a default that follows the backbone out of the form: there it would be AlexNet's for all of them."""
    schema.pop("default", None)


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """So that Pydantic names the setting."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error)) from None


class NetworkSettings(BaseModel):
    """Which network, cut where, with which weights.

    `backbone`: a name of the registry (`lib.backbones`).
    `layer`: one of the backbone's cuts; the backbone's default when none is given.
    `weights` ({"imagenet", "random"}): what tells random weights from pretrained ones: ask this, never a description.
    `weights_file`: a local file with ImageNet weights under torchvision's names, PyTorch's own kind or safetensors; `~`
    is the home folder. It need hold no more than the layer needs.
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
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            backbone = find_backbone(chosen.get("backbone", "alexnet"))
        except ConfigError:
            return chosen
        return cls._defaults(backbone) | chosen

    @classmethod
    def _defaults(cls, backbone: Backbone) -> dict[str, Any]:
        return {"layer": backbone.default}

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, backbone: str) -> str:
        with _as_value_errors():
            return find_backbone(backbone).name

    @field_validator("layer")
    @classmethod
    def _is_a_cut(cls, layer: str, info: ValidationInfo) -> str:
        if "backbone" in info.data:
            with _as_value_errors():
                find_backbone(info.data["backbone"]).cut(layer)
        return layer

    @model_validator(mode="after")
    def _weights_are_known(self) -> Self:
        if self.weights_file and self.weights != "imagenet":
            raise ValueError(f"weights_file {self.weights_file!r} needs weights: imagenet, got weights: {self.weights}")
        if self.weights == "imagenet" and self.entry.weights is None and not self.weights_file:
            raise ValueError(f"no ImageNet weights are known of {self.backbone}: give weights_file, or weights: random")
        return self

    @field_validator("weights_file")
    @classmethod
    def _is_a_path(cls, file: str | None) -> str | None:
        if file is not None and not file.strip():
            raise ValueError("is empty; give a file, or leave it out")
        return file

    @property
    def entry(self) -> Backbone:
        return find_backbone(self.backbone)

    @property
    def width(self) -> int:
        return self.entry.cut(self.layer).width

    def describe(self) -> str:
        """In words, for every table, tag and figure: "AlexNet fc8, RANDOM weights (seed 0)"."""
        weights = f"RANDOM weights (seed {self.seed})" if self.weights == "random" else "ImageNet weights"
        return f"{self.entry.title} {self.layer}, {weights}"
