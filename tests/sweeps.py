"""Sweeps for tests: nodes of the small profile with real inputs, opened as a run opens them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from lib.graph.inputs import Opened
from lib.places import Places
from lib.studies.record import StudyFolder
from lib.studies.study import Ahead, Study
from lib.studies.sweep.result import SweepResult
from lib.studies.sweep.settings import SweepSettings
from tests.small_profile import small_profile

_TIMES = {"seconds", "training_seconds"}


def sweep(name: str, where: Places, root: Path | None = None, **changes: Any) -> Study[SweepSettings]:
    """The sweep `name` of the small profile with some settings of its own; its records lie under `root`.

    What it is on must be there already.
    """
    profile = small_profile(studies={name: changes})
    node = Opened(profile, where).node(name)
    folder = node.folder if root is None else StudyFolder(root, node.folder.identity)
    return Study(name, profile.studies[name], node.inputs, folder, where)


def ahead(study: Study[SweepSettings]) -> dict[str, Ahead]:
    """What is known of a sweep's inputs once all of them are there."""
    return {
        role: Ahead(
            each.name,
            each.dataset.name,
            each.dataset,
            tuple(each.dataset.splits),
            None if each.feature_set is None else each.feature_set.manifest.settings,
            each.digest,
        )
        for role, each in study.inputs.items()
    }


def dividing(share: float = 0.2, seeds: Sequence[int] = (0,), **changes: Any) -> SweepSettings:
    """Settings that hold out a share of the training rows."""
    content = {"on": "x", "variants": {"v": {"base": {}}}, "seeds": seeds, "validation_fraction": share}
    return SweepSettings.model_validate(content | changes)


def assert_alike(one: SweepResult, other: SweepResult) -> None:
    """Two results are the same but for times, and for rounding: which trials share a program decides how sums are rounded."""
    but = _TIMES | {"digest"}
    require_alike(one.model_dump(mode="json"), other.model_dump(mode="json"), "result", rel=1e-3, but=but)


def differences(one: SweepResult, other: SweepResult) -> list[str]:
    """Where two results are not the same to the last bit, but for times."""
    return list(_differences(one.model_dump(mode="json"), other.model_dump(mode="json"), "result"))


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one.keys() - _TIMES:
            yield from _differences(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{path}.{place}")
    elif one != other:
        yield f"{path}: {one} and {other}"


def require_alike(one: Any, other: Any, where: str, rel: float, but: Set[str] = frozenset()) -> None:
    """Equal, but for what the keys `but` hold and, by `rel`, for numbers: trials of another program are rounded otherwise."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - but:
            require_alike(one[key], other[key], f"{where}.{key}", rel, but)
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            require_alike(*pair, f"{where}.{place}", rel, but)
    elif isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, rel=rel, abs=1e-5, nan_ok=True), where
    else:
        assert one == other, where
