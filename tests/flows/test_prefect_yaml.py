"""prefect.yaml against Prefect's own models, strictly: Prefect drops a key that it does not know without a word."""

from __future__ import annotations

import asyncio
import itertools
import re
import tomllib
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
import yaml
from prefect.cli.deploy._models import ConcurrencyLimitSpec, DeploymentConfig, PrefectYamlModel, WorkPoolConfig
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule
from prefect.workers.process import ProcessWorker

from flows.automations import _FLOWS, HEARTBEAT_SECONDS
from flows.deployments import chunk_entries, entry_name
from flows.pipeline import chosen
from flows.pools import QUEUES
from lib.errors import ConfigError
from lib.profile import profile_names
from tests.processes import REPOSITORY


def content() -> dict:
    return yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())


def named(entry: dict) -> str:
    return entry_name(entry)


ENTRIES = content()["deployments"]
each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=named)


def unknown_keys(model, given: dict) -> set[str]:
    known = {name for field, info in model.model_fields.items() for name in (field, info.alias) if name}
    return set(given) - known


def all_unknown_keys(whole: dict) -> set[str]:
    found = unknown_keys(PrefectYamlModel, whole) - {"definitions"}  # where Prefect's own templates keep anchors
    for entry in whole["deployments"]:
        found |= unknown_keys(DeploymentConfig, entry)
        found |= unknown_keys(WorkPoolConfig, entry["work_pool"])
        found |= unknown_keys(ConcurrencyLimitSpec, entry.get("concurrency_limit", {}))
    return found


def test_every_key_is_one_that_prefect_knows():
    PrefectYamlModel.model_validate(content())
    assert all_unknown_keys(content()) == set()


@pytest.mark.parametrize("place", [(), ("work_pool",), ("concurrency_limit",)])
def test_a_key_that_prefect_does_not_know_is_found(place):
    whole = content()
    (part,) = [entry for entry in whole["deployments"] if named(entry) == "pipeline/hourly-check"]
    for step in place:
        part = part[step]
    part["priorty"] = 1
    PrefectYamlModel.model_validate(whole)  # Prefect itself says nothing
    assert all_unknown_keys(whole) == {"priorty"}


@each_entry
def test_the_flow_is_there_and_takes_the_parameters(entry):
    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    assert named(entry) == f"{flow.name}/{entry['name']}"
    required = {name for name, value in flow.parameters.properties.items() if "default" not in value}
    if "chunk" in entry["tags"]:
        assert entry["enforce_parameter_schema"] is False
    else:
        assert required <= set(entry["parameters"])
        flow.validate_parameters(entry["parameters"])


@each_entry
def test_every_parameter_explains_itself_in_the_form(entry):
    flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
    assert [name for name, value in flow.parameters.properties.items() if not value.get("description")] == []
    assert flow.description


def test_the_settings_of_every_model_in_a_form_are_described():
    models = load_flow_from_entrypoint("flows.pipeline.pipeline").parameters.definitions
    assert list(models) == ["Workers"]
    assert [name for name, value in models["Workers"]["properties"].items() if not value.get("description")] == []


@each_entry
def test_pools_queues_tags_versions_and_heartbeats_are_set(entry):
    pool = entry["work_pool"]
    assert pool["name"] in ("cpu", "gpu")
    assert pool["work_queue_name"] in QUEUES
    assert "probeflow" in entry["tags"]
    assert entry["description"]
    assert entry["version"] == tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    environment = pool["job_variables"]["env"]
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
    assert environment["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"  # never pickle, whatever starts the run
    assert environment.get("PROBEFLOW_POOL", "gpu") == "gpu"
    assert pool["name"] == "cpu" or "PROBEFLOW_POOL" not in environment  # a chunk hands nothing out
    known = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    assert set(pool["job_variables"]) <= set(known)


@each_entry
def test_schedules_and_limits_are_valid(entry):
    for schedule in entry.get("schedules", []):
        assert set(schedule) == {"slug", "cron", "timezone", "active"}
        planned = CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        # As the server's scheduler asks: with 0.10 of its dependency `whenever` that fails.
        assert len(asyncio.run(planned.get_dates(2))) == 2
    if limit := entry.get("concurrency_limit"):
        assert limit["limit"] >= 1
        ConcurrencyLimitStrategy(limit["collision_strategy"])


def planned(name: str, timezone: str | None, month: int) -> list[datetime]:
    """When Prefect plans a deployment's runs in a month of 2026; in its own time zone unless another is given."""
    (entry,) = [entry for entry in ENTRIES if entry["name"] == name]
    (schedule,) = entry["schedules"]
    given = CronSchedule(cron=schedule["cron"], timezone=timezone or schedule["timezone"])
    first, last = (datetime(2026, each, 1, 12, tzinfo=UTC) for each in (month, month + 1))
    return [datetime.fromisoformat(each.isoformat()) for each in asyncio.run(given.get_dates(start=first, end=last))]


CHANGES = pytest.mark.parametrize("month", [3, 10, 11])
"""Months in which clocks change: to summer time, from it in Europe, and in America."""


@CHANGES
@pytest.mark.parametrize("timezone", [None, "Europe/Berlin", "Europe/London", "America/New_York"])
def test_every_night_has_one_run_in_whatever_time_zone_also_when_clocks_change(timezone, month):
    nights = [night.date() for night in planned("nightly-reference", timezone, month)]
    assert len(nights) >= 28
    assert {later - earlier for earlier, later in itertools.pairwise(nights)} == {timedelta(days=1)}


@CHANGES
def test_in_a_time_zone_of_one_s_own_nights_keep_to_its_clock_and_in_utc_to_24_hours(month):
    nights = planned("nightly-reference", "Europe/Berlin", month)
    assert {(night.hour, night.minute) for night in nights} == {(1, 30)}
    apart = {later - earlier for earlier, later in itertools.pairwise(planned("nightly-reference", None, month))}
    assert apart == {timedelta(hours=24)}


@CHANGES
def test_the_hourly_check_runs_every_hour_also_when_clocks_change(month):
    apart = {later - earlier for earlier, later in itertools.pairwise(planned("hourly-check", None, month))}
    assert apart == {timedelta(hours=1)}


def test_an_hourly_schedule_on_a_local_clock_leaves_out_the_hour_that_comes_twice():
    apart = [later - earlier for earlier, later in itertools.pairwise(planned("hourly-check", "Europe/Berlin", 10))]
    assert sorted(apart)[-2:] == [timedelta(hours=1), timedelta(hours=2)]


def test_names_are_unique_and_all_that_issue_and_pools_need_is_there():
    names = [named(entry) for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert {"pipeline/nightly-reference", "pipeline/hourly-check", "pipeline/on-demand"} <= set(names)
    assert list(map(named, chunk_entries(content(), "big"))) == ["chunk/big"]
    assert {name.split("/")[0] for name in names} <= set(_FLOWS)  # all are watched


def test_no_folder_of_a_machine_is_baked_in():
    assert [content()[step] for step in ("build", "push", "pull")] == [[], [], []]
    assert not re.search(r"(?<![\w.])/(home|work|tmp|usr|opt|app)\b", (REPOSITORY / "prefect.yaml").read_text())


def test_the_form_offers_the_built_in_profiles():
    form = load_flow_from_entrypoint("flows.pipeline.pipeline").parameters.properties["profile"]
    assert [each.get("enum") for each in form["anyOf"]] == [profile_names(), None]


@each_entry
def test_the_nodes_and_changes_that_a_deployment_names_are_its_profile_s(entry):
    if "chunk" not in entry["tags"]:
        given = entry["parameters"]
        assert chosen(given["profile"], given.get("changes", ())).graph.chosen(given.get("only"))


def test_the_file_names_the_prefect_that_is_installed():
    assert content()["prefect-version"] == version("prefect")


def test_a_profile_is_given_by_name_or_whole_and_what_is_wrong_is_one_line():
    flow = load_flow_from_entrypoint("flows.pipeline.pipeline")
    whole = chosen("reference")
    given = flow.validate_parameters({"profile": whole})["profile"]
    assert chosen(given) == whole
    for profile, problem in (
        ("absent", "unknown profile 'absent'"),
        ({"name": "mine", "data": {}}, "profile 'mine': data"),
    ):
        with pytest.raises(ConfigError, match=problem) as caught:
            chosen(flow.validate_parameters({"profile": profile})["profile"])
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"changes \['promote='\] are of a built-in profile"):
        chosen(given, ["promote="])
