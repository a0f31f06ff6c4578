"""Which layout a database has: the revision that alembic keeps and the store checks.

``create_schema`` makes the newest layout and writes `SCHEMA_REVISION` into
`VERSION_TABLE`; opening compares the two; ``l1db migrate`` carries a database forward,
revision by revision (``l1db_pipeline/store/upkeep/migrations``).
"""

from typing_extensions import override

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.model import Column, Datatype, Table

__all__ = [
    "SCHEMA_REVISION",
    "UNFINISHED",
    "VERSION_COLUMN",
    "VERSION_TABLE",
    "SchemaVersionError",
    "is_readable_as",
]

SCHEMA_REVISION = "0004"
"""Newest revision: what this code reads and writes."""
UNFINISHED = "l1.unfinished"
"""Setting that a revision leaves whose data are still to be made; see `migrate`."""
VERSION_COLUMN = "version_num"
VERSION_TABLE = Table(
    "L1SchemaVersion",
    (Column(VERSION_COLUMN, Datatype.STRING, nullable=False, length=32),),
    primary_key=(VERSION_COLUMN,),
    description="Revision of the layout, one row; alembic's version table.",
)


class SchemaVersionError(L1dbError):
    """The database has the tables of another version of this package."""

    def __init__(self, place: str, found: str, wanted: str = SCHEMA_REVISION) -> None:
        super().__init__(place, found, wanted)
        self.place = place
        self.found = found
        self.wanted = wanted

    @override
    def __str__(self) -> str:
        if not self.found:
            return (
                f"{self.place} has tables without a schema revision, made half or by "
                "another program: use another database, prefix or namespace, or drop "
                "them with create_l1_schema --drop"
            )
        remedy = (
            "run l1db migrate"
            if self.found < self.wanted or self.found.startswith("less")
            else "use the version of this package that made it, or a newer one"
        )
        return (
            f"{self.place} has schema revision {self.found}, this package needs "
            f"{self.wanted}: {remedy}"
        )


def is_readable_as(stored: str, wanted: str) -> bool:
    """Tell whether tables of a version, as ``9.1.0``, do for another, as ``9.3.2``.

    A patch release of a schema changes descriptions alone, a minor release adds
    nullable columns: the same major version will do, and no later minor one.
    """
    if stored == wanted:
        return True
    old, new = stored.split("."), wanted.split(".")
    if not all(len(v) == 3 and all(p.isdecimal() for p in v) for v in (old, new)):
        return False
    return old[0] == new[0] and int(old[1]) <= int(new[1])
