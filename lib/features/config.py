"""Settings of feature extraction; light to import, and drawn as a form by the Prefect UI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

LAYERS = {"fc8": 1000, "fc7": 4096, "pool5": 9216}
"""Layer -> width: the logits, the second fully connected layer after its ReLU, the pooled last convolution."""


class FeatureSettings(BaseModel):
    """How images become features. All but device and batch size decide the features, and so their digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Literal["imagenet", "random"] = Field("imagenet", description="Pretrained, or random (said everywhere).")
    weights_file: str | None = Field(None, description="A local file with ImageNet weights, instead of torchvision's.")
    seed: int = Field(0, ge=0, description="Seed of random weights.")
    layer: Literal["fc8", "fc7", "pool5"] = Field("fc8", description="fc8 (1000 logits), fc7 (4096) or pool5 (9216).")
    input_size: int = Field(
        224, ge=63, le=1024, description="Side of the square that images are resized to, in pixels."
    )
    interpolation: Literal["bilinear", "bicubic", "nearest"] = Field("bilinear", description="How images are resized.")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Arithmetic of the network.")
    storage: Literal["float32", "float16"] = Field("float32", description="Number format in the Parquet shards.")
    shard_rows: PositiveInt = Field(4096, description="Images in a shard.")
    batch_size: PositiveInt | None = Field(None, description="Images computed at once; empty: found within memory.")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def _file_is_imagenet(self) -> FeatureSettings:
        if self.weights_file and self.weights != "imagenet":
            raise ValueError(f"weights_file {self.weights_file!r} needs weights: imagenet, got weights: {self.weights}")
        return self

    @property
    def width(self) -> int:
        """Features of one image."""
        return LAYERS[self.layer]

    def identity(self) -> dict[str, Any]:
        """The settings that decide the features' values and layout in shards."""
        return self.model_dump(exclude={"device", "batch_size", "weights_file"} | self._unused())

    def _unused(self) -> set[str]:
        return {"seed"} if self.weights == "imagenet" else set()

    def describe(self) -> str:
        """In words, for every table, tag and figure: "AlexNet fc8, RANDOM weights (seed 0)"."""
        if self.weights == "random":
            return f"AlexNet {self.layer}, RANDOM weights (seed {self.seed})"
        return f"AlexNet {self.layer}, ImageNet weights"
