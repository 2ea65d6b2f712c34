"""Addresses: no password is shown, and this machine's own servers are asked directly, whatever proxy there is."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys

import httpx
import pytest
import requests

from lib import addresses
from lib.addresses import ask_loopback_directly, proxies_left_out
from tests.conftest import REPOSITORY
from tests.wrong_servers import NOBODY, answering


def test_the_examples_hold():
    assert doctest.testmod(addresses).failed == 0


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("excepted", [{}, {"NO_PROXY": "intranet"}, {"no_proxy": "intranet, localhost"}])
def test_clients_reach_loopback_past_a_proxy_that_is_dead(name, excepted, monkeypatch):
    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.upper(), raising=False)
    for each, value in ({name: NOBODY} | excepted).items():
        monkeypatch.setenv(each, value)
    ask_loopback_directly(os.environ)
    with answering(200, "here") as address:
        assert httpx.get(address).text == requests.get(address, timeout=5).text == "here"
        assert httpx.get(address.replace("127.0.0.1", "localhost")).text == "here"
    assert "intranet" in os.environ["NO_PROXY"] or not excepted
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "://", "ftp://proxy", "http://[::1", "http://proxy:port", "\x01"]
)
@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_that_httpx_cannot_use_is_taken_out_and_named_where_it_is_needed(name, proxy, monkeypatch):
    monkeypatch.setattr(addresses, "_left_out", {})
    for each in (*addresses._PROXIES, "no_proxy"):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.delenv(each.upper(), raising=False)
    monkeypatch.setenv(name, proxy)
    with pytest.raises((ValueError, ImportError, httpx.InvalidURL)):
        httpx.Client()
    ask_loopback_directly(os.environ)
    httpx.Client().close()
    assert proxies_left_out("https://example.org/x").startswith(f"; {name}={proxy!r} is no proxy that can be used")
    assert not proxies_left_out("http://127.0.0.1:5000")


@pytest.mark.parametrize("hosts", ["[::1]", "::1/128", "é.org", "host:port", "a,::1/128,::1,10.0.0.0/8,*.x,h:80"])
def test_an_exception_that_httpx_cannot_read_is_taken_out(hosts, monkeypatch):
    monkeypatch.setenv("no_proxy", hosts)
    with pytest.raises(httpx.InvalidURL):
        httpx.Client()
    ask_loopback_directly(os.environ)
    httpx.Client().close()
    assert not hosts.startswith("a,") or os.environ["no_proxy"] == "a,::1,10.0.0.0/8,*.x,h:80,127.0.0.1,localhost"


@pytest.mark.parametrize("environment", [{}, {"NO_PROXY": "intranet"}, {"http_proxy": ""}])
def test_without_a_proxy_nothing_is_set(environment):
    before = dict(environment)
    ask_loopback_directly(environment)
    assert environment == before


def test_all_that_flows_starts_inherits_it():
    code = "import flows, os; print(os.environ['no_proxy'])"
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY, env=environment | {"all_proxy": NOBODY}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "127.0.0.1,localhost,::1\n"
