"""What a sweep refuses before anything is computed: what could only fail after hours."""

from __future__ import annotations

from collections.abc import Mapping

from lib.errors import ConfigError
from lib.studies.study import Ahead
from lib.studies.sweep.settings import SweepSettings


def check(name: str, settings: SweepSettings, inputs: Mapping[str, Ahead]) -> None:
    """Refuse a sweep that cannot be computed on its inputs, as far as they are known; `inputs` are by role.

    Raises
    ------
    ConfigError
        Naming the study, the setting and the fix.
    """
    here = f"studies.{name}"
    main = inputs["on"]
    for role in settings.roles:
        each, setting = inputs[role], f"{here}.{role}"
        if each.data != main.data:
            raise ConfigError(
                f"{setting} is {each.name!r}, which is of data {each.data!r}, but {here}.on is {main.name!r}, which is of "
                f"data {main.data!r}; only inputs of the same images can be compared, so name one of data {main.data!r}"
            )
        if each.dataset is None:
            continue
        if not each.dataset.labelled:
            raise ConfigError(
                f"{setting} is {each.name!r}, whose images have no labels; a sweep needs two or more classes: name other "
                "data, or explore it instead (kind: exploration)"
            )
        if each.features is None and each.dataset.pixel_shape() is None:
            raise ConfigError(
                f"{setting} is {each.name!r}, whose images are of several sizes, and raw pixels need one; resize them, or "
                "name a feature set of it"
            )
    if settings.test and main.splits is not None and "test" not in main.splits:
        raise ConfigError(
            f"{here}.test is true, but data {main.data!r} has no test split (it has: {', '.join(main.splits)}); set "
            f"{here}.test: false, or add a test split"
        )
