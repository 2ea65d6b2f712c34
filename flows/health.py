"""The health checks of docker-compose.yml: `server URL` answers, or `worker POOL` of this machine is online in its pool.

Only the standard library, since it is started every few seconds. Workers have their names from here, which tell who is meant.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

_SECONDS = 5.0

_client = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""These servers are near: no proxy of the environment stands between."""


def main(arguments: Sequence[str]) -> int:
    """Whether what `arguments` names is fit, as an exit status; the reason of a failure is one line."""
    kind, name = arguments
    try:
        if kind == "server":
            _client.open(name, timeout=_SECONDS)
        elif not worker_online(name):
            raise OSError(f"no worker of {socket.gethostname()} is online in pool {name!r}")
    except OSError as error:  # urllib's errors are of this kind, too
        sys.stderr.write(f"{kind} {name}: {error}\n")
        return 1
    return 0


def worker_online(pool: str) -> bool:
    """Whether Prefect knows a worker of this machine in `pool` that lives. Raises OSError when it does not answer."""
    client = str(uuid4())
    headers = {"Content-Type": "application/json", "Prefect-Csrf-Client": client}
    if authentication := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(authentication.encode()).decode()}"
    headers["Prefect-Csrf-Token"] = _ask(f"csrf-token?client={client}", headers)["token"]
    online = _ask(f"work_pools/{pool}/workers/filter", headers, {"workers": {"status": {"any_": ["ONLINE"]}}})
    return any(_here(worker["name"]) for worker in online)


def _here(worker: str) -> bool:
    """Whether a worker's name, as `worker_name` makes it, is that of a process of this machine that lives.

    Prefect calls one online for 90 s after its death.
    """
    process = re.search(r"\((\d+) since (\d+)\)$", worker)
    return (
        worker.startswith(f"{socket.gethostname()} ")
        and process is not None
        and 0 < int(process[2]) == started(int(process[1]))
    )


def worker_name(title: str) -> str:
    """A name for a worker of this process: "HOST title (PID since START)".

    The start is part of it, since a container that is started again has the same host name and the same numbers.
    """
    return f"{socket.gethostname()} {title} ({os.getpid()} since {started(os.getpid())})"


def started(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 when there is none, or the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _ask(path: str, headers: dict[str, str], body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{os.environ['PREFECT_API_URL']}/{path}", data, headers)
    with _client.open(request, timeout=_SECONDS) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
