"""How the subcommands of ``vseqarchive`` reach the archive, and how they end."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from pipeline_runtime.edge import one_line

__all__ = [
    "EXIT_PROBLEMS",
    "ArchiveAddress",
    "archive_url_option",
    "plain_errors",
    "with_archive",
    "with_database",
]

P = ParamSpec("P")
R = TypeVar("R")

EXIT_PROBLEMS = 3
"""Exit code of a check that found something."""


@dataclass(frozen=True, slots=True)
class ArchiveAddress:
    """Where the group's options say that the metadata database is."""

    database: str | None = None
    host: str | None = None
    user: str | None = None
    port: int | None = None
    schema: str | None = None

    @property
    def connect(self) -> dict[str, object]:
        """Arguments of the connection, None where an option is not given."""
        return {
            "database": self.database,
            "host": self.host,
            "user": self.user,
            "port": self.port,
        }


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the archive refuses into a line."""
    # the observatory's bucket has a tenant in its name, which botocore refuses
    os.environ.setdefault("LSST_DISABLE_BUCKET_VALIDATION", "1")
    from archive_assets.errors import EXPECTED_ERRORS

    try:
        yield
    except EXPECTED_ERRORS as error:
        raise click.ClickException(one_line(error)) from error


# Any: the archive's class is imported only when a command runs
def with_archive(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the archive as its first argument; connect late, close always."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        context = click.get_current_context()
        address = context.find_object(ArchiveAddress) or ArchiveAddress()
        with plain_errors():
            from archive_assets.metadata.archive_metadata import (
                VisitSequenceArchiveMetadata,
            )

            with VisitSequenceArchiveMetadata(
                address.connect, address.schema
            ) as vsarch:
                return function(vsarch, *args, **kwargs)

    return wrapped


def with_database(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the database alone: half the start-up time, no data frames."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        context = click.get_current_context()
        address = context.find_object(ArchiveAddress) or ArchiveAddress()
        with plain_errors():
            from archive_assets.metadata.database import MetadataDatabase
            from archive_assets.metadata.settings import connection_settings

            settings = connection_settings(address.connect, address.schema)
            database = MetadataDatabase(settings)
            try:
                return function(database, *args, **kwargs)
            finally:
                database.close()

    return wrapped


def archive_url_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--archive-base``, the store of the archive."""
    return click.option(
        "--archive-base",
        envvar="ARCHIVE_URL",
        default="s3://rubin:rubin-scheduler-prenight/opsim/vseq/",
        show_default=True,
        help="Base URL of the data store; also $ARCHIVE_URL.",
    )(function)
