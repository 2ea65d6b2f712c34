"""Data and features that tests of sweeps share."""

from __future__ import annotations

import pytest

from lib.graph.inputs import ready_node
from lib.places import Places, places
from tests.small_profile import small_profile


@pytest.fixture(scope="package")
def where(tmp_path_factory) -> Places:
    """Places with the small profile's features extracted."""
    root = tmp_path_factory.mktemp("sweeps")
    here = places({"PROBEFLOW_DATA": str(root / "data"), "PROBEFLOW_MLRUNS": str(root / "mlruns")})
    ready_node(small_profile(), "fc8", here).run()
    return here
