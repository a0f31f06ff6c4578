"""Which of our errors an error of PostgreSQL is, and what it says."""

import psycopg
from psycopg import errors as pg

from l1db_pipeline.store.backends.database import KeyExistsError
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
)

__all__ = ["detail_of", "kind_of"]


def kind_of(error: psycopg.Error) -> type[DatabaseError]:
    """Return which of our errors it is."""
    match error:
        case pg.UniqueViolation():
            return KeyExistsError
        case pg.ReadOnlySqlTransaction() | pg.InsufficientPrivilege():
            return DatabaseReadOnlyError
        case pg.DiskFull() | pg.OutOfMemory() | pg.TooManyConnections():
            return DatabaseFullError
        case psycopg.OperationalError():
            return DatabaseUnavailableError
        case _:
            return DatabaseError


def detail_of(error: psycopg.Error) -> str:
    """Return the server's words; libpq's own never hold a password."""
    detail = error.diag.message_detail
    primary = error.diag.message_primary or str(error).strip().split("\n", 1)[0]
    return f"{primary} ({detail})" if detail else primary
