"""The commands of ``vseqarchive`` for the schema and its roles."""

from typing import Any

import click

from archive_assets.cli.vseqarchive_connection import EXIT_PROBLEMS, with_archive

__all__ = ["roles", "schema"]

# Any: the archive's class is imported only when a command runs


@click.group()
def schema() -> None:
    """Create, upgrade or show the schema of the metadata database.

    A database that the original made is upgraded in place: its rows and its clients
    stay as they are.
    """


@schema.command()
@with_archive
def create(vsarch: Any) -> None:
    """Make the schema; exit code 1 if it exists."""
    from archive_assets.metadata.schema import create_schema

    state = create_schema(vsarch.database)
    click.echo(f"created {vsarch.database.settings.place} at revision {state.revision}")


@schema.command()
@with_archive
def upgrade(vsarch: Any) -> None:
    """Bring the schema up to date in place; nothing happens if it is."""
    from archive_assets.metadata.schema import upgrade_schema

    state = upgrade_schema(vsarch.database)
    click.echo(f"{vsarch.database.settings.place} is at revision {state.revision}")


@schema.command()
@with_archive
def current(vsarch: Any) -> None:
    """Print the revision; exit code 3 if it is not the one that is needed."""
    from archive_assets.metadata.schema import schema_state

    state = schema_state(vsarch.database)
    click.echo(state.revision or "none")
    if not state.is_current:
        click.echo(f"this version needs {state.head}", err=True)
        click.get_current_context().exit(EXIT_PROBLEMS)


@click.command()
@with_archive
def roles(vsarch: Any) -> None:
    """Create reader, writer, tester and the owner rubin, and grant their rights.

    A schema named test is for testers, any other for readers and writers. Passwords
    are set by hand. Running it again changes nothing.
    """
    from archive_assets.metadata.roles import create_roles

    created = create_roles(vsarch.database)
    click.echo(f"created {', '.join(created)}" if created else "all roles were there")
