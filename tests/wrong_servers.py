"""Addresses where something else than the wanted server listens, or nothing does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOBODY = "http://127.0.0.1:9"
"""The discard port: connections are refused."""


@contextmanager
def answering(
    status: int,
    body: str = "<html>Welcome</html>",
    kind: str = "text/html",
    told: Callable[[str], None] = lambda path: None,
) -> Iterator[str]:
    """The address of a server that answers whatever it is asked with this, and tells what it was asked for."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 - http.server's own name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def wrong_server(how: str) -> Iterator[str]:
    """Of `how`: "nobody", "hanging", "page", or a status such as "404"."""
    if how == "nobody":
        yield NOBODY
    elif how == "hanging":
        with hanging() as address:
            yield address
    else:
        with answering(200 if how == "page" else int(how)) as address:
            yield address
