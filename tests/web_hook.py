"""A web hook on this machine that keeps what it is sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from typing_extensions import override


@dataclass(slots=True)
class WebHook:
    """Where messages arrive.

    Attributes
    ----------
    url
        As ``ALARM_URLS`` takes it.
    messages
        Title and body of each that was taken.
    is_well
        Whether it takes messages; else it answers with 500.
    """

    url: str
    messages: list[tuple[str, str]] = field(default_factory=list)
    is_well: bool = True


@contextmanager
def web_hook() -> Iterator[WebHook]:
    """Serve a web hook until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if hook.is_well:
                sent = json.loads(content)
                hook.messages.append((sent["title"], sent["message"]))
            self.send_response(200 if hook.is_well else 500)
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = WebHook(url=f"json://127.0.0.1:{server.server_port}/hook")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
