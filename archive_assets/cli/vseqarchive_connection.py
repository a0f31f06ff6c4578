"""How the subcommands of ``vseqarchive`` reach the archive, and how they end."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import click
from typing_extensions import override

from pipeline_runtime.edge import one_line

__all__ = [
    "EXIT_PROBLEMS",
    "ArchiveAddress",
    "StoreFolder",
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


class StoreFolder(click.ParamType[str]):
    """The URL of a store; a misspelt folder is refused and not made.

    Parameters
    ----------
    is_read
        Whether the command only reads: then the folder must exist. What writes may
        make it, in a folder that exists.
    """

    name = "url"

    def __init__(self, *, is_read: bool) -> None:
        self.is_read = is_read

    @override
    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"", "file"}:
            return value
        folder = Path(unquote(parts.path) if parts.scheme else value)
        wanted = folder if self.is_read else folder.absolute().parent
        if not wanted.is_dir():
            self.fail(f"there is no folder {wanted}", param, ctx)
        return value


def archive_url_option(
    *, is_read: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return what adds ``--archive-base``, the store of the archive."""
    return click.option(
        "--archive-base",
        type=StoreFolder(is_read=is_read),
        envvar="ARCHIVE_URL",
        default="s3://rubin:rubin-scheduler-prenight/opsim/vseq/",
        show_default=True,
        help="Base URL of the data store; also $ARCHIVE_URL.",
    )
