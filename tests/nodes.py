"""Nodes as the tasks of a run without workers do them, for tests without a server."""

from __future__ import annotations

from lib.profile import Profile
from tasks import node as tasks


def node_here(profile: Profile, name: str) -> str:
    """Compute a node, draw it and seal it; the folder of its record."""
    return tasks.record_here.fn(profile, name, tasks.compute_here.fn(profile, name))
