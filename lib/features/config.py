"""Settings of feature extraction; light to import, and drawn as a form by the Prefect UI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from lib.backbones.backbone import Backbone, Interpolation
from lib.backbones.config import NetworkSettings, without_default
from lib.backbones.registry import find_backbone
from lib.datasets.shrinking import Shrink

_RESIZING = 2
"""Raised when the same images become other inputs of the network than before."""


class FeatureSettings(NetworkSettings):
    """How images become features. All but device and batch size decide the features, and so their digest.

    `preprocessing` ({"squash", "crop"}): how an image becomes the square that the network takes. "squash": resized to
    it, whatever its shape, so that all of the image is seen. "crop": as torchvision does for the backbone's weights:
    the shorter side is resized (256 for an input of 224, and in that proportion for others), then the square is cut out
    of the middle. torchvision rounds pixels to whole numbers after resizing, which is not done here: a pixel differs by
    less than 2 of 255.
    `input_size`: side of that square in pixels; the backbone's own when none is given.
    `interpolation` ({"bilinear", "bicubic", "nearest"}): the backbone's own when none is given.
    """

    preprocessing: Literal["squash", "crop"] = Field(
        "squash", description="squash: resize to the square. crop: torchvision's resize and centre crop."
    )
    input_size: int = Field(
        224,
        ge=1,
        le=1024,
        description="Side of the square that the network takes, in pixels; empty: the backbone's own (224).",
        json_schema_extra=without_default,
    )
    interpolation: Interpolation = Field(
        "bilinear",
        description="How images are resized; empty: as the backbone's weights state it.",
        json_schema_extra=without_default,
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic of the network.")
    storage: Literal["float32", "float16"] = Field("float32", description="Number format in the Parquet shards.")
    shard_rows: PositiveInt = Field(4096, description="Images in a shard.")
    batch_size: PositiveInt | None = Field(None, description="Images computed at once; empty: found within memory.")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")

    @classmethod
    def _defaults(cls, backbone: Backbone) -> dict[str, Any]:
        own = backbone.preprocessing
        return super()._defaults(backbone) | {"input_size": own.input_size, "interpolation": own.interpolation}

    @field_validator("input_size")
    @classmethod
    def _size_fits(cls, size: int, info: ValidationInfo) -> int:
        if "backbone" in info.data:
            least, most = find_backbone(info.data["backbone"]).input_sizes
            if not least <= size <= most:
                takes = f"{least} pixels" if least == most else f"{least} to {most} pixels"
                raise ValueError(f"{size} does not fit {info.data['backbone']}, which takes {takes}")
        return size

    @property
    def shorter_side(self) -> int:
        """Length that "crop" resizes an image's shorter side to, in pixels."""
        return self.entry.preprocessing.shorter_side(self.input_size)

    @property
    def shrink(self) -> Shrink:
        if self.preprocessing == "crop":
            return Shrink(self.shorter_side, self.input_size, self.interpolation)
        return Shrink(self.input_size, None, self.interpolation)

    def identity(self) -> dict[str, Any]:
        """The settings that decide the features' values and layout in shards."""
        left_out = {"device", "batch_size", "weights_file", "backbone", "preprocessing"}
        settings = self.model_dump(exclude=left_out | ({"seed"} if self.weights == "imagenet" else set()))
        settings["resizing"] = _RESIZING
        if self.backbone != "alexnet":
            settings |= self.entry.identity(self.layer)
        if self.preprocessing == "crop":
            settings |= {"preprocessing": "crop", "shorter_side": self.shorter_side}
        return settings
