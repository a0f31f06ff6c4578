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
    "is_patch_of",
]

SCHEMA_REVISION = "0003"
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


def is_patch_of(one: str, other: str) -> bool:
    """Tell whether two versions, as ``9.1.0`` and ``9.1.4``, differ in words alone.

    A patch release of a schema changes descriptions, no table and no column.
    """
    parts = one.split("."), other.split(".")
    return all(len(p) == 3 and p[2].isdecimal() for p in parts) and (
        parts[0][:2] == parts[1][:2]
    )
