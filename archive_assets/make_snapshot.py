"""Snapshots of a scheduler and an observatory: a door with the original's names."""

from collections.abc import Sequence

from archive_assets.simulation.scheduler_snapshot import (
    add_make_scheduler_snapshot_args,
    get_scheduler,
    get_scheduler_from_config,
    get_scheduler_instance_from_repo,
    save_scheduler,
)

__all__ = [
    "add_make_scheduler_snapshot_args",
    "get_scheduler",
    "get_scheduler_from_config",
    "get_scheduler_instance_from_repo",
    "make_ideal_model_observatory_cli",
    "make_scheduler_snapshot_cli",
    "save_scheduler",
]


def make_scheduler_snapshot_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command ``scheduler_snapshot`` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.scheduler_snapshot import main  # noqa: PLC0415 - a cycle

    main(args=list(cli_args) or None, standalone_mode=False)
    return 0


def make_ideal_model_observatory_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command ``ideal_model_observatory`` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.ideal_model_observatory import (  # noqa: PLC0415 - a cycle
        main,
    )

    main(args=list(cli_args) or None, standalone_mode=False)
    return 0
