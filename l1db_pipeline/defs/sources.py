"""The variable sources of the sky: one file, made from its seed."""

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.resources import SourcesResource
from pipeline_runtime.dagster.tables import columns_schema

__all__ = ["SourcesConfig", "variable_sources"]


class SourcesConfig(dg.Config):
    """How many variable sources, and where."""

    counts_per_fov: int = Field(
        default=1000, ge=1, le=100_000, description="Mean number in a field of view."
    )
    hemisphere: int = Field(
        default=0, ge=-1, le=1, description="-1 south, 1 north, 0 the whole sky."
    )
    seed: int = Field(default=1, ge=0, description="Seed of the positions.")


@dg.asset(
    key_prefix="l1db",
    group_name="l1db",
    kinds={"numpy", "file"},
    owners=["team:data-management"],
    code_version="1",
    metadata={"dagster/column_schema": columns_schema(dict.fromkeys("xyz", "double"))},
    description="Unit vectors of the variable sources of the sky, as gen_sources.",
)
def variable_sources(
    context: dg.AssetExecutionContext, config: SourcesConfig, sources: SourcesResource
) -> dg.MaterializeResult[None]:
    """Make the file of sources, unless the same one is there."""
    from l1db_pipeline.sources.kept_sources import SourcesRecipe, keep_sources

    recipe = SourcesRecipe(
        counts_per_fov=config.counts_per_fov,
        hemisphere=config.hemisphere,
        seed=config.seed,
    )
    path, is_new = keep_sources(sources.path, recipe)
    context.log.info("%s %s", path, "created" if is_new else "exists already")
    return dg.MaterializeResult(
        metadata={
            "sources": recipe.n_sources,
            "file": dg.MetadataValue.path(path),
            "bytes": path.stat().st_size,
            "seed": config.seed,
        }
    )
