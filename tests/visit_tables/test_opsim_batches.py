"""Tables of an SQLite file become the columns that SQLite itself hands out."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visit_tables.columns import MISSING_TEXT, Batch
from visit_tables.opsim import batches as opsim_batches
from visit_tables.opsim.batches import iterate_opsim
from visit_tables.opsim.file import OpsimFileError


def make(path: Path, rows: Sequence[tuple[object, ...]], *before: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in before:
            connection.execute(statement)
        connection.execute("CREATE TABLE t (a INTEGER, b REAL, c TEXT, d)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    return path


def change(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def joined(batches: Iterator[Batch]) -> Batch:
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def told_by_sqlite(path: Path) -> dict[str, list[object]]:
    """The values that SQLite hands out one by one, as our columns hold them."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT * FROM t")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    columns = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    return {name: as_held(values) for name, values in columns.items()}


def as_held(values: list[object]) -> list[object]:
    if any(isinstance(value, str) for value in values):
        return [
            MISSING_TEXT if value is None else str(value).encode() for value in values
        ]
    return values


def same(path: Path) -> None:
    found, expected = joined(iterate_opsim(path, "t")), told_by_sqlite(path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        kind = found[name].dtype.kind
        if kind == "S" and not any(values):  # nothing told what it was to hold
            assert set(found[name].tolist()) <= {MISSING_TEXT, b""}
        elif kind == "f":
            numbers = [np.nan if value is None else value for value in values]
            np.testing.assert_array_equal(found[name], np.array(numbers, dtype="f8"))
        else:
            assert found[name].tolist() == values


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows a piece, three a batch."""
    monkeypatch.setattr(opsim_batches, "_PIECE_BYTES", 10 * 8 * 5)
    monkeypatch.setattr(opsim_batches, "_BATCH_ROWS", 3)


TEXT = st.text(
    st.characters(exclude_characters="\0\x1a", exclude_categories=["Cs"]), max_size=120
)
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
EXACT = st.integers(-(2**53), 2**53)
REAL = st.floats(allow_nan=False) | st.integers(-(2**50), 2**50).map(float)
ROW = st.tuples(WHOLE, REAL | st.none(), TEXT | st.none(), EXACT | REAL)
ROW_WITH_GAPS = st.tuples(EXACT | st.none(), st.none(), TEXT, EXACT | st.none())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ROW, max_size=40) | st.lists(ROW_WITH_GAPS, max_size=40),
    st.sampled_from([10 * 8 * 5, 120_000_000]),
)
def test_any_values_are_those_of_sqlite(
    tmp_path_factory: pytest.TempPathFactory,
    rows: Sequence[tuple[object, ...]],
    piece_bytes: int,
) -> None:
    path = make(tmp_path_factory.mktemp("opsim") / "t.db", rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opsim_batches, "_PIECE_BYTES", piece_bytes)
        same(path)


ROWS = [(n, n / 3, "x" * (n % 70), -n) for n in range(300)]


@pytest.mark.usefixtures("short_pieces")
@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["DELETE FROM t WHERE a % 3"],
        ["DELETE FROM t"],
        ["DELETE FROM t WHERE a % 2", "VACUUM"],
        ["CREATE INDEX i ON t (b)", "UPDATE t SET c = c || 'longer' WHERE a % 5 = 0"],
        ["INSERT INTO t VALUES (1, 2, hex(zeroblob(5000)), 3)"],
        ["ALTER TABLE t ADD COLUMN e DEFAULT 7"],
        ["ALTER TABLE t RENAME TO u", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
         "INSERT INTO t SELECT a, b FROM u"],
        ["ALTER TABLE t RENAME TO u", "CREATE TABLE t (rowid, b, _rowid_)",
         "INSERT INTO t SELECT -a, b, a FROM u"],
        ["UPDATE t SET rowid = rowid - 9000000000000000000"],
        ["UPDATE t SET a = a + 0.5 WHERE a = 250"],
        ["UPDATE t SET a = NULL, b = NULL, c = NULL WHERE a > 200"],
        ["UPDATE t SET a = NULL, b = NULL, c = NULL, d = NULL WHERE a < 30"],
        ["UPDATE t SET d = 'text' WHERE a = 150"],
        ["UPDATE t SET b = 9e999 WHERE a = 3", "UPDATE t SET b = -9e999 WHERE a = 4"],
    ],
    ids=["plain", "holes", "empty", "vacuum", "moved", "overflow", "added", "key",
         "row id's name", "negative row ids", "a late fraction", "late NULLs",
         "early NULLs", "a late text", "infinities"],
)  # fmt: skip
def test_a_table_of_many_pieces_is_read(tmp_path: Path, statements: list[str]) -> None:
    same(change(make(tmp_path / "t.db", ROWS), *statements))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["PRAGMA encoding = 'UTF-16'"], []),
        (["PRAGMA page_size = 512"], []),
        ([], ["ALTER TABLE t RENAME TO u",
              "CREATE TABLE t (a INT PRIMARY KEY, b) WITHOUT ROWID",
              "INSERT INTO t SELECT a, b FROM u"]),
        ([], ["ALTER TABLE t RENAME TO u", "CREATE TABLE t (rowid, oid, _rowid_)",
              "INSERT INTO t SELECT a, b, d FROM u"]),
    ],
    ids=["utf-16", "small pages", "no row id", "row ids hidden"],
)  # fmt: skip
def test_an_unusual_table_is_read(
    tmp_path: Path, before: list[str], after: list[str]
) -> None:
    same(change(make(tmp_path / "t.db", ROWS, *before), *after))


def test_generated_columns_are_read(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", ROWS[:5])
    change(path, "ALTER TABLE t ADD COLUMN e AS (a + 1) VIRTUAL")

    read = joined(iterate_opsim(path, "t"))

    assert list(read) == ["a", "b", "c", "d", "e"]
    assert read["e"].tolist() == (read["a"] + 1).tolist()


def test_what_waits_in_a_journal_is_seen(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", ROWS[:5], "PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO t VALUES (99, 1, 'new', 2)")

        assert joined(iterate_opsim(path, "t"))["a"].tolist() == [0, 1, 2, 3, 4, 99]


@pytest.mark.usefixtures("short_pieces")
def test_what_a_writer_commits_meanwhile_is_not_seen(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", ROWS[:50], "PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        batches = iterate_opsim(path, "t")
        first = next(batches)
        writer.execute("INSERT INTO t VALUES (99, 1, 'a longer text', 2)")
        rest = joined(batches)

    assert [*first["a"].tolist(), *rest["a"].tolist()] == list(range(50))


@pytest.mark.parametrize("pieces", ["", "short_pieces"])
@pytest.mark.parametrize("other", ["NULL", "0.5"])
def test_integers_that_a_float_would_change_are_refused(
    tmp_path: Path, request: pytest.FixtureRequest, other: str, pieces: str
) -> None:
    if pieces:
        request.getfixturevalue(pieces)
    path = make(tmp_path / "t.db", ROWS[:50])
    change(path, f"INSERT INTO t VALUES ({2**53 + 1}, 1, 'x', 1)")
    assert joined(iterate_opsim(path, "t"))["a"].tolist()[-1] == 2**53 + 1

    change(path, f"UPDATE t SET a = {other} WHERE a = 7")

    with pytest.raises(OpsimFileError, match=r"'a' of t holds 9007199254740993 beside"):
        joined(iterate_opsim(path, "t"))


@pytest.mark.parametrize("seed", range(30))
def test_damaged_pages_give_an_error_or_the_values_of_sqlite(
    tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    path = make(tmp_path / "t.db", ROWS, "PRAGMA page_size = 512")
    data = bytearray(path.read_bytes())
    for place in rng.integers(1024, len(data), 20):
        data[place] = rng.integers(256)
    path.write_bytes(data)

    try:
        found = joined(iterate_opsim(path, "t"))
    except OpsimFileError:
        return
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [
            (None if np.isnan(value) else value,) for value in found["a"].tolist()
        ]
