"""The Prefect server that Prefect's own settings name: whether it answers, told in one line within seconds."""

from __future__ import annotations

import json
from os import environ

import httpx
from prefect import get_client
from prefect.context import get_settings_context
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from lib.addresses import proxies_left_out, without_credentials
from lib.errors import ConfigError, one_line

_PATIENCE = 5.0
"""Seconds that a server may take to answer one question."""


def server_address() -> str | None:
    """The address of the server, as it may be shown; None where Prefect's settings name none."""
    url = PREFECT_API_URL.value()
    return without_credentials(url) if url else None


def named_in() -> str:
    """Where Prefect's settings name the server: a variable, one of Prefect's profiles, or a file of the current folder."""
    if environ.get("PREFECT_API_URL"):
        return "PREFECT_API_URL"
    profile = get_settings_context().profile
    if PREFECT_API_URL in profile.settings:
        return f"PREFECT_API_URL of Prefect's profile {profile.name!r} in {profile.source}"
    return "PREFECT_API_URL of .env, prefect.toml or pyproject.toml in the current folder"


def require_server(pool: str | None = None) -> None:
    """Refuse to begin while the server that Prefect's settings name does not answer, or refuses this user.

    `pool`: a work pool, which needs a server; without one there need be none.

    Raises ConfigError with the server's address, and where it is set.
    """
    url = server_address()
    if url is None:
        if pool is None:
            return
        raise ConfigError(
            f"work pool {pool!r} needs a Prefect server that its workers share: start one with `prefect server start` "
            "and set PREFECT_API_URL=http://HOST:4200/api here and for the workers"
        )
    hasty = {PREFECT_API_REQUEST_TIMEOUT: _PATIENCE}
    if "PREFECT_CLIENT_MAX_RETRIES" not in environ:  # who sets it lets clients wait for a server that starts
        hasty[PREFECT_CLIENT_MAX_RETRIES] = 0
    here = f"Prefect server {url} (set by {named_in()})"
    fix = "start it, correct its address, or unset that for a server of each run's own"
    no_api = f"is not Prefect's API, whose address ends in /api; {fix}"
    try:
        with temporary_settings(hasty), get_client(sync_client=True) as client:
            version = client.api_version()  # its health is told to everybody; this is not
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ConfigError(
                f"{here} refuses this user (status {status}): let PREFECT_API_AUTH_STRING be the user:password that the "
                "server was started with"
            ) from None
        problem = f"fails (status {status}): see its log" if status >= 500 else f"{no_api} (status {status})"
        raise ConfigError(f"{here} {problem}") from None
    except json.JSONDecodeError:
        raise ConfigError(f"{here} {no_api} (it sent no JSON)") from None
    except httpx.TimeoutException:
        raise ConfigError(f"{here} does not answer within {_PATIENCE:g} s{proxies_left_out(url)}: {fix}") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        problem = f"{one_line(error)}{proxies_left_out(url)}"
        raise ConfigError(f"{here} does not answer ({problem}): {fix}") from None
    if not isinstance(version, str):
        raise ConfigError(f"{here} {no_api} (it sent no version)")


def lost_server(error: BaseException) -> str | None:
    """An error of Prefect's client in one line, if it comes of the server; None of any other."""
    url = server_address()
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (401, 403):
        return f"Prefect server {url} refuses this user: let PREFECT_API_AUTH_STRING be the server's user:password"
    answered = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
    if answered or not isinstance(error, httpx.TransportError | httpx.HTTPStatusError):
        return None
    return (
        f"Prefect server {url} no longer answers ({one_line(error)}); see to it, then run the same command again, which goes on "
        "from what is done"
    )
