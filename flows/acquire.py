"""Get every dataset of a profile: fetched, verified, and free of leakage."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from lib.config import Profile, load_profile
from tasks.acquire import acquire_source


def name_of_profile() -> str:
    """A flow run's name: the flow's and the profile's, which may be left to its default."""
    profile = flow_run.get_parameters().get("profile")
    name = profile.get("name") if isinstance(profile, dict) else getattr(profile, "name", None)
    return f"{flow_run.get_flow_name()} {name or 'embedded'}"


@flow(name="acquire", flow_run_name=name_of_profile)
def acquire(profile: Profile | None = None) -> list[dict[str, Any]]:
    """Fetch and verify the datasets of `profile` (default: embedded); a second run downloads nothing."""
    profile = profile or load_profile()
    return [acquire_source(source) for source in profile.sources()]
