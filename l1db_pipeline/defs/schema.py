"""The tables of the L1 database."""

import dagster as dg

from l1db_pipeline.defs.resources import L1dbResource

__all__ = ["l1db_schema"]


@dg.asset(
    key=["l1db", "schema"],
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    description="The L1 tables, created once; a second run changes nothing.",
    pool="l1db",
)
def l1db_schema(l1db: L1dbResource) -> dg.MaterializeResult[None]:
    """Create every table that the configuration asks for."""
    from l1db_pipeline.schema.load import load_schema

    with l1db.open() as store:
        store.create_schema()
        counts = store.row_counts()
    schema = load_schema()
    return dg.MaterializeResult(
        metadata={
            "schema_version": schema.version,
            "tables": len(schema.tables),
            "index_mode": l1db.dia_object_index.value,
            "rows": dg.MetadataValue.table(
                [dg.TableRecord({"table": t, "rows": n}) for t, n in counts.items()],
                dg.TableSchema(
                    [dg.TableColumn("table"), dg.TableColumn("rows", "int")]
                ),
            ),
        }
    )
