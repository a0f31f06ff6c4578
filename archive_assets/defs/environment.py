"""With which scheduler, configuration and packages the simulations are made."""

import hashlib
import json
import sys

import dagster as dg

from archive_assets.defs.names import plans
from archive_assets.simulation.variants import variants_file

__all__ = ["scheduler_environment"]


@dg.asset(
    group_name="simulation",
    kinds={"python"},
    owners=["team:survey-scheduling"],
    code_version="1",
    description="Versions of the scheduler and its packages, and the variants file.",
)
def scheduler_environment() -> dg.MaterializeResult[None]:
    """Show what the simulations of this machine run with."""
    from archive_assets.simulation.provenance import (
        package_versions,
        scheduler_version,
    )

    packages = package_versions()
    digest = hashlib.sha256(json.dumps(packages).encode()).hexdigest()
    rows = [dg.TableRecord({"package": n, "version": v}) for n, v in packages.items()]
    columns = dg.TableSchema([dg.TableColumn("package"), dg.TableColumn("version")])
    return dg.MaterializeResult(
        metadata={
            "rubin_scheduler": scheduler_version(),
            "python": sys.version.split()[0],
            "variants_file": dg.MetadataValue.path(variants_file()),
            "variants": [plan.name for plan in plans()],
            "packages": dg.MetadataValue.table(rows, columns),
        },
        data_version=dg.DataVersion(digest),
    )
