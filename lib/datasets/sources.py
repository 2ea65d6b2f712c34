"""The settings of each data source: typed, validated once, and drawn as a form by the Prefect UI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lib.datasets.decoding import LARGEST_PIXELS

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Digits(_Source):
    """scikit-learn's bundled 8x8 handwritten digits, 1,797 images: no download."""

    source: Literal["digits"] = "digits"
    test_fraction: float = Field(0.25, gt=0, lt=1, description="Share of images kept for the test split.")


class PhotoPatches(_Source):
    """Two-class texture task: patches of scikit-learn's two bundled photographs, mean colour made uninformative.

    Each photograph is cut into square blocks; whole blocks go to train or test, so no patch of one overlaps the other.
    """

    source: Literal["photo-patches"] = "photo-patches"
    patch: int = Field(32, ge=8, le=128, description="Side of a patch in pixels.")
    block: int = Field(64, ge=16, le=200, description="Side of the blocks that are dealt to train or test, in pixels.")
    stride: int = Field(16, ge=1, description="Step between patches inside a block, in pixels.")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of blocks kept for the test split.")
    seed: int = Field(0, ge=0, description="Seed of the dealing of blocks and of the random tints.")


class Mnist(_Source):
    """MNIST, 60,000 training and 10,000 test images of 28x28, through torchvision."""

    source: Literal["mnist"] = "mnist"


class Letters(_Source):
    """OCR letters, 16x8 binary pixels, ten classes (a e g i l n o r t u); no test split, as in the reference study."""

    source: Literal["letters"] = "letters"
    origin: Literal["csv", "archive"] = Field(
        "csv", description="csv: the study's two files; archive: the public letter archive they were drawn from."
    )
    train_csv: str = Field("letters/largeTrain.csv", description="Path, or name under PROBEFLOW_MIRROR.")
    validation_csv: str = Field("letters/largeValidation.csv", description="Path, or name under PROBEFLOW_MIRROR.")


class Cifar10(_Source):
    """Some classes of CIFAR-10, 5,000 training and 1,000 test images each, through torchvision."""

    source: Literal["cifar10"] = "cifar10"
    classes: tuple[str, ...] = Field(("airplane", "automobile"), min_length=2, description="Any two or more classes.")


class EncodedSource(_Source):
    """What all sources of encoded images (JPEG, PNG, …) have."""

    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share kept for test when the source has no test split.")
    seed: int = Field(0, ge=0, description="Seed of that split.")
    unreadable: Literal["refuse", "quarantine"] = Field(
        "refuse", description="Images that cannot be used: refuse the source, or set them aside and list them."
    )
    largest_pixels: int = Field(
        LARGEST_PIXELS, ge=1, description="An image of more pixels is not decoded: it may be a decompression bomb."
    )


class ImageFolder(EncodedSource):
    """Your own images: a folder, or a .tar / .zip of one, as `<class>/*.jpg` or `train/<class>/…`, `test/<class>/…`."""

    source: Literal["folder"] = "folder"
    path: str = Field(description="Folder or archive: a path, a URL, or a name under PROBEFLOW_MIRROR.")
    classes: tuple[str, ...] | None = Field(None, min_length=2, description="Classes to take; all when not given.")


class WebDataset(EncodedSource):
    """Tar shards in WebDataset's layout: `<sample>.jpg` beside `<sample>.cls`, or `.json` with a label."""

    source: Literal["webdataset"] = "webdataset"
    path: str = Field(
        description="A .tar, a folder of such, or a pattern as {000..010}.tar: a path, a URL, or under PROBEFLOW_MIRROR."
    )
    classes: tuple[str, ...] | None = Field(None, min_length=2, description="Classes to take; all when not given.")


class ParquetImages(EncodedSource):
    """Parquet files with a column of encoded images, as Hugging Face writes them, and a column of labels."""

    source: Literal["parquet"] = "parquet"
    path: str = Field(
        description="A .parquet, a folder of such, or a pattern with * or {a,b}: a path, a URL, or under PROBEFLOW_MIRROR."
    )
    image_column: str = Field("image", description="Encoded images: binary, or a struct with `bytes`.")
    label_column: str = Field("label", description="Labels: numbers or names.")
    classes: tuple[str, ...] | None = Field(None, min_length=2, description="Classes to take; all when not given.")


Source = Annotated[
    Digits | PhotoPatches | Mnist | Letters | Cifar10 | ImageFolder | WebDataset | ParquetImages,
    Field(discriminator="source"),
]

SOURCES: frozenset[str] = frozenset(
    each.model_fields["source"].default
    for each in (Digits, PhotoPatches, Mnist, Letters, Cifar10, ImageFolder, WebDataset, ParquetImages)
)
"""The names of all kinds of source."""
