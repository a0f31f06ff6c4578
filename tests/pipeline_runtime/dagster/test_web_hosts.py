"""Which requests a real web server on the loopback answers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from databases import new_database, sqlalchemy_url

pytestmark = pytest.mark.postgresql
REBOUND = "rebound.attacker.example"


@pytest.fixture(scope="module")
def port(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a real web server, whose instance has the storage of dagster.yaml."""
    home = tmp_path_factory.mktemp("web")
    (home / "dagster.yaml").write_text(
        json.dumps(
            {
                "telemetry": {"enabled": False},
                "storage": {
                    "custom": {
                        "module": "pipeline_runtime.dagster.workarounds.event_log",
                        "class": "HeldPostgresStorage",
                        "config": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}},
                    }
                },
            }
        )
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with new_database(postgres_dsn) as dsn:
        url = sqlalchemy_url(dsn).replace("psycopg", "psycopg2")
        process = subprocess.Popen(
            [
                sys.executable, "-m", "dagster_webserver", "--empty-workspace",
                "-p", str(port),
            ],
            env=os.environ | {
                "DAGSTER_HOME": str(home),
                "DAGSTER_POSTGRES_URL": url,
                "DAGSTER_URL": "https://dagster.site.example/under",
                "DAGSTER_HOSTS": "night.example 192.0.2.7",
            },
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(process, port)
            yield port
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def _ask(port: int, headers: dict[str, str], path: str = "/graphql") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as sent:
        body = json.dumps({"query": "{ version }"})
        sent.request(
            "POST" if path == "/graphql" else "GET",
            path,
            body,
            {"Content-Type": "application/json"} | headers,
        )
        answer = sent.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:3000", "Origin": "http://localhost:3000"},
        {"Host": "LOCALHOST."},
        {"Host": "[::1]:3000", "Origin": "http://[::1]:3000"},
        {"Host": "dagster.site.example", "Origin": "https://dagster.site.example"},
        {"Host": "night.example:8080"},
        {"Host": "192.0.2.7"},
    ],
    ids=str,
)
def test_the_web_server_answers_to_its_own_names(
    port: int, headers: dict[str, str]
) -> None:
    status, text = _ask(port, headers)

    assert status == 200, text
    assert json.loads(text)["data"]["version"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": REBOUND},
        {"Host": f"{REBOUND}:3000", "Origin": f"http://{REBOUND}:3000"},
        {"Host": f"localhost.{REBOUND}"},
        {"Host": f"127.0.0.1.{REBOUND}"},
        {"Host": "0.0.0.0"},
        {"Host": "[::"},
        {"Host": ""},
        {"Host": "localhost", "Origin": f"http://{REBOUND}"},
        {"Host": "localhost", "Origin": "null"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/graphql", "/server_info", "/"])
def test_a_request_for_another_name_or_from_anothers_page_is_refused(
    port: int, headers: dict[str, str], path: str
) -> None:
    status, text = _ask(port, headers, path)

    assert status == 421
    assert "is not a name of this server" in text
    assert "DAGSTER_HOSTS" in text


def test_a_websocket_of_anothers_page_is_refused(port: int) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as sent:
        sent.request("GET", "/graphql", headers=upgrade)
        assert sent.getresponse().status == 101
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as sent:
        sent.request(
            "GET", "/graphql", headers=upgrade | {"Origin": f"http://{REBOUND}"}
        )
        assert sent.getresponse().status == 403
