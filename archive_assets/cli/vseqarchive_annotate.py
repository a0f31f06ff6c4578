"""The commands of ``vseqarchive`` for tags and comments."""

from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import with_database
from pipeline_runtime.edge import EdgeCommand, finish_original
from pipeline_runtime.printing import format_option, print_rows

__all__ = ["comment", "get_comments", "is_tagged", "tag", "untag"]

# Any: the database's class is imported only when a command runs


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("tag")
@with_database
def is_tagged(database: Any, uuid: UUID, tag: str) -> None:
    """Print true or false: whether a sequence has TAG."""
    from archive_assets.metadata import annotations

    with database.transaction() as connection:
        has_it = annotations.is_tagged(connection, uuid, tag)
    click.echo("true" if has_it else "false")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("tags", nargs=-1, required=True)
@with_database
def tag(database: Any, uuid: UUID, tags: tuple[str, ...]) -> None:
    """Add TAGS to a sequence."""
    from archive_assets.metadata.annotations import add_tags
    from archive_assets.metadata.values import checked_tags

    with database.transaction() as connection:
        n_added = add_tags(connection, uuid, checked_tags(tags))
    if n_added:
        words = f"{n_added} {'tag' if n_added == 1 else 'tags'} added"
        finish_original(words, f"vseqarchive search --tags {','.join(tags)}")
    else:
        finish_original(f"nothing was changed: {uuid} has {', '.join(tags)} already")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("tag")
@with_database
def untag(database: Any, uuid: UUID, tag: str) -> None:
    """Take TAG from a sequence; exit code 1 if it does not have it."""
    from archive_assets.metadata.annotations import remove_tag

    with database.transaction() as connection:
        remove_tag(connection, uuid, tag)
    finish_original(f"tag {tag} removed")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("comment")
@click.option("--author", help="Author of the comment.")
@with_database
def comment(database: Any, uuid: UUID, comment: str, author: str | None) -> None:
    """Attach COMMENT to a sequence."""
    from archive_assets.metadata.annotations import add_comment
    from archive_assets.metadata.values import checked_text

    words = checked_text(comment, "the comment")
    by = None if author is None else checked_text(author, "the author")
    with database.transaction() as connection:
        add_comment(connection, uuid, words, by)
    finish_original("comment added", f"vseqarchive get-comments {uuid}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@format_option("tsv")
@with_database
def get_comments(database: Any, uuid: UUID, output: str) -> None:
    """Print the comments on a sequence, oldest first; nothing if none."""
    from archive_assets.metadata.selects import select_comments

    with database.transaction() as connection:
        found = select_comments(connection, uuid)
        names, rows = list(found.keys()), found.all()
    if rows or output == "json":
        print_rows(output, names, rows)
