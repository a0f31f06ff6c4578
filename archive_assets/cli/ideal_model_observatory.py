"""``ideal_model_observatory``: pickle a model observatory without bad weather."""

from collections.abc import Sequence
from pathlib import Path

import click

from archive_assets.cli.edge import plain_errors
from pipeline_runtime.edge import EdgeCommand, InputFile, finish

__all__ = ["main", "make_ideal_model_observatory_cli"]


@click.command(cls=EdgeCommand)
@click.argument("scheduler", type=InputFile(str))
@click.argument("model_observatory", type=click.Path(dir_okay=False))
@plain_errors
def main(scheduler: str, model_observatory: str) -> None:
    """Pickle a MODEL_OBSERVATORY with the resolution of a SCHEDULER.

    It has constant seeing, no clouds and no downtime. SCHEDULER is a snapshot in the
    work folder (PRENIGHT_WORK): snapshots from elsewhere are not loaded.
    """
    from archive_assets.simulation.snapshots import load_snapshot, save_snapshot

    nside = load_snapshot(Path(scheduler)).nside
    from rubin_scheduler.scheduler.model_observatory import ModelObservatory

    observatory = ModelObservatory(
        nside=nside, cloud_data="ideal", seeing_data="ideal", downtimes="ideal"
    )
    save_snapshot(observatory, Path(model_observatory))
    click.echo(model_observatory)
    finish(
        "observatory saved", "run_prenight_sim SCHEDULER OBSERVATORY DAY_OBS SIM_NIGHTS"
    )


def make_ideal_model_observatory_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command `ideal_model_observatory` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    main(args=list(cli_args) or None, standalone_mode=False)
    return 0


if __name__ == "__main__":
    main()
