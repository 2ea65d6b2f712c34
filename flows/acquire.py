"""Get every dataset of a profile: fetched, verified, and free of leakage."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.config import Profile, load_profile
from tasks.acquire import acquire_source


@flow(name="acquire", flow_run_name="acquire {profile.name}")
def acquire(profile: Profile | None = None) -> list[dict[str, Any]]:
    """Fetch and verify the datasets of `profile` (default: embedded); a second run downloads nothing."""
    profile = profile or load_profile()
    return [acquire_source(source) for source in profile.sources()]
