"""Sweeps: many trials on one input, pixels or features, compared on validation rows; winners tested once.

`settings` and `result` say what goes in and what comes out; `compute` makes the one of the other, `draw` and `present` show
it. This file alone is what the registry of kinds knows; what takes long to import is imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib.places import Places
from lib.studies.presentation import Presentation
from lib.studies.study import (
    Ahead,
    Drawing,
    Effort,
    Folder,
    Forecast,
    Group,
    Kind,
    ModelNote,
    Need,
    Record,
    Study,
    Table,
    Work,
)
from lib.studies.sweep.result import SweepResult
from lib.studies.sweep.settings import SweepSettings

_INPUTS = (Group.DATA, Group.FEATURES)


class Sweep(Kind[SweepSettings, SweepResult]):
    """The kind of study "sweep"."""

    name = "sweep"
    settings = SweepSettings
    result = SweepResult
    question = "Which settings train the best network on this input, and how good is it?"

    def needs(self, settings: SweepSettings) -> tuple[Need, ...]:
        also = (Need(f"also_on.{place}", node, _INPUTS) for place, node in enumerate(settings.also_on))
        return Need("on", settings.on, _INPUTS), *also

    def check(self, name: str, settings: SweepSettings, inputs: Mapping[str, Ahead]) -> None:
        from lib.studies.sweep.check import check

        check(name, settings, inputs)

    def decisive(self, settings: SweepSettings) -> Any:
        """Its settings, and which measures are registered: all of them are taken."""
        from lib.evaluation.measures import MEASURES

        return super().decisive(settings) | {"measures": dict.fromkeys(sorted(MEASURES), "taken")}

    def compute(self, study: Study[SweepSettings]) -> SweepResult:
        from lib.studies.sweep.compute import compute

        return compute(study)

    def draw(self, result: SweepResult, study: Study[SweepSettings]) -> Iterator[Drawing | Table]:
        from lib.studies.sweep.draw import draw

        return draw(result, study)

    def present(self, record: Record[SweepResult]) -> Presentation:
        from lib.studies.sweep.present import present

        return present(record)

    def model(self, result: SweepResult) -> ModelNote | None:
        return result.network

    def work(self, study: Study[SweepSettings]) -> Work | None:
        from lib.studies.sweep.work import sweep_work

        return sweep_work(study)

    def forecast(
        self, name: str, settings: SweepSettings, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        from lib.studies.sweep.forecast import forecast

        return forecast(settings, inputs, folder)

    def effort(self, result: SweepResult) -> Effort:
        from lib.studies.sweep.forecast import effort

        return effort(result)


KIND = Sweep()
