"""Reading opsim files."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from visit_tables.opsim.batches import open_tables
from visit_tables.opsim.frame import (
    OpsimFileError,
    check_opsim,
    read_opsim,
)


def execute(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def test_a_table_reads_as_pandas_reads_it(opsim: Path, visits: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read_opsim(opsim), visits)


def test_chosen_columns_come_in_the_order_of_the_table(opsim: Path) -> None:
    assert list(read_opsim(opsim, columns=["band", "night"]).columns) == [
        "night",
        "band",
    ]


def test_views_and_triggers_are_ignored(opsim: Path) -> None:
    execute(
        opsim,
        "CREATE VIEW sneaky AS SELECT * FROM observations",
        "CREATE TRIGGER boom AFTER INSERT ON observations "
        "BEGIN DELETE FROM observations; END",
    )

    check_opsim(opsim)

    with open_tables(opsim) as source:
        assert list(source.names()) == ["observations", "info"]
    with pytest.raises(OpsimFileError, match="has no table 'sneaky'"):
        read_opsim(opsim, "sneaky")


def test_a_view_called_observations_is_refused(tmp_path: Path) -> None:
    path = execute(
        tmp_path / "view.db",
        "CREATE VIEW observations AS SELECT 1 AS observationStartMJD, "
        "2 AS fieldRA, 3 AS fieldDec",
    )

    with pytest.raises(OpsimFileError, match="has no table 'observations'"):
        check_opsim(path)


def test_quoted_and_reserved_names_are_read(
    tmp_path: Path, to_opsim: Callable[..., Path], visits: pd.DataFrame
) -> None:
    names: dict[str, Any] = {"select": 1, 'a"b': 2.5, "x;--": "y", "é": 4}
    odd = visits.assign(**names)
    path = to_opsim(tmp_path / "odd.db", observations=odd, **{'or"der': odd})

    pd.testing.assert_frame_equal(read_opsim(path), odd)
    pd.testing.assert_frame_equal(read_opsim(path, 'or"der'), odd)


def test_reading_leaves_the_file_and_its_folder_untouched(opsim: Path) -> None:
    before = (opsim.read_bytes(), sorted(opsim.parent.iterdir()))
    opsim.chmod(0o400)

    read_opsim(opsim)

    assert (opsim.read_bytes(), sorted(opsim.parent.iterdir())) == before


@pytest.mark.parametrize("n_extra", [0, 1, 3])
def test_45_to_48_columns_are_usable(
    tmp_path: Path, to_opsim: Callable[..., Path], visits: pd.DataFrame, n_extra: int
) -> None:
    width = 45 + n_extra
    more = {f"extra_{n}": 0.5 for n in range(width - visits.shape[1])}
    path = to_opsim(tmp_path / "wide.db", observations=visits.assign(**more))

    check_opsim(path)

    assert read_opsim(path).shape[1] == width


def test_integers_with_null_become_floats(tmp_path: Path) -> None:
    path = execute(
        tmp_path / "null.db",
        "CREATE TABLE t (a INTEGER, b TEXT, c REAL)",
        "INSERT INTO t VALUES (1, 'x', 2), (NULL, NULL, NULL)",
    )

    frame = read_opsim(path, "t")

    assert frame["a"].tolist()[0] == 1.0
    assert frame.isna().sum().tolist() == [1, 1, 1]
    assert frame["c"].dtype == np.float64


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("observationStartMJD REAL", "'soon'", "mixes numbers and texts"),
        ("band TEXT", "x'00ff'", "binary objects"),
        ("band TEXT", "'a' || char(0) || 'b'", "NUL"),
        ("band TEXT", "CAST(x'ff' AS TEXT)", "not in UTF-8"),
        ("band TEXT", "char(26)", "0x1A"),
    ],
)
def test_unusable_values_are_named(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    path = execute(
        tmp_path / "bad.db",
        f"CREATE TABLE observations ({column})",
        f"INSERT INTO observations VALUES (1), ({value})",
    )

    with pytest.raises(OpsimFileError, match=message):
        read_opsim(path)


def test_a_text_in_a_number_column_of_a_long_table_is_an_error(
    tmp_path: Path,
) -> None:
    path = execute(
        tmp_path / "long.db",
        "CREATE TABLE observations (observationStartMJD REAL)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 50001) INSERT INTO observations SELECT i FROM n",
        "INSERT INTO observations VALUES ('soon')",
    )

    with pytest.raises(OpsimFileError, match="mixes numbers and texts"):
        read_opsim(path)


def damaged(opsim: Path, kind: str) -> Path:
    data = opsim.read_bytes()
    match kind:
        case "absent":
            opsim.unlink()
        case "empty":
            opsim.write_bytes(b"")
        case "truncated":
            opsim.write_bytes(data[: len(data) // 2])
        case "header only":
            opsim.write_bytes(data[:40])
        case "text":
            opsim.write_text("not a database\n" * 50)
        case "overwritten":
            opsim.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
        case _:
            raise AssertionError(kind)
    return opsim


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "no such file"),
        ("empty", "the file is empty"),
        ("truncated", "is truncated"),
        ("header only", "is truncated"),
        ("text", "not an SQLite file"),
        ("overwritten", "cannot be read"),
    ],
)
def test_damaged_files_are_refused(opsim: Path, kind: str, message: str) -> None:
    path = damaged(opsim, kind)

    with pytest.raises(OpsimFileError, match=message):
        check_opsim(path)


def test_missing_columns_are_named(
    tmp_path: Path, to_opsim: Callable[..., Path], visits: pd.DataFrame
) -> None:
    path = to_opsim(tmp_path / "x.db", observations=visits.drop(columns="fieldDec"))

    with pytest.raises(OpsimFileError, match="observations lack fieldDec"):
        check_opsim(path)


def test_no_observations_are_refused_unless_asked_for(
    tmp_path: Path, to_opsim: Callable[..., Path], visits: pd.DataFrame
) -> None:
    path = to_opsim(tmp_path / "none.db", observations=visits.iloc[:0])

    check_opsim(path, allow_empty=True)

    with pytest.raises(OpsimFileError, match="has no observations"):
        check_opsim(path)
    assert len(read_opsim(path)) == 0
