"""A registered model's versions, its aliases `challenger` and `champion`, and the history that a roll-back goes along.

MLflow keeps one version an alias and forgets the one before, so the champions are listed, oldest first, in a tag of the
model. The tag is written before the alias moves: a crash between the two leaves a champion that is not the list's last,
which the next change puts right.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from lib.addresses import without_credentials
from lib.datasets import Dataset
from lib.errors import ConfigError, command
from lib.evaluation.intervals import Interval
from lib.files import digest_json
from lib.tracking.store import DATA_TAG, Tracking, bounded_tag

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The version that was compared last, whatever came of it."""

DECISION_TAG = "probeflow.decision"
WITHDRAWN_TAG = "probeflow.withdrawn"
"""Why a version was rolled back; the gate does not promote it again."""

_HISTORY_TAG = "probeflow.champions"
_ORIGIN_TAG = "probeflow.origin"
"""Where the data of a version is from, in words."""

_ACCURACY_TAG = "probeflow.accuracy"
"""Test accuracy of the version's network with its 95 % confidence interval over images, as JSON."""

_CALIBRATION_TAG = "probeflow.calibration"
"""The same of its expected calibration error."""

_DECISIONS = "\n\n## Decisions\n\n"
LONGEST_CARD, _LONGEST_DESCRIPTION = 4000, 5000
"""Letters; MLflow takes no more of a description, and what is decided later follows the card."""

_PREFIX = "probeflow-"
_MOST = 10_000
_KEPT = 1000
_DIGEST_LETTERS = 8
_LONGEST_NAME, _LONGEST_ORIGIN = 60, 100
_NAMED = 5
_PAGE = 1000
_ABSENT = {ErrorCode.Name(INVALID_PARAMETER_VALUE), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)}


@dataclass(frozen=True)
class Version:
    """One registered version."""

    name: str
    number: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"

    @property
    def data_digest(self) -> str:
        return self.tags.get(DATA_TAG, "")

    @property
    def data(self) -> str:
        """What it was trained on, in words: where that is from, and its digest."""
        origin = self.tags.get(_ORIGIN_TAG) or "images"
        if len(origin) > _LONGEST_ORIGIN:
            origin = f"…{origin[1 - _LONGEST_ORIGIN :]}"
        return f"{origin}, digest {self.data_digest[:12] or 'unknown'}"

    @property
    def shown_aliases(self) -> str:
        """Its aliases, such as " (challenger)"; a champion was the challenger before, and needs no other."""
        shown = (CHAMPION,) if CHAMPION in self.aliases else sorted(self.aliases)
        return f" ({', '.join(shown)})" if shown else ""

    @property
    def accuracy(self) -> Interval | None:
        """On the test images; None of a version that was not registered by the gate."""
        return self._interval(_ACCURACY_TAG)

    @property
    def calibration_error(self) -> Interval | None:
        """Expected, on the test images; None of a version that was registered without."""
        return self._interval(_CALIBRATION_TAG)

    def _interval(self, tag: str) -> Interval | None:
        return Interval(**json.loads(self.tags[tag])) if tag in self.tags else None


def model_name(dataset: Dataset) -> str:
    """Name of the registered model for a dataset: its own, made safe, and letters of a digest of where it is from.

    Datasets of one name that lie elsewhere, under another mirror say, or have other classes, have other models; new images
    in the same place have the same one, and so have the same images where unreadable ones are set aside.
    """
    source = {name: _plain(value) for name, value in (dataset.source or {}).items() if name != "unreadable"}
    under = [] if dataset.mirror is None else [without_credentials(dataset.mirror).rstrip("/")]
    digest = digest_json([source, dataset.name, list(dataset.class_names), *under])
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", dataset.name)[:_LONGEST_NAME].strip("-.") or "data"
    return f"{_PREFIX}{safe}-{digest[:_DIGEST_LETTERS]}"


def _plain(value: object) -> object:
    return without_credentials(value) if isinstance(value, str) else value


def registered_names(tracking: Tracking) -> list[str]:
    """All registered models of ours, sorted. Raises ConfigError when there is none."""
    found: list[str] = []
    token = None
    while token != "":
        page = tracking.client.search_registered_models(f"name LIKE '{_PREFIX}%'", _PAGE, page_token=token)
        found += [str(each.name) for each in page]
        token = page.token or ""
    if not found:
        raise ConfigError(
            f"no model is registered in {tracking.shown_uri}; run a profile that says which study to promote (promote: NAME)"
        )
    return sorted(found)


def registered_name(tracking: Tracking, name: str | None) -> str:
    """The registered model that is meant: the one named, or the only one there is.

    Raises ConfigError when there is none, or several and none was named; it says what each was trained on.
    """
    known = registered_names(tracking)
    if name is None and len(known) == 1:
        return known[0]
    if name is not None and name in known:
        return name
    listed = [_with_data(Registry(tracking, each)) for each in known[:_NAMED]]
    told = ", ".join(listed) + (
        f" and {len(known) - _NAMED} more, which `promote` lists" if len(known) > _NAMED else ""
    )
    if name is None:
        raise ConfigError(f"{len(known)} models are registered, each of other data; name one with --model: {told}")
    raise ConfigError(f"no model {name!r} is registered; known: {told}")


def _with_data(registry: Registry) -> str:
    """A model's name, and what its champion was trained on, or else its latest version."""
    versions = registry.versions()
    shown = registry.champion() or (versions[-1] if versions else None)
    return registry.name if shown is None else f"{registry.name} ({shown.data})"


class Registry:
    """The versions of one registered model. Changes are for those who have the turn (`lib.tracking.turns`)."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self._client = tracking.client
        self.name = name

    def champion(self) -> Version | None:
        return self._by_alias(CHAMPION)

    def versions(self) -> list[Version]:
        try:
            named = self._client.get_registered_model(self.name).aliases
        except MlflowException as error:
            require_absent(error)
            return []
        versions = []
        for each in self._client.search_model_versions(f"name = '{self.name}'", max_results=_MOST):
            each.aliases = [
                alias for alias, number in named.items() if str(number) == str(each.version)
            ]  # left out here
            versions.append(_version(each))
        return sorted(versions, key=lambda each: int(each.number))

    def version(self, wanted: str) -> Version:
        """The version with this number or alias. Raises ConfigError when there is none."""
        try:
            if wanted.isdecimal():
                return _version(self._client.get_model_version(self.name, wanted))
        except MlflowException as error:
            require_absent(error)
        else:
            if (found := self._by_alias(wanted)) is not None:
                return found
        known = [each.number + each.shown_aliases for each in self.versions()]
        raise ConfigError(f"{self.name} has no version {wanted!r}; known: {', '.join(known) or 'none'}")

    def of_run(self, run_id: str) -> Version | None:
        """The run's version, if it is registered."""
        return next((each for each in self.versions() if each.run_id == run_id), None)

    def register(
        self,
        run_id: str,
        model_id: str,
        about: str,
        card: str,
        dataset: Dataset,
        accuracy: Interval,
        calibration_error: Interval,
    ) -> Version:
        """A new version: a logged model that takes images, of this run; `about` is of the model, `card` of the version."""
        try:
            self._client.create_registered_model(self.name, description=about)
        except MlflowException:
            self._client.get_registered_model(self.name)  # it is there already; any other fault shows itself here
        tags = {
            DATA_TAG: dataset.digest,
            _ORIGIN_TAG: bounded_tag(dataset.origin),
            _ACCURACY_TAG: json.dumps(asdict(accuracy)),
            _CALIBRATION_TAG: json.dumps(asdict(calibration_error)),
        }
        # A server takes this source only beside the model's id, which it checks the caller's right to.
        source = f"models:/{model_id}"
        made = self._client.create_model_version(
            self.name, source, run_id, tags=tags, description=card, model_id=model_id
        )
        return _version(made)

    def challenge(self, version: Version) -> None:
        self._client.set_registered_model_alias(self.name, CHALLENGER, version.number)

    def crown(self, version: Version) -> None:
        """Make it the champion, after the present one."""
        self._write_history([*self._history(), version.number])
        if WITHDRAWN_TAG in version.tags:
            self._client.delete_model_version_tag(self.name, version.number, WITHDRAWN_TAG)
        self._client.set_registered_model_alias(self.name, CHAMPION, version.number)

    def note(self, version: Version, decision: str) -> None:
        """Keep what was decided on a version, as a tag and at the end of its description, after its card."""
        said = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {decision}"
        about = self._client.get_model_version(self.name, version.number).description or ""
        if not about.endswith(decision):
            card, _, decided = about.partition(_DECISIONS)
            card = card[:LONGEST_CARD]
            decided = f"{decided}\n\n{said}".strip()[len(card) + len(_DECISIONS) - _LONGEST_DESCRIPTION :]
            about = f"{card}{_DECISIONS}{decided}"
            self._client.update_model_version(self.name, version.number, about)
        self._client.set_model_version_tag(self.name, version.number, DECISION_TAG, said)

    def roll_back(self, reason: str) -> tuple[Version, Version]:
        """Make the champion before the present one champion again; returns the one withdrawn and the one restored.

        Raises ConfigError when there is no champion, or none before it.
        """
        current = self.champion()
        if current is None:
            raise ConfigError(f"{self.name} has no champion that could be rolled back; {command('promote')} lists it")
        there = {each.number: each for each in self.versions()}
        before = [each for each in self._history() if each in there and WITHDRAWN_TAG not in there[each].tags]
        while before and before[-1] == current.number:
            before.pop()
        if not before:
            raise ConfigError(
                f"no champion of {self.name} came before version {current.number}; "
                f"{command('promote VERSION --reason WHY')} makes another one champion"
            )
        self._client.set_model_version_tag(self.name, current.number, WITHDRAWN_TAG, reason)
        self._client.set_registered_model_alias(self.name, CHAMPION, before[-1])
        self._write_history(before)
        return current, there[before[-1]]

    def _history(self) -> list[str]:
        """The champions so far, oldest first, ending with the present one."""
        tags = self._client.get_registered_model(self.name).tags
        listed = [str(number) for number in json.loads(tags.get(_HISTORY_TAG, "[]"))]
        current = self.champion()
        if current is not None and listed[-1:] != [current.number]:  # the alias was moved by others, or a crash
            listed.append(current.number)
        return listed

    def _write_history(self, numbers: list[str]) -> None:
        self._client.set_registered_model_tag(self.name, _HISTORY_TAG, json.dumps(numbers[-_KEPT:]))

    def _by_alias(self, alias: str) -> Version | None:
        try:
            return _version(self._client.get_model_version_by_alias(self.name, alias))
        except MlflowException as error:
            require_absent(error)
            return None


def require_absent(error: MlflowException) -> None:
    """Raise what is not "there is none": a server that is away must not pass for a registry without a champion."""
    if error.error_code not in _ABSENT:
        raise error


def _version(found: ModelVersion) -> Version:
    aliases = tuple(str(alias) for alias in found.aliases or ())
    return Version(str(found.name), str(found.version), str(found.run_id), dict(found.tags or {}), aliases)
