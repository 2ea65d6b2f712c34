"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from lib.machine import cores
from lib.profile import Profile
from tests.object_store import DataPlace, start_s3
from tests.processes import REPOSITORY, start_prefect
from tests.records import WholeRun, places_under, whole_run
from tests.sharing import begin_sharing, end_sharing, shared, shared_server
from tests.small_profile import small_profile

settings.register_profile("short", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile("short")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As what a script starts with `&` has it; programs that tests start would ignore Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

NEEDS_STACK = "needs servers of its own, as a team or a browser has them: `make test-stack` runs it (--stack)"


def pytest_addoption(parser):
    parser.addoption("--stack", action="store_true", help="run the tests on the team's stack as well (make test-stack)")
    parser.addoption("--containers", action="store_true", help="run the test in containers (make test-containers)")
    parser.addoption("--long", action="store_true", help="and those of them that take many minutes (make chaos)")
    parser.addoption("--chaos-rounds", type=int, default=10, metavar="N", help="rounds of the chaos test, 10 at most")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    def place(item) -> int:
        return next((at for at, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)
    for item in items:
        if item.get_closest_marker("stack") and not config.getoption("--stack"):
            item.add_marker(pytest.mark.skip(reason=NEEDS_STACK))
        elif item.get_closest_marker("containers") and not config.getoption("--containers"):
            item.add_marker(
                pytest.mark.skip(reason="builds images and runs them: `make test-containers` does (--containers)")
            )
        elif item.get_closest_marker("slow") and not config.getoption("--stack"):
            item.add_marker(pytest.mark.skip(reason="takes ten seconds or more: `make test-stack` runs it (--stack)"))
        elif item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes many minutes: `make chaos` runs it (--stack --long)"))


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        begin_sharing()
        if config.getoption("numprocesses", None):
            # Threads of several processes on the same cores mostly wait for each other, and turn while they do.
            os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        end_sharing()


def pytest_xdist_auto_num_workers(config) -> int:
    """One more than there are cores: tests also wait, for servers and for processes that they start."""
    return cores() + 1


def pytest_xdist_make_scheduler(config, log):
    """Deal files to processes, in the order in which they stand; those that share the stack are dealt together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByWhatIsShared(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((shared for shared in TOGETHER if file.startswith(shared)), file)

    return ByWhatIsShared(config, log)


TOGETHER = ("tests/integration/stack/",)
"""Beginnings of files that one process runs: those that share the team's stack."""

LONGEST = (
    "tests/integration/stack/",
    "tests/docs/test_commands.py",
    "tests/integration/test_work_pool.py",
    "tests/lib/features/test_exactly_once.py",
    "tests/flows/test_pipeline.py",
    "tests/lib/features/",
    "tests/lib/backbones/",
    "tests/flows/",
    "tests/integration/",
    "tests/lib/tracking/",
    "tests/lib/studies/",
)
"""Beginnings of files, the longest first: begun first, so that no process is left with one of them in the end."""


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


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> WholeRun:
    """A whole run of the small profile without its slowest studies, held against claims; logged nowhere yet."""
    profile = small_profile(studies={"hidden_units": None, "map": None}, claims="reference-study")
    with shared("small run") as folder:
        own = tmp_path_factory.mktemp("small run") / "mlruns"
        return whole_run(profile, places_under(folder / "place with spaces, 10%20 #1", own))


@pytest.fixture(scope="session")
def prefect_server() -> dict[str, str]:
    """A Prefect server, as the environment of its clients, where this checkout's code comes first."""
    return shared_server("prefect", start_prefect)


@pytest.fixture(scope="session")
def s3() -> dict[str, str]:
    """A server that speaks S3, with the bucket "shared", as the environment of its clients."""
    return shared_server("s3", start_s3)


@pytest.fixture(params=["path", "s3"])
def data_place(request, tmp_path, monkeypatch) -> DataPlace:
    """A place that machines share: a path, or a prefix of its own in the bucket."""
    return make_data_place(request, request.param, tmp_path, monkeypatch)


@pytest.fixture
def s3_place(request, tmp_path, monkeypatch) -> DataPlace:
    """A prefix of its own in the bucket."""
    return make_data_place(request, "s3", tmp_path, monkeypatch)


def make_data_place(request, kind: str, folder: Path, monkeypatch) -> DataPlace:
    """What `data_place` is; for "s3" the server's variables are set here, too."""
    if kind == "path":
        return DataPlace(kind, str(folder / "data"), folder, {})
    environment = request.getfixturevalue("s3")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return DataPlace(kind, f"s3://shared/{uuid4().hex[:8]}", folder, environment)
