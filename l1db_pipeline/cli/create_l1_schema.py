"""``create_l1_schema``: make the tables of the L1 database."""

import click

from l1db_pipeline.cli.edge import (
    config_option,
    make_tables,
    plain_errors,
    set_up_logging,
    verbose_option,
)
from pipeline_runtime.edge import EdgeCommand

__all__ = ["main"]


@click.command(cls=EdgeCommand)
@verbose_option
@click.option(
    "--drop",
    is_flag=True,
    help="Drop the tables first, with ALL DATA in them.",
)
@config_option
@plain_errors
def main(verbose: int, drop: bool, config: str) -> None:
    """Create the tables of the L1 database that the configuration describes.

    Tables that exist already stay as they are.

    \b
    Example:
      create_l1_schema -v -c cfg/l1db-sqlite.cfg
    """  # noqa: D301  # click wants the control character
    set_up_logging(verbose)
    make_tables(config, drop=drop)


if __name__ == "__main__":
    main()
