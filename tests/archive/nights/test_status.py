import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typing_extensions import override

from archive_assets.nights.status import NightStatus, publish_status, status_payload

NOW = datetime(2026, 10, 10, 12, 0, tzinfo=UTC)
STATUS = NightStatus(
    day_obs=date(2026, 10, 10),
    telescope="simonyi",
    success=True,
    n_visits=1234,
    visitseq_uuid="4f7c9f4e-53a0-4b5e-9f2e-0d1b3c5a7e90",
    visitseq_url="file:///archive/visits.h5",
)


@pytest.fixture
def end_point() -> Iterator[tuple[str, list[Any], list[int]]]:
    """URL of a real server, the bodies it got, and the codes it will answer."""
    bodies: list[Any] = []
    codes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            bodies.append(json.loads(self.rfile.read(length)))
            self.send_response(codes.pop() if codes else 200)
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/topics", bodies, codes
        server.shutdown()
        thread.join()


def test_a_status_reaches_the_end_point(
    end_point: tuple[str, list[Any], list[int]],
) -> None:
    url, bodies, _ = end_point

    assert publish_status(STATUS, NOW, url)
    assert bodies[0]["records"][0]["value"]["total_visit_count"] == 1234


def test_an_end_point_that_fails_does_not_fail_the_night(
    end_point: tuple[str, list[Any], list[int]],
) -> None:
    url, _, codes = end_point
    codes.append(500)

    assert not publish_status(STATUS, NOW, url)


def test_an_unreachable_end_point_is_logged_without_its_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        delivered = publish_status(STATUS, NOW, "http://127.0.0.1:9/?key=secret")

    assert not delivered
    assert "secret" not in caplog.text


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time of a status: .* has no time zone"):
        status_payload(STATUS, datetime(2026, 10, 10))  # noqa: DTZ001 - naive on purpose
