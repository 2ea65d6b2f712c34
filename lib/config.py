"""Typed settings. A profile says *what* to study; the environment says *where* things are.

Every model here is frozen, validated once, and is also a flow's parameter, so the Prefect UI draws its form.
A profile comes from YAML (`lib/profiles/*.yaml` or a user's file), then `PROBEFLOW_*` variables, then `--set`.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from lib.addresses import without_credentials
from lib.datasets.sources import Source, SourceSettings, kinds
from lib.errors import ConfigError
from lib.features.config import FeatureSettings
from lib.mlp.trial import Seeds, Trial
from lib.search.grid import Grid
from lib.search.variant import Variant
from lib.storage.address import place_of

Axis = Literal["activation", "hidden", "learning_rate"]
SweepName = Literal["activations", "hidden_units", "learning_rates"]
SWEEPS: tuple[SweepName, ...] = get_args(SweepName)
ProfileName = Literal["embedded", "reference"]
"""The built-in profiles, one YAML file each; a form offers them as choices."""

_MEANT = 3
"""Settings that are offered in place of one that there is not."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rung(_Settings):
    """One rung of successive halving."""

    epoch: PositiveInt = Field(description="After this epoch,")
    keep: float = Field(gt=0, lt=1, description="this share of the configurations still running goes on.")


class SweepStudy(_Settings):
    """Many trials over one dataset, compared along one axis; every choice is made on validation rows only."""

    data: Source = Field(description="The dataset.")
    axis: Axis = Field(description="The setting whose values are compared.")
    arms: dict[str, Variant] = Field(min_length=1, description="Named groups of trials, reported side by side.")
    seeds: Seeds = Field((0, 1, 2), description="Each configuration is trained once with each seed.")
    validation_fraction: float = Field(
        1 / 6, gt=0, lt=1, description="Share of training rows held out when the dataset has no validation split."
    )
    patience: PositiveInt | None = Field(
        None, description="End a trial after so many epochs without a lower validation loss; empty: never."
    )
    rungs: tuple[Rung, ...] = Field(
        (), description="Successive halving among an arm's configurations (of a round), by the first seed's loss."
    )
    refit: bool = Field(
        False, description="Train the winner of each axis value again on train + validation and score it on test."
    )
    compare_sklearn: bool = Field(
        False,
        description="Train scikit-learn's MLPClassifier at the same settings (with refit, of each winner), and logistic "
        "regression, beside.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> SweepStudy:
        for name, arm in self.arms.items():
            if arm.search is None and self.axis not in arm.grid:
                raise ValueError(f"arm {name!r} does not vary the study's axis {self.axis!r}; add it to its grid")
            for rung in self.rungs if "epochs" not in arm.varied else ():
                if rung.epoch >= arm.base.epochs:
                    raise ValueError(
                        f"the rung at epoch {rung.epoch} comes too late for arm {name!r}, whose trials end after "
                        f"{arm.base.epochs} epochs; put it earlier"
                    )
        epochs = [rung.epoch for rung in self.rungs]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"the rungs' epochs {epochs} do not rise; put them in order, each once")
        return self


class ClassifierStudy(_Settings):
    """The image classifier: candidates compared on validation rows, the best trained again and scored on test once."""

    base: Trial = Field(description="Settings shared by the candidates.")
    grid: Grid = Field({}, description="Trial setting -> values to try.")
    seeds: Seeds = Field((0, 1, 2), description="Seeds of the final training; the first one is promoted.")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="Share of training rows held out for the choice.")
    pixel_baseline: bool = Field(True, description="Train the same network on raw pixels beside it.")
    compare_sklearn: bool = Field(
        True, description="Train scikit-learn's MLPClassifier at the same settings, and logistic regression, beside it."
    )

    @cached_property
    def arm(self) -> Variant:
        """The candidates as a variant; its validation rules hold here too."""
        return Variant(base=self.base, grid=self.grid)

    @model_validator(mode="after")
    def _grid_makes_trials(self) -> ClassifierStudy:
        Variant(base=self.base, grid=self.grid)
        return self


class TsneStudy(_Settings):
    """t-SNE of the last hidden layer of the activation study's best network."""

    sample: PositiveInt | None = Field(2000, description="Rows to embed, drawn by class; empty means all (slow).")
    perplexity: float = Field(30, gt=0, description="Van der Maaten and Hinton's perplexity.")
    iterations: int = Field(1000, gt=250, description="Optimisation steps, of which 250 are early exaggeration.")
    seed: NonNegativeInt = Field(0, description="Seed of the row sample and of t-SNE.")


class ExplorationStudy(_Settings):
    """First look at the image data: sample grid, PCA scatter, class distribution."""

    grid: PositiveInt = Field(16, description="Images in the sample grid.")
    scatter: PositiveInt = Field(2000, description="Images in the PCA scatter, drawn by class.")


class Profile(_Settings):
    """A named, typed set of parameters for the whole pipeline."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Shows in run names and tags.")
    activations: SweepStudy = Field(description="Sweep over activation functions.")
    hidden_units: SweepStudy = Field(description="Sweep over the number of hidden units.")
    learning_rates: SweepStudy = Field(description="Sweep over learning rates.")
    images: Source = Field(description="Image data of the exploration, feature and classifier studies.")
    exploration: ExplorationStudy = Field(ExplorationStudy(), description="First look at the images.")
    features: FeatureSettings = Field(FeatureSettings(), description="AlexNet, its weights, layer and precision.")
    classifier: ClassifierStudy = Field(description="The image classifier on these features.")
    tsne: TsneStudy = Field(TsneStudy(), description="Map of the best network's last hidden layer.")

    def sweep(self, name: SweepName) -> SweepStudy:
        """One of the three sweeps by name."""
        study: SweepStudy = getattr(self, name)
        return study

    def sources(self) -> list[Source]:
        """The datasets the profile needs, each once."""
        wanted = [self.sweep(name).data for name in SWEEPS] + [self.images]
        return list(dict.fromkeys(wanted))


class Places(_Settings):
    """Where things are on this machine or cluster.

    Attributes
    ----------
    data : Path
        The folder of all data; when that is shared at the URL `store`, this machine's copies of it.
    tracking_page : str or None
        Where a browser finds MLflow, when that is another address than the one this machine uses.
    """

    data: Path
    store: str | None = None
    mlruns: Path
    mirror: str | None = None
    tracking_uri: str
    tracking_page: str | None = None

    @property
    def features(self) -> Path:
        """Root of all feature sets."""
        return self.data / "features"

    @property
    def studies(self) -> Path:
        """Root of study results: trials, figures, tables, summaries."""
        return self.data / "studies"


class Workers(_Settings):
    """Who does sweeps and extraction: this process, or the workers of a Prefect work pool, each a balanced chunk."""

    pool: str | None = Field(None, min_length=1, description="Work pool of the chunks; empty: all is done here.")
    chunks: PositiveInt | None = Field(
        None, description="Parts of a sweep or an extraction; empty: one for each worker online."
    )
    chunk_images: PositiveInt = Field(
        20_000,
        description="An extraction has no smaller chunks than this many images: more than a minute's work for two CPU "
        "cores. GPUs are faster; give what yours do in a minute.",
    )
    chunk_minutes: PositiveInt = Field(
        360, description="A chunk that runs longer than this many minutes hangs: it is ended, and done again."
    )

    @model_validator(mode="after")
    def _chunks_need_a_pool(self) -> Workers:
        if self.chunks is not None and self.pool is None:
            raise ValueError(f"{self.chunks} chunks need a work pool to run on; name one (--pool or PROBEFLOW_POOL)")
        return self


_PLACE_VARIABLES = {
    "PROBEFLOW_DATA",
    "PROBEFLOW_CACHE",
    "PROBEFLOW_MLRUNS",
    "PROBEFLOW_MIRROR",
    "PROBEFLOW_TEST_DATA",
}
_STACK_VARIABLES = {"PROBEFLOW_STACK", "PROBEFLOW_STACK_DATA", "PROBEFLOW_STACK_SERVICE", "PROBEFLOW_BIND"}
_WORKER_VARIABLES = {"PROBEFLOW_POOL", "PROBEFLOW_CHUNKS", "PROBEFLOW_CHUNK_IMAGES", "PROBEFLOW_CHUNK_MINUTES"}
_SET_UP_VARIABLES = {"PROBEFLOW_WEBHOOK"}
_NO_SETTINGS = _PLACE_VARIABLES | _STACK_VARIABLES | _WORKER_VARIABLES | _SET_UP_VARIABLES


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """Read PROBEFLOW_DATA, _CACHE, _MLRUNS and _MIRROR, MLFLOW_TRACKING_URI and MLFLOW_PUBLIC_URL.

    Defaults lie in the checkout; that of PROBEFLOW_CACHE, copies of what is shared at a URL, in the user's cache folder.

    Raises
    ------
    ConfigError
        For a URL that cannot be used.
    StorageError
        When the folder of copies cannot be made.
    """
    checkout = Path(__file__).resolve().parent.parent
    home = checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
    mlruns = Path(environment.get("PROBEFLOW_MLRUNS") or home / "mlruns").resolve()
    data, store = place_of(environment.get("PROBEFLOW_DATA") or str(home / "data"), environment)
    return Places(
        data=data,
        store=store,
        mlruns=mlruns,
        mirror=_address(environment.get("PROBEFLOW_MIRROR")),
        tracking_uri=environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{mlruns / 'mlflow.db'}",
        tracking_page=environment.get("MLFLOW_PUBLIC_URL") or None,
    )


def _address(mirror: str | None) -> str | None:
    """A mirror's address; a plain path becomes one. Raises ConfigError for a scheme that is not fetched from."""
    if not mirror:
        return None
    scheme, separator, _ = mirror.partition("://")
    if not separator:
        return Path(mirror).resolve().as_uri()
    if scheme not in ("file", "http", "https", "s3"):
        raise ConfigError(
            f"PROBEFLOW_MIRROR is {without_credentials(mirror)!r}: {scheme} is not fetched from; "
            "give file://, http://, https:// or s3://"
        )
    return mirror


def workers_here(
    pool: str | None = None, chunks: str | int | None = None, environment: Mapping[str, str] = os.environ
) -> Workers:
    """The workers named by the arguments, else by PROBEFLOW_POOL and PROBEFLOW_CHUNKS, else none.

    PROBEFLOW_CHUNK_IMAGES says how many images a chunk of an extraction holds at least, PROBEFLOW_CHUNK_MINUTES how long
    a chunk may run.

    Raises
    ------
    ConfigError
        When a number is not a positive one, or there are chunks and no pool.
    """
    given = {
        "pool": pool or environment.get("PROBEFLOW_POOL"),
        "chunks": chunks or environment.get("PROBEFLOW_CHUNKS"),
        "chunk_images": environment.get("PROBEFLOW_CHUNK_IMAGES"),
        "chunk_minutes": environment.get("PROBEFLOW_CHUNK_MINUTES"),
    }
    try:
        return Workers.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        raise ConfigError(f"workers: {describe(error).removeprefix('profile: ')}") from None


def profile_names() -> list[str]:
    """Names of the built-in profiles."""
    files = resources.files("lib.profiles").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def is_built_in(profile: Profile) -> bool:
    """Whether `profile` is the built-in one of its name, unchanged."""
    return profile.name in profile_names() and profile == load_profile(profile.name, environment={})


def load_profile(
    name: str = "embedded",
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Profile:
    """Build a profile: YAML, then `PROBEFLOW_*` variables, then `key=value` assignments, validated once.

    Parameters
    ----------
    name : str
        A built-in profile; ignored when `file` is given.
    file : Path, optional
        A user's YAML file. Its `extends: NAME` key, if any, names the built-in profile it changes.
    assignments : sequence of str
        Such as "features.weights=imagenet"; the value is read as YAML.

    Raises
    ------
    ConfigError
        For an unknown profile or setting, or a value out of range; the message names it.
    """
    content = _read_file(file) if file else _read_builtin(name)
    for variable, value in sorted(environment.items()):
        if variable.startswith("PROBEFLOW_") and variable not in _NO_SETTINGS:
            path = variable.removeprefix("PROBEFLOW_").lower().split("__")
            _assign(content, path, _parse(value), f"environment variable {variable}")
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--set {assignment!r} has no '='; write --set key=value, e.g. --set features.layer=fc7")
        _assign(content, key.split("."), _parse(value), f"--set {key}")
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"profile {content.get('name', name)!r}: {describe(error, Profile, content)}") from None


def describe(
    error: ValidationError, model: type[BaseModel] | None = None, content: Mapping[str, Any] | None = None
) -> str:
    """A Pydantic error in one line: where, what is wrong, the value given.

    For a setting that is misspelt, or in the wrong place, it says which of `model` was meant: the full names of such as
    `content` has room for.
    """
    parts = []
    for item in error.errors(include_url=False):
        steps = [str(step) for step in item["loc"]]
        where = ".".join(steps) or "profile"
        if item["type"] == "extra_forbidden":
            parts.append(f"{where}: there is no such setting{_meant(steps, model, content or {})}")
            continue
        message = item["msg"].removeprefix("Value error, ")
        given = "" if item["type"] in ("missing", "value_error") else f" (got {item['input']!r})"
        parts.append(f"{where}: {message[0].lower()}{message[1:]}{given}")
    return "; ".join(parts)


def _meant(steps: Sequence[str], model: type[BaseModel] | None, content: Mapping[str, Any]) -> str:
    """Where the setting is that the last of `steps` names, or nearly; of several places those nearest to `steps`."""
    places_of = list(dict.fromkeys(_setting_places(model, content))) if model else []
    close = difflib.get_close_matches(steps[-1], sorted({place[-1] for place in places_of}), n=1)
    found = {place: _shared(place, steps) for place in places_of if close and place[-1] == close[0]}
    names = [".".join(place) for place, shared in found.items() if shared == max(found.values())]
    more = f" ({len(names) - _MEANT} more have that name)" if len(names) > _MEANT else ""
    return f"; did you mean {' or '.join(map(repr, names[:_MEANT]))}?{more}" if names else ""


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many steps two paths have in common from the first on."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _setting_places(model: type[BaseModel], content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Paths to a model's settings and to those of the models in it: of the named ones and the kinds that `content` has."""
    for name, field in model.model_fields.items():
        yield (name,)
        given = content.get(name, {} if field.default is not None else None)
        if not isinstance(given, Mapping):
            continue
        for part in _models(field.annotation):
            kind = part.model_fields.get("source")
            if kind is not None and given.get("source") not in (None, kind.default):
                continue
            inside: dict[tuple[str, ...], Mapping[str, Any]] = {(name,): given}
            if get_origin(field.annotation) is dict:
                inside = {(name, str(key)): value for key, value in given.items() if isinstance(value, Mapping)}
            for path, value in inside.items():
                yield from ((*path, *rest) for rest in _setting_places(part, value))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if annotation is SourceSettings:
        yield from kinds().values()
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _read_builtin(name: str) -> dict[str, Any]:
    if name not in profile_names():
        known = ", ".join(profile_names())
        raise ConfigError(f"unknown profile {name!r}; known: {known}; for a file of your own use --profile-file")
    text = (resources.files("lib.profiles") / f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"profile file {file}: cannot be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"profile file {file}: not valid YAML ({problem})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"profile file {file}: must be a YAML mapping of settings, e.g. start with 'name: mine'")
    base = content.pop("extends", None)
    return _merge(_read_builtin(base), content) if base else content


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        # A source of another kind replaces the old one whole: their settings do not mix.
        mix = (
            isinstance(old, dict)
            and isinstance(value, dict)
            and old.get("source") == value.get("source", old.get("source"))
        )
        merged[key] = _merge(old, value) if mix and isinstance(old, dict) else value
    if change.get("search") and "grid" not in change:
        merged.pop("grid", None)  # an arm's search takes the place of the built-in profile's grid
    return merged


def _parse(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _assign(content: dict[str, Any], path: Sequence[str], value: Any, origin: str) -> None:
    """Set `content[path]`; the first step must be a setting of the profile, deeper ones are checked on validation."""
    if path[0] not in Profile.model_fields:
        raise ConfigError(f"{origin}: unknown setting {path[0]!r}; known: {', '.join(Profile.model_fields)}")
    node = content
    for step in path[:-1]:
        child = node.setdefault(step, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{origin}: {step!r} is a single value, not a group of settings")
        node = child
    if path[-1] == "source" and node.get("source") != value:
        node.clear()
    node[path[-1]] = value
