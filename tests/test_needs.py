"""What a late stage needs is refused before anything is computed: by a run, by `plan` and by `doctor` in the same words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from flows.doctor import examine
from lib.backbones.registry import find_backbone
from lib.errors import ConfigError, DataError, ProbeflowError, StorageError, WeightsError
from lib.graph import check_graph, plan_run, ready_node
from lib.places import Places, Workers
from lib.profile import Profile, parse_profile
from tests.image_files import write_images
from tests.records import places_under

BASE = {"hidden": [4], "epochs": 1}


@dataclass(frozen=True)
class Case:
    """A profile that lacks something: its folder of images, changes of its settings, and what it is told.

    Attributes
    ----------
    machine : dict of str to Any
        Functions that tell of the machine, and what they tell.
    elsewhere : bool
        Whether workers of a pool may have what is lacking here.
    """

    name: str
    error: type[ProbeflowError]
    words: str
    images: Callable[[Path], Path] = lambda folder: write_images(folder, ("cat", "dog"), 6)
    features: Callable[[Path], dict[str, Any]] = lambda folder: {}
    sweep: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    elsewhere: bool = False


def uneven(folder: Path) -> Path:
    write_images(folder, ("cat", "horse"), 6)
    return write_images(folder, ("dog",), 2)


def of_two_sizes(folder: Path) -> Path:
    write_images(folder, ("cat", "dog"), 6)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "cat" / "large.png")
    return folder


def trunk(folder: Path) -> dict[str, Any]:
    with torch.device("meta"):
        network = find_backbone("alexnet").build()
    file = folder / "trunk.safetensors"
    save_file({name: torch.zeros(each.shape) for name, each in network.features.named_parameters("features")}, file)
    return {"weights": "imagenet", "weights_file": str(file)}


CASES = [
    Case(
        "a class of which too few images are left to validate", DataError,
        r"has too few different images of class 'dog' \(1\): each needs 2 to hold one out for validation \(studies.heads\)",
        images=uneven,
    ),
    Case("pixels of one size", ConfigError, "studies.heads.on names 'pets', whose images are of several sizes",
         images=of_two_sizes),
    Case("a map of fewer rows than its perplexity", ConfigError, "studies.map.perplexity: 50 must be below"),
    Case("the layers of a weights file", WeightsError,
         r"trunk.safetensors has no classifier.1.weight, which AlexNet fc8 needs; it is enough for: pool5", features=trunk),
    Case("a GPU", ConfigError, "features.device 'cuda:97': PyTorch sees",
         features=lambda folder: {"weights": "random", "device": "cuda:97"}, elsewhere=True),
    Case("memory", ConfigError, r"studies.heads.on names 'pets', whose 10 rows of 192 values take 0.0 GB of memory, and",
         machine={"lib.studies.sweep.forecast.free_memory": 100}, elsewhere=True),
    Case("room on the disk", StorageError, r"this run writes about 0.1 GB into .*data, whose disk has 0.0 GB free: make room",
         machine={"lib.graph.check.free_bytes": 1000}),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    return request.param


@pytest.fixture
def profile(case: Case, tmp_path, monkeypatch) -> Profile:
    for name, told in case.machine.items():
        monkeypatch.setattr(name, lambda *_, told=told: told)
    features = {"weights": "random", "input_size": 64, "device": "cpu"} | case.features(tmp_path)
    heads = {"kind": "sweep", "on": "pets", "seeds": [0], "variants": {"v": {"base": BASE}}} | case.sweep
    studies: dict[str, Any] = {"heads": heads}
    if "map" in case.name:
        studies["map"] = {"kind": "map", "of": "heads", "perplexity": 50}
    return parse_profile(
        {
            "name": "lacking",
            "data": {"pets": {"source": "folder", "path": str(case.images(tmp_path / "pets"))}},
            "features": {"fc8": {"of": "pets", "layer": "fc8"} | features},
            "studies": studies,
        }
    )


@pytest.fixture
def where(tmp_path) -> Places:
    return places_under(tmp_path)


def test_a_run_and_a_plan_refuse_it_in_the_same_words_before_anything_is_computed(case, profile, where):
    names = list(profile.graph.nodes)
    for refuse in (
        lambda: check_graph(profile, names, where),
        lambda: plan_run(profile, None, where, Workers()),
        lambda: check_graph(profile, names, where),
    ):
        with pytest.raises(case.error, match=case.words) as told:
            refuse()
        assert "\n" not in str(told.value)
    assert not where.studies.exists()
    assert not list(where.features.rglob("*.parquet"))


def test_what_workers_of_a_pool_may_have_is_not_asked_of_who_only_submits(case, profile, where):
    if case.elsewhere:
        check_graph(profile, list(profile.graph.nodes), where, here=False)
        plan_run(profile, None, where, Workers(pool="gpu"))
    else:
        with pytest.raises(case.error):
            check_graph(profile, list(profile.graph.nodes), where, here=False)


def test_doctor_says_it_in_the_same_words(case, profile, where, monkeypatch, capsys):
    monkeypatch.setenv("PROBEFLOW_DATA", str(where.data))
    monkeypatch.setenv("PROBEFLOW_MLRUNS", str(where.mlruns))
    monkeypatch.setenv("PREFECT_HOME", str(where.data / "prefect"))
    assert examine(profile) == 1
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("FIX ")]
    assert any(re.search(case.words, line) for line in lines), said


def test_what_is_done_needs_nothing_any_more(tmp_path, where, monkeypatch):
    profile = parse_profile(
        {
            "name": "done",
            "data": {"pets": {"source": "folder", "path": str(write_images(tmp_path / "pets", ("cat", "dog"), 6))}},
            "studies": {"heads": {"kind": "sweep", "on": "pets", "seeds": [0], "variants": {"v": {"base": BASE}}}},
        }
    )
    ready_node(profile, "heads", where).run()
    monkeypatch.setattr("lib.studies.sweep.forecast.free_memory", lambda: 0)
    monkeypatch.setattr("lib.graph.check.free_bytes", lambda folder: 0)
    assert [node.forecast for node in check_graph(profile, ["heads"], where).nodes] == [None]
