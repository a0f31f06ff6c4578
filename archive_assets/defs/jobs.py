"""The archive's jobs, each runnable from the UI and with ``dagster job execute``."""

import dagster as dg

from archive_assets.defs.names import NOMINAL, archived_key, simulation_key

__all__ = [
    "archive_job",
    "jobs",
    "nominal_night_job",
    "prenight_index_job",
    "prenight_job",
    "simulate_job",
]

_SIMULATIONS = dg.AssetSelection.groups("simulation")
_SEQUENCES = dg.AssetSelection.key_prefixes("archived_visit_sequences")
_INDEX = dg.AssetSelection.assets(
    ["archive", "prenight_index"], ["archive", "nightly_statistics"]
)

simulate_job = dg.define_asset_job(
    "simulate",
    _SIMULATIONS,
    description="Every variant of a night, two at a time; sensors archive them.",
)
prenight_job = dg.define_asset_job(
    "prenight",
    _SIMULATIONS | _SEQUENCES | _INDEX,
    description="A whole night in one run: simulated, archived, indexed.",
)
nominal_night_job = dg.define_asset_job(
    "nominal_night",
    dg.AssetSelection.assets(
        "scheduler_environment", simulation_key(NOMINAL), archived_key(NOMINAL)
    )
    | _INDEX,
    description="The nominal variant of a night: simulated, archived, indexed.",
)
archive_job = dg.define_asset_job(
    "archive",
    _SEQUENCES,
    description="Archive the finished simulations of a night.",
)
prenight_index_job = dg.define_asset_job(
    "prenight_index",
    _INDEX,
    description="Publish the pre-night index and collect the nightly statistics.",
)
jobs = [
    simulate_job,
    prenight_job,
    nominal_night_job,
    archive_job,
    prenight_index_job,
]
