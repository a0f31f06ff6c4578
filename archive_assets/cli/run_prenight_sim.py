"""``run_prenight_sim``: simulate nights from pickled scheduler and observatory."""

from pathlib import Path

import click

from archive_assets.cli.edge import WithTags, plain_errors
from pipeline_runtime.edge import InputFile, finish

__all__ = ["main"]


@click.command(cls=WithTags)
@click.argument("scheduler", type=InputFile(str))
@click.argument("observatory", type=InputFile(str))
@click.argument("day_obs", type=int)
@click.argument("sim_nights", type=click.IntRange(min=1))
@click.option("--keep_rewards", is_flag=True, help="Record the rewards of each survey.")
@click.option(
    "--telescope", default="simonyi", show_default=True, help="simonyi or auxtel."
)
@click.option("--label", default="", help="Label of the simulation.")
@click.option(
    "--delay",
    default=0.0,
    show_default=True,
    help="Minutes after nautical twilight at which observing begins.",
)
@click.option(
    "--anom_overhead_scale",
    default=0.0,
    show_default=True,
    help="Standard deviation of the added overhead, as a fraction of the slew time.",
)
@click.option(
    "--anom_overhead_scatter",
    default=0.0,
    show_default=True,
    help="Scale of the added overhead that does not depend on the slew, s.",
)
@click.option(
    "--anom_overhead_seed", default=1, show_default=True, help="Seed of the overheads."
)
@click.option("--tags", multiple=True, help="Tags; several may follow one --tags.")
@click.option(
    "--results",
    default="",
    help="Folder of the results, which must not exist; by default a new one.",
)
@plain_errors
def main(  # noqa: PLR0917 - click passes options by keyword
    scheduler: str,
    observatory: str,
    day_obs: int,
    sim_nights: int,
    keep_rewards: bool,
    telescope: str,
    label: str,
    delay: float,
    anom_overhead_scale: float,
    anom_overhead_scatter: float,
    anom_overhead_seed: int,
    tags: tuple[str, ...],
    results: str,
) -> None:
    """Simulate SIM_NIGHTS nights from DAY_OBS (YYYYMMDD) on.

    SCHEDULER and OBSERVATORY are snapshots in the work folder (PRENIGHT_WORK):
    snapshots from elsewhere are not loaded. Prints the folder of the results, with
    opsim.db, sim_metadata.yaml, obs_stats.txt and both snapshots; an opsim.db that is
    there already is never added to.
    """
    from archive_assets.simulation.snapshot_run import SnapshotRun, run_from_snapshots

    folder = run_from_snapshots(
        SnapshotRun(
            scheduler=Path(scheduler),
            observatory=Path(observatory),
            day_obs=day_obs,
            sim_nights=sim_nights,
            keep_rewards=keep_rewards,
            telescope=telescope,
            label=label,
            delay_minutes=delay,
            anom_overhead_scale=anom_overhead_scale,
            anom_overhead_scatter_s=anom_overhead_scatter,
            anom_overhead_seed=anom_overhead_seed,
            tags=tags,
            results=Path(results) if results else None,
        )
    )
    click.echo(folder)
    finish("simulated", f"vseqarchive add {folder}/opsim.db LABEL")


if __name__ == "__main__":
    main()
