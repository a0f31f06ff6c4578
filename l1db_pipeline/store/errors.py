"""Errors of the L1 store: what value, in which place, and what to do about it."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from l1db_pipeline.errors import L1dbError

__all__ = [
    "CommitLostError",
    "ConnectionLostError",
    "CorruptChunkError",
    "DatabaseBusyError",
    "DatabaseEncodingError",
    "DatabaseError",
    "DatabaseFullError",
    "DatabaseMissingError",
    "DatabaseReadOnlyError",
    "DatabaseUnavailableError",
    "DeadlockError",
    "DuplicateIdError",
    "ExpiredTimeError",
    "ExpiryError",
    "InvalidCatalogError",
    "SchemaMismatchError",
    "SchemaMissingError",
    "StaleReadError",
    "StoreClosedError",
    "TokenError",
    "TooManyTilesError",
    "UnknownObjectError",
    "UnknownRecordError",
    "UpdateConflictError",
    "VersionExistsError",
]


class InvalidCatalogError(L1dbError, ValueError):
    """A catalog, a visit or an argument holds a value that cannot be stored."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(place, problem, remedy)
        self.place = place
        self.problem = problem
        self.remedy = remedy

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; nothing was stored: {self.remedy}"


class DuplicateIdError(InvalidCatalogError):
    """An id appears twice in a visit, or is in the database already."""


class UnknownObjectError(InvalidCatalogError):
    """A source refers to an object that neither the visit nor the database has."""


class TooManyTilesError(InvalidCatalogError):
    """A visit has all the tiles already that were announced."""


class UnknownRecordError(L1dbError, LookupError):
    """An update names records that are not stored."""

    def __init__(self, table: str, ids: Sequence[Any]) -> None:
        super().__init__(table, ids)
        self.table = table
        self.ids = ids

    @override
    def __str__(self) -> str:
        return (
            f"{self.table}: {some(self.ids)} are not stored; nothing was changed: "
            "leave them out, or store them first"
        )


class UpdateConflictError(L1dbError, ValueError):
    """Another update was made under the same id."""

    def __init__(self, update_id: str, stored: str, offered: str) -> None:
        super().__init__(update_id, stored, offered)
        self.update_id = update_id
        self.stored = stored
        self.offered = offered

    @override
    def __str__(self) -> str:
        return (
            f"update {self.update_id} was made with other content (stored "
            f"{self.stored}; offered {self.offered}); nothing was changed: give the "
            "update an id of its own"
        )


class VersionExistsError(InvalidCatalogError):
    """An object has a version of this visit time already."""


class StaleReadError(L1dbError):
    """Another visit has stored into the sky that a unit read, since it read it."""

    def __init__(
        self, visit_id: int, cells: Sequence[int], others: Sequence[int]
    ) -> None:
        super().__init__(visit_id, cells, others)
        self.visit_id = visit_id
        self.cells = tuple(cells)
        """HTM cells that have moved on, of the configuration's ``cell_level``."""
        self.others = tuple(others)
        """Visits that stored into them last."""

    @override
    def __str__(self) -> str:
        visits = [number for number in self.others if number >= 0]
        who = f"visit {some(visits)}" if visits else "an update by day"
        return (
            f"visit {self.visit_id}: {who} has stored into cell {some(self.cells)} "
            "since it was read; nothing was stored: read again, match again and store "
            "that"
        )


class TokenError(L1dbError, ValueError):
    """A token does not belong to what is to be stored."""

    def __init__(self, what: str, of: str, wanted: str) -> None:
        super().__init__(what, of, wanted)
        self.what = what
        self.of = of
        self.wanted = wanted

    @override
    def __str__(self) -> str:
        return (
            f"the token is of {self.what} {self.of}, not {self.wanted}; nothing was "
            "stored: give the one that reading_unit gave for this very unit"
        )


class ExpiredTimeError(L1dbError, ValueError):
    """What is asked for, or given, is of a time whose rows have expired."""

    def __init__(self, what: str, time: object, horizon: object) -> None:
        super().__init__(what, time, horizon)
        self.what = what
        self.time = time
        self.horizon = horizon
        """The database keeps what was from then on."""

    @override
    def __str__(self) -> str:
        return (
            f"{self.what} {self.time}: what was before {self.horizon} has expired in "
            "this database: name a time from then on, or use a copy that is older"
        )


class ExpiryError(L1dbError):
    """Months cannot expire; nothing was deleted."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(place, problem, remedy)
        self.place = place
        self.problem = problem
        self.remedy = remedy

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; nothing expired: {self.remedy}"


class SchemaMissingError(L1dbError):
    """The database has no L1 tables."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place

    @override
    def __str__(self) -> str:
        return f"{self.place} has no L1 tables: create them with create_l1_schema"


class SchemaMismatchError(L1dbError):
    """The tables were made with another schema version or other options."""

    def __init__(self, place: str, name: str, stored: str, wanted: str) -> None:
        super().__init__(place, name, stored, wanted)
        self.place = place
        self.name = name
        self.stored = stored
        self.wanted = wanted

    @property
    def _remedy(self) -> str:
        if self.name == "schema_version":
            return (
                f"name a schema file of version {self.stored} (or a later one of the "
                "same major version) in the configuration, or make another database"
            )
        return "change the configuration, or make another database"

    @override
    def __str__(self) -> str:
        return (
            f"{self.place} was made with {self.name} {self.stored}, the configuration "
            f"says {self.wanted}: {self._remedy}"
        )


class StoreClosedError(L1dbError):
    """The store was used after `close`."""

    @override
    def __str__(self) -> str:
        return "the store is closed: open it again"


class DatabaseError(L1dbError):
    """The database refused or failed; the text names it without credentials."""

    remedy = "see the database's log; nothing of this call was stored"

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.remedy}"


class DatabaseUnavailableError(DatabaseError):
    """No connection could be made, or it broke."""

    remedy = "start the server or correct the url, then run again"


class ConnectionLostError(DatabaseUnavailableError):
    """The connection broke; a transaction that it had is rolled back."""


class CommitLostError(ConnectionLostError):
    """The connection broke while a transaction was committed: it may be, or not."""

    remedy = "it is not known whether it was stored: run again, which is safe"


class DatabaseBusyError(DatabaseError):
    """Another session holds a lock for too long, or a statement took too long."""

    remedy = (
        "nothing was stored: see who is waited for with `l1db activity`, then run "
        "again (limits: L1DB_LOCK_TIMEOUT_S, L1DB_STATEMENT_TIMEOUT_S)"
    )


class DeadlockError(DatabaseError):
    """The database ended a transaction that waited for one that waited for it."""

    remedy = "nothing was stored: run again"


class DatabaseMissingError(DatabaseUnavailableError):
    """A SQLite file does not exist."""

    exit_code = 2
    """Of a command: most often its name is misspelt."""
    remedy = "correct the url, or create the database with create_l1_schema"


class DatabaseReadOnlyError(DatabaseError):
    """The database takes no writes."""

    remedy = "nothing was stored: allow writing, or use another database"


class DatabaseFullError(DatabaseError):
    """The database, or the disk under it, is full."""

    remedy = "nothing was stored: free some space, then run again"


class DatabaseEncodingError(DatabaseError):
    """The database cannot hold every text."""

    remedy = (
        "nothing was made: use a database made with "
        "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
    )


class CorruptChunkError(L1dbError):
    """A chunk of packed history cannot be trusted."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where = where
        self.problem = problem

    @override
    def __str__(self) -> str:
        return (
            f"packed history {self.where} {self.problem}: rebuild it from the rows "
            "(l1db verify --repair)"
        )


def no_months(place: str, before: object = "") -> ExpiryError:
    """Return the error of a backend in which nothing expires."""
    return ExpiryError(
        place,
        f"this backend does not expire months {before}".rstrip(),
        "use SQLite or PostgreSQL, which do",
    )


def some(values: Sequence[object], most: int = 3) -> str:
    """Return the first few of many values as text, and how many more there are."""
    shown = ", ".join(str(value) for value in values[:most])
    more = len(values) - most
    return shown + (f" and {more} more" if more > 0 else "")
