"""Data, features and records that tests of sweeps share."""

from __future__ import annotations

import pytest

from lib.graph.inputs import ready_node
from lib.places import Places
from lib.studies.study import Record
from tests.records import places_under
from tests.sharing import shared
from tests.shown_sweeps import shown_sweep
from tests.small_profile import small_profile


@pytest.fixture(scope="session")
def where() -> Places:
    """Places with the small profile's features extracted."""
    with shared("sweeps") as folder:
        here = places_under(folder)
        ready_node(small_profile(), "fc8", here).run()
        return here


def run_shown(name: str, where: Places) -> Record:
    with shared("sweeps"):
        return shown_sweep(name, where).run()


@pytest.fixture(scope="session")
def tested(where) -> Record:
    return run_shown("tested", where)


@pytest.fixture(scope="session")
def searched(where) -> Record:
    return run_shown("searched", where)


@pytest.fixture(scope="session")
def heads(where) -> Record:
    return run_shown("heads", where)
