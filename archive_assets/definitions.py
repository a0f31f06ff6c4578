"""The code location of the visit sequence archive and the visit simulations."""

import os

import dagster as dg

from archive_assets.defs.automation import schedules, sensors
from archive_assets.defs.care import (
    archive_verification,
    existing_sequences,
    gc_job,
    observe_job,
    services_answer,
)
from archive_assets.defs.environment import scheduler_environment
from archive_assets.defs.executors import executor
from archive_assets.defs.index import index_assets
from archive_assets.defs.jobs import jobs
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    PrenightIndexResource,
    SimulationsResource,
)
from archive_assets.defs.sequences import sequence_assets
from archive_assets.defs.simulations import simulation_assets

__all__ = ["build_definitions", "defs", "environment_resources"]


def environment_resources() -> dict[str, object]:
    """Return the resources as the environment describes them."""
    return {
        "archive_metadata": ArchiveMetadataResource(
            host=dg.EnvVar("VSARCHIVE_PGHOST"),
            port=dg.EnvVar("VSARCHIVE_PGPORT"),
            database=dg.EnvVar("VSARCHIVE_PGDATABASE"),
            user=dg.EnvVar("VSARCHIVE_PGUSER"),
            schema_name=dg.EnvVar("VSARCHIVE_PGSCHEMA"),
        ),
        "data_store": DataStoreResource(url=dg.EnvVar("ARCHIVE_URL")),
        "prenight_index_store": PrenightIndexResource(
            url=dg.EnvVar("PRENIGHT_INDEX_URL")
        ),
        "simulations": SimulationsResource(
            work_folder=dg.EnvVar("SIMULATIONS_DIR"),
            site_data_folder=dg.EnvVar("RUBIN_SIM_DATA_DIR"),
            command=os.environ.get("SIMULATION_COMMAND", ""),
        ),
    }


def build_definitions(resources: dict[str, object]) -> dg.Definitions:
    """Return the code location with the given resources."""
    return dg.Definitions(
        assets=[
            scheduler_environment,
            *simulation_assets,
            *sequence_assets,
            *index_assets,
            archive_verification,
            existing_sequences,
        ],
        asset_checks=[services_answer],
        jobs=[*jobs, gc_job, observe_job],
        schedules=schedules,
        sensors=sensors,
        resources=resources,
        executor=executor(),
    )


defs = build_definitions(environment_resources())
