"""The schema comparison: the same visits through a list of configurations."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.resources import ReportsResource
from l1db_pipeline.report.meaning import COMPARISON_COLUMNS
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.run_tags import OWN_PROCESS
from pipeline_runtime.dagster.tables import columns_schema, table

if TYPE_CHECKING:
    from l1db_pipeline.comparison.answer import Row

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
    op_tags=OWN_PROCESS,
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
    from l1db_pipeline.comparison.answer import Answer
    from l1db_pipeline.comparison.bakeoff import run_bakeoff
    from l1db_pipeline.comparison.plan import read_plan
    from l1db_pipeline.comparison.report import JSON_NAME, write_comparison
    from pipeline_runtime.shipped import shipped_file

    plan_file = config.plan_file
    plan = read_plan(Path(plan_file or shipped_file("cfg/compare.yaml")))
    folder = reports.path / "comparison"

    def on_turn(name: str, n_done: int) -> None:
        if n_done % 10 == 0:
            context.log.info("%s: %d of %d visits", name, n_done, plan.visits)

    bakeoff = run_bakeoff(plan, folder, on_turn=on_turn)
    page = write_comparison(folder, bakeoff)
    answer = Answer(bakeoff)
    return dg.MaterializeResult(
        metadata={
            "answer": dg.MetadataValue.md(
                "\n- ".join([answer.headline, *answer.points()])
            ),
            "page": dg.MetadataValue.path(page),
            "json": dg.MetadataValue.path(folder / JSON_NAME),
            "candidates": len(bakeoff.results),
            "same_content": answer.is_same,
            "results": table(map(_row, answer.rows), _COLUMNS, COMPARISON_COLUMNS),
        }
    )


def _row(row: "Row") -> dict[str, str | float]:
    return {
        "candidate": row.name,
        "verdict": row.verdict,
        "cost_s": round(row.cost.mean, 4),
        "median_visit_s": round(row.wall_s.median, 4),
        "MB": row.total_bytes / 1e6,
    }
