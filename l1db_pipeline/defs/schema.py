"""The tables of the L1 database."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from l1db_pipeline.defs.resources import L1dbResource
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.tables import table, table_column

if TYPE_CHECKING:
    from l1db_pipeline.schema.model import Column, Table

__all__ = ["l1db_schema", "schema_columns"]


@dg.asset(
    key=["l1db", "schema"],
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    description="The L1 tables, created once; a second run changes nothing.",
    pool=L1DB,
)
def l1db_schema(l1db: L1dbResource) -> dg.MaterializeResult[None]:
    """Create every table that the configuration asks for."""
    from l1db_pipeline.schema.load import load_schema

    with l1db.open() as store:
        store.create_schema()
        counts = store.row_counts()
    config = l1db.l1db_config()
    schema = load_schema(config.schema_file, column_map=config.column_map)
    return dg.MaterializeResult(
        metadata={
            "schema_version": schema.version,
            "tables": len(schema.tables),
            "index_mode": l1db.dia_object_index.value,
            "rows": table(
                [{"table": name, "rows": n} for name, n in counts.items()],
                {"table": "string", "rows": "int"},
            ),
            "dagster/column_schema": schema_columns(
                (found, column) for found in schema.tables for column in found.columns
            ),
        }
    )


def schema_columns(columns: "Iterable[tuple[Table, Column]]") -> dg.TableSchema:
    """Return columns of several tables, as ``table.column``."""
    return dg.TableSchema(
        [
            table_column(
                f"{found.name}.{column.sql_name}",
                column.datatype.value,
                column.unit,
                column.description,
            )
            for found, column in columns
        ]
    )
