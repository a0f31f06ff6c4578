"""The archive with its objects on a real S3 server, and on one that is not there."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from lsst.resources import ResourcePath

from archive_assets.cli.vseqarchive import main
from archive_assets.objects.datastore import DataStore
from archive_assets.prenightindex import get_prenight_index
from visit_tables.hdf5.read import write_visits

pytestmark = [pytest.mark.postgresql, pytest.mark.s3]
Run = Callable[..., Result]


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    path = tmp_path / "visits.h5"
    frame = pd.DataFrame(
        {
            # long ago: verify looks for an index of each night around today
            "observationStartMJD": [61010.6, 61010.7, 61011.6],
            "altitude": [50.0, 60.0, 70.0],
            "azimuth": 90.0,
            "band": ["r", "é", "z"],
        }
    )
    write_visits(path, {"observations": frame})
    return path


def invoke(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def run(
    archive_environment: None, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command on an empty archive whose store and indexes are in S3."""
    del archive_environment
    monkeypatch.setenv("ARCHIVE_URL", f"{s3_bucket}/opsim/vseq/")
    monkeypatch.setenv("PRENIGHT_INDEX_URL", f"{s3_bucket}/opsim/index/")
    return invoke


def stored(bucket: str) -> list[str]:
    store = DataStore(f"{bucket}/opsim/vseq/")
    found = [*store.list_objects(), *store.list_staged()]
    return sorted(thing.url.basename() for thing in found)


def test_a_sequence_goes_in_is_verified_and_goes_for_good(
    run: Run, s3_bucket: str, h5: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("notes")
    uuid = UUID(
        run("add", h5, "on S3", "--tag", "prenight", "--file", f"notes={notes}")
        .stdout.strip()
    )  # fmt: skip
    url = run("get-visitseq-url", uuid).stdout.strip()
    sound = json.loads(run("verify", "--json").stdout)
    copy = tmp_path / "copy.h5"
    run("get-file", uuid, "visits", copy)

    assert url.startswith(f"{s3_bucket}/opsim/vseq/simonyi/")
    assert copy.read_bytes() == h5.read_bytes()
    assert (sound["n_objects"], sound["sound"]) == (2, True)

    folder = ResourcePath(url).dirname()
    folder.join("notes.txt").write(b"other")
    folder.join("visits.h5").write(h5.read_bytes()[:-1])
    lost = ResourcePath(f"{s3_bucket}/opsim/vseq/simonyi/2020-01-01/x/lost.h5")
    lost.write(b"lost")
    found = json.loads(run("verify", "--json", code=3).stdout)
    assert sorted(problem["kind"] for problem in found["problems"]) == [
        "changed", "orphan", "truncated",
    ]  # fmt: skip
    copy.unlink()
    wrong = run("get-file", uuid, "visits", copy, code=1)
    assert "SHA-256 is" in wrong.stderr
    assert not copy.exists()

    run("delete", uuid)
    run("gc", "--trash-days", 0, "--apply")
    young = stored(s3_bucket)
    run("gc", "--trash-days", 0, "--orphan-days", 0, "--apply")

    assert young == ["lost.h5"]  # its path is of 2020, but it was written just now
    assert stored(s3_bucket) == []


def test_a_file_is_replaced_only_when_asked(
    run: Run, s3_bucket: str, h5: Path, tmp_path: Path
) -> None:
    uuid = run("add", h5, "on S3").stdout.strip()
    notes = tmp_path / "notes.txt"
    notes.write_text("old")
    url = run("archive-file", uuid, notes, "notes").stdout.strip()
    notes.write_text("new")

    refused = run("archive-file", uuid, notes, "notes", code=1)
    again = run("archive-file", uuid, notes, "notes", "--update").stdout.strip()

    assert "already registered" in refused.stderr
    assert again != url  # nothing is overwritten before the row points at it
    assert ResourcePath(again).read() == b"new"
    assert stored(s3_bucket) == ["notes.notes.txt", "visits.h5"]
    assert run("verify", uuid).exit_code == 0


def test_an_index_is_published_and_read_back(
    run: Run, s3_bucket: str, h5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = run("add", h5, "on S3", "--tag", "prenight").stdout.strip()
    url = run("make-prenight-index", "2025-12-01", "simonyi").stdout.strip()
    from_database = get_prenight_index("2025-12-01")
    monkeypatch.setenv("VSARCHIVE_PGHOST", "127.0.0.1")
    monkeypatch.setenv("VSARCHIVE_PGPORT", "1")

    from_store = get_prenight_index("2025-12-01")
    another = get_prenight_index("2025-12-09")

    name = "simonyi/2025/12/simonyi_prenights_for_2025-12-01.json"
    assert url == f"{s3_bucket}/opsim/index/{name}"
    assert from_store.attrs["source"] == url
    assert [str(one) for one in from_store.index] == [uuid]
    pd.testing.assert_frame_equal(from_store, from_database)
    assert another.attrs["source"] == "none"


def test_a_bucket_that_is_not_there_is_told(run: Run, h5: Path) -> None:
    away = ("--archive-base", "s3://there-is-no-such-bucket/x/")

    refused = run("add", h5, "on S3", *away, code=1)
    ill = run("doctor", *away, code=3)

    assert "NoSuchBucket" in refused.stderr
    assert "FAIL store" in ill.stdout
    assert run("search", "--format", "uuid").stdout == ""


@pytest.fixture(params=["refuses", "is silent"])
def dead_end(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An S3 end point where nobody listens, or nobody answers."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "is silent":
            server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("S3_ENDPOINT_URL", url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setenv("VSARCHIVE_STORE_TIMEOUT_S", "0.5")
        monkeypatch.setenv("ARCHIVE_URL", "s3://bucket/vseq/")
        monkeypatch.setenv("PRENIGHT_INDEX_URL", "s3://bucket/index/")
        yield url


def test_a_server_that_does_not_answer_is_told_in_time(
    archive_environment: None, dead_end: str, h5: Path
) -> None:
    del archive_environment
    uuid = invoke("record-visitseq-metadata", "simulations", h5, "x").stdout.strip()
    for words in (
        ["add", h5, "x"],
        ["archive-file", uuid, h5, "visits"],
        ["make-prenight-index", "20261201", "simonyi"],
        ["verify"],
        ["gc", "--apply"],
    ):
        result = invoke(*words, code=1)
        assert f"no answer from {dead_end}" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert "FAIL store" in invoke("doctor", code=3).stdout
    assert invoke("get-visitseq-url", uuid).stdout == "\n"
    assert invoke("search", "--format", "uuid").stdout == f"{uuid}\n"
