"""Visit simulations: one asset a variant, one partition a night."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from pydantic import Field

from archive_assets.defs.names import Plan, completed_key, plans, simulation_key
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.pictures import night_pictures
from archive_assets.defs.resources import SimulationsResource
from archive_assets.defs.tables import visits_schema
from pipeline_runtime.dagster.checks import check_result, refuse
from pipeline_runtime.dagster.pools import scheduler_pool, scheduler_slots
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.run_tags import OWN_PROCESS

__all__ = ["SimulationConfig", "simulation_assets"]

_SANE = "visits_are_sane"
_OWNERS = ["team:survey-scheduling"]
_RETRIES = patiently(1, delay_s=30)


class SimulationConfig(dg.Config):
    """What to simulate beyond the night and the variant."""

    n_nights: int = Field(
        default=0,
        ge=0,
        le=400,
        description="Nights to simulate; 0 takes the number of the variants file.",
    )
    opsim_file: str = Field(
        default="",
        description="Opsim SQLite file to take instead of running the scheduler.",
    )
    seed: int = Field(default=42, ge=0, description="Seed of the sky tessellation.")
    again: bool = Field(
        default=False,
        description="Simulate even if the same simulation is finished already.",
    )


def _simulation_asset(plan: Plan, n_slots: int) -> dg.AssetsDefinition:
    @dg.asset(
        key=simulation_key(plan),
        partitions_def=nights,
        group_name="simulation",
        kinds={"python", "sqlite"},
        owners=_OWNERS,
        tags={"telescope": plan.telescope.value, "variant": plan.variant.name},
        description=f"{plan.variant.label} ({plan.telescope.value}).",
        code_version="1",
        pool=scheduler_pool(plan.order, n_slots),
        retry_policy=_RETRIES,
        backfill_policy=dg.BackfillPolicy.multi_run(),
        deps=["scheduler_environment", completed_key(plan.telescope)],
        op_tags={"dagster/priority": str(-plan.order)} | OWN_PROCESS,
        check_specs=[
            dg.AssetCheckSpec(
                _SANE,
                asset=simulation_key(plan),
                blocking=True,
                description=(
                    "Visits are finite, in order, inside the nights, bands known; "
                    "else they are not archived."
                ),
            )
        ],
    )
    def simulation(
        context: dg.AssetExecutionContext,
        config: SimulationConfig,
        simulations: SimulationsResource,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        from archive_assets.simulation.once import (
            NightlySimulation,
            simulate_into_outbox,
        )
        from archive_assets.simulation.sound_visits import unsound_visits
        from visit_tables.opsim.frame import read_opsim

        night = night_of(context)
        work = NightlySimulation(
            first_day_obs=night,
            n_nights=config.n_nights or plan.n_nights,
            telescope=plan.telescope,
            variant=plan.variant,
            site_data=simulations.site_data,
            outbox=simulations.work,
            parent=None
            if config.opsim_file
            else simulations.starting_point(plan.telescope, night),
            seed=config.seed,
            opsim_file=Path(config.opsim_file) if config.opsim_file else None,
            again=config.again,
            command=simulations.command_words,
            synthesize=simulations.synthesize,
            report=context.log.info,
        )
        finished, is_new = simulate_into_outbox(work)
        said = "are simulated" if is_new else "were simulated before"
        context.log.info("%d visits %s", finished.n_visits, said)
        site_data = str(finished.provenance.get("site_data", ""))
        pictures = night_pictures(
            finished.folder,
            finished.opsim_path,
            plan.name,
            night,
            f"{site_data} site data",
        )
        visits = read_opsim(finished.opsim_path)
        sane = check_result(
            _SANE,
            unsound_visits(visits, finished.first_day_obs, finished.last_day_obs),
            metadata={"visits": finished.n_visits},
        )
        yield sane
        refuse(sane)
        yield dg.MaterializeResult(
            metadata={
                "visits": finished.n_visits,
                "is_new": is_new,
                "wall_s": round(finished.wall_s, 2),
                "cpu_s": round(finished.cpu_s, 2),
                "peak_memory_MB": round(finished.peak_memory_bytes / 1e6, 1),
                "site_data": site_data,
                "opsim_file": dg.MetadataValue.path(finished.opsim_path),
                "dagster/column_schema": visits_schema(visits.dtypes.to_dict()),
                **pictures,
            },
            data_version=dg.DataVersion(finished.request_digest or "unknown"),
        )

    return simulation


def simulation_assets() -> list[dg.AssetsDefinition]:
    """Return the simulation of every variant, in as many pools as may run at once."""
    n_slots = scheduler_slots()
    return [_simulation_asset(plan, n_slots) for plan in plans()]
