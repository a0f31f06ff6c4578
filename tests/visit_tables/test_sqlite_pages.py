"""Reading an SQLite table from its pages gives what SQLite itself gives."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visit_tables.columns import Batch
from visit_tables.opsim import batches as opsim_batches
from visit_tables.opsim.batches import iterate_opsim, plan_table
from visit_tables.opsim.file import OpsimFileError, open_opsim


def make(path: Path, rows: list[tuple[object, ...]], *before: str) -> Path:
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


def is_read_from_pages(path: Path) -> bool:
    with open_opsim(path) as connection:
        return plan_table(connection, path, "t").pages is not None


def joined(batches: Iterator[Batch]) -> Batch:
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def asked_of_sqlite(path: Path) -> Batch:
    """The same table, with SQLite asked for every value."""
    with pytest.MonkeyPatch.context() as patch, open_opsim(path) as connection:

        def unusual(*_: object) -> None:
            raise opsim_batches.UnusualPagesError("the test wants SQLite")

        patch.setattr(opsim_batches, "_page_table", unusual)
        plan = plan_table(connection, path, "t")
        return joined(opsim_batches.read_table(connection, path, plan))


def same(path: Path) -> None:
    found, expected = joined(iterate_opsim(path, "t")), asked_of_sqlite(path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


TEXT = st.text(
    st.characters(exclude_characters="\0\x1a", exclude_categories=["Cs"]), max_size=90
)
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
REAL = st.floats(allow_nan=False) | st.integers(-(2**50), 2**50).map(float)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(WHOLE | st.none(), REAL | st.none(), TEXT | st.none(), WHOLE | REAL),
        max_size=60,
    ),
    st.sampled_from([512, 4096, 65536]),
)
def test_any_values_are_those_of_sqlite(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[object, ...]],
    page_size: int,
) -> None:
    path = tmp_path_factory.mktemp("pages") / "t.db"
    make(path, rows, f"PRAGMA page_size = {page_size}")

    same(path)


ROWS = [(n, n / 3, "x" * (n % 70), -n) for n in range(3000)]


def test_many_pages_are_read_in_the_order_of_rows(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", ROWS, "PRAGMA page_size = 512")

    assert is_read_from_pages(path)
    same(path)


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM t WHERE a % 3"],
        ["DELETE FROM t WHERE a < 2900", "INSERT INTO t SELECT * FROM t"],
        ["DELETE FROM t"],
        ["DELETE FROM t WHERE a % 2", "VACUUM"],
        ["CREATE INDEX i ON t (b)", "UPDATE t SET c = c || 'longer' WHERE a % 5 = 0"],
    ],
    ids=["holes", "reused", "empty", "vacuum", "moved"],
)
def test_changed_tables_are_read(tmp_path: Path, statements: list[str]) -> None:
    path = change(make(tmp_path / "t.db", ROWS), *statements)

    assert is_read_from_pages(path)
    same(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["PRAGMA encoding = 'UTF-16'"], []),
        ([], ["INSERT INTO t VALUES (1, 2, hex(zeroblob(5000)), 3)"]),
        ([], ["ALTER TABLE t ADD COLUMN e DEFAULT 7"]),
        ([], ["ALTER TABLE t ADD COLUMN e AS (a + 1) VIRTUAL"]),
        ([], ["ALTER TABLE t RENAME TO u", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
              "INSERT INTO t SELECT a, b FROM u"]),
        ([], ["ALTER TABLE t RENAME TO u",
              "CREATE TABLE t (a INT PRIMARY KEY, b) WITHOUT ROWID",
              "INSERT INTO t SELECT a, b FROM u"]),
        ([], ["UPDATE t SET rowid = rowid + 9000000000000000000"]),
    ],
    ids=["utf-16", "overflow", "added", "generated", "alias", "no rowid", "big rowid"],
)  # fmt: skip
def test_the_unusual_is_left_to_sqlite(
    tmp_path: Path, before: list[str], after: list[str]
) -> None:
    path = change(make(tmp_path / "t.db", ROWS[:200], *before), *after)

    assert not is_read_from_pages(path)
    same(path)


def test_what_waits_in_a_journal_is_seen(tmp_path: Path) -> None:
    path = make(tmp_path / "t.db", ROWS[:5], "PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO t VALUES (99, 1, 'new', 2)")

        assert not is_read_from_pages(path)
        assert joined(iterate_opsim(path, "t"))["a"].tolist() == [0, 1, 2, 3, 4, 99]


@pytest.mark.parametrize("seed", range(30))
def test_damaged_pages_give_an_error_or_the_values_of_sqlite(
    tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    path = make(tmp_path / "t.db", ROWS[:500], "PRAGMA page_size = 512")
    data = bytearray(path.read_bytes())
    for place in rng.integers(1024, len(data), 40):
        data[place] = rng.integers(256)
    path.write_bytes(data)

    try:
        expected = asked_of_sqlite(path)
    except OpsimFileError:
        return
    found = joined(iterate_opsim(path, "t"))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
