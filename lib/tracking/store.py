"""Where runs are kept: the tracking server or `sqlite:///mlruns/mlflow.db`, with artifacts beside it."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# Telemetry off before MLflow is imported: clusters and tests have no network, and users were not asked.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lib.addresses import ask_loopback_directly, proxies_left_out, without_credentials
from lib.errors import StorageError
from lib.files import require_writable
from lib.locks import alone
from lib.places import Places

ask_loopback_directly(os.environ)

_interrupt = signal.getsignal(signal.SIGINT)
if _interrupt is not None and threading.current_thread() is threading.main_thread():
    # Polars, which MLflow imports where it is installed, puts a handler before Python's after which a wait goes on that
    # Ctrl-C should end: Python's alone again.
    signal.signal(signal.SIGINT, _interrupt)

KEY_TAG = "probeflow.key"
ROOT_TAG = "probeflow.root"
"""On every run below a study's, however deep: the study's run."""

STUDY_TAG, KIND_TAG = "probeflow.study", "probeflow.kind"
"""What the profile calls the study, and its kind."""

DATA_TAG = "probeflow.data"
"""Name and digest of a run's data; on a registered version, the full digest alone."""

RESULT_TAG, WARNINGS_TAG = "probeflow.result", "probeflow.flag"
ROLE_TAG, ROWS_TAG, TRIALS_TAG = "probeflow.role", "probeflow.rows", "probeflow.trials"
"""On runs below a study's: what it is, which rows its figures are of, and of a configuration what the runs below it are."""

EXPERIMENTS = "probeflow/"
"""What the names of all experiments begin with."""

_LONGEST_NAME = 250
_PAGE = 1000
TRAINING_PAGES = "workflowType=machine_learning"
"""Opens MLflow's pages for training; without it they have the menus of its GenAI side."""

LOCAL_PAGE = "http://127.0.0.1:5000"
"""Where `make ui` shows a local store, unless it is given another port."""

_HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
_LONGEST_PROBLEM = 200

_CUT = "\n\n… (cut here: MLflow keeps 8,000 letters; whole in the artifact notes.md)"


def experiment_name(study: str) -> str:
    return f"{EXPERIMENTS}{study}"


@dataclass(frozen=True)
class Tracking:
    """A connection to one MLflow store."""

    client: MlflowClient
    uri: str
    artifacts: str | None
    page: str | None = None

    @property
    def shown_uri(self) -> str:
        """Its address, without a password."""
        return without_credentials(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether it is a tracking server; else a database of this machine."""
        return self.uri.startswith("http")

    def experiment(self, name: str, note: str) -> str:
        """Id of the experiment `name`, made when missing, with its artifacts in a place of their own."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = f"{self.artifacts}/{name.replace('/', '-')}" if self.artifacts else None
        try:
            kind = "custom_model_development"  # what MLflow's UI would otherwise guess, and ask about
            tags = {"mlflow.note.content": note, "mlflow.experimentKind": kind}
            identifier = self.client.create_experiment(name, location, tags)
        except MlflowException:  # another process made it first
            return str(self.client.get_experiment_by_name(name).experiment_id)
        return str(identifier)

    def find(self, experiment_id: str, key: str) -> Run | None:
        return next(iter(self.client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)), None)

    def all_runs(self, experiment_ids: list[str], wanted: str = "") -> Iterator[Run]:
        """Every run of these experiments that MLflow's filter `wanted` lets through, however many pages they are."""
        token = None
        while token != "":
            page = self.client.search_runs(experiment_ids, wanted, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token or ""

    def create(self, experiment_id: str, key: str, name: str, tags: Mapping[str, str], start: int | None = None) -> Run:
        """A new run with this key, of which there is none yet. `start` is in milliseconds since 1970."""
        bounded = {tag: bounded_tag(value) for tag, value in tags.items()}
        return self.client.create_run(experiment_id, start, bounded | {KEY_TAG: key}, name[:_LONGEST_NAME])

    def run_url(self, run: Run) -> str:
        """Address of a run: a page on a tracking server, else its id in the local store."""
        return self._page(run) or f"{without_credentials(self.uri)} · run {run.info.run_id}"

    def artifact_url(self, run: Run, path: str) -> str | None:
        """Address of the page that shows an artifact; None for a local store, which has no pages of its own."""
        return self._page(run, f"/artifacts/{path}")

    def page_url(self, path: str) -> str:
        """Address of a page of MLflow: on a tracking server, else where `make ui` shows the local store."""
        page = (self.page or self.uri) if self.is_server else LOCAL_PAGE
        return f"{without_credentials(page).rstrip('/')}/{path}"

    def _page(self, run: Run, inside: str = "") -> str | None:
        if not self.is_server:
            return None
        return self.page_url(f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}{inside}?{TRAINING_PAGES}")


def connect(places: Places, *, patient: bool = False) -> Tracking:
    """Open the MLflow store of `places`; a local one is made (or migrated) on first use.

    Raises StorageError when a local store cannot be opened or written, the tracking server cannot be reached or refuses
    this user, or a package is missing that its artifacts need.

    `patient`: whether a server may be away for minutes, as while it is restarted during a run; else it answers within
    seconds.
    """
    uri, local = places.tracking_uri, places.tracking_uri.startswith("sqlite:")
    if local:
        require_writable(places.mlruns, "PROBEFLOW_MLRUNS")
        require_writable(places.mlruns / "artifacts", "PROBEFLOW_MLRUNS")
        file = Path(uri.removeprefix("sqlite:///"))
        _require_database(file)
    quieten()
    # MLflow makes or migrates a local store when it is opened, which two processes at once cannot.
    turn = alone(file, f"another process opens MLflow's store {file}") if local else nullcontext()
    with turn, nullcontext() if patient else _hasty(), _as_storage_errors(uri):
        _set_uri(uri)
        client = MlflowClient(uri)
        experiments = client.search_experiments(max_results=1)
    for experiment in experiments:
        _require_artifacts(str(experiment.artifact_location))
    artifacts = (places.mlruns / "artifacts").as_uri() if local else None
    return Tracking(client, uri, artifacts, places.tracking_page)


def lost_store(error: BaseException) -> str | None:
    """An error of MLflow or its database in one line, if it comes of the server or the disk; None of any other."""
    uri = without_credentials(mlflow.get_tracking_uri())
    if isinstance(error, MlflowException):
        if error.get_http_status_code() < 500:
            return None
    elif not isinstance(error, DBAPIError):
        return None
    return f"MLflow at {uri} fails ({_problem(error)}); see to it, then run the same command again, which logs what is missing"


@contextmanager
def _as_storage_errors(uri: str) -> Iterator[None]:
    shown = without_credentials(uri)
    try:
        yield
    except ImportError as error:
        raise StorageError(f"MLflow at {shown} needs the package {error.name}: pip install 'probeflow[team]'") from None
    except (MlflowException, SQLAlchemyError, CommandError) as error:  # the last of a store that a newer MLflow made
        if isinstance(error, MlflowException) and error.get_http_status_code() in (401, 403):
            raise StorageError(
                f"MLflow at {shown} refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to ones "
                "that it knows"
            ) from None
        if uri.startswith("sqlite:"):
            raise StorageError(
                f"MLflow's store {shown} cannot be used ({_problem(error)}); see to the disk, or point PROBEFLOW_MLRUNS "
                "elsewhere"
            ) from None
        raise StorageError(
            f"MLflow at {shown} does not answer ({_problem(error)}{proxies_left_out(uri)}); check MLFLOW_TRACKING_URI and the "
            "server"
        ) from None


def _require_database(file: Path) -> None:
    """Refuse a file that is there and no database: MLflow would try it for minutes."""
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise StorageError(
            f"MLflow's store {file} cannot be opened ({error}); move it away, or point PROBEFLOW_MLRUNS elsewhere"
        ) from None


def _problem(error: BaseException) -> str:
    """What went wrong, without what MLflow and its libraries wrap around it."""
    cause = error.__cause__ or error.__context__ or error
    inner = cause.args[0] if cause.args else None
    found = (getattr(error, "orig", None), getattr(cause, "orig", None), getattr(inner, "reason", None), inner)
    reason = next((each for each in found if isinstance(each, BaseException)), error)
    return without_credentials(" ".join(str(reason).split()))[:_LONGEST_PROBLEM]


@contextmanager
def _hasty() -> Iterator[None]:
    """Have MLflow ask once, for a few seconds, unless the user says otherwise: by itself it asks for minutes."""
    added = [name for name in _HASTE if name not in os.environ]
    os.environ |= {name: _HASTE[name] for name in added}
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _require_artifacts(location: str) -> None:
    """Refuse artifacts that this process itself would write to S3 without the package for it."""
    if location.startswith("s3:") and find_spec("boto3") is None:
        raise StorageError(
            f"MLflow keeps artifacts at {without_credentials(location)}, which needs the package boto3: "
            "pip install 'probeflow[team]'"
        )


def bounded_tag(value: str) -> str:
    """A tag's value as far as a database takes it, in whole lines if it has several; SQLite alone takes longer ones."""
    if len(value) <= MAX_TAG_VAL_LENGTH:
        return value
    head = value[: MAX_TAG_VAL_LENGTH - len(_CUT)]
    return (head.rpartition("\n")[0] or head) + _CUT


def _set_uri(uri: str) -> None:
    # MLflow also puts the address into the environment, where `places` would take it for the user's own setting.
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def quieten() -> None:
    """Keep migration messages, progress bars of artifacts and addresses of runs out of logs; warnings and errors stay."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run, on a server
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
