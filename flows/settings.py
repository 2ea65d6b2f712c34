"""What a flow is given, in its short forms: a profile's name in place of a profile, changes of it, and the run's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from prefect.runtime import flow_run

from lib.config import Profile, ProfileName, load_profile
from lib.errors import ConfigError

PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)


def chosen(profile: ProfileName | Profile | None, changes: Sequence[str] = ()) -> Profile:
    """The profile of that name (embedded when None) with `changes` such as "features.layer=fc7", or the one given.

    Raises
    ------
    ConfigError
        For a change of an unknown setting or to a value out of range, or changes of a profile that is given whole.
    """
    if not isinstance(profile, Profile):
        return load_profile(profile or "embedded", assignments=changes)
    if changes:
        raise ConfigError(
            f"changes {list(changes)} are of a built-in profile, but profile {profile.name!r} is given whole; "
            "put them into it"
        )
    return profile


def profile_and_flow() -> str:
    """A flow run's name: the flow's and the profile's, and the stages or studies if there are few of them."""
    given = flow_run.get_parameters()
    only = given.get("only")
    stages = [only] if isinstance(only, str) else only or []
    return " ".join([str(flow_run.get_flow_name()), _told(given.get("profile"), "name"), *(f"· {s}" for s in stages)])


def features_of_images() -> str:
    """The name of an extraction: the layer and the images."""
    given = flow_run.get_parameters()
    images, settings = given.get("images"), given.get("settings")
    layer = _part(settings or _of_profile(images, "features"), "layer") or "fc8"
    return f"features {layer} of {_source(images, 'images')}"


def sweep_on_data() -> str:
    """The name of a sweep: the study and the data."""
    given = flow_run.get_parameters()
    name, study = given.get("name") or "hidden_units", given.get("study")
    return f"{name} on {_source(_part(study, 'data') or study, name)}"


def exploration_of_images() -> str:
    """The name of an exploration: the images."""
    return f"explore {_source(flow_run.get_parameters().get('images'), 'images')}"


def _source(given: Any, study: str) -> str:
    """What a source is called, or what the profile has that is named in its place."""
    if given is None or isinstance(given, str):
        part = _of_profile(given, study)
        given = _part(part, "data") or part
    return str(_part(given, "source"))


def _of_profile(name: Any, part: str) -> Any:
    return getattr(load_profile(name if name in PROFILES else "embedded"), part)


def _told(given: Any, part: str) -> str:
    return given if isinstance(given, str) else str(_part(given, part) or "embedded")


def _part(given: Any, name: str) -> Any:
    """A part of a setting that is a model already, or JSON still."""
    return given.get(name) if isinstance(given, dict) else getattr(given, name, None)
