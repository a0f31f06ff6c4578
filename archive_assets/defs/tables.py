"""Tables in the metadata of the archive's assets, with what their columns mean."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipeline_runtime.dagster import tables
from visit_tables.meaning import ARCHIVE_COLUMNS, VISITS_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["columns_schema", "frame_schema", "frame_table", "table", "visits_schema"]


def columns_schema(columns: Mapping[str, str]) -> dg.TableSchema:
    """Return the columns of a table by their names and types, and what they mean."""
    return tables.columns_schema(columns, ARCHIVE_COLUMNS)


def table(
    rows: Iterable[Mapping[str, str | float | bool | None]], columns: Mapping[str, str]
) -> dg.TableMetadataValue:
    """Return rows as metadata that the web UI shows as a table, the first 200."""
    return tables.table(rows, columns, ARCHIVE_COLUMNS)


def frame_schema(frame: "pd.DataFrame") -> dg.TableSchema:
    """Return the columns of a frame."""
    return tables.frame_schema(frame, ARCHIVE_COLUMNS)


def frame_table(frame: "pd.DataFrame") -> dg.TableMetadataValue:
    """Return a frame as metadata: numbers as such, all else as text."""
    return tables.frame_table(frame, ARCHIVE_COLUMNS)


def visits_schema(types: Mapping[Any, object] | None = None) -> dg.TableSchema:
    """Return the columns of visits, by default all that opsim files may have."""
    if types is None:
        types = {name: found.kind for name, found in VISITS_COLUMNS.items()}
    named = {str(name): str(kind) for name, kind in types.items()}
    return tables.columns_schema(named, VISITS_COLUMNS)
