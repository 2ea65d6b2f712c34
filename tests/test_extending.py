"""A source of images, a backbone, a measure and a kind of study of somebody else's: registered, and nothing else changed."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

from lib import backbones
from lib.backbones import Backbone, Cut, Preprocessing, registry
from lib.datasets import sources
from lib.datasets.dataset import Dataset, Split, build
from lib.errors import ConfigError
from lib.evaluation import measures
from lib.evaluation.measures import Measure, register_measure
from lib.graph import past_run, plan_run, reproduce
from lib.graph.plan import NodePlan, State
from lib.places import Workers
from lib.profile import load_profile, parse_profile
from lib.report import render
from lib.studies import study
from lib.studies.presentation import Presentation, RunNote, Section
from lib.studies.study import Drawing, Group, Kind, Need, Record, Result, Study, StudySettings, Table
from lib.tracking.records import log_record
from lib.tracking.store import connect
from tests.records import WholeRun, places_under, whole_run
from tests.report_page import require_self_contained


class Stripes(sources.SourceSettings):
    """Grey images of noise with stripes that lie or stand."""

    known_splits: ClassVar = ("train", "test")

    source: Literal["stripes"] = "stripes"
    images: int = Field(200, ge=4)
    noise: float = 60.0


def draw_stripes(source: Stripes, raw: Path, mirror: str | None) -> Dataset:
    rng = np.random.default_rng(7)
    splits = {}
    for name, count in (("train", source.images), ("test", source.images // 2)):
        labels = np.arange(count) % 2
        lying = np.where(np.arange(16) // 2 % 2, 190.0, 60.0)[:, np.newaxis] * np.ones((16, 16))
        images = np.where(labels[:, np.newaxis, np.newaxis] == 0, lying, lying.T)
        images = np.clip(images + rng.normal(0, source.noise, images.shape), 0, 255).astype(np.uint8)
        splits[name] = Split(images, labels.astype(np.int64))
    return build("stripes", ("lying", "standing"), splits, "stripes drawn by a test")


def small_network() -> Any:
    from torch import nn

    layers = {"convolution": nn.Conv2d(3, 8, 3), "activation": nn.ReLU(), "scores": nn.Flatten()}
    return nn.Sequential(OrderedDict(layers))


FILTERS = Backbone(
    "filters", "Eight Filters", small_network, {"pooled": Cut("activation", 8, "mean")}, "pooled",
    Preprocessing(input_size=16, resize_size=16), input_sizes=(8, 64),
)  # fmt: skip

ERROR_RATE = Measure("share of wrong answers", lambda rows: rows.mean(~rows.right), higher_is_better=False)


class MistakesSettings(StudySettings):
    kind: Literal["mistakes"] = "mistakes"
    of: str
    most: int = 3


class MistakesResult(Result):
    settings: MistakesSettings
    classes: tuple[str, ...]
    wrong: tuple[tuple[int, int, int], ...]


class Mistakes(Kind[MistakesSettings, MistakesResult]):
    """Which classes a sweep's network takes for which."""

    name = "mistakes"
    settings = MistakesSettings
    result = MistakesResult
    question = "What is taken for what?"

    def needs(self, settings: MistakesSettings) -> tuple[Need, ...]:
        return (Need("of", settings.of, (Group.STUDIES,), ("sweep",)),)

    def compute(self, study: Study[MistakesSettings]) -> MistakesResult:
        of: Any = study.inputs["of"].record
        counts = enumerate(of.result.confusion)
        wrong = [(true, said, n) for true, row in counts for said, n in enumerate(row) if said != true]
        wrong = sorted(wrong, key=lambda each: -each[2])[: study.settings.most]
        return MistakesResult(settings=study.settings, classes=of.result.classes, wrong=tuple(wrong))

    def draw(self, result: MistakesResult, study: Study[MistakesSettings]) -> Iterator[Drawing | Table]:
        from lib.figures.classes import class_distribution

        counts = {name: sum(n for true, _, n in result.wrong if true == at) for at, name in enumerate(result.classes)}
        yield Drawing("mistakes", "wrong answers of each class", class_distribution({"test": counts}, "wrong answers"))
        rows = [{"true": result.classes[a], "said": result.classes[b], "images": n} for a, b, n in result.wrong]
        yield Table("mistakes", "the most frequent mistakes", rows)

    def present(self, record: Record[MistakesResult]) -> Presentation:
        result = record.result
        total = sum(n for *_, n in result.wrong)
        lines = [f"- {result.classes[a]} taken for {result.classes[b]}: {n}" for a, b, n in result.wrong]
        parent = RunNote(record.key, "Mistakes", {"most": result.settings.most}, {"wrong": float(total)})
        sections = (Section("The most frequent mistakes", "\n".join(lines)),)
        return Presentation("Mistakes", f"{total} mistakes", parent, self.question, sections)


MISTAKES = Mistakes()

PROFILE: dict[str, Any] = {
    "name": "extended",
    "data": {"stripes": {"source": "stripes", "noise": 250}},
    "features": {"filters": {"of": "stripes", "backbone": "filters", "weights": "random", "device": "cpu"}},
    "studies": {
        "heads": {
            "kind": "sweep",
            "on": "filters",
            "seeds": [0, 1],
            "test": True,
            "variants": {"mlp": {"base": {"hidden": [8], "optimizer": "adam", "batch_size": 32, "epochs": 6}}},
        },
        "mistakes": {"kind": "mistakes", "of": "heads"},
    },
}

REGISTRIES: tuple[dict[str, Any], ...] = (study._KINDS, registry._BACKBONES, sources._kinds, measures.MEASURES)


@pytest.fixture(scope="module")
def extended() -> Iterator[None]:
    """The four are known while this module's tests run, and no longer."""
    before = [set(each) for each in REGISTRIES]
    sources.register(Stripes, draw_stripes)
    backbones.register(FILTERS)
    register_measure("error_rate", ERROR_RATE)
    study.register(MISTAKES)
    new = [each.keys() - names for each, names in zip(REGISTRIES, before, strict=True)]
    assert new == [{"mistakes"}, {"filters"}, {"stripes"}, {"error_rate"}]
    yield
    for known, names in zip(REGISTRIES, new, strict=True):
        for name in names:
            del known[name]
    with pytest.raises(ConfigError, match="there is no such source; known: digits"):
        parse_profile(PROFILE)


@pytest.fixture(scope="module")
def run(extended, tmp_path_factory) -> WholeRun:
    """A run of the profile, read from a file of JSON with a setting changed."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "profile.json").write_text(json.dumps(PROFILE))
    profile = load_profile(file=folder / "profile.json", assignments=["studies.mistakes.most=2"], environment={})
    return whole_run(profile, places_under(folder))


def test_each_node_has_its_record_with_figures_and_tables(run):
    assert {name: record.kind for name, record in run.records.items()} == {
        "filters": "features", "heads": "sweep", "mistakes": "mistakes",
    }  # fmt: skip
    features, heads, mistakes = (run.records[name] for name in ("filters", "heads", "mistakes"))
    assert (features.result.width, features.result.rows) == (8, 300)
    assert heads.result.representations[0].description == "Eight Filters pooled, RANDOM weights (seed 0)"
    assert mistakes.dataset.classes == ("lying", "standing")
    (_, one), (other, _) = heads.result.confusion
    assert {(a, b): n for a, b, n in mistakes.result.wrong} == {(0, 1): one, (1, 0): other}
    assert one + other > 0
    assert (mistakes.folder / "figures" / "mistakes.svg").exists()
    assert (mistakes.folder / "tables" / "mistakes.csv").read_text().startswith("true,said,images\n")


def test_the_measure_is_taken_of_every_model_with_an_interval(run):
    for model in run.records["heads"].result.models:
        for score in model.scores:
            assert score.measures["error_rate"] == pytest.approx(1 - score.measures["accuracy"])
        interval = model.measured["error_rate"]
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


def test_a_plan_finds_all_of_it_done(run):
    plan = plan_run(run.profile, None, run.where, Workers())
    assert {each.name: each.state for each in plan.nodes if each.state is not State.EACH_RUN} == dict.fromkeys(
        [*run.profile.graph.nodes, "report"], State.CACHED
    )
    changed = run.profile.model_copy(update={"studies": dict(run.profile.studies)})
    changed.studies["mistakes"] = changed.studies["mistakes"].model_copy(update={"most": 1})
    node = plan_run(changed, ["mistakes"], run.where, Workers())["mistakes"]
    assert (node.state, node.told) == (State.TO_DO, "studies.mistakes.most 2 -> 1")


def test_it_is_reproduced_to_the_last_bit(run, tmp_path):
    verdicts = list(reproduce(past_run(run.record.folder), run.where, tmp_path))
    assert [each.name for each in verdicts] == list(run.records)
    assert {each.name: each.words for each in verdicts} == dict.fromkeys(run.records, "same to the last bit")


def test_the_report_shows_the_study_and_the_measure(run):
    page = require_self_contained(render(run.record, run.records))
    for words in ("What is taken for what?", "The most frequent mistakes", "wrong answers"):
        assert words in page.words
    assert "share of wrong answers" in page.words
    assert "Eight Filters pooled, RANDOM weights (seed 0)" in page.words


def test_mlflow_has_the_runs_with_params_and_metrics(run):
    tracking = connect(run.where)
    of_study = log_record(tracking, run.records["mistakes"], {}).data
    assert of_study.params["most"] == "2"
    assert of_study.metrics["wrong"] == sum(n for *_, n in run.records["mistakes"].result.wrong)
    of_sweep = log_record(tracking, run.records["heads"], {}).data
    heads = run.records["heads"].result
    assert of_sweep.metrics["test_error_rate"] == pytest.approx(heads.over_seeds(heads.chosen, "error_rate").mean)
    assert {"test_error_rate_low", "test_error_rate_high"} <= of_sweep.metrics.keys()


def test_a_record_waits_for_the_measures_that_it_was_made_with(run, monkeypatch):
    def heads() -> NodePlan:
        return plan_run(run.profile, ["heads"], run.where, Workers())["heads"]

    monkeypatch.delitem(measures.MEASURES, "error_rate")
    assert heads().told == "studies.heads.measures.error_rate taken -> none"
    with pytest.raises(ConfigError, match=r"unknown measure 'error_rate'; known: accuracy, .*; register it"):
        run.records["heads"].present()
    monkeypatch.undo()
    assert heads().state is State.CACHED
    monkeypatch.setitem(measures.MEASURES, "errors", ERROR_RATE)
    assert heads().told == "studies.heads.measures.errors none -> taken"


def test_a_name_that_is_taken_is_refused(extended):
    study.register(MISTAKES)  # the same again does no harm
    with pytest.raises(ConfigError, match="kind of study 'mistakes' is registered already"):
        study.register(Mistakes())
    with pytest.raises(ConfigError, match="there is a backbone 'filters' already"):
        backbones.register(dataclasses.replace(FILTERS, title="Nine Filters"))
    with pytest.raises(ConfigError, match="there is a measure 'error_rate' already"):
        register_measure("error_rate", dataclasses.replace(ERROR_RATE, words="errors"))
