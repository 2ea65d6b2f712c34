"""What a flow is given: a profile's name, or a whole profile as JSON; and how its run is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from prefect.runtime import flow_run
from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from lib.errors import ConfigError
from lib.profile import Profile, load_profile, parse_profile, profile_names


def _as_json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


ProfileName = Annotated[str, WithJsonSchema({"type": "string", "enum": profile_names()})]
"""A built-in profile; a form offers their names, and the flow itself says in one line what else was wrong."""

AnyProfile = Annotated[ProfileName | dict[str, Any], BeforeValidator(_as_json)]
"""A built-in profile's name, or a whole profile."""


def chosen(profile: str | dict[str, Any], changes: Sequence[str] = ()) -> Profile:
    """The profile of that name with `changes` such as "features.fc8.layer=fc7", or the one given whole.

    Raises ConfigError for what is wrong in it, or changes of a profile that is given whole.
    """
    if isinstance(profile, str):
        return load_profile(profile, assignments=changes)
    if changes:
        raise ConfigError(
            f"changes {list(changes)} are of a built-in profile, but profile {profile.get('name')!r} is given whole; "
            "put them into it"
        )
    return parse_profile(profile)


def profile_and_nodes() -> str:
    """A run's name: the flow's and the profile's, and the nodes that are asked for."""
    given = flow_run.get_parameters()
    profile, only = given.get("profile", "embedded"), given.get("only") or []
    name = profile if isinstance(profile, str) else str(_as_json(profile).get("name", ""))
    return " ".join([str(flow_run.get_flow_name()), name, *(f"· {node}" for node in only)])
