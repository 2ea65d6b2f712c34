"""What a kind of study is, and the registry of kinds: all that the rest of probeflow knows of studies.

A kind states its settings, what it needs, what decides its result, how it computes a typed result, how its work can be cut
into pieces, and how the result is presented. A new kind is one module and one line of `register`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

from lib.errors import ConfigError
from lib.places import Places
from lib.studies.entry import Entry
from lib.studies.presentation import Presentation, lacking_words
from lib.validation import Frozen, Stored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lib.datasets import Dataset, Understood
    from lib.datasets.shrinking import Shrink
    from lib.datasets.sources import SourceSettings
    from lib.features import FeatureSet
    from lib.features.config import FeatureSettings


class Group(StrEnum):
    """The groups of nodes in a profile."""

    DATA = "data"
    FEATURES = "features"
    STUDIES = "studies"


class StudySettings(Frozen):
    """Settings of one study, a node of a profile; each kind has its own."""

    kind: str


class Result(Stored):
    """A study's typed result as it is stored: numbers unrounded, enums for what was decided, no sentences."""


S = TypeVar("S", bound=StudySettings)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Need:
    """A node that a study needs."""

    role: str
    """The setting that names it: "on", "of", "also_on.0"."""
    node: str
    groups: tuple[Group, ...]
    """Where the node may stand."""
    kinds: tuple[str, ...] = ()
    """Of a study: only these kinds."""

    @property
    def setting(self) -> str:
        """The setting without a place in its list, which its readers would count otherwise; the node's name is enough."""
        return self.role.partition(".")[0]


@dataclass(frozen=True)
class Input:
    """What a node gives to the studies that need it."""

    name: str
    dataset: Dataset
    """The images at the root of it."""
    feature_set: FeatureSet | None = None
    """The sealed set, of a features node and of what is on one."""
    record: Record[Any] | None = None

    @property
    def digest(self) -> str:
        if self.record is not None:
            return self.record.key
        return self.dataset.digest if self.feature_set is None else self.feature_set.digest


class Identified(Protocol):
    """An input whose content is known."""

    @property
    def dataset(self) -> Dataset:
        """The images at the root of it."""

    @property
    def digest(self) -> str:
        """What names the content."""


@dataclass(frozen=True)
class Ahead:
    """What is known of an input before anything is computed; `dataset` is None while it is not on this machine."""

    name: str
    data: str
    """The data node at the root of it."""
    dataset: Dataset | None
    splits: tuple[str, ...] | None
    """Which splits the data has or will have; None while that is not known."""
    features: FeatureSettings | None = None
    """Of a features node, and of a study on one."""
    digest: str | None = None
    """The input's digest; None while it is not known."""
    settings: StudySettings | None = None
    source: SourceSettings | None = None


@dataclass(frozen=True)
class DatasetNote:
    """A dataset as a record shows it: `rows` counts each split; what older records lack is None.

    `address`: where its files lie; None when they come with a package, or are drawn.
    """

    name: str
    digest: str
    origin: str
    classes: tuple[str, ...]
    rows: dict[str, int]
    warnings: tuple[str, ...] = ()
    understood: Understood | None = None
    address: str | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure of a study: its file's name without ending, what it is called, and for whom it is drawn.

    `variant` is set where the figure is of one variant of several.
    """

    name: str
    caption: str
    figure: Figure
    variant: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a study: its file's name without ending, what it is called, and rows that all have the first one's columns."""

    name: str
    caption: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Artifact:
    """A figure or table in a record: a file under `figures/` or `tables/`, and what it is called.

    `lacking` has the letters of a figure for which there was no font.
    """

    file: str
    caption: str
    variant: str = ""
    lacking: str = ""


@dataclass(frozen=True)
class ModelNote:
    """A trained network in a study's folder."""

    network: str
    example: str
    """Files: the network, and a few inputs with the probabilities that it gave them."""
    description: str
    """What it was trained on, what goes in and what comes out."""


@dataclass(frozen=True)
class Record(Generic[R]):
    """Everything that is kept of one finished study; what is shown of it anywhere is made from this."""

    kind: str
    name: str
    """The kind of study, and what the profile calls it."""
    key: str
    """Digest of all that decides the result."""
    folder: Path
    dataset: DatasetNote
    result: R
    figures: tuple[Artifact, ...] = ()
    tables: tuple[Artifact, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)
    """When, of which commit, with which versions and on what machine (`lib.provenance`)."""

    @property
    def model(self) -> ModelNote | None:
        return kind_named(self.kind).model(self.result)

    @property
    def picture(self) -> Artifact | None:
        """The figure that says most, if it has any."""
        return self.figures[0] if self.figures else None

    def present(self) -> Presentation:
        """What people are shown of it."""
        shown = kind_named(self.kind).present(self)
        lacking = "".join(dict.fromkeys("".join(figure.lacking for figure in self.figures)))
        return replace(shown, warnings=(*shown.warnings, lacking_words(lacking))) if lacking else shown


class Folder(Protocol):
    """Where a study keeps files while it is computed."""

    key: str

    @property
    def path(self) -> Path:
        """The study's own folder."""

    @property
    def trials(self) -> Path:
        """Where results of single trials lie, each under a key of its content."""


@dataclass(frozen=True)
class Study(Generic[S]):
    """A study that is to be computed: its settings, inputs by role, where it keeps its files, and places."""

    name: str
    settings: S
    inputs: Mapping[str, Input]
    folder: Folder
    where: Places

    @property
    def dataset(self) -> Dataset:
        return next(iter(self.inputs.values())).dataset


@dataclass(frozen=True)
class Piece:
    """Part `number` (from 1) of `of` of a study's work: positions in its list of units, and their cost."""

    number: int
    of: int
    positions: tuple[int, ...]
    cost: int


class Work(Protocol):
    """Work that can be cut: units named by their positions, each of which is stored by itself once it is done.

    Every machine that resolves the same inputs has the same units under the same `key`.
    """

    @property
    def key(self) -> str: ...

    def missing(self, positions: Sequence[int] | None = None) -> list[int]:
        """Those of `positions` (default: all) that are not stored whole."""

    def pieces(self, count: int, least_images: int) -> list[Piece]:
        """All units, stored or not, in at most `count` balanced parts; parts of images hold at least `least_images`."""

    def results(self, positions: Sequence[int]) -> list[Path]:
        """The files that are there once these units are done."""

    def do(self, positions: Sequence[int]) -> int:
        """Do those of `positions` that are missing; returns how many these were."""


@dataclass(frozen=True)
class Forecast:
    """What a study would do."""

    trials: int | None = 0
    stored: int | None = 0
    """All trials that are known ahead, and those whose results are stored already; None when that is not known."""
    searched: int = 0
    """Trials of configurations that searches will choose, stored or not."""
    shards: int | None = 0
    missing: int | None = 0
    """All shards, and those that are missing."""
    bytes: int | None = 0
    """About so many will be written; None when that is not known."""
    programs: Sequence[Any] = ()
    """The programs in which the missing trials train."""
    amount: float | None = None
    """How much there is to do, in a unit of the kind's own, by which past records tell how long it takes."""
    alike: str = ""
    """Only past efforts with the same text tell, e.g. those of one device."""
    after: str = ""
    """What cannot be known ahead."""


@dataclass(frozen=True)
class Effort:
    """What a finished study has cost: so much in the unit of `Forecast.amount`, done in `seconds` of the study's time.

    `seconds` is None where all of its time grows with the amount.
    """

    amount: float
    seconds: float | None = None
    alike: str = ""


class Kind(ABC, Generic[S, R]):
    """One kind of study. Stateless: what it is asked comes in, what it answers goes out."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when what a result holds, or how it is computed, changes: older records are then made anew."""
    settings: ClassVar[type[StudySettings]]
    result: ClassVar[type[Result]]
    question: ClassVar[str] = ""
    """What a study of this kind answers, in one sentence."""

    @abstractmethod
    def needs(self, settings: S) -> tuple[Need, ...]:
        """The nodes it needs; the first one is what the study is on."""

    def check(self, name: str, settings: S, inputs: Mapping[str, Ahead]) -> None:
        """Refuse, before anything is computed, what could only fail later. `inputs` are by role.

        Raises ConfigError, naming the study, the setting and the fix.
        """

    def require_means(self, name: str, settings: S, inputs: Mapping[str, Ahead], where: Places, here: bool) -> None:
        """Refuse, before anything is computed, what there are not the means for: weights, a device, memory.

        Asked of a study whose data is here and that is not done. `here` says whether this process computes it, or
        workers of a pool. Raises ProbeflowError, naming the study, the setting and the fix.
        """

    def decisive(self, settings: S) -> Any:
        """The settings that decide the result, as JSON; names of nodes do not, for their digests do."""
        named = {need.setting for need in self.needs(settings)}
        return settings.model_dump(mode="json", exclude={"kind", *named})

    def digests(self, settings: S, inputs: Mapping[str, Identified], where: Places) -> dict[str, str]:
        """What each input is called -> its digest."""
        return {role: each.digest for role, each in inputs.items()}

    def intact(self, settings: S, inputs: Mapping[str, Identified], where: Places) -> bool:
        """Whether what a record speaks of outside its folder is still there; else the record is made anew."""
        return True

    def small_copies(self, settings: S) -> tuple[Shrink, ...]:
        """What it needs of large images of the data that it is on: copies are kept when these are verified."""
        return ()

    @abstractmethod
    def compute(self, study: Study[S]) -> R:
        """The result. What is stored of an interrupted run is not computed again.

        Raises ProbeflowError for data, settings or means that cannot be used.
        """

    def draw(self, result: R, study: Study[S]) -> Iterator[Drawing | Table]:
        """Figures and tables of the result, the one that says most first."""
        return iter(())

    @abstractmethod
    def present(self, record: Record[R]) -> Presentation:
        """What people are shown: a pure function of the record."""

    def entries(self, record: Record[R]) -> tuple[Entry, ...]:
        """The models that it scored, for the leaderboard of a run."""
        return ()

    def model(self, result: R) -> ModelNote | None:
        """The network that the study keeps, if it keeps one."""
        return None

    def work(self, study: Study[S]) -> Work | None:
        """Its work in units, if it can be cut and is not done; else None, and a pool's worker does the whole."""
        return None

    def forecast(
        self, name: str, settings: S, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        """What `compute` would do; nothing is fetched, computed or written. `folder` is None while the key is not known."""
        return Forecast()

    def effort(self, result: R) -> Effort | None:
        """What the result has cost, by which the time of another is estimated."""
        return None


_KINDS: dict[str, str | Kind[Any, Any]] = {
    "exploration": "lib.studies.exploration",
    "features": "lib.studies.features",
    "sweep": "lib.studies.sweep",
    "map": "lib.studies.map",
    "scaling": "lib.studies.scaling",
    "inspection": "lib.studies.inspection",
}
"""Name -> the kind, or the module whose KIND it is, imported when it is first asked for."""

_OF_RUNS = {"pipeline": "lib.graph.summary"}
"""The kind of a whole run's record, which no profile can have."""


def register(kind: Kind[Any, Any]) -> None:
    """Make a kind of study known under its name. Raises ConfigError when another kind has the name."""
    known = _KINDS.get(kind.name)
    if known is not None and known is not kind:
        raise ConfigError(f"a kind of study {kind.name!r} is registered already; give yours another name")
    _KINDS[kind.name] = kind


def kind_names() -> list[str]:
    """Names of all kinds of study that a profile can have."""
    return sorted(_KINDS)


def kind_named(name: str) -> Kind[Any, Any]:
    """The kind of this name. Raises ConfigError when there is none; it names those that there are."""
    found = _KINDS.get(name) or _OF_RUNS.get(name)
    if found is None:
        raise ConfigError(f"unknown kind of study {name!r}; known: {', '.join(kind_names())}")
    if isinstance(found, str):
        found = cast("Kind[Any, Any]", import_module(found).KIND)
        if name in _KINDS:
            _KINDS[name] = found
    return found


def kind_of(settings: StudySettings) -> Kind[Any, Any]:
    return kind_named(settings.kind)
