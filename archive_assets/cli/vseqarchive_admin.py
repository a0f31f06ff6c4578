"""The commands of ``vseqarchive`` for the schema and its roles."""

from typing import Any

import click

from archive_assets.cli.vseqarchive_connection import EXIT_PROBLEMS, with_database
from pipeline_runtime.edge import EdgeCommand, EdgeGroup, finish, note

__all__ = ["roles", "schema"]

# Any: the database's class is imported only when a command runs


@click.group(cls=EdgeGroup)
def schema() -> None:
    """Create, upgrade or show the schema of the metadata database.

    A database that the original made is upgraded in place: its rows and its clients
    stay as they are.
    """


@schema.command()
@with_database
def create(database: Any) -> None:
    """Make the schema; exit code 1 if it exists."""
    from archive_assets.metadata.schema import create_schema

    state = create_schema(database)
    click.echo(f"created {database.settings.place} at revision {state.revision}")
    finish("the archive is ready", "vseqarchive add VISITS_FILE LABEL")


@schema.command()
@with_database
def upgrade(database: Any) -> None:
    """Bring the schema up to date in place; nothing happens if it is."""
    from archive_assets.metadata.schema import schema_state, upgrade_schema

    before = schema_state(database)
    state = upgrade_schema(database)
    click.echo(f"{database.settings.place} is at revision {state.revision}")
    finish(
        "nothing was changed" if before == state else "upgraded, every row kept",
        "vseqarchive doctor",
    )


@schema.command()
@with_database
def current(database: Any) -> None:
    """Print the revision; exit code 3 if it is not the one that is needed."""
    from archive_assets.metadata.schema import schema_state

    state = schema_state(database)
    click.echo(state.revision or "none")
    if not state.is_current:
        note(f"this version needs {state.head}: run `vseqarchive schema upgrade`")
        click.get_current_context().exit(EXIT_PROBLEMS)


@click.command(cls=EdgeCommand)
@with_database
def roles(database: Any) -> None:
    """Create reader, writer, tester and the owner rubin, and grant their rights.

    A schema named test is for testers, any other for readers and writers. Passwords
    are set by hand. Running it again changes nothing.
    """
    from archive_assets.metadata.roles import create_roles

    created = create_roles(database)
    click.echo(f"created {', '.join(created)}" if created else "all roles were there")
    finish("rights granted", "set the passwords with psql (\\password ROLE)")
