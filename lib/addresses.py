"""Addresses: as they may be shown, and which are of this machine alone, whatever proxy there is."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

_CREDENTIALS = re.compile(r"(?<=://)[^\s/@'\"]+@")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def without_credentials(text: str) -> str:
    """`text` with the user and password of every address in it left out: they are for the server, not for logs."""
    return _CREDENTIALS.sub("", text)


def ask_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Except this machine's own servers from the proxy that `environment` names, if it names one; children inherit it.

    Examples
    --------
    >>> environment = {"http_proxy": "http://proxy:3128", "NO_PROXY": "intranet"}
    >>> ask_loopback_directly(environment)
    >>> environment["NO_PROXY"], environment["no_proxy"]
    ('intranet,127.0.0.1,localhost,::1', 'intranet,127.0.0.1,localhost,::1')
    """
    if not any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name, value in environment.items() if value
    ):
        return  # with `no_proxy` alone macOS's own proxies would no longer be asked for
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""  # as urllib, curl and requests read them
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)
