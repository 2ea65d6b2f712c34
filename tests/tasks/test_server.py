"""The server that Prefect's settings name: one line within seconds, whatever listens there."""

from __future__ import annotations

import time

import httpx
import pytest
from prefect.context import get_settings_context, use_profile
from prefect.settings import PREFECT_API_URL, Profile, temporary_settings

from lib.errors import ConfigError
from tasks import server
from tasks.server import lost_server, named_in, require_server
from tests.wrong_servers import NOBODY, wrong_server


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("nobody", r"does not answer \(.*Connection refused\): start it, correct its address, or unset that"),
        ("hanging", "does not answer within 0.3 s: start it"),
        ("page", r"is not Prefect's API, whose address ends in /api; .* \(it sent no JSON\)"),
        ("401", r"refuses this user \(status 401\): let PREFECT_API_AUTH_STRING be"),
        ("404", r"is not Prefect's API, whose address ends in /api; .* \(status 404\)"),
        ("500", r"fails \(status 500\): see its log"),
    ],
)
def test_a_server_that_does_not_do_is_one_line_within_seconds(how, problem, monkeypatch):
    monkeypatch.setattr(server, "_PATIENCE", 0.3)
    monkeypatch.setenv("PREFECT_API_URL", "set")  # read by Prefect before, here by `named_in` alone
    started = time.monotonic()
    with (
        wrong_server(how) as address,
        temporary_settings({PREFECT_API_URL: f"{address}/api"}),
        pytest.raises(ConfigError, match=rf"^Prefect server {address}/api \(set by PREFECT_API_URL\) {problem}"),
    ):
        require_server()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("address", ["localhost:4200/api", "http://127.0.0.1:none/api"])
def test_an_address_that_is_none_is_one_line(address):
    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(ConfigError, match="does not answer"):
        require_server()


def test_the_line_says_which_of_prefect_s_profiles_names_the_server(monkeypatch, tmp_path):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    file = tmp_path / "profiles.toml"
    profile = Profile(name="old", settings={PREFECT_API_URL: f"{NOBODY}/api"}, source=file)
    with use_profile(profile, include_current_context=False):
        assert get_settings_context().profile is profile
        assert named_in() == f"PREFECT_API_URL of Prefect's profile 'old' in {file}"
        with pytest.raises(ConfigError, match="Prefect's profile 'old'"):
            require_server()


def test_without_a_server_a_run_needs_none_and_a_pool_is_refused_with_what_to_start():
    with temporary_settings({PREFECT_API_URL: None}):
        require_server()
        with pytest.raises(ConfigError, match=r"work pool 'gpu' needs a Prefect server .*prefect server start"):
            require_server("gpu")


def test_no_password_of_an_address_is_shown():
    with (
        temporary_settings({PREFECT_API_URL: NOBODY.replace("://", "://me:secret@") + "/api"}),
        pytest.raises(ConfigError, match="does not answer") as told,
    ):
        require_server()
    assert "secret" not in str(told.value)


def test_a_server_that_is_lost_during_a_run_is_told_from_a_request_that_is_wrong():
    def answered(status):
        request = httpx.Request("GET", NOBODY)
        return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))

    with temporary_settings({PREFECT_API_URL: f"{NOBODY}/api"}):
        assert "no longer answers (refused)" in lost_server(httpx.ConnectError("refused"))
        assert "no longer answers" in lost_server(answered(503))
        assert "refuses this user" in lost_server(answered(401))
        assert lost_server(answered(422)) is None
