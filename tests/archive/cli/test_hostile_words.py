"""Secrets, control characters and hostile files given to the archive's commands."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from archive_assets.cli.vseqarchive import main
from archive_assets.nights.index import get_prenight_index_from_bucket
from archive_assets.objects.datastore import DataStore, StoreError
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from pipeline_runtime.printing import print_rows, print_table
from pipeline_runtime.urls import CredentialsError
from visit_tables.hdf5.read import write_visits

SECRET = "hunter2hunter2"
STORE = f"s3://AKIA:{SECRET}@bucket/vseq/"
INDEX = f"https://user:{SECRET}@host/index/"
SIGNED = f"https://host/visits.h5?X-Amz-Signature={SECRET}"
UUID = "00000000-0000-0000-0000-000000000001"

Run = Callable[..., Result]


@pytest.fixture
def h5(tmp_path: Path, visits: pd.DataFrame) -> Path:
    path = tmp_path / "visits.h5"
    write_visits(path, {"observations": visits})
    return path


PLACES: dict[str, tuple[list[str], dict[str, str]]] = {
    "store of add": (["add", "FILE", "x", "--archive-base", STORE], {}),
    "store of verify": (["verify", "--archive-base", STORE], {}),
    "store of gc": (["gc", "--archive-base", STORE], {}),
    "source of move": (["move", STORE, "file:///tmp/x"], {}),
    "destination of move": (["move", "file:///tmp", STORE], {}),
    "store of the environment": (["add", "FILE", "x"], {"ARCHIVE_URL": STORE}),
    "index": (
        ["make-prenight-index", "20261201", "simonyi", "--destination", INDEX], {},
    ),
    "index of the environment": (
        ["make-prenight-index", "20261201", "simonyi"], {"PRENIGHT_INDEX_URL": INDEX},
    ),
    "prototype": (
        ["import-proto", "file:///tmp/x", "2026-01-01", "1",
         "--proto-sim-archive-url", STORE], {},
    ),
    "url of visits": (
        ["record-visitseq-metadata", "visitseq", "FILE", "x", "--url", SIGNED], {},
    ),
    "set url": (["set-visitseq-url", UUID, SIGNED], {}),
    "update url": (["update-visitseq-metadata", UUID, "visitseq_url", SIGNED], {}),
    "config url": (["add", "FILE", "x", "--config_url", SIGNED], {}),
    "label": (["add", "FILE", f"of {SIGNED}"], {}),
    "tag": (["add", "FILE", "x", "--tag", SIGNED], {}),
    "comment of add": (["add", "FILE", "x", "--comment", f"see {INDEX}, "], {}),
    "author": (["add", "FILE", "x", "--comment", "a", "--author", INDEX], {}),
    "comment": (["comment", UUID, f"made with ({STORE})"], {}),
    "arguments of the run": (
        ["add", "FILE", "x", "--sim_runner_kwargs", f'{{"a": {{"b": ["{STORE}"]}}}}'],
        {},
    ),
    "password in the arguments of the run": (
        ["add", "FILE", "x", "--sim_runner_kwargs", f'{{"db_password": "{SECRET}"}}'],
        {},
    ),
    "host": (["--host", f"postgresql://u:{SECRET}@h/db", "search"], {}),
    "database": (["--database", f"dbname=x password={SECRET}", "search"], {}),
    "host of the environment": (["search"], {"VSARCHIVE_PGHOST": f"u:{SECRET}@h"}),
    "database of the environment": (
        ["search"], {"VSARCHIVE_PGDATABASE": f"postgresql://u:{SECRET}@h/db"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("archive_environment")
def test_a_secret_is_refused_with_the_remedy_and_reaches_nothing(
    place: str,
    h5: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    vsarch: VisitSequenceArchiveMetadata,
) -> None:
    words, environ = PLACES[place]
    monkeypatch.setenv("ARCHIVE_URL", (tmp_path / "store").as_uri())
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    caplog.set_level("DEBUG")

    result = CliRunner().invoke(main, [str(h5) if w == "FILE" else w for w in words])

    assert result.exit_code == 1, result.output
    assert "~/.pgpass" in result.stderr
    assert SECRET not in result.output + result.stderr + caplog.text
    for table in ("visitseq", "simulations", "files", "tags", "comments"):
        rows = vsarch.query(f"SELECT CAST(t AS TEXT) FROM {table} AS t")
        assert SECRET not in str(rows)


def test_a_url_of_an_old_row_is_shown_without_its_secret() -> None:
    assert SECRET not in str(StoreError(SIGNED, "is away"))
    with pytest.raises(CredentialsError):
        DataStore(STORE)


def test_a_fifo_in_the_place_of_an_index_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "simonyi/2026/1/simonyi_prenights_for_2026-01-01.json"
    place.parent.mkdir(parents=True)
    os.mkfifo(place)

    with pytest.raises(StoreError, match="is not a regular file"):
        get_prenight_index_from_bucket("2026-01-01", "simonyi", str(tmp_path))


def test_a_table_holds_no_control_character_and_no_long_cell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x1b]0;title\x07" + "x" * 5000

    print_table(["label", "tags"], [(hostile, [hostile, "b"])])

    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() and len(line) < 130 for line in lines)


@pytest.mark.parametrize("output", ["csv", "tsv", "json", "table"])
def test_no_format_prints_a_control_character(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\x1b]0;title\x07\x9b31m\u202eb\r\x7f"

    print_rows(
        output, [f"name{hostile}"], [(hostile,), ([hostile],), ({"a": hostile},)]
    )

    text = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in text)


def test_the_lines_and_letters_of_a_comment_stay_in_csv(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "zwei Zeilen,\n\tä\u00a0ö"

    print_rows("csv", ["comment"], [(words,)])

    assert list(csv.reader(io.StringIO(capsys.readouterr().out)))[1] == [words]


@pytest.mark.usefixtures("archive_environment")
def test_commands_that_print_words_of_people_print_no_control_character(
    h5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("PRENIGHT_INDEX_URL", (tmp_path / "index").as_uri())
    hostile = "a\x1b]0;title\x07b"
    add = ["add", str(h5), hostile, "--tag", hostile, "--comment", hostile]
    uuid = CliRunner().invoke(main, add).stdout.strip()
    (tmp_path / "store" / f".{hostile}").touch()

    printed = [
        CliRunner().invoke(main, words)
        for words in (
            ["get-comments", uuid],
            ["show", uuid],
            ["search", "--format", "csv"],
            ["search"],
            ["verify"],
            ["verify", "--format", "csv"],
        )
    ]

    assert [done.exit_code for done in printed] == [0, 0, 0, 0, 3, 3]
    assert all("title" in done.output for done in printed)
    assert not any({"\x1b", "\x07"} & set(done.output) for done in printed)
