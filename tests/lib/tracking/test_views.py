"""The saved views and links: MLflow, asked as they ask it, answers with this study's configurations in order."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from lib.studies import study
from lib.studies.presentation import Presentation, Role, Rows, RunNote
from lib.studies.record import Identity, StudyFolder
from lib.studies.study import Kind, Record, Result, StudySettings
from lib.studies.sweep.runs import with_configuration
from lib.tracking.records import log_record
from lib.tracking.views import BEST, comparison_links

SIZES = range(BEST + 2)


class SizesSettings(StudySettings):
    kind: Literal["sizes"] = "sizes"


class SizesResult(Result):
    name: str


class Sizes(Kind[SizesSettings, SizesResult]):
    """A kind that shows one trial a size, the larger the better, three of them judged on test rows too."""

    name = "sizes"
    settings = SizesSettings
    result = SizesResult
    question = "Does size matter?"

    def needs(self, settings):
        return ()

    def compute(self, study):
        return SizesResult(name=study.name)

    def present(self, record):
        name, runs = record.result.name, []
        for size in SIZES:
            figures = {"last_epoch_validation_accuracy": size / 100, "best_epoch_validation_loss": 1.0}
            note = trial(name, size, Role.TRIAL, Rows.VALIDATION, **figures)
            runs += with_configuration(note.name, [note], rank=len(SIZES) - size)
        for size in (3, 1, 2):
            final = trial(name, size, Role.FINAL, Rows.TEST, test_accuracy=size / 100)
            runs += with_configuration(final.name, [final])
        return Presentation(name, f"the best is {SIZES[-1]}", RunNote(record.key, name, {}), runs=tuple(runs))


def trial(name: str, size: int, role: Role, rows: Rows, **metrics: float) -> RunNote:
    params = {"hidden": size, "seed": 0, "l2": 0}
    return RunNote(f"{name} {role} {size}", f"{size} units", params, metrics, role=role, rows=rows)


@pytest.fixture(scope="module")
def logged(tracking, small_run, tmp_path_factory):
    """Two studies of a kind that nothing else knows, in one experiment, each with its run."""
    study.register(Sizes())
    made: list[Record] = []
    for name in ("before", "newest"):
        folder = StudyFolder(tmp_path_factory.mktemp("studies"), Identity("sizes", "of_sizes", 1, {"name": name}, {}))
        made.append(folder.seal(SizesResult(name=name), small_run.records["exploration"].dataset))
    yield [(log_record(tracking, record, {}), record.present()) for record in made]
    study._KINDS.pop("sizes")


def state_of(tag: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(base64.b64decode(tag.removeprefix("deflate;"))))


def answer(tracking, experiment: str, state: dict[str, Any]):
    """What MLflow's page of runs would list."""
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    return list(tracking.client.search_runs([experiment], state["searchFilter"], order_by=[order]))


def opened(tracking, path: str):
    """Runs and columns of the page at this address."""
    address = urlsplit(path.removeprefix("#"))
    experiment, query = address.path.split("/")[2], parse_qs(address.query)
    assert query["workflowType"] == ["machine_learning"]
    tags = tracking.client.get_experiment(experiment).tags
    state = state_of(tags[f"mlflow.sharedViewState.{query['viewStateShareKey'][0]}"])
    return answer(tracking, experiment, state), state


def test_each_study_s_link_lists_its_own_configurations_best_first(tracking, logged):
    for run, shown in logged:
        everything, *_ = comparison_links(tracking, run, shown)
        assert everything.title == f"all {len(SIZES)} configurations, best first"
        found, state = opened(tracking, everything.path)
        assert [each.data.params["hidden"] for each in found] == [str(size) for size in reversed(SIZES)]
        assert {each.data.tags["mlflow.parentRunId"] for each in found} == {run.info.run_id}
        assert {each.data.tags["probeflow.role"] for each in found} == {"configuration"}
        assert state["selectedColumns"] == [
            "metrics.`rank`",
            "metrics.`last_epoch_validation_accuracy`",
            "metrics.`best_epoch_validation_loss`",
            "params.`hidden`",  # and not l2, in which none differs
        ]


def test_the_best_are_compared_side_by_side(tracking, logged):
    run, shown = logged[0]
    (link,) = [link for link in comparison_links(tracking, run, shown) if link.name == "compare-best"]
    query = parse_qs(urlsplit(link.path.removeprefix("#")).query)
    assert json.loads(query["experiments"][0]) == [run.info.experiment_id]
    compared = [tracking.client.get_run(each) for each in json.loads(query["runs"][0])]
    assert [int(each.data.params["hidden"]) for each in compared] == list(reversed(SIZES))[:BEST]


def test_results_on_test_rows_are_a_view_of_their_own(tracking, logged):
    run, shown = logged[0]
    link = comparison_links(tracking, run, shown)[-1]
    assert link.title == "results on test rows"
    found, state = opened(tracking, link.path)
    assert [each.data.params["hidden"] for each in found] == ["3", "2", "1"]
    assert "metrics.`test_accuracy`" in state["selectedColumns"]


def test_every_figure_has_one_chart_so_that_mlflow_adds_none(tracking, logged):
    run, shown = logged[0]
    _, state = opened(tracking, comparison_links(tracking, run, shown)[0].path)
    charts = [chart["metricKey"] for chart in state["compareRunCharts"] if "metricKey" in chart]
    assert sorted(charts) == ["best_epoch_validation_loss", "last_epoch_validation_accuracy", "rank"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {"compared", "others"}


def test_the_menu_has_the_newest_study_alone_however_many_there_are(tracking, logged):
    run, _ = logged[-1]
    menu = []
    for tag, value in tracking.client.get_experiment(run.info.experiment_id).tags.items():
        if tag.startswith("mlflow.sharedViewState.") and value.startswith("{"):
            menu.append(json.loads(value))
    assert {view["name"] for view in menu} == {"Newest: configurations, best first", "Newest: results on test rows"}
    for view in menu:
        found = answer(tracking, run.info.experiment_id, state_of(view["state"]))
        assert {each.data.tags["mlflow.parentRunId"] for each in found} == {run.info.run_id}


def test_a_study_without_configurations_has_nothing_to_compare(tracking, small_run, logged):
    run, _ = logged[0]
    assert comparison_links(tracking, run, small_run.records["exploration"].present()) == []
