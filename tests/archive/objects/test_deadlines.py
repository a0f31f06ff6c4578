"""An S3 server that falls silent ends every act; a broken read-back is done again."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pytest
from lsst.resources.http import HttpResourcePath
from lsst.resources.s3utils import clean_test_environment_for_s3
from typing_extensions import override

from archive_assets.nights.index import get_prenight_index_from_bucket
from archive_assets.objects.datastore import DataStore, HashMismatchError, StoreError

CONTENT = b"some visits " * 1000
NIGHT = datetime(2026, 1, 1, tzinfo=UTC)


class Server(ThreadingHTTPServer):
    """A small S3: it keeps objects, and breaks as a test asks it to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.is_silent = False
        self.cut_readings = 0
        self.spoilt_readings = 0
        self.ended = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def _answer(self, status: int, body: bytes = b"", size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _wait(self) -> bool:
        """Accept, and never answer, if the server is silent; the root is."""
        if self.path == "/" or not self.server.is_silent:
            return False
        self.server.ended.wait()
        self.close_connection = True
        return True

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self._wait():
            origin = self.headers.get("x-amz-copy-source")
            answer = b"" if origin is None else b"<CopyObjectResult/>"
            if origin is not None:
                body = self.server.objects[f"/{unquote(origin)}"]
            self.server.objects[self.path] = body
            self._answer(200, answer)

    def do_HEAD(self) -> None:
        if not self._wait():
            found = self.server.objects.get(self.path)
            self._answer(404 if found is None else 200, found or b"")

    def do_DELETE(self) -> None:
        if not self._wait():
            self.server.objects.pop(self.path, None)
            self._answer(204)

    def do_GET(self) -> None:
        if self._wait():
            return
        found = self.server.objects.get(self.path)
        start, _, end = (
            self.headers.get("Range", "=0-").partition("=")[2].partition("-")
        )
        if found is None:
            self._answer(404)
        elif int(start) >= len(found):
            self._answer(416)
        else:
            self._answer_piece(found[int(start) : int(end or len(found)) + 1])

    def _answer_piece(self, piece: bytes) -> None:
        if self.server.cut_readings:
            self.server.cut_readings -= 1
            self._answer(206, piece[: len(piece) // 2], len(piece))
            self.close_connection = True
        elif self.server.spoilt_readings:
            self.server.spoilt_readings -= 1
            self._answer(206, piece[::-1])
        else:
            self._answer(206, piece)

    def do_POST(self) -> None:
        if not self._wait():
            self._answer(501)

    def do_OPTIONS(self) -> None:
        self.do_POST()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A small S3 server, to which the environment leads."""
    with clean_test_environment_for_s3(), Server() as server:
        monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("VSARCHIVE_STORE_DEADLINE_S", "1")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "visits.h5"
    path.write_bytes(CONTENT)
    return path


ACTS: dict[str, Callable[[DataStore, Path], object]] = {
    "put": lambda store, file: store.put(file, _place(store)),
    "replace": lambda store, file: store.put(file, _place(store), replace=True),
    "get": lambda store, file: store.get(_place(store), None, file.with_name("new")),
    "exists": lambda store, _: store.exists(_place(store)),
    "info": lambda store, _: store.info(_place(store)),
    "list": lambda store, _: list(store.list_objects()),
    "staged": lambda store, _: list(store.list_staged()),
    "delete": lambda store, _: store.delete(_place(store)),
    "trash": lambda store, _: store.trash(_place(store)),
    "restore": lambda store, _: store.restore(_place(store)),
    "index": lambda store, _: get_prenight_index_from_bucket(
        "2026-01-01", "simonyi", store.base
    ),
}
_UUID = uuid4()


def _place(store: DataStore) -> str:
    place = store.location("simonyi", NIGHT, _UUID, "visits.h5")
    return str(place.geturl())


@pytest.mark.parametrize("act", ACTS)
def test_every_act_on_a_store_that_falls_silent_ends(
    act: str, server: Server, file: Path
) -> None:
    store = DataStore("s3://bucket/vseq/")
    server.is_silent = True

    with pytest.raises(StoreError, match="no answer within 1 s"):
        ACTS[act](store, file)


@pytest.fixture
def http(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataStore]:
    """A store over HTTP, whose client has asked nothing yet."""
    for name in ("CONNECT", "READ"):  # so that what is set is taken back
        monkeypatch.setenv(f"LSST_HTTP_TIMEOUT_{name}", "")
    # the pauses between tries are no part of what is shown
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)
    HttpResourcePath._reload_config()
    yield DataStore(f"http://127.0.0.1:{server.server_port}/vseq/")
    HttpResourcePath._reload_config()


@pytest.mark.parametrize("act", ["put", "get", "exists", "info", "delete", "index"])
def test_every_act_on_an_http_server_that_falls_silent_ends(
    act: str, server: Server, http: DataStore, file: Path
) -> None:
    server.is_silent = True

    with pytest.raises(StoreError, match=r"timed out|timeout"):
        ACTS[act](http, file)


@pytest.mark.parametrize("is_replacing", [False, True])
def test_a_read_back_that_breaks_off_is_read_again(
    is_replacing: bool, server: Server, file: Path
) -> None:
    store = DataStore("s3://bucket/vseq/")
    server.cut_readings = 1

    stored = store.put(file, _place(store), replace=is_replacing)

    assert server.cut_readings == 0
    assert store.info(stored.url).sha256 == hashlib.sha256(CONTENT).digest()


def test_a_read_back_that_is_wrong_once_is_read_again(
    server: Server, file: Path
) -> None:
    store = DataStore("s3://bucket/vseq/")
    server.spoilt_readings = 1

    store.put(file, _place(store))

    assert list(server.objects.values()) == [CONTENT]


def test_what_reads_back_wrong_each_time_is_refused_and_removed(
    server: Server, file: Path
) -> None:
    store = DataStore("s3://bucket/vseq/")
    server.spoilt_readings = 100

    with pytest.raises(HashMismatchError):
        store.put(file, _place(store))
    assert server.objects == {}
