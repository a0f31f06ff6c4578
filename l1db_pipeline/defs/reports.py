"""What the visits cost: timing and growth of the L1 database, as pictures."""

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.pictures import figure_picture
from l1db_pipeline.defs.resources import L1dbResource, ReportsResource, SourcesResource
from pipeline_runtime.dagster.checks import check_result
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.tables import frame_schema, frame_table, table
from pipeline_runtime.dagster.visit_names import STORED_KEY
from pipeline_runtime.urls import safe_url

__all__ = ["ReportConfig", "timing_report"]

_GROWTH = "growth_within_model"
_SHOWN_VISITS = 50
_IN_TIME = "visits_in_time"


class ReportConfig(dg.Config):
    """What counts as slow."""

    most_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Wall time that a visit may take, s."
    )


@dg.asset(
    key_prefix="l1db",
    deps=[STORED_KEY],
    group_name="l1db",
    kinds={"html", "matplotlib"},
    owners=["team:data-management"],
    code_version="1",
    retry_policy=patiently(2),
    description=(
        "Time by step (s), rows and MB by table, sky coverage of the visits so far, "
        "as a page."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            _GROWTH,
            asset=["l1db", "timing_report"],
            description="The tables have the rows that the load model allows.",
        ),
        dg.AssetCheckSpec(
            _IN_TIME,
            asset=["l1db", "timing_report"],
            description="Nine visits in ten take less than the threshold.",
        ),
    ],
)
def timing_report(
    context: dg.AssetExecutionContext,
    config: ReportConfig,
    l1db: L1dbResource,
    reports: ReportsResource,
    sources: SourcesResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster 1.13 wants it bare
    """Write the report page of the visits so far, and show its main figures."""
    from l1db_pipeline.report import plots
    from l1db_pipeline.report.growth_limits import (
        growth_ranges,
        rows_outside,
        slow_visits,
    )
    from l1db_pipeline.report.meaning import TABLE_COLUMNS, TIMING_COLUMNS
    from l1db_pipeline.report.report import write_report
    from l1db_pipeline.report.runs import read_store
    from l1db_pipeline.runs.settings import NOISE_SETTING
    from l1db_pipeline.sources.kept_sources import kept_recipe

    with l1db.open() as store:
        run = read_store(store, name="l1db", source=safe_url(l1db.url))
        n_noise = int(store.get_setting(NOISE_SETTING) or 0)
        counts, sizes = store.row_counts(), store.table_bytes()
    page = write_report(reports.path / "l1db", [run])
    context.log.info("report: %s", page)
    recipe = kept_recipe(sources.path)
    ranges = growth_ranges(
        len(run.visits),
        n_variables=recipe.counts_per_fov if recipe else 0,
        n_noise=n_noise,
    )
    slow = slow_visits(run.visits["visit_real"].to_numpy(), config.most_seconds)
    shown = run.visits.tail(_SHOWN_VISITS).dropna(axis="columns", how="all").round(4)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(page),
            "visits": len(run.visits),
            "median_visit_s": round(float(run.visits["visit_real"].median()), 4),
            "database_MB": round(sum(sizes.values()) / 1e6, 3),
            "tables": table(
                [
                    {"table": name, "rows": n, "MB": sizes.get(name, 0) / 1e6}
                    for name, n in counts.items()
                ],
                {"table": "string", "rows": "int", "MB": "float"},
                TABLE_COLUMNS,
            ),
            "timings": frame_table(shown, TIMING_COLUMNS),
            "dagster/column_schema": frame_schema(run.visits, TIMING_COLUMNS),
            **{f"rows/{name}": n for name, n in counts.items()},
            **{f"MB/{name}": size / 1e6 for name, size in sizes.items()},
            "picture/steps": figure_picture(plots.steps_figure(run), "steps"),
            "picture/coverage": figure_picture(plots.coverage_figure(run), "coverage"),
        },
        check_results=[
            check_result(_GROWTH, rows_outside(ranges, counts)),
            check_result(_IN_TIME, slow, severity=dg.AssetCheckSeverity.WARN),
        ],
    )
