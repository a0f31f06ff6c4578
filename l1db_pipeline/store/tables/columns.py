"""Which columns a read returns."""

from collections.abc import Sequence

from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.errors import InvalidCatalogError
from l1db_pipeline.store.tables.layout import OWN_COLUMNS

__all__ = ["known_columns", "object_columns", "public_columns"]

_SHORT_OBJECT = (
    "diaObjectId", "lastNonForcedSource", "ra", "decl", "raSigma", "declSigma",
    "ra_decl_Cov", "htmId20",
)  # fmt: skip


def public_columns(table: Table) -> list[str]:
    """Return the columns of a table that are the schema's."""
    return [name for name in table.names if name not in OWN_COLUMNS]


def known_columns(table: Table, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that are asked for; `None` asks for all of the schema.

    Raises
    ------
    InvalidCatalogError
        If the table lacks one.
    """
    if columns is None:
        return public_columns(table)
    if unknown := [name for name in columns if name not in table]:
        raise InvalidCatalogError(
            f"table {table.name}",
            f"no columns {', '.join(unknown)}",
            f"it has {', '.join(table.names)}",
        )
    return list(columns)


def object_columns(
    table: Table, columns: Sequence[str] | None, *, is_full: bool
) -> list[str]:
    """Return columns of objects; `None` asks for the short record, or for all."""
    if columns is None and not is_full:
        return [name for name in _SHORT_OBJECT if name in table]
    return known_columns(table, columns)
