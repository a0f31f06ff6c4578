"""What every command of the archive has at its edge."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from typing_extensions import override

from archive_assets.errors import EXPECTED_ERRORS
from pipeline_runtime.edge import DAY_OBS, EdgeCommand, turned_into_text

__all__ = ["DAY_OBS", "WithTags", "name_and_path", "plain_errors"]

P = ParamSpec("P")
R = TypeVar("R")


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into ``Error: ...`` on stderr and exit code 1."""
    return turned_into_text(*EXPECTED_ERRORS)(function)


def name_and_path(argument: str) -> tuple[str, Path]:
    """Return the two parts of a ``NAME=FILE``, neither of them empty."""
    name, equals, path = argument.partition("=")
    if not (name and equals and path):
        raise click.UsageError(f"{argument!r} is not NAME=FILE")
    return name, Path(path)


class WithTags(EdgeCommand):
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
