"""Raw statements and raw connections, for callers of the original's ``query``."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from psycopg import ClientCursor, sql
from psycopg import Connection as PsycopgConnection
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine
from sqlalchemy.pool import PoolProxiedConnection

from archive_assets.errors import InvalidValueError
from archive_assets.metadata.database import MetadataDatabase
from pipeline_runtime.postgres_session import SET_SESSION

__all__ = [
    "Part",
    "PooledConnections",
    "compose",
    "raw_connection",
    "run_query",
]


class Psycopg2Composable(Protocol):
    """What ``psycopg2.sql`` makes, as far as types can say."""

    def as_string(self, context: Any) -> str:  # Any: a connection or cursor
        """Return the text of the part."""


Part = sql.Composable | Psycopg2Composable


def compose(template: str, identifiers: Sequence[Part]) -> str:
    """Return a statement with its ``{}`` filled by quoted identifiers."""
    return sql.SQL(template).format(*map(composable, identifiers)).as_string()


def composable(part: Part) -> sql.Composable:
    """Return a part of a statement as psycopg's, also one of psycopg2.

    The original's callers compose with ``psycopg2.sql``; it need not be installed.

    Raises
    ------
    InvalidValueError
        If it is neither.
    """
    if isinstance(part, sql.Composable):
        return part
    theirs: Any = part  # Any: psycopg2 has no types
    match type(part).__name__ if type(part).__module__ == "psycopg2.sql" else "":
        case "Composed":
            return sql.Composed([composable(one) for one in theirs.seq])
        case "SQL":
            return sql.SQL(theirs.string)
        case "Identifier":
            return sql.Identifier(*theirs.strings)
        case "Literal":
            return sql.Literal(theirs.wrapped)
        case "Placeholder":
            return sql.Placeholder(theirs.name or "")
        case _:
            raise InvalidValueError(
                f"{part!r} is not part of a statement: use psycopg.sql or psycopg2.sql"
            )


def run_query(
    database: MetadataDatabase,
    query: str | Part,
    data: Mapping[str, object] | Sequence[object] = (),
    commit: bool = False,
    return_result: bool = True,
) -> Sequence[tuple[Any, ...]]:
    """Run one statement in the archive's schema; roll back unless ``commit``.

    Returns
    -------
    rows
        All rows, or ``(None,)`` if no result is wanted.
    """
    with database.transaction() as connection:
        raw = raw_connection(connection)
        # bound by the client, as the original's driver does: any number of commands
        with ClientCursor(raw) as cursor:
            text = query if isinstance(query, str) else composable(query).as_string(raw)
            cursor.execute(text.encode(), data or None)
            rows: Sequence[Any] = cursor.fetchall() if return_result else (None,)
        if not commit:
            connection.rollback()
    return rows


def raw_connection(connection: SqlConnection) -> PsycopgConnection[Any]:
    """Return the psycopg connection under one of SQLAlchemy, in its transaction."""
    return _psycopg(connection.connection.driver_connection)


def _psycopg(raw: object) -> PsycopgConnection[Any]:
    if not isinstance(raw, PsycopgConnection):
        raise TypeError(f"the pool holds {type(raw).__name__}, not psycopg connections")
    return raw


class PooledConnections:
    """The pool with the three verbs of psycopg2's pools.

    Parameters
    ----------
    engine
        Whose pool to borrow from.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lent: dict[int, PoolProxiedConnection] = {}

    def getconn(self) -> PsycopgConnection[Any]:
        """Borrow a psycopg connection; give it back with `putconn`."""
        proxied = self._engine.raw_connection()
        raw = _psycopg(proxied.driver_connection)
        # its transactions are the borrower's: none of ours begins them
        raw.execute(SET_SESSION.encode())
        raw.commit()
        self._lent[id(raw)] = proxied
        return raw

    def putconn(self, connection: PsycopgConnection[Any]) -> None:
        """Give a connection back; what it did not commit is rolled back."""
        self._lent.pop(id(connection)).close()

    def closeall(self) -> None:
        """Close the connections of the pool."""
        for identity in list(self._lent):
            self._lent.pop(identity).close()
        self._engine.dispose()
