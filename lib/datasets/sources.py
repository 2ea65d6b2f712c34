"""The settings of each kind of data source, and the registry that knows the kinds.

A new kind is one module with `load`, its settings, and one line `register(MySettings, "module.with.load")`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, LiteralString, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from lib.datasets.decoding import LARGEST_PIXELS, SCALED_SIDE, Decoder
from lib.datasets.patterns import Patterns
from lib.datasets.shrinking import Shrink
from lib.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lib.datasets.dataset import Dataset

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{name!r} is listed twice")
    return names


Classes = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_once)]
"""Two or more names of classes, each listed once."""


class SourceSettings(BaseModel):
    """What every kind of source has: the field `source`, a Literal whose default is the kind's name.

    `known_splits`: the splits that each dataset of this kind has, where that is known beforehand.
    `path_fields`: fields that may hold a path on this machine.
    `published`: where data lies that is downloaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    known_splits: ClassVar[tuple[str, ...] | None] = None
    path_fields: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[str | None] = None

    source: str

    @field_validator("*")
    @classmethod
    def _paths_are_given(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name in cls.path_fields and not str(value).strip():  # it would be the current folder
            raise ValueError("is empty; give a path or an address")
        return value

    @property
    def address(self) -> str | None:
        """Where the data lies: a path, a URL, or a name under a mirror; None when it comes with a package, or is drawn."""
        return self.published


class Digits(SourceSettings):
    """scikit-learn's bundled 8x8 handwritten digits, 1,797 images: no download."""

    known_splits: ClassVar = ("train", "test")

    source: Literal["digits"] = "digits"
    test_fraction: float = Field(0.25, gt=0, lt=1, description="Share of images kept for the test split.")


class PhotoPatches(SourceSettings):
    """Two-class texture task: patches of scikit-learn's two bundled photographs, mean colour made uninformative.

    Each photograph is cut into square blocks; whole blocks go to train or test, so no patch of one overlaps the other.
    """

    known_splits: ClassVar = ("train", "test")

    source: Literal["photo-patches"] = "photo-patches"
    patch: int = Field(32, ge=8, le=128, description="Side of a patch in pixels.")
    block: int = Field(64, ge=16, le=200, description="Side of the blocks that are dealt to train or test, in pixels.")
    stride: int = Field(16, ge=1, description="Step between patches inside a block, in pixels.")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of blocks kept for the test split.")
    seed: int = Field(0, ge=0, description="Seed of the dealing of blocks and of the random tints.")


class Mnist(SourceSettings):
    """MNIST, 60,000 training and 10,000 test images of 28x28."""

    known_splits: ClassVar = ("train", "test")
    published: ClassVar = "https://ossci-datasets.s3.amazonaws.com/mnist/"

    source: Literal["mnist"] = "mnist"


class Letters(SourceSettings):
    """OCR letters, 8x16 binary pixels, ten classes (a e g i l n o r t u); no test split, as in the reference study."""

    known_splits: ClassVar = ("train", "validation")
    path_fields: ClassVar = ("train_csv", "validation_csv")
    published: ClassVar = "https://ai.stanford.edu/~btaskar/ocr/letter.data.gz"

    source: Literal["letters"] = "letters"
    origin: Literal["csv", "archive"] = Field(
        "csv", description="csv: the study's two files; archive: the public letter archive they were drawn from."
    )
    train_csv: str = Field("letters/largeTrain.csv", description="Path, or name under PROBEFLOW_MIRROR.")
    validation_csv: str = Field("letters/largeValidation.csv", description="Path, or name under PROBEFLOW_MIRROR.")

    @property
    def address(self) -> str:
        """Of two files, the first."""
        return self.published if self.origin == "archive" else self.train_csv


class Cifar10(SourceSettings):
    """Some classes of CIFAR-10, 5,000 training and 1,000 test images each."""

    known_splits: ClassVar = ("train", "test")
    published: ClassVar = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"

    source: Literal["cifar10"] = "cifar10"
    classes: Classes = Field(("airplane", "automobile"), description="Any two or more classes.")


class SplitPatterns(BaseModel):
    """Which files are of which split: patterns of paths below `path`, with `*`, `?`, `[…]`, `**` and `{a,b}`.

    A pattern that names a folder takes all below it. In a folder, a file's class is the folder in the place of the first `*`
    or `**`, or the first one below what the pattern names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str = Field(min_length=1, description="Of training images, such as `training/**` or `*_train.parquet`.")
    validation: str | None = Field(None, min_length=1, description="Of validation images.")
    test: str | None = Field(None, min_length=1, description="Of test images; without it some of train are held out.")

    @model_validator(mode="after")
    def _can_be_read(self) -> SplitPatterns:
        try:
            self.compiled()
        except DataError as problem:
            raise ValueError(str(problem)) from None
        return self

    def compiled(self) -> Patterns:
        return Patterns(self.model_dump(exclude_none=True))


class EncodedSource(SourceSettings):
    """What all sources of encoded images (JPEG, PNG, …) have."""

    path_fields: ClassVar = ("path",)

    path: str
    classes: Classes | None = Field(None, description="Classes to take; all when not given.")
    splits: SplitPatterns | None = Field(
        None, description="Which files are train, validation and test, where their names do not tell it."
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share kept for test when the source has no test split.")
    seed: int = Field(0, ge=0, description="Seed of that split.")
    unreadable: Literal["refuse", "quarantine"] = Field(
        "refuse", description="Images that cannot be used: refuse the source, or set them aside and list them."
    )
    largest_pixels: int = Field(
        LARGEST_PIXELS, ge=1, description="An image of more pixels is not decoded: it may be a decompression bomb."
    )
    decode: Literal["scaled", "full"] = Field(
        "scaled", description="scaled: large JPEGs at a half, quarter or eighth of their size. full: every pixel."
    )
    decode_side: int = Field(
        SCALED_SIDE, ge=1, description="What a scaled JPEG's shorter side keeps at least, in pixels."
    )

    _small_copies: tuple[Shrink, ...] = PrivateAttr(())

    @property
    def address(self) -> str:
        return self.path

    @property
    def scaled_side(self) -> int | None:
        """What a JPEG's shorter side keeps at least, in pixels; None when it is decoded at full size."""
        return self.decode_side if self.decode == "scaled" else None

    @property
    def decoder(self) -> Decoder:
        return Decoder(self.largest_pixels, self.scaled_side)

    @property
    def small_copies(self) -> tuple[Shrink, ...]:
        return self._small_copies

    def keeping(self, shrinks: Sequence[Shrink]) -> Self:
        """The same source, of whose large images small copies are kept while they are verified."""
        source = self.model_copy()
        source._small_copies = tuple(dict.fromkeys(shrinks))
        return source


class ImageFolder(EncodedSource):
    """Your own images: a folder, or a .tar / .zip of one, as `<class>/*.jpg` or `train/<class>/…`, `test/<class>/…`."""

    source: Literal["folder"] = "folder"
    path: str = Field(description="Folder or archive: a path, a URL, or a name under PROBEFLOW_MIRROR.")


class WebDataset(EncodedSource):
    """Tar shards in WebDataset's layout: `<sample>.jpg` beside `<sample>.cls`, or `.json` with a label."""

    source: Literal["webdataset"] = "webdataset"
    path: str = Field(
        description="A .tar, a folder of such, or a pattern as {000..010}.tar: a path, a URL, or under PROBEFLOW_MIRROR."
    )


class ParquetImages(EncodedSource):
    """Parquet files with a column of encoded images, as Hugging Face writes them, and a column of labels."""

    source: Literal["parquet"] = "parquet"
    path: str = Field(
        description="A .parquet, a folder of such, or a pattern with * or {a,b}: a path, a URL, or under PROBEFLOW_MIRROR."
    )
    image_column: str = Field("image", description="Encoded images: binary, or a struct with `bytes`.")
    label_column: str = Field("label", description="Labels: numbers or names.")


Load = Callable[[Any, Path, str | None], "Dataset"]
"""Finds, verifies and loads the data of some settings, under a folder for raw files, from a mirror if there is one."""


_kinds: dict[str, tuple[type[SourceSettings], str | Load]] = {}


def register(settings: type[SourceSettings], loader: str | Load) -> None:
    """Make a kind of source known by the default of its field `source`.

    `loader`: a module's name, imported at the first use, whose `load` is taken, or such a function itself. A module may
    also have `splits_ahead` (same parameters): the splits that there will be, or None.

    Raises ConfigError when another kind has that name.
    """
    name = settings.model_fields["source"].default
    if not isinstance(name, str):
        raise ConfigError(f'{settings.__name__} has no name: give it a field  source: Literal["x"] = "x"')
    there, _ = _kinds.setdefault(name, (settings, loader))
    if there is not settings:
        raise ConfigError(f"source {name!r} is {there.__name__} already; give {settings.__name__} another name")


def kinds() -> dict[str, type[SourceSettings]]:
    return {name: settings for name, (settings, _) in _kinds.items()}


def loader_of(source: SourceSettings) -> Load:
    """What loads data of these settings. Raises ConfigError when their kind is not registered."""
    if source.source not in _kinds:
        raise ConfigError(f"there is no source {source.source!r}; known: {', '.join(_kinds)}")
    _, loader = _kinds[source.source]
    load: Load = import_module(loader).load if isinstance(loader, str) else loader
    return load


def look_ahead(source: SourceSettings, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    if source.known_splits is not None:
        return source.known_splits
    _, loader = _kinds.get(source.source, (None, None))
    look = getattr(import_module(loader), "splits_ahead", None) if isinstance(loader, str) else None
    found: tuple[str, ...] | None = None if look is None else look(source, raw, mirror)
    return found


def parse_source(content: SourceSettings | Mapping[str, Any] | None) -> SourceSettings:
    """The settings of a source, of the class that `content["source"]` names.

    Raises ConfigError for an unknown kind or a wrong setting, in one line.

    >>> parse_source({"source": "digits", "test_fraction": 0.5})
    Digits(source='digits', test_fraction=0.5)
    """
    try:
        return _validated(content)
    except ValidationError as error:
        raise ConfigError(f"data source: {'; '.join(map(_line, error.errors(include_url=False)))}") from None


def _line(error: ErrorDetails) -> str:
    where = "".join(f"{step}." for step in error["loc"]).rstrip(".")
    given = "" if error["type"] == "missing" else f" (got {error['input']!r})"
    return f"{where}: {error['msg']}{given}".removeprefix(": ")


def _validated(content: Any) -> SourceSettings:
    """The same; raises a ValidationError, whose places are those of the settings."""
    if isinstance(content, SourceSettings):
        return content
    if not isinstance(content, Mapping):
        raise _error("source_type", "give a mapping such as {source: folder, path: pets}", (), content)
    known = ", ".join(_kinds)
    if "source" not in content:
        raise _error("missing", f"give the kind of source; known: {known}", ("source",), content)
    name = content["source"]
    if not isinstance(name, str) or name not in _kinds:
        raise _error("source_unknown", f"there is no such source; known: {known}", ("source",), name)
    return _kinds[name][0].model_validate(content)


def _error(name: LiteralString, message: str, where: tuple[str, ...], given: Any) -> ValidationError:
    problem = PydanticCustomError(name, "{message}", {"message": message})
    return ValidationError.from_exception_data("source", [InitErrorDetails(type=problem, loc=where, input=given)])


class _ThroughTheRegistry:
    """Has Pydantic validate a source by the registry, write it whole, and draw the form of every kind."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validated)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(each.__pydantic_core_schema__) for each in kinds().values()]}


AnySource = Annotated[SourceSettings, _ThroughTheRegistry()]
"""The type of a field or parameter that takes any registered kind of source."""

register(Digits, "lib.datasets.digits")
register(PhotoPatches, "lib.datasets.photo_patches")
register(Mnist, "lib.datasets.mnist")
register(Letters, "lib.datasets.letters")
register(Cifar10, "lib.datasets.cifar10")
register(ImageFolder, "lib.datasets.image_folder")
register(WebDataset, "lib.datasets.web_dataset")
register(ParquetImages, "lib.datasets.parquet_images")
