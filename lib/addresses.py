"""Addresses: as they may be shown, and which are of this machine alone, whatever proxy there is."""

from __future__ import annotations

import math
import re
import time
import urllib.request
from collections.abc import MutableMapping
from http.client import HTTPException
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

_CREDENTIALS = re.compile(r"(?<=://)[^\s/'\"]+@")
_LINK = re.compile(r"::(?=[A-Za-z][\w+.-]*(?:::|://))")
"""Between the addresses of a chain, such as fsspec's `zip://*::https://…`; in `[::1]` it is none."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*://")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HERE = re.compile(r"[^:]*://(?:[^/@]*@)?(?:127\.|localhost|\[::1\])")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

PATIENCE_SECONDS = 15
"""How long a server may take to begin an answer."""

_SILENT_SECONDS = 60
_silent: dict[str, tuple[float, bool]] = {}
"""Web servers, when they were asked, and whether they kept silent."""

_left_out: dict[str, str] = {}
"""Variables that named a proxy which cannot be used, and what they named."""


def without_credentials(text: str) -> str:
    """`text` with the user and password of every address in it left out: they are for the server, not for logs.

    >>> without_credentials("no answer from 'http://me:p@ss@host/a'")
    "no answer from 'http://host/a'"
    """
    return _CREDENTIALS.sub("", text)


def without_secrets(url: str) -> str:
    """A URL, or each of a chain, without user, password and query, which may hold a signature; other text as it is.

    >>> without_secrets("zip://*::https://me:secret@[::1]/a.zip?signature=1")
    'zip://*::https://[::1]/a.zip'
    """
    return "::".join(map(_without_secrets, _LINK.split(url)))


def _without_secrets(url: str) -> str:
    if not _SCHEME.match(url):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def ask_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Except this machine's own servers from the proxy that `environment` names, if it names one; children inherit it.

    What httpx cannot read is taken out, for it would raise whatever address it is asked for; see `proxies_left_out`.

    >>> environment = {"http_proxy": "http://proxy:3128", "NO_PROXY": "intranet"}
    >>> ask_loopback_directly(environment)
    >>> environment["NO_PROXY"], environment["no_proxy"]
    ('intranet,127.0.0.1,localhost,::1', 'intranet,127.0.0.1,localhost,::1')
    """
    named = {name: value for name, value in environment.items() if name.lower() in _PROXIES and value}
    unusable = [name for name, value in named.items() if not _is_proxy(value)]
    for name in unusable:
        _left_out[name] = without_credentials(environment.pop(name))
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""  # as urllib, curl and requests read them
    all_hosts = [host.strip() for host in given.split(",") if host.strip()]
    hosts = [host for host in all_hosts if _is_host(host)]
    if len(unusable) == len(named) and hosts == all_hosts:
        return  # with `no_proxy` alone macOS's own proxies would no longer be asked for
    if "*" not in hosts:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)


def proxies_left_out(address: str) -> str:
    """What to add to the words about an address that was not reached: proxies that were named and cannot be used."""
    if not _left_out or _HERE.match(address):
        return ""
    named = ", ".join(f"{name}={value!r}" for name, value in _left_out.items())
    return f"; {named} is no proxy that can be used here: give http://HOST:PORT"


def hangs(url: str) -> bool:
    """Whether the web server at `url` is silent for a byte of it (a refusal is an answer); that holds for a minute."""
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    when, silent = _silent.get(server, (-math.inf, False))
    if time.monotonic() - when >= _SILENT_SECONDS:
        request = urllib.request.Request(parts._replace(netloc=server).geturl(), headers={"Range": "bytes=0-0"})
        silent = False
        try:
            urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
        except (OSError, HTTPException, ValueError) as error:
            silent = isinstance(getattr(error, "reason", error), TimeoutError)
        _silent[server] = time.monotonic(), silent
    return silent


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    known = ("http", "https", "socks5", "socks5h") if find_spec("socksio") else ("http", "https")
    return usable and value.isascii() and value.isprintable() and parts.scheme in known


def _is_host(text: str) -> bool:
    """Whether httpx can read what `no_proxy` excepts."""
    if not (text.isascii() and text.isprintable()):
        return False
    _, colon, port = text.rpartition("://")[2].partition(":")
    if not colon or port.isdecimal():
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
