"""psycopg's errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from l1db_pipeline.store.backends.database import KeyExistsError
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
)

__all__ = ["translated"]

_READ_ONLY = (pg.ReadOnlySqlTransaction, pg.InsufficientPrivilege)
_FULL = (pg.DiskFull, pg.OutOfMemory, pg.TooManyConnections)


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn the errors of a block into ours, which name the place."""
    try:
        yield
    except pg.UniqueViolation as error:
        raise KeyExistsError(place, _detail(error)) from error
    except _READ_ONLY as error:
        raise DatabaseReadOnlyError(place, _detail(error)) from error
    except _FULL as error:
        raise DatabaseFullError(place, _detail(error)) from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(place, _detail(error)) from None
    except psycopg.Error as error:
        raise DatabaseError(place, _detail(error)) from error


def _detail(error: psycopg.Error) -> str:
    """Return the server's words; libpq's own never hold a password."""
    detail = error.diag.message_detail
    primary = error.diag.message_primary or str(error).strip().split("\n", 1)[0]
    return f"{primary} ({detail})" if detail else primary
