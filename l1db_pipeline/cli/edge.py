"""What every command of the L1 database has at its edge."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from l1db_pipeline.errors import EXPECTED_ERRORS
from pipeline_runtime.edge import set_up_logging, turned_into_text

__all__ = ["config_option", "plain_errors", "set_up_logging", "verbose_option"]

P = ParamSpec("P")
R = TypeVar("R")

config_option = click.option(
    "-c",
    "--config",
    default="l1db.cfg",
    show_default=True,
    envvar="L1DB_CONFIG",
    show_envvar=True,
    metavar="PATH",
    help="Configuration of the L1 database, an INI file; see cfg/ for examples.",
)
verbose_option = click.option(
    "-v", "--verbose", count=True, help="Log more; give it twice for still more."
)


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into ``Error: ...`` on stderr and exit code 1."""
    return turned_into_text(*EXPECTED_ERRORS)(function)
