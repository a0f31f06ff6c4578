"""The schema comparison: the same visits through a list of configurations."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.resources import ReportsResource
from l1db_pipeline.report.meaning import COMPARISON_COLUMNS
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.tables import columns_schema, table

if TYPE_CHECKING:
    from l1db_pipeline.comparison.bakeoff import CandidateResult

__all__ = ["schema_comparison"]

_COLUMNS = {name: kind for name, (kind, _, _) in COMPARISON_COLUMNS.items()}


class ComparisonConfig(dg.Config):
    """Which configurations take part, and with which visits."""

    plan_file: str = Field(
        default="",
        description=(
            "YAML plan, as for l1db-compare: visits and configurations. "
            "Empty takes the example that ships, cfg/compare.yaml."
        ),
    )


@dg.asset(
    key_prefix="l1db",
    deps=[["l1db", "schema"]],
    group_name="l1db",
    kinds={"postgresql", "sqlite", "html"},
    owners=["team:data-management"],
    code_version="1",
    metadata={"dagster/column_schema": columns_schema(_COLUMNS, COMPARISON_COLUMNS)},
    pool=L1DB,
    description=(
        "The same seeded visits through index modes, history layouts and backends, "
        "with proof that all hold the same content."
    ),
)
def schema_comparison(
    context: dg.AssetExecutionContext,
    config: ComparisonConfig,
    reports: ReportsResource,
) -> dg.MaterializeResult[None]:
    """Run the plan and write the page that sets the candidates side by side."""
    from l1db_pipeline.comparison.bakeoff import run_bakeoff
    from l1db_pipeline.comparison.plan import read_plan
    from l1db_pipeline.comparison.report import write_comparison
    from pipeline_runtime.shipped import shipped_file

    plan_file = config.plan_file
    plan = read_plan(Path(plan_file or shipped_file("cfg/compare.yaml")))
    folder = reports.path / "comparison"

    def on_visit(n_done: int) -> None:
        if n_done % 10 == 0:
            context.log.info("%d of %d visits", n_done, plan.visits)

    bakeoff = run_bakeoff(plan, folder, on_visit=on_visit)
    page = write_comparison(folder, bakeoff)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(page),
            "candidates": len(bakeoff.results),
            "same_content": not bakeoff.differing,
            "results": table(map(_row, bakeoff.results), _COLUMNS, COMPARISON_COLUMNS),
        }
    )


def _row(result: "CandidateResult") -> dict[str, str | float]:
    return {
        "candidate": result.candidate.name,
        "median_visit_s": round(float(result.run.visits["visit_real"].median()), 4),
        "MB": sum(result.table_bytes.values()) / 1e6,
        "rows": sum(result.row_counts.values()),
    }
