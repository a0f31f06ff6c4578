"""``scheduler_snapshot``: pickle a scheduler, ready to simulate."""

from collections.abc import Sequence

import click

from archive_assets.cli.edge import plain_errors
from pipeline_runtime.edge import EdgeCommand, InputFile, finish

__all__ = ["main", "make_scheduler_snapshot_cli"]


@click.command(cls=EdgeCommand)
@click.option(
    "--scheduler_fname",
    default="scheduler.pickle.xz",
    show_default=True,
    help="File to write; compressed if it ends with .bz2, .xz or .gz.",
)
@click.option("--repo", help="Git repository of the configuration; an allowed place.")
@click.option("--script", help="Configuration script, a path or in the repository.")
@click.option("--ref", default="main", show_default=True, help="Branch, tag or commit.")
@click.option(
    "--visits",
    type=InputFile(str),
    help="Opsim file or visits.h5 of the completed visits.",
)
@plain_errors
def main(
    scheduler_fname: str,
    repo: str | None,
    script: str | None,
    ref: str,
    visits: str | None,
) -> None:
    """Pickle a scheduler with the completed visits, ready to simulate.

    Without a configuration it is the example of pairs and greedy visits that comes
    with rubin_scheduler. Scripts run only from the places in PRENIGHT_CONFIG_PLACES.
    """
    if repo and not script:
        raise click.UsageError("--repo needs --script")
    from archive_assets.simulation.scheduler_snapshot import (
        get_scheduler,
        save_scheduler,
    )

    save_scheduler(get_scheduler(repo, script, ref, visits), scheduler_fname)
    click.echo(scheduler_fname)
    finish(
        "scheduler saved", "run_prenight_sim SCHEDULER OBSERVATORY DAY_OBS SIM_NIGHTS"
    )


def make_scheduler_snapshot_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command `scheduler_snapshot` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    main(args=list(cli_args) or None, standalone_mode=False)
    return 0


if __name__ == "__main__":
    main()
