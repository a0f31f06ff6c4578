"""The commands of ``vseqarchive`` that find and compare sequences."""

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import with_archive, with_database
from pipeline_runtime.edge import EdgeCommand, note
from pipeline_runtime.printing import (
    format_option,
    plain_value,
    print_rows,
    print_table,
)

__all__ = ["compare", "find", "nightly", "search", "show"]

# Any: the archive's class and pandas are imported only when a command runs

_Function = Callable[..., None]
_Decorator = Callable[[_Function], _Function]


def _day(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> date | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).date()
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is not YYYY-MM-DD or YYYYMMDD", context, parameter
        ) from error


def _words(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    del context, parameter
    return tuple(word for text in value for word in text.split(",") if word)


def _day_option(name: str, text: str, *, required: bool = False) -> _Decorator:
    return click.option(
        name, callback=_day, metavar="DAY", required=required, help=text
    )


def _tags_option(function: _Function) -> _Function:
    return click.option(
        "--tags", "--tag", multiple=True, callback=_words, metavar="TAG[,TAG...]",
        help="All must be present; may be repeated.",
    )(function)  # fmt: skip


@click.command(cls=EdgeCommand)
@_day_option("--day-obs", "A night that the sequence covers.")
@click.option("--telescope", help="Exact name.")
@_tags_option
@click.option(
    "--kind",
    type=click.Choice(["simulations", "completed", "mixedvisitseq", "visitseq"]),
    help="What kind of sequence.",
)
@click.option("--label", help="Text within the label.")
@_day_option("--created-from", "First day (UTC-12) of creation.")
@_day_option("--created-to", "Last day (UTC-12) of creation.")
@click.option("--version", "scheduler_version", help="Version of rubin_scheduler.")
@click.option("--parent", type=click.UUID, help="Sequence that it started from.")
@click.option("--state", type=click.Choice(["open", "complete", "trashed"]),
              help="State; by default all but the trash.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number to print.")
@format_option("table", "uuid")
@with_database
def search(database: Any, output: str, **criteria: Any) -> None:
    """Print the sequences that match every option, newest first."""
    from archive_assets.metadata.selects import SearchCriteria, select_sequences

    with database.transaction() as connection:
        found = select_sequences(connection, SearchCriteria(**criteria))
        names, rows = list(found.keys()), found.all()
    if output == "uuid":
        for row in rows:
            click.echo(row.visitseq_uuid)
    else:
        print_rows(output, names, rows)


@click.command(cls=EdgeCommand)
@_day_option("--day-obs", "A night that it covers.", required=True)
@_tags_option
@click.option(
    "--telescope", default="simonyi", show_default=True, help="Name of the telescope."
)
@click.option("--with-visits/--any", default=True, show_default=True,
              help="Whether its visits must be archived.")  # fmt: skip
@with_database
def find(
    database: Any,
    day_obs: date,
    tags: tuple[str, ...],
    telescope: str,
    with_visits: bool,
) -> None:
    """Print UUID and URL of the newest simulation of a night with all tags.

    They are separated by a tab. Exit code 1 if there is none.
    """
    from archive_assets.metadata.selects import SearchCriteria, select_sequences

    criteria = SearchCriteria(
        day_obs=day_obs, tags=tags, telescope=telescope, kind="simulations",
        with_visits=with_visits, limit=1,
    )  # fmt: skip
    with database.transaction() as connection:
        row = select_sequences(connection, criteria).first()
    if row is None:
        raise click.ClickException(
            f"no simulation of {telescope} covers {day_obs} with tags "
            f"{', '.join(tags) or 'of any kind'}; `vseqarchive search --day-obs "
            f"{day_obs}` lists what there is"
        )
    click.echo(f"{row.visitseq_uuid}\t{row.visitseq_url or ''}")


@click.command(cls=EdgeCommand)
@click.argument("uuid", type=click.UUID)
@format_option()
@with_database
def show(database: Any, uuid: UUID, output: str) -> None:
    """Print everything about a sequence."""
    from archive_assets.metadata.selects import describe_sequence

    with database.transaction() as connection:
        described = describe_sequence(connection, uuid)
    if output == "json":
        click.echo(json.dumps(described, indent=2))
    elif output == "csv":
        print_rows(output, ("name", "value"), described.items())
    else:
        _print_description(described)


def _print_description(described: dict[str, object]) -> None:
    width = max(map(len, described))
    for name, value in described.items():
        if value in (None, [], {}):
            continue
        is_plain = isinstance(value, str) and value.isprintable()
        text = value if is_plain else json.dumps(value)
        click.echo(f"{name.ljust(width)}  {text}")


@click.command(cls=EdgeCommand)
@_day_option("--first", "First night.", required=True)
@_day_option("--last", "Last night; the first by default.")
@_tags_option
@click.option("--telescope", help="Exact name.")
@click.option("--value", "values", multiple=True, callback=_words,
              metavar="NAME,...", help="Which statistics; all by default.")  # fmt: skip
@click.option(
    "--accumulated", is_flag=True, help="Accumulated over all nights up to each one."
)
@format_option()
@with_archive
def nightly(
    vsarch: Any, first: date, last: date | None, output: str, **criteria: Any
) -> None:
    """Print nightly statistics of the matching simulations over a range of nights."""
    found = vsarch.nightly(first, last or first, **criteria)
    print_rows(output, found.columns, found.itertuples(index=False, name=None))


@click.command(cls=EdgeCommand)
@click.argument("a")
@click.argument("b")
@_day_option("--day-obs", "Compare this night alone.")
@click.option("--all-nights", is_flag=True,
              help="Compare the nights of either, not only those of both.")  # fmt: skip
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path),
              help="Draw the comparison to this file (.png, .pdf, .svg).")  # fmt: skip
@click.option("--visits", is_flag=True, help="List the visits that only one has.")
@format_option()
@with_archive
def compare(
    vsarch: Any, *, a: str, b: str, day_obs: date | None, all_nights: bool,
    plot: Path | None, visits: bool, output: str,
) -> None:  # fmt: skip
    """Compare the visits of two sequences: shared, in one only, offsets, bands.

    A and B are UUIDs, or tags with commas between them, of which the newest sequence
    is taken. Visits match if night, field and band are equal. Nights on which only
    one sequence has visits are left out, unless --day-obs or --all-nights is given.
    """
    from archive_assets.reading.chosen import choose_sequence
    from archive_assets.reading.compare import compare_visits, plot_comparison
    from archive_assets.reading.files import read_sequence

    chosen = [choose_sequence(vsarch, one, day_obs=day_obs) for one in (a, b)]
    for side, one in zip("AB", chosen, strict=True):
        note(f"{side} is {one}")
    found = compare_visits(
        *(read_sequence(vsarch, one.uuid) for one in chosen),
        day_obs=day_obs, all_nights=all_nights,
    )  # fmt: skip
    summary = found.summary()
    summary |= {"uuid_a": str(chosen[0].uuid), "uuid_b": str(chosen[1].uuid)}
    if output == "json":
        if visits:
            for name, frame in (("only_a", found.only_a), ("only_b", found.only_b)):
                rows = frame.to_dict("records")
                summary[f"visits_{name}"] = [
                    {key: plain_value(value) for key, value in row.items()}
                    for row in rows
                ]
        click.echo(json.dumps(summary, indent=2))
    elif output == "csv":
        print_rows(output, ("name", "value"), summary.items())
    else:
        _print_comparison(summary)
        for name, frame in (("A", found.only_a), ("B", found.only_b)):
            if visits and not frame.empty:
                click.echo(f"\nonly in {name}:")
                exact = frame.astype({"mjd": str})
                print_table(
                    list(exact.columns), list(exact.itertuples(index=False, name=None))
                )
    if plot is not None:
        plot_comparison(found, plot, (chosen[0].label, chosen[1].label))
        note(f"drew {plot}")


def _print_comparison(summary: dict[str, Any]) -> None:
    offset, nights = summary["offset_s"], summary["nights"]
    compared = f"{nights[0]} to {nights[-1]}" if nights else "none"
    click.echo(f"nights compared {len(nights):8d} ({compared})")
    if summary["left_out_a"] or summary["left_out_b"]:
        click.echo(
            f"on other nights {summary['left_out_a']:8d} visits of A and "
            f"{summary['left_out_b']} of B: left out; --all-nights compares them"
        )
    click.echo(f"visits in A     {summary['visits_a']:8d}")
    click.echo(f"visits in B     {summary['visits_b']:8d}")
    click.echo(f"in both         {summary['shared']:8d}")
    click.echo(f"only in A       {summary['only_a']:8d}")
    click.echo(f"only in B       {summary['only_b']:8d}")
    if offset["median"] is not None:
        click.echo(
            f"B later by      {offset['median']:8.1f} s (median; "
            f"{offset['min']:.1f} to {offset['max']:.1f})"
        )
    for band, counts in summary["bands"].items():
        click.echo(
            f"band {band}: {counts['a']} in A, {counts['b']} in B, "
            f"{counts['shared']} in both"
        )
