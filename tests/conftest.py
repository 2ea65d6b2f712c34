"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib.config import Profile
from tests.small_profile import small_profile

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data (MNIST, letters, CIFAR-10 subsets) laid out as a mirror."""
    folder = Path(os.environ.get("PROBEFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(
            f"real data not found in {folder}: set PROBEFLOW_TEST_DATA to a folder with mnist/, letters/, images/"
        )
    return folder


@pytest.fixture(scope="session")
def small() -> Profile:
    """A profile that runs in seconds, on real data."""
    return small_profile()
