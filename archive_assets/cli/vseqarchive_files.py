"""The commands of ``vseqarchive`` for files, statistics and the pre-night index."""

from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import (
    StoreFolder,
    archive_url_option,
    with_archive,
    with_database,
)
from pipeline_runtime.documents import DocumentError, parse_json
from pipeline_runtime.edge import EdgeCommand, InputFile, finish, finish_original
from pipeline_runtime.printing import format_option, print_rows

__all__ = [
    "add",
    "add_nightly_stats",
    "archive_file",
    "export_proto",
    "get_file",
    "import_proto",
    "make_prenight_index",
    "query_nightly_stats",
]

# Any: the archive's class and pandas are imported only when a command runs

_PROTOTYPE_OPTION = click.option(
    "--proto-sim-archive-url",
    default="s3://rubin:rubin-scheduler-prenight/opsim/",
    show_default=True,
    help="Base URL of the prototype archive.",
)


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("origin", type=InputFile(str))
@click.argument("file_type")
@archive_url_option()
@click.option("--update", is_flag=True, help="Replace a file of this type.")
@with_archive
def archive_file(
    vsarch: Any,
    *,
    uuid: UUID,
    origin: str,
    file_type: str,
    archive_base: str,
    update: bool,
) -> None:
    """Archive the file ORIGIN of a sequence as FILE_TYPE and print its URL.

    An opsim file of type visits is converted to visits.h5.
    """
    from archive_assets.archiving.add_file import add_file

    location = add_file(vsarch, uuid, origin, file_type, archive_base, update=update)
    click.echo(location.geturl())
    finish_original(f"{file_type} archived", f"vseqarchive show {uuid}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("file_type")
@click.argument("destination", type=click.Path())
@with_archive
def get_file(vsarch: Any, uuid: UUID, file_type: str, destination: str) -> None:
    """Copy the file of type FILE_TYPE to DESTINATION, which must not exist.

    Its hash is compared on the way. Visits become an opsim file if DESTINATION ends
    with .db, .sqlite, .sqlite3 or .db3.
    """
    from archive_assets.reading.files import retrieve_file

    for line in retrieve_file(vsarch, uuid, file_type, Path(destination)):
        click.echo(line)
    finish_original(f"copied to {destination}, its hash is as recorded")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@click.argument("visits_file", type=InputFile(str))
@click.argument("columns", nargs=-1)
@with_archive
def add_nightly_stats(
    vsarch: Any, uuid: UUID, visits_file: str, columns: tuple[str, ...]
) -> None:
    """Record nightly statistics of COLUMNS (altitude azimuth) and print them as TSV."""
    from archive_assets.reading.files import compute_nightly_stats, get_visits

    visits = get_visits(visits_file)
    stats = compute_nightly_stats(visits, columns or ("altitude", "azimuth"))
    vsarch.insert_nightly_stats(uuid, stats)
    print_rows("tsv", stats.columns, stats.itertuples(index=False, name=None))
    finish_original(f"{len(stats)} statistics recorded", f"vseqarchive show {uuid}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@format_option("tsv")
@with_archive
def query_nightly_stats(vsarch: Any, uuid: UUID, output: str) -> None:
    """Print the recorded nightly statistics; a blank line if none, as the original."""
    stats = vsarch.query_nightly_stats(uuid)
    if stats.empty and output == "tsv":
        click.echo("")
    else:
        print_rows(output, stats.columns, stats.itertuples(index=False, name=None))


@click.command(cls=EdgeCommand)
@click.argument("archive_base")
@click.argument("sim_date")
@click.argument("sim_index")
@_PROTOTYPE_OPTION
@with_archive
def import_proto(
    vsarch: Any,
    archive_base: str,
    sim_date: str,
    sim_index: str,
    proto_sim_archive_url: str,
) -> None:
    """Import simulation SIM_DATE SIM_INDEX of the prototype archive; print its UUID."""
    from archive_assets.prototype_archive.importing import import_from_prototype

    uuid = import_from_prototype(
        vsarch, archive_base, sim_date, sim_index, proto_sim_archive_url
    )
    click.echo(uuid)
    finish_original("imported", f"vseqarchive show {uuid}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@_PROTOTYPE_OPTION
def export_proto(uuid: UUID, proto_sim_archive_url: str) -> NoReturn:
    """Refuse: the prototype archive is only read; see `get-file`."""
    raise click.ClickException(
        f"export-proto is retired, {proto_sim_archive_url} is only read: "
        f"`vseqarchive get-file {uuid} visits DESTINATION` copies the visits"
    )


@click.command(cls=EdgeCommand)
@click.argument("dayobs", type=click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"]))
@click.argument("telescope", type=click.Choice(["simonyi", "auxtel"]))
@click.option(
    "--destination",
    type=StoreFolder(is_read=False),
    envvar="PRENIGHT_INDEX_URL",
    help="Base URL of the indexes; also $PRENIGHT_INDEX_URL, else the observatory's.",
)
@with_archive
def make_prenight_index(
    vsarch: Any, dayobs: datetime, telescope: str, destination: str | None
) -> None:
    """Publish the index of pre-night simulations of DAYOBS and print its URL."""
    from archive_assets.nights.index import write_prenight_index

    click.echo(write_prenight_index(vsarch, dayobs.date(), telescope, destination))
    finish_original("index published")


@click.command(cls=EdgeCommand)
@click.argument("visits_file", type=InputFile(str))
@click.argument("label")
@archive_url_option()
@click.option(
    "--kind",
    type=click.Choice(["simulations", "completed", "mixedvisitseq", "visitseq"]),
    default="simulations",
    show_default=True,
    help="What kind of sequence.",
)
@click.option("--telescope", default="simonyi", show_default=True, help="Its name.")
@click.option("--tag", "tags", multiple=True, help="Tag; may be repeated.")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="TYPE=PATH",
    help="Another file to archive; may be repeated.",
)
@click.option(
    "--first_day_obs", help="First night; by default that of the first visit."
)
@click.option("--last_day_obs", help="Last night; by default that of the last visit.")
@click.option("--creation_time", help="ISO time, UTC if it has no zone; now if absent.")
@click.option("--scheduler_version", help="Version of rubin_scheduler.")
@click.option("--config_url", help="URL of the configuration script.")
@click.option("--conda_env_sha256", help="Hash of a recorded environment, hexadecimal.")
@click.option("--parent", type=click.UUID, help="Sequence loaded before the run.")
@click.option("--parent_last_day_obs", help="Last night of the parent's visits.")
@click.option(
    "--early_parent", type=click.UUID, help="Early parent of a mixed sequence."
)
@click.option("--late_parent", type=click.UUID, help="Late parent of a mixed sequence.")
@click.option("--last_early_day_obs", help="Last night from the early parent.")
@click.option("--first_late_day_obs", help="First night from the late parent.")
@click.option("--sim_runner_kwargs", help="Arguments of the run, a JSON object.")
@click.option("--query", help="The consdb query of completed visits.")
@click.option(
    "--stats",
    "stats_columns",
    help="Columns to record nightly statistics of; empty for none. By default "
    "altitude and azimuth, as far as the visits have them.",
)
@click.option("--comment", "comments", multiple=True, help="Comment; may be repeated.")
@click.option("--author", help="Author of the comments.")
@click.option("--key", help="Idempotency key; by default the content is the key.")
@with_database
def add(database: Any, visits_file: str, label: str, **options: Any) -> None:
    """Archive VISITS_FILE and all about it as LABEL, as one act, and print its UUID.

    Everything is stored and recorded, or nothing. The same content again prints the
    UUID that it has, with a note on standard error.
    """
    from archive_assets.archiving.sequence import archive_visit_sequence
    from archive_assets.metadata.values import time_of_text
    from archive_assets.objects.datastore import DataStore

    created = options["creation_time"]
    env_hash = options["conda_env_sha256"]
    done = archive_visit_sequence(
        vsarch=database,
        store=DataStore(options["archive_base"]),
        visits=visits_file,
        label=label,
        telescope=options["telescope"],
        kind=options["kind"],
        tags=options["tags"],
        files=_files(options["files"]),
        first_day_obs=options["first_day_obs"],
        last_day_obs=options["last_day_obs"],
        creation_time=None if created is None else time_of_text(created),
        stats_columns=None
        if (asked := options["stats_columns"]) is None
        else [c for c in asked.split(",") if c],
        comments=options["comments"],
        author=options["author"],
        idempotency_key=options["key"],
        scheduler_version=options["scheduler_version"],
        config_url=options["config_url"],
        conda_env_sha256=None if env_hash is None else _from_hex(env_hash),
        parent_visitseq_uuid=options["parent"],
        parent_last_day_obs=options["parent_last_day_obs"],
        sim_runner_kwargs=_json(options["sim_runner_kwargs"]),
        query=options["query"],
        early_parent_uuid=options["early_parent"],
        late_parent_uuid=options["late_parent"],
        last_early_day_obs=options["last_early_day_obs"],
        first_late_day_obs=options["first_late_day_obs"],
    )
    click.echo(done.uuid)
    said = (
        "already archived, nothing was changed"
        if done.already_archived
        else (f"{label!r} archived")
    )
    finish(said, f"vseqarchive show {done.uuid}")


def _files(words: tuple[str, ...]) -> dict[str, str]:
    files: dict[str, str] = {}
    for word in words:
        file_type, found, path = word.partition("=")
        if not found or not file_type or not path:
            raise click.BadParameter(f"{word!r} is not TYPE=PATH", param_hint="--file")
        if file_type in files:
            raise click.BadParameter(
                f"{file_type!r} is given twice", param_hint="--file"
            )
        files[file_type] = path
    return files


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not hexadecimal") from error


def _json(text: str | None) -> dict[str, object] | None:
    if text is None:
        return None
    try:
        value = parse_json(text, "the value")
    except DocumentError as error:
        raise click.BadParameter(
            str(error), param_hint="--sim_runner_kwargs"
        ) from error
    if not isinstance(value, dict):
        raise click.BadParameter(
            "must be a JSON object", param_hint="--sim_runner_kwargs"
        )
    return value
