"""Spellings of a night, and conversions under their original names."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
from astropy.time import Time

from archive_assets.tempdb import LocalOnlyPostgresql
from archive_assets.util import (
    CondaNotFoundError,
    DayObsError,
    FileAlreadyThereError,
    compute_conda_env,
    dayobs_to_date,
    hdf5_to_opsimdb,
    opsimdb_to_hdf5,
)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (20261201, date(2026, 12, 1)),
        (np.int64(20261201), date(2026, 12, 1)),
        (np.int32(20261201), date(2026, 12, 1)),
        ("2026-12-01", date(2026, 12, 1)),
        ("20261201", date(2026, 12, 1)),
        (date(2026, 12, 1), date(2026, 12, 1)),
        (datetime(2026, 12, 1, 23, tzinfo=UTC), date(2026, 12, 1)),
        (Time("2026-12-01T05:00"), date(2026, 11, 30)),
        (Time("2026-12-01T13:00"), date(2026, 12, 1)),
        (Time(["2026-12-01T13:00"]), date(2026, 12, 1)),
    ],
    ids=str,
)
def test_a_night_has_many_spellings(spelling: Any, expected: date) -> None:
    assert dayobs_to_date(spelling) == expected


@pytest.mark.parametrize(
    "spelling",
    [
        True,
        np.True_,
        None,
        20261301,
        -5,
        10**30,
        "tonight",
        "",
        2026.5,
        Time(["2026-12-01", "2026-12-02"]),
    ],
    ids=str,
)
def test_what_is_no_night_is_refused(spelling: Any) -> None:
    with pytest.raises(DayObsError, match="is not a day_obs"):
        dayobs_to_date(spelling)


@pytest.mark.parametrize("caught", [ValueError, AssertionError])
def test_callers_of_the_original_still_catch_it(caught: type[Exception]) -> None:
    with pytest.raises(caught, match="is not a day_obs"):
        dayobs_to_date([])  # type: ignore[arg-type]


def test_conversions_choose_the_suffix_and_do_not_overwrite(
    tmp_path: Path,
) -> None:
    source = tmp_path / "run.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(
            "CREATE TABLE observations "
            "(observationStartMJD REAL, fieldRA REAL, fieldDec REAL)"
        )

    h5 = opsimdb_to_hdf5(source)

    assert h5 == str(tmp_path / "run.h5")
    with pytest.raises(FileAlreadyThereError, match=r"run\.db exists already"):
        hdf5_to_opsimdb(h5)
    assert hdf5_to_opsimdb(h5, tmp_path / "back.db") == str(tmp_path / "back.db")


def test_the_environment_is_what_conda_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conda = tmp_path / "conda"
    conda.write_text(
        '#!/bin/sh\n[ "$*" = "list --json" ] && echo \'[{"name": "x"}]\'\n'
    )
    conda.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    digest, text = compute_conda_env()

    assert text == '[{"name": "x"}]\n'
    assert digest == hashlib.sha256(text.encode()).digest()


def test_without_conda_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CondaNotFoundError, match="no program conda"):
        compute_conda_env()


def test_a_throw_away_server_takes_connections_and_leaves_nothing() -> None:
    with LocalOnlyPostgresql() as server:
        arguments = server.psycopg2_dsn()
        with psycopg2.connect(**arguments) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT current_database()")
            assert cursor.fetchone() == ("test",)
        connection.close()

    assert not Path(arguments["host"]).exists()
