"""Both code locations on real resources: a database, a store and folders of a test."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
from databases import sqlalchemy_url
from opsim_night import N_VISITS, NIGHT, write_opsim
from psycopg.conninfo import conninfo_to_dict

from archive_assets import definitions as archive
from archive_assets.defs.names import NOMINAL, archived_key, simulation_key
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    PrenightIndexResource,
    SimulationsResource,
)
from l1db_pipeline import definitions as l1db
from l1db_pipeline.defs.archive import ArchivedVisitsResource
from l1db_pipeline.defs.resources import L1dbResource, ReportsResource, SourcesResource

FEW_SOURCES = {
    "ops": {
        "l1db__variable_sources": {"config": {"counts_per_fov": 20}},
    }
}
FEW_TRANSIENTS = {"ops": {"l1db_write_batches": {"config": {"n_noise": 20}}}}


@dataclass(frozen=True)
class Site:
    """The two code locations on resources of their own."""

    folder: Path
    opsim: Path
    connection: dict[str, str]
    archive: dg.Definitions
    l1db: dg.Definitions
    resources: dict[str, Any]
    instance: dg.DagsterInstance

    def run(
        self,
        job: str,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        """Run a job of either location in this process."""
        (location,) = (
            location
            for location in (self.archive, self.l1db)
            if location.get_repository_def().has_job(job)
        )
        return location.resolve_job_def(job).execute_in_process(
            partition_key=partition,
            run_config=config,
            instance=self.instance,
            **options,
        )

    def with_simulations(self, **changes: Any) -> "Site":
        """Return the same site, its simulations configured otherwise."""
        simulations = {**dict(self.resources["simulations"]), **changes}
        resources = {
            **self.resources,
            "simulations": SimulationsResource(**simulations),
        }
        return replace(
            self, archive=archive.build_definitions(resources), resources=resources
        )

    def from_file(
        self, opsim: Path | None = None, *, n_nights: int = 1
    ) -> dict[str, Any]:
        """Return the configuration of a nominal simulation from an opsim file."""
        op = "__".join(simulation_key(NOMINAL).path)
        config = {"n_nights": n_nights, "opsim_file": str(opsim or self.opsim)}
        return {"ops": {op: {"config": config}}}

    def visit_tags(self, *, first: int = 1, last: int = N_VISITS) -> dict[str, str]:
        """Return the run tags of a range of the night's visits."""
        night = NIGHT.replace("-", "")
        return {
            "dagster/asset_partition_range_start": f"{night}-{first:05d}",
            "dagster/asset_partition_range_end": f"{night}-{last:05d}",
        }

    def archive_night(
        self, night: str = NIGHT, opsim: Path | None = None, *, n_nights: int = 1
    ) -> None:
        """Simulate from a file and archive, without all that is drawn of a night."""
        self.run(
            "nominal_night",
            night,
            self.from_file(opsim, n_nights=n_nights),
            asset_selection=[simulation_key(NOMINAL), archived_key(NOMINAL)],
        )

    def prepare_visits(self) -> None:
        """Simulate from the file, archive, make sources and register the visits."""
        self.archive_night()
        self.run("night_visits", NIGHT, FEW_SOURCES)

    def ap(self, tags: Mapping[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Run the AP prototype over the night's visits."""
        return self.run(
            "ap_prototype", config=FEW_TRANSIENTS, tags=tags or self.visit_tags()
        )


def database_connection(dsn: str) -> dict[str, str]:
    """Return the parts of a libpq string."""
    return {key: str(value) for key, value in conninfo_to_dict(dsn).items()}


def resources_of(
    folder: Path, connection: Mapping[str, str], url: str
) -> dict[str, Any]:
    """Return the resources of both code locations."""
    return {
        "archive_metadata": ArchiveMetadataResource(
            host=connection["host"],
            port=connection.get("port", "5432"),
            database=connection["dbname"],
            user=connection["user"],
        ),
        "data_store": DataStoreResource(url=(folder / "store").as_uri() + "/"),
        "prenight_index_store": PrenightIndexResource(
            url=(folder / "index").as_uri() + "/"
        ),
        "simulations": SimulationsResource(
            work_folder=str(folder / "simulations"),
            site_data_folder=str(folder / "site_data"),
        ),
        "l1db": L1dbResource(url=url),
        "sources": SourcesResource(folder=str(folder / "sources")),
        "reports": ReportsResource(folder=str(folder / "reports")),
        "archived_visits": ArchivedVisitsResource(),
    }


def site_on(folder: Path, dsn: str, instance: dg.DagsterInstance) -> Site:
    """Return both locations on a database and a folder."""
    connection = database_connection(dsn)
    resources = resources_of(folder, connection, sqlalchemy_url(dsn))
    return Site(
        folder=folder,
        opsim=write_opsim(folder / "opsim.db"),
        connection=connection,
        archive=archive.build_definitions(resources),
        l1db=l1db.build_definitions(resources),
        resources=resources,
        instance=instance,
    )
