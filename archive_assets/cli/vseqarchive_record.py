"""The commands of ``vseqarchive`` that record and read metadata."""

from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import with_archive
from pipeline_runtime.edge import InputFile

__all__ = [
    "get_visitseq_metadata",
    "get_visitseq_url",
    "record_conda_env",
    "record_visitseq_metadata",
    "set_visitseq_url",
    "update_visitseq_metadata",
]

# Any: the archive's class and pandas are imported only when a command runs


@click.command()
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


def _day(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdigit() else text


def _time(text: str | None) -> Any:
    from archive_assets.metadata.values import time_of_text

    return None if text is None else time_of_text(text)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.option(
    "--table",
    default="visitseq",
    show_default=True,
    help="visitseq, simulations, completed, mixedvisitseq or simulations_extra.",
)
@with_archive
def get_visitseq_metadata(vsarch: Any, uuid: UUID, table: str) -> None:
    """Print the metadata of a sequence as TSV: names, then values."""
    row = vsarch.get_visitseq_metadata(uuid, table=table)
    readable = row.map(lambda value: value.hex() if isinstance(value, bytes) else value)
    click.echo(readable.to_frame().T.to_csv(sep="\t", index=False).rstrip("\n"))


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("url")
@with_archive
def set_visitseq_url(vsarch: Any, uuid: UUID, url: str) -> None:
    """Set where the visits of a sequence are."""
    vsarch.set_visitseq_url(uuid, url)


@click.command()
@click.argument("uuid", type=click.UUID)
@with_archive
def get_visitseq_url(vsarch: Any, uuid: UUID) -> None:
    """Print where the visits of a sequence are; a blank line if nowhere."""
    click.echo(vsarch.get_visitseq_url(uuid) or "")


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("field")
@click.argument("value")
@with_archive
def update_visitseq_metadata(vsarch: Any, uuid: UUID, field: str, value: str) -> None:
    """Set the column FIELD of a sequence; hashes are given in hexadecimal."""
    new: object = value
    if field.endswith("sha256"):
        try:
            new = bytes.fromhex(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not hexadecimal") from error
    elif field.endswith("_day_obs"):
        new = _day(value)
    vsarch.update_visitseq_metadata(uuid, field, new)


@click.command()
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
