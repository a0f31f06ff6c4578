"""Both code locations on real resources: a database, a store and folders of a test."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from databases import sqlalchemy_url
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

NIGHT = "2026-10-10"
N_VISITS = 6
FEW_SOURCES = {
    "ops": {
        "l1db__variable_sources": {"config": {"counts_per_fov": 20}},
    }
}
FEW_TRANSIENTS = {"ops": {"l1db_write_batches": {"config": {"n_noise": 20}}}}


def write_opsim(path: Path, n_visits: int = N_VISITS, night: str = NIGHT) -> Path:
    """Write the visits of a night as rubin_scheduler does, and some of the next."""
    rng = np.random.default_rng(0)
    noon_mjd = (pd.Timestamp(night) - pd.Timestamp("1858-11-17")).days + 0.5
    n = n_visits + 2
    start = noon_mjd + 0.5 + np.arange(n) * 0.4 / n_visits
    start[n_visits:] = noon_mjd + 1.6 + np.arange(2) * 0.01
    visits = pd.DataFrame(
        {
            "observationId": np.arange(n),
            "fieldRA": 30.0 + (np.arange(n) % 3) * 0.4,
            "fieldDec": -20.0 + (np.arange(n) % 2) * 0.3,
            "observationStartMJD": start,
            "flush_by_mjd": start + 1.0,
            "visitExposureTime": np.full(n, 30.0),
            "visitTime": np.full(n, 34.0),
            "band": np.resize(list("gri"), n),
            "filter": np.resize(["g_6", "r_57", "i_39"], n),
            "rotSkyPos": rng.uniform(0, 360, n),
            "numExposures": np.full(n, 1),
            "airmass": rng.uniform(1, 1.6, n),
            "seeingFwhmEff": rng.uniform(0.6, 1.2, n),
            "fiveSigmaDepth": rng.uniform(23, 25, n),
            "altitude": rng.uniform(40, 80, n),
            "azimuth": rng.uniform(0, 360, n),
            "night": np.full(n, 100),
            "target_name": np.full(n, "lowdust"),
            "science_program": np.full(n, "BLOCK-407"),
            "observation_reason": np.full(n, "pairs_gr_33.0"),
            "scheduler_note": np.full(n, "blob"),
        }
    )
    with closing(sqlite3.connect(path)) as connection:
        visits.to_sql("observations", connection, index=False)
    return path


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
