"""Which of our errors an error of PostgreSQL is, and what it says."""

import psycopg
from psycopg import errors as pg

from l1db_pipeline.store.backends.database import KeyExistsError
from l1db_pipeline.store.errors import (
    ConnectionLostError,
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DeadlockError,
)

__all__ = ["detail_of", "kind_of"]

_KINDS: tuple[tuple[tuple[type[psycopg.Error], ...], type[DatabaseError]], ...] = (
    ((pg.UniqueViolation,), KeyExistsError),
    ((pg.ReadOnlySqlTransaction, pg.InsufficientPrivilege), DatabaseReadOnlyError),
    ((pg.DiskFull, pg.OutOfMemory, pg.TooManyConnections), DatabaseFullError),
    ((pg.DeadlockDetected,), DeadlockError),
    ((pg.LockNotAvailable, pg.QueryCanceled), DatabaseBusyError),
)


def kind_of(error: psycopg.Error, *, is_lost: bool) -> type[DatabaseError]:
    """Return which of our errors it is; ``is_lost`` if it broke a connection."""
    for theirs, ours in _KINDS:
        if isinstance(error, theirs):
            return ours
    if isinstance(error, psycopg.OperationalError):
        return ConnectionLostError if is_lost else DatabaseUnavailableError
    return DatabaseError


def detail_of(error: psycopg.Error) -> str:
    """Return the server's words; libpq's own never hold a password."""
    detail = error.diag.message_detail
    primary = error.diag.message_primary or str(error).strip().split("\n", 1)[0]
    return f"{primary} ({detail})" if detail else primary
