"""The edge of every command: expected errors as one line, dates, logging."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = ["DAY_OBS", "plain_errors", "set_up_logging", "turned_into_text"]

P = ParamSpec("P")
R = TypeVar("R")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

# gives a datetime at midnight: callers take its date
DAY_OBS = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


def turned_into_text(
    *expected: type[Exception],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that turns errors into ``Error: ...`` and exit code 1."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except expected as error:
                raise click.ClickException(str(error)) from error

        return wrapped

    return decorate


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors of this package into ``Error: ...`` and exit code 1."""
    return turned_into_text(PipelineRuntimeError)(function)


def set_up_logging(verbosity: int) -> None:
    """Log to stderr in the original's format: warnings, with 1 info, with 2 debug."""
    logging.basicConfig(
        level=_LEVELS[min(verbosity, 2)],
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
