"""Whatever command sees photos first, each is decoded once until their features are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import doctor, try_images
from lib.datasets.decoding import Decoder
from lib.graph import check_graph, plan_run, ready_node
from lib.graph.data import acquire_data
from lib.places import Places
from lib.profile import Profile, parse_profile
from tests.awkward import File, image, write_folder
from tests.lib.graph.conftest import HERE

COUNT = 20


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    files = [File("", "ab"[n % 2], f"{n}.jpg", image(str(n), "JPEG", 300, 400)) for n in range(COUNT)]
    return write_folder(tmp_path / "photos", files)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each image that is decoded."""
    calls: list[int] = []
    decode = Decoder._decode

    def counted(self, data, **options):
        calls.append(len(data))
        return decode(self, data, **options)

    monkeypatch.setattr(Decoder, "_decode", counted)
    return calls


def profile_on(photos: Path, **more: object) -> Profile:
    return parse_profile(
        {
            "name": "photos",
            "data": {"images": {"source": "folder", "path": str(photos)}} | more,
            "features": {"pool5": {"of": "images", "backbone": "alexnet", "layer": "pool5", "weights": "random"}},
        }
    )


def see_nothing(profile: Profile, photos: Path, where: Places) -> None:
    """As the worker of a pool on a machine of its own."""


def see_checked(profile: Profile, photos: Path, where: Places) -> None:
    check_graph(profile, ["pool5"], where)


def see_plan(profile: Profile, photos: Path, where: Places) -> None:
    plan_run(profile, None, where, HERE)


def see_doctor(profile: Profile, photos: Path, where: Places) -> None:
    assert all(finding.works for finding in doctor._data(profile, ["images"], where, {}))


def see_new(profile: Profile, photos: Path, where: Places) -> None:
    assert try_images.write_profile(photos.parent / "mine.yaml", str(photos), None, where) == 0


def see_tried(profile: Profile, photos: Path, where: Places) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(try_images, "run_and_report", lambda *_: 0)
        assert try_images.try_images(str(photos), "random", None, "pool5", True, where, HERE) == 0


def see_others(profile: Profile, photos: Path, where: Places) -> None:
    """Another node's data that lies in the same place."""
    acquire_data(
        profile_on(photos, others={"source": "folder", "path": f"{photos}/../photos/", "seed": 1}).graph,
        "others",
        where,
    )


@pytest.mark.parametrize(
    "see",
    [see_nothing, see_checked, see_plan, see_doctor, see_new, see_tried, see_others],
    ids=lambda see: see.__name__,
)
def test_photos_are_decoded_once(
    see: Callable[[Profile, Path, Places], None], photos: Path, where: Places, decoded: list[int]
):
    profile = profile_on(photos)
    see(profile, photos, where)
    record = ready_node(profile, "pool5", where).run()
    assert record.result.rows == COUNT
    assert len(decoded) == COUNT
