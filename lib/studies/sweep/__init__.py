"""Sweeps: many trials on one input, pixels or features, compared on validation rows; winners tested once.

`settings` and `result` say what goes in and what comes out; `compute` makes the one of the other, `draw` and `present` show
it. This file alone is what the registry of kinds knows; what takes long to import is imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.datasets.splits import TO_VALIDATE
from lib.errors import ConfigError
from lib.places import Places
from lib.studies.entry import Entry
from lib.studies.presentation import Presentation
from lib.studies.study import (
    Ahead,
    Drawing,
    Effort,
    Folder,
    Forecast,
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


def require_comparable(here: str, roles: Sequence[str], inputs: Mapping[str, Ahead]) -> None:
    """Refuse inputs that are not of the same images, or that networks cannot be trained on. `here` names the study.

    Raises ConfigError, naming the input and the fix.
    """
    main = inputs[roles[0]]
    for role in roles:
        each, setting = inputs[role], f"{here}.{role.partition('.')[0]}"
        if each.data != main.data:
            raise ConfigError(
                f"{setting} names {each.name!r}, which is of data {each.data!r}, but {here}.on names {main.name!r}, which is "
                f"of data {main.data!r}; only inputs of the same images can be compared, so name one of data {main.data!r}"
            )
        if each.dataset is None:
            continue
        if not each.dataset.labelled:
            raise ConfigError(
                f"{setting} names {each.name!r}, whose images have no labels; networks need two or more classes: name other "
                "data, or explore it instead (kind: exploration)"
            )
        if each.features is None and each.dataset.pixel_shape() is None:
            raise ConfigError(
                f"{setting} names {each.name!r}, whose images are of several sizes, and raw pixels need one; resize them, or "
                "name a feature set of it"
            )


def require_test(main: Ahead, why: str, instead: str = "") -> None:
    """Refuse data without test rows; `why` they are needed, and what one can do `instead` of adding some.

    Raises ConfigError, naming the data and the splits that it has.
    """
    if main.splits is not None and "test" not in main.splits:
        raise ConfigError(
            f"{why}, but data {main.data!r} has no test split (it has: {', '.join(main.splits)}); {instead}add a test split"
        )


class Sweep(Kind[SweepSettings, SweepResult]):
    """The kind of study "sweep"."""

    name = "sweep"
    version = 2
    settings = SweepSettings
    result = SweepResult
    question = "Which settings train the best network on this input, and how good is it?"

    def needs(self, settings: SweepSettings) -> tuple[Need, ...]:
        return settings.needs

    def check(self, name: str, settings: SweepSettings, inputs: Mapping[str, Ahead]) -> None:
        here = f"studies.{name}"
        require_comparable(here, settings.roles, inputs)
        for role in settings.roles:
            dataset = inputs[role].dataset
            if dataset is not None and "validation" not in dataset.splits:
                from lib.studies.sweep.rows import held_out_by

                folds = len(settings.seeds) if settings.splits == "folds" else 2
                dataset.require_different("train", folds, f"{TO_VALIDATE} ({here})")
                for held_out in dict.fromkeys(held_out_by(settings, False).values()):
                    assert held_out is not None
                    held_out.rows(dataset)
        if settings.test:
            require_test(inputs["on"], f"{here}.test is true", f"set {here}.test: false, or ")

    def require_means(
        self, name: str, settings: SweepSettings, inputs: Mapping[str, Ahead], where: Places, here: bool
    ) -> None:
        from lib.studies.sweep.forecast import require_memory

        if here:
            require_memory(name, settings, inputs)

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

    def entries(self, record: Record[SweepResult]) -> tuple[Entry, ...]:
        from lib.studies.sweep.entries import entries

        return entries(record)

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
