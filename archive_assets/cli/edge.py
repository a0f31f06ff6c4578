"""What every command has at its edge: our errors as plain text."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from archive_assets.errors import ArchiveError

__all__ = ["DAY_OBS", "plain_errors"]

P = ParamSpec("P")
R = TypeVar("R")

# gives a datetime at midnight: callers take its date
DAY_OBS = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into ``Error: ...`` on stderr and exit code 1."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ArchiveError as error:
            raise click.ClickException(str(error)) from error

    return wrapped
