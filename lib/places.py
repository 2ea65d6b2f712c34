"""Where things are on this machine or cluster, and who does the work: read from the environment, validated once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from lib.addresses import without_credentials
from lib.errors import ConfigError
from lib.machine import from_home
from lib.storage.address import place_of
from lib.text import not_utf8
from lib.validation import describe

_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")

_NAMES = (
    "DATA CACHE MLRUNS MIRROR TEST_DATA STACK_DATA COMMIT LOCKS BIND POOL CHUNKS CHUNK_IMAGES CHUNK_MINUTES WEBHOOK "
    "SYSTEM_METRICS"
)
ENVIRONMENT = frozenset(f"PROBEFLOW_{name}" for name in _NAMES.split())
"""Variables that say where and who; every other PROBEFLOW_* variable is a setting of the profile."""


class Places(BaseModel):
    """Where things are on this machine or cluster.

    `data`: the folder of all data; when that is shared at the URL `store`, this machine's copies of it.
    `tracking_page`: where a browser finds MLflow, when that is another address than the one this machine uses.
    `locks`: where chunks take turns on a GPU, when those of this machine share no /tmp.
    `system_metrics`: whether the machine is sampled while a node computes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    store: str | None = None
    mlruns: Path
    mirror: str | None = None
    tracking_uri: str
    tracking_page: str | None = None
    locks: Path | None = None
    system_metrics: bool = False

    @property
    def features(self) -> Path:
        return self.data / "features"

    @property
    def weights(self) -> Path:
        return self.features / ".weights"

    @property
    def studies(self) -> Path:
        return self.data / "studies"

    @property
    def baselines(self) -> Path:
        return self.data / "baselines"


class Workers(BaseModel):
    """Who does the work: this process, or the workers of a Prefect work pool, each a balanced chunk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """Read PROBEFLOW_DATA, _CACHE, _MLRUNS, _MIRROR, _LOCKS and _SYSTEM_METRICS, MLFLOW_TRACKING_URI and MLFLOW_PUBLIC_URL.

    Defaults lie in the checkout; that of PROBEFLOW_CACHE, copies of what is shared at a URL, in the user's cache folder.

    Raises ConfigError for a URL that cannot be used, a folder whose name is no UTF-8 or misread by MLflow, and a switch
    that is neither 0 nor 1;
    StorageError when the folder of copies cannot be made.
    """
    for variable in ("PROBEFLOW_DATA", "PROBEFLOW_CACHE", "PROBEFLOW_MLRUNS", "PROBEFLOW_MIRROR"):
        if (given := environment.get(variable, "")) and not given.strip():
            raise ConfigError(f"{variable} is blank; give a path or an address, or unset it")
        if _ONE_SLASH.match(given):
            meant = without_credentials(given).replace(":/", "://", 1)
            raise ConfigError(f"{variable} is {without_credentials(given)!r}; did you mean {meant}?")
    checkout = Path(__file__).resolve().parent.parent
    home = checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
    mlruns = from_home(environment.get("PROBEFLOW_MLRUNS") or home / "mlruns").resolve()
    data, store = place_of(environment.get("PROBEFLOW_DATA") or str(home / "data"), environment)
    for variable, place in (("PROBEFLOW_DATA", data), ("PROBEFLOW_MLRUNS", mlruns)):
        if problem := not_utf8(str(place)):
            raise ConfigError(f"{variable}: {problem}")
    if mark := next((letter for letter in "#?%" if letter in str(mlruns)), None):
        raise ConfigError(
            f"PROBEFLOW_MLRUNS: {str(mlruns)!r} holds a {mark!r}, which MLflow takes for a mark of an address; "
            "name a folder without it"
        )
    if (switch := environment.get("PROBEFLOW_SYSTEM_METRICS") or "0") not in ("0", "1"):
        raise ConfigError(f"PROBEFLOW_SYSTEM_METRICS is {switch!r}; give 1 to sample the machine, or 0")
    return Places(
        data=data,
        store=store,
        mlruns=mlruns,
        mirror=_address(environment.get("PROBEFLOW_MIRROR")),
        tracking_uri=environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{mlruns / 'mlflow.db'}",
        tracking_page=environment.get("MLFLOW_PUBLIC_URL") or None,
        locks=Path(locks) if (locks := environment.get("PROBEFLOW_LOCKS")) else None,
        system_metrics=switch == "1",
    )


def _address(mirror: str | None) -> str | None:
    """A mirror's address; a plain path becomes one. Raises ConfigError for a scheme that is not fetched from."""
    if not mirror:
        return None
    scheme, separator, _ = mirror.partition("://")
    if not separator:
        return from_home(mirror).resolve().as_uri()
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

    Raises ConfigError when a number is not a positive one, or there are chunks and no pool.
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
        raise ConfigError(f"workers: {describe(error)}") from None
