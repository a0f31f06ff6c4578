"""The commands of ``vseqarchive`` that record and read metadata."""

from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import with_archive, with_database
from pipeline_runtime.edge import EdgeCommand, InputFile, finish_original
from pipeline_runtime.printing import format_option, print_rows

__all__ = [
    "get_visitseq_metadata",
    "get_visitseq_url",
    "record_conda_env",
    "record_visitseq_metadata",
    "set_visitseq_url",
    "update_visitseq_metadata",
]

# Any: the archive's class and pandas are imported only when a command runs


@click.command(cls=EdgeCommand)
@click.argument("table")
@click.argument("visits_file", type=InputFile(str))
@click.argument("label")
@click.option(
    "--telescope", default="simonyi", show_default=True, help="Name of the telescope."
)
@click.option("--url", help="Where the visits are.")
@click.option("--first_day_obs", help="First night, YYYY-MM-DD or YYYYMMDD.")
@click.option("--last_day_obs", help="Last night, YYYY-MM-DD or YYYYMMDD.")
@click.option("--creation_time", help="ISO time, UTC if it has no zone; now if absent.")
@with_archive
def record_visitseq_metadata(
    vsarch: Any,
    *,
    table: str,
    visits_file: str,
    label: str,
    telescope: str,
    url: str | None,
    first_day_obs: str | None,
    last_day_obs: str | None,
    creation_time: str | None,
) -> None:
    """Record the visits in VISITS_FILE under LABEL and print the new UUID.

    TABLE is visitseq, simulations, completed or mixedvisitseq. VISITS_FILE is an
    opsim file or an HDF5 file with the key observations. The visits themselves are
    not archived: see archive-file, or add for everything at once.
    """
    from archive_assets.reading.files import get_visits

    uuid = vsarch.record_visitseq_metadata(
        get_visits(visits_file),
        label,
        telescope=telescope,
        table=table,
        url=url,
        first_day_obs=_day(first_day_obs),
        last_day_obs=_day(last_day_obs),
        creation_time=_time(creation_time),
    )
    click.echo(uuid)
    finish_original(
        "recorded; its visits are not archived", f"vseqarchive archive-file {uuid}"
    )


def _day(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _time(text: str | None) -> Any:
    from archive_assets.metadata.values import time_of_text

    return None if text is None else time_of_text(text)


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.option(
    "--table",
    default="visitseq",
    show_default=True,
    help="visitseq, simulations, completed, mixedvisitseq or simulations_extra.",
)
@format_option("tsv")
@with_database
def get_visitseq_metadata(database: Any, uuid: UUID, table: str, output: str) -> None:
    """Print the metadata of a sequence: names, then values."""
    from archive_assets.metadata.errors import UnknownSequenceError
    from archive_assets.metadata.selects import select_row

    with database.transaction() as connection:
        found = select_row(connection, uuid, table)
        names, rows = list(found.keys()), found.all()
    if not rows:
        raise UnknownSequenceError(uuid, table)
    print_rows(output, names, rows)


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("url")
@with_database
def set_visitseq_url(database: Any, uuid: UUID, url: str) -> None:
    """Set where the visits of a sequence are."""
    from archive_assets.metadata.sequences import set_url
    from archive_assets.metadata.values import checked_url

    with database.transaction() as connection:
        set_url(connection, uuid, checked_url(url, "the URL"))
    finish_original("URL set", f"vseqarchive verify {uuid}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@with_database
def get_visitseq_url(database: Any, uuid: UUID) -> None:
    """Print where the visits of a sequence are; a blank line if nowhere."""
    from archive_assets.metadata.sequences import get_url

    with database.transaction() as connection:
        url = get_url(connection, uuid)
    click.echo(url or "")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("field")
@click.argument("value")
@with_database
def update_visitseq_metadata(database: Any, uuid: UUID, field: str, value: str) -> None:
    """Set the column FIELD of a sequence; hashes are given in hexadecimal."""
    new: object = value
    if field.endswith("sha256"):
        try:
            new = bytes.fromhex(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not hexadecimal") from error
    elif field.endswith("_day_obs"):
        new = _day(value)
    from archive_assets.metadata.sequences import update_field
    from archive_assets.metadata.values import checked_field

    with database.transaction() as connection:
        update_field(connection, uuid, field, checked_field(field, new))
    finish_original(f"{field} set", f"vseqarchive show {uuid}")


@click.command(cls=EdgeCommand)
@with_archive
def record_conda_env(vsarch: Any) -> None:
    """Record the current conda environment and print its hash."""
    import warnings

    from archive_assets.metadata.environments import compute_conda_env

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        env_hash = vsarch.record_conda_env(*compute_conda_env())
    for warning in caught:
        click.echo(f"Warning: {warning.message}", err=True)
    click.echo(env_hash.hex())
