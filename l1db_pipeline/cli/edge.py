"""What every command has at its edge: our errors as plain text, and logging."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from l1db_pipeline.errors import L1dbError

__all__ = ["config_option", "plain_errors", "set_up_logging", "verbose_option"]

P = ParamSpec("P")
R = TypeVar("R")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

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

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except L1dbError as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def set_up_logging(verbosity: int) -> None:
    """Log to stderr in the original's format: warnings, with 1 info, with 2 debug."""
    logging.basicConfig(
        level=_LEVELS[min(verbosity, 2)],
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
