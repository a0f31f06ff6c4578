"""Open an opsim SQLite file safely, and see what tables it has.

The file is opened read-only. Only ordinary tables count: views, virtual tables and
generated columns could hide code in the schema, and triggers never run on reading.
Names are quoted, whatever they are.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from visit_tables.columns import VisitsFileError

__all__ = [
    "OpsimFileError",
    "check_observations",
    "check_opsim",
    "declared_columns",
    "open_opsim",
    "opsim_table_names",
    "quote_identifier",
]

_HEADER = b"SQLite format 3\0"
_POINTINGS = (
    ("observationStartMJD", "fieldRA", "fieldDec"),
    ("obs_start_mjd", "s_ra", "s_dec"),
)


class OpsimFileError(VisitsFileError):
    """An opsim file is damaged, or is none, or lacks what visits need."""


def quote_identifier(name: str) -> str:
    """Return a name of a table or column, quoted for SQLite."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def open_opsim(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Open an opsim file read-only.

    Raises
    ------
    OpsimFileError
        If the file is absent, empty, not SQLite, or shorter than it says.
    """
    path = Path(path)
    _check_header(path)
    uri = path.absolute().as_uri() + "?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cell_size_check=ON")
            yield connection
    except sqlite3.Error as error:
        raise OpsimFileError(path, f"cannot be read: {error}") from error


def _check_header(path: Path) -> None:
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "no such file"
        raise OpsimFileError(path, what)
    size = path.stat().st_size
    if not size:
        raise OpsimFileError(path, "the file is empty")
    with path.open("rb") as stream:
        header = stream.read(100)
    if not header.startswith(_HEADER):
        raise OpsimFileError(path, "is not an SQLite file")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    is_count_valid = header[24:28] == header[92:96]
    if len(header) < 100 or (is_count_valid and size < pages * page_size):
        raise OpsimFileError(path, "is truncated")


def opsim_table_names(connection: sqlite3.Connection) -> list[str]:
    """Return the ordinary tables, in the order of their creation."""
    rows = connection.execute(
        "SELECT name FROM pragma_table_list "
        "WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\'"
    ).fetchall()
    ordinary = {row[0] for row in rows}
    created = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid"
    ).fetchall()
    return [row[0].decode() for row in created if row[0] in ordinary]


def check_opsim(path: str | Path, *, allow_empty: bool = False) -> None:
    """Refuse a file that is not a usable opsim file.

    Parameters
    ----------
    path
        The file.
    allow_empty
        Whether a table ``observations`` without rows is usable: a night without
        visits is a statement, too.

    Raises
    ------
    OpsimFileError
        If the file is empty, truncated or not SQLite, or its table
        ``observations`` is absent, empty, or lacks times or directions. Columns
        beyond those are free.
    """
    with open_opsim(path) as connection:
        check_observations(connection, path, allow_empty=allow_empty)
        # counting visits every page, damaged ones too
        connection.execute("SELECT count(*) FROM observations").fetchone()


def check_observations(
    connection: sqlite3.Connection, path: str | Path, *, allow_empty: bool
) -> None:
    """Refuse an open file whose observations are absent or lack what visits need.

    Raises
    ------
    OpsimFileError
        As `check_opsim`, but damage within the table is not looked for.
    """
    columns = [name for name, _ in declared_columns(connection, path, "observations")]
    lacking = min(
        ([name for name in need if name not in columns] for need in _POINTINGS),
        key=len,
    )
    if lacking:
        raise OpsimFileError(path, f"observations lack {', '.join(lacking)}")
    row = connection.execute("SELECT 1 FROM observations LIMIT 1").fetchone()
    if row is None and not allow_empty:
        raise OpsimFileError(path, "has no observations")


def declared_columns(
    connection: sqlite3.Connection, path: str | Path, table: str
) -> list[tuple[str, str]]:
    """Return names and declared types of a table's columns, generated ones too."""
    if table not in opsim_table_names(connection):
        known = ", ".join(opsim_table_names(connection)) or "none"
        raise OpsimFileError(path, f"has no table {table!r}; it has {known}")
    rows = connection.execute(
        "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden != 1", (table,)
    ).fetchall()
    return [(name.decode(), declared.decode()) for name, declared in rows]
