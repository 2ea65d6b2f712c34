"""Get every dataset of a profile: fetched, verified, and free of leakage."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.settings import chosen, profile_and_flow
from lib.config import Profile, ProfileName
from tasks.acquire import acquire_source
from tasks.ends import ENDS, refuse_endless_restarts


@flow(name="acquire", flow_run_name=profile_and_flow, **ENDS)
def acquire(profile: ProfileName | Profile = "embedded", changes: list[str] | None = None) -> list[dict[str, Any]]:
    """Fetch and verify the datasets of a profile; a second run downloads nothing.

    Args:
        profile: A built-in profile by its name, or a whole profile.
        changes: Changes of a built-in profile's settings, such as "learning_rates.data.origin=archive".
    """
    refuse_endless_restarts()
    return [acquire_source(source) for source in chosen(profile, changes or ()).sources()]
