"""What the visits cost: timing and growth of the L1 database, as pictures."""

import dagster as dg

from l1db_pipeline.ap_proto import pointings_of
from l1db_pipeline.config import safe_url
from l1db_pipeline.defs.pictures import figure_picture
from l1db_pipeline.defs.resources import L1dbResource, ReportsResource
from l1db_pipeline.defs.write_batches import BATCHES_KEY
from l1db_pipeline.report import plots
from l1db_pipeline.report.report import write_report
from l1db_pipeline.report.runs import Run, read_store
from l1db_pipeline.run_settings import SETTING_NAMES
from l1db_pipeline.store.base import L1Store

__all__ = ["timing_report"]


def _read_run(store: L1Store, url: str) -> Run:
    run = read_store(
        store, name="l1db", source=safe_url(url), setting_names=SETTING_NAMES
    )
    pointings = pointings_of(store, run.visits["visit"].astype(int).tolist())
    return read_store(
        store,
        name="l1db",
        source=safe_url(url),
        setting_names=SETTING_NAMES,
        pointings_deg=pointings,
    )


@dg.asset(
    key_prefix="l1db",
    deps=[BATCHES_KEY],
    group_name="l1db",
    kinds={"html", "matplotlib"},
    owners=["team:data-management"],
    code_version="1",
    retry_policy=dg.RetryPolicy(max_retries=2, delay=10),
    description="Time by step, rows and bytes by table, sky coverage, as a page.",
)
def timing_report(
    context: dg.AssetExecutionContext, l1db: L1dbResource, reports: ReportsResource
) -> dg.MaterializeResult[None]:
    """Write the report page of the visits so far, and show its main figures."""
    with l1db.open() as store:
        run = _read_run(store, l1db.url)
        counts, sizes = store.row_counts(), store.table_bytes()
    page = write_report(reports.path / "l1db", [run])
    context.log.info("report: %s", page)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(page),
            "visits": len(run.visits),
            "median_visit_s": float(run.visits["visit_real"].median()),
            "database_MB": sum(sizes.values()) / 1e6,
            "tables": dg.MetadataValue.table(
                [
                    dg.TableRecord({"table": t, "rows": n, "bytes": sizes.get(t, 0)})
                    for t, n in counts.items()
                ],
                dg.TableSchema(
                    [
                        dg.TableColumn("table"),
                        dg.TableColumn("rows", "int"),
                        dg.TableColumn("bytes", "int"),
                    ]
                ),
            ),
            "picture/steps": figure_picture(plots.steps_figure(run), "steps"),
            "picture/coverage": figure_picture(plots.coverage_figure(run), "coverage"),
        }
    )
