"""What every command has at its edge: our errors as plain text."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click
from typing_extensions import override

from archive_assets.errors import ArchiveError

__all__ = ["DAY_OBS", "WithTags", "plain_errors"]

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


class WithTags(click.Command):
    """Takes several values after one ``--tags``, as the original does."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        in_tags = False
        for argument in args:
            if argument.startswith("-"):
                in_tags = argument == "--tags"
                if not in_tags:
                    spread.append(argument)
            elif in_tags:
                spread += ["--tags", argument]
            else:
                spread.append(argument)
        return super().parse_args(ctx, spread)
