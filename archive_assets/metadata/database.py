"""One pool of connections to the metadata database, and the meaning of its errors."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy import exc as sa_exc

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.metadata.errors import (
    ArchivePermissionError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    DuplicateEntryError,
    InvalidValueError,
    SchemaMissingError,
    UnknownSequenceError,
)
from archive_assets.metadata.settings import ConnectionSettings
from pipeline_runtime.postgres_session import CLIENT_ENCODING, SET_TRANSACTION

__all__ = ["MetadataDatabase", "translated"]

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
    when a transaction ends, and close with `close` or when this object goes.

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
            f"no connection to {settings.place} became free: {error}"
        ) from error
    except sa_exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise _meaning(error.orig, settings) from error
        raise
    except psycopg.Error as error:
        raise _meaning(error, settings) from error
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
