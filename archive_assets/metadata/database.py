"""The metadata database: its connections, raw statements, the meaning of its errors."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import ClientCursor, sql
from psycopg import Connection as PsycopgConnection
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy import exc as sa_exc
from sqlalchemy.pool import PoolProxiedConnection

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError, InvalidValueError
from archive_assets.metadata.errors import (
    ArchivePermissionError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    DuplicateEntryError,
    SchemaMissingError,
    UnknownSequenceError,
)
from archive_assets.metadata.settings import ConnectionSettings
from pipeline_runtime.errors import interrupt_behind
from pipeline_runtime.postgres_session import (
    CLIENT_ENCODING,
    SET_SESSION,
    SET_TRANSACTION,
)

__all__ = [
    "MetadataDatabase",
    "Part",
    "PooledConnections",
    "compose",
    "raw_connection",
    "run_query",
    "translated",
]


_POOL_SIZE = 5
_POOL_OVERFLOW = 15
_POOL_TIMEOUT_S = 30
_BEGIN = (
    "SELECT set_config('search_path', quote_ident(%s), true), "
    f"set_config('statement_timeout', %s, true), {SET_TRANSACTION}"
)
"""Set for the transaction, so that a pooler in transaction mode does no harm."""
_RULES = {
    "nights_in_order": "first_day_obs would be after last_day_obs",
    "sha256_length": "visitseq_sha256 must be 32 bytes",
    "file_sha256_length": "file_sha256 must be 32 bytes",
    "telescope_name": "the telescope must be letters, digits, '_', '.' and '-'",
    "tag_not_empty": "a tag must not be empty",
}
"""What the database's own constraints mean."""


class MetadataDatabase:
    """Transactions on the metadata database; safe to share between threads.

    Nothing is opened until the first transaction. Connections return to the pool
    when a transaction ends, and close with `close` or when this object is deleted.

    Parameters
    ----------
    settings
        Where the database is.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self.engine = create_engine(
            "postgresql+psycopg://",
            # no server-side prepared statements: a pooler could lose them
            connect_args={
                **settings.connect,
                "prepare_threshold": None,
                "client_encoding": CLIENT_ENCODING,
            },
            pool_pre_ping=True,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
            pool_timeout=_POOL_TIMEOUT_S,
        )
        timeout_ms = str(round(settings.statement_timeout_s * 1000))
        parameters = (settings.schema, timeout_ms)
        event.listen(self.engine, "begin", _Begin(parameters))
        self._finalizer = weakref.finalize(self, Engine.dispose, self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction; commit at the end, roll back on any error.

        Names without a schema mean the archive's, and times are in UTC.

        Raises
        ------
        ArchiveError
            One of `archive_assets.metadata.errors` for what the database refuses.
        """
        with translated(self.settings), self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections of the pool; a later transaction opens new ones."""
        self.engine.dispose()


class _Begin:
    """Sets the search path, time-out and time zone of each transaction."""

    def __init__(self, parameters: tuple[str, str]) -> None:
        self._parameters = parameters

    def __call__(self, connection: Connection) -> None:
        connection.exec_driver_sql(_BEGIN, self._parameters)


@contextmanager
def translated(settings: ConnectionSettings) -> Iterator[None]:
    """Turn what the driver raises into the error class of the mistake."""
    try:
        yield
    except EXPECTED_ERRORS:
        raise  # some are database errors too, for callers of the original
    except sa_exc.TimeoutError as error:
        raise DatabaseTimeoutError(
            f"timed out waiting for a pooled connection to {settings.place}: {error}"
        ) from error
    except (sa_exc.DBAPIError, psycopg.Error) as error:
        if (interrupt := interrupt_behind(error)) is not None:
            raise interrupt from None
        cause = error.orig if isinstance(error, sa_exc.DBAPIError) else error
        if isinstance(cause, psycopg.Error):
            raise _meaning(cause, settings) from error
        raise
    except UnicodeEncodeError as error:
        # a word of a Latin-1 terminal reaches Python as halves of surrogate pairs
        shown = error.object.encode(errors="backslashreplace").decode()
        raise InvalidValueError(f"{shown!r} is not valid Unicode") from error


def _meaning(error: psycopg.Error, settings: ConnectionSettings) -> ArchiveError:
    text = _first_line(error)
    detail = error.diag.message_detail or text
    meaning: ArchiveError
    match error:
        case pg.QueryCanceled():
            meaning = DatabaseTimeoutError(
                f"the database took longer than {settings.statement_timeout_s:g} s: "
                "narrow the search, or raise VSARCHIVE_STATEMENT_TIMEOUT_S"
            )
        case pg.InsufficientPrivilege() | pg.ReadOnlySqlTransaction():
            user = settings.connect.get("user")
            meaning = ArchivePermissionError(f"user {user} may not do this: {text}")
        case pg.UndefinedTable() | pg.InvalidSchemaName() | pg.UndefinedColumn():
            meaning = SchemaMissingError(
                f"{settings.place}: {text}; "
                "`vseqarchive schema create` or `schema upgrade` makes it"
            )
        case pg.ForeignKeyViolation():
            meaning = UnknownSequenceError(detail, settings.place)
        case pg.UniqueViolation():
            meaning = DuplicateEntryError(f"{detail} Nothing was changed.")
        case pg.CheckViolation():
            rule = error.diag.constraint_name or ""
            meaning = InvalidValueError(_RULES.get(rule, text))
        case pg.IntegrityError() | pg.DataError() | pg.ProgrammingError():
            meaning = InvalidValueError(text)
        case _:
            meaning = DatabaseUnavailableError(
                f"cannot work with the database {settings.place}: {text}"
            )
    return meaning


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())[:500]


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


def raw_connection(connection: Connection) -> PsycopgConnection[Any]:
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
