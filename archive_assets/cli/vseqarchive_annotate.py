"""The commands of ``vseqarchive`` for tags and comments."""

from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import with_archive

__all__ = ["comment", "get_comments", "is_tagged", "tag", "untag"]

# Any: the archive's class is imported only when a command runs


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("tag")
@with_archive
def is_tagged(vsarch: Any, uuid: UUID, tag: str) -> None:
    """Print true or false: whether a sequence has TAG."""
    click.echo("true" if vsarch.is_tagged(uuid, tag) else "false")


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("tags", nargs=-1, required=True)
@with_archive
def tag(vsarch: Any, uuid: UUID, tags: tuple[str, ...]) -> None:
    """Add TAGS to a sequence."""
    vsarch.tag(uuid, *tags)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("tag")
@with_archive
def untag(vsarch: Any, uuid: UUID, tag: str) -> None:
    """Take TAG from a sequence; exit code 1 if it does not have it."""
    vsarch.untag(uuid, tag)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("comment")
@click.option("--author", help="Who says so.")
@with_archive
def comment(vsarch: Any, uuid: UUID, comment: str, author: str | None) -> None:
    """Attach COMMENT to a sequence."""
    vsarch.comment(uuid, comment, author)


@click.command()
@click.argument("uuid", type=click.UUID)
@with_archive
def get_comments(vsarch: Any, uuid: UUID) -> None:
    """Print the comments on a sequence as TSV, oldest first; nothing if none."""
    comments = vsarch.get_comments(uuid)
    if not comments.empty:
        click.echo(comments.to_csv(sep="\t", index=False).rstrip("\n"))
