"""An HTTP end point that keeps what it is sent."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

KEY = "not-to-be-shown"


@dataclass
class EndPoint:
    """Takes reports of success, and fails on all others."""

    port: int = 0
    received: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where to post; the key must appear nowhere else."""
        return f"http://127.0.0.1:{self.port}/topics/night?key={KEY}"

    def of(self, night: str) -> list[dict[str, Any]]:
        """Return what was reported of a night."""
        return [value for value in self.received if value["dayobs"] == night]


@contextlib.contextmanager
def end_point() -> Iterator[EndPoint]:
    """Run an end point."""
    taken = EndPoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            (record,) = json.loads(body)["records"]
            taken.bodies.append(body)
            taken.received.append(record["value"])
            is_well = record["value"]["success"]
            self.send_response(
                HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
            )
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield taken
        server.shutdown()
