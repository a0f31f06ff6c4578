"""With which scheduler, configuration and packages the simulations are made."""

import hashlib
import json
import sys
from collections.abc import Iterator

import dagster as dg

from archive_assets.defs.names import plans
from archive_assets.defs.resources import SimulationsResource
from archive_assets.defs.tables import columns_schema, table
from archive_assets.simulation.variants import variants_file
from pipeline_runtime.dagster.checks import check_result, refuse

__all__ = ["scheduler_environment"]

_READY = "environment_is_ready"
_COLUMNS = {"package": "string", "version": "string"}


@dg.asset(
    group_name="simulation",
    kinds={"python"},
    owners=["team:survey-scheduling"],
    code_version="1",
    description="Versions of the scheduler and its packages, and the variants file.",
    metadata={"dagster/column_schema": columns_schema(_COLUMNS)},
    check_specs=[
        dg.AssetCheckSpec(
            _READY,
            asset="scheduler_environment",
            blocking=True,
            description=(
                "The scheduler, the variants, the site data and the files of completed "
                "visits are there, and finished simulations have room."
            ),
        )
    ],
)
def scheduler_environment(
    simulations: SimulationsResource,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Show what the simulations of this machine run with, and whether they can."""
    from archive_assets.simulation.provenance import (
        package_versions,
        scheduler_version,
    )
    from archive_assets.simulation.readiness import readiness_problems

    ready = check_result(
        _READY,
        readiness_problems(
            outbox=simulations.work,
            site_data=simulations.site_data,
            command=simulations.command_words,
            completed=simulations.completed_visits,
            synthesize=simulations.synthesize,
        ),
    )
    yield ready
    refuse(ready)
    packages = package_versions()
    digest = hashlib.sha256(json.dumps(packages).encode()).hexdigest()
    rows = [{"package": name, "version": found} for name, found in packages.items()]
    yield dg.MaterializeResult(
        metadata={
            "rubin_scheduler": scheduler_version(),
            "python": sys.version.split()[0],
            "variants_file": dg.MetadataValue.path(variants_file()),
            "variants": [plan.name for plan in plans()],
            "packages": table(rows, _COLUMNS),
        },
        data_version=dg.DataVersion(digest),
    )
