"""``prenight compare-completed``: what came true of a night."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive_assets.cli.edge import DAY_OBS, name_and_path, plain_errors
from pipeline_runtime.edge import EdgeCommand, InputFile, note
from pipeline_runtime.printing import format_option, print_rows

if TYPE_CHECKING:
    from archive_assets.reading.morning_after import MorningAfter

__all__ = ["compare_completed"]

_FILES = {
    "simonyi": "COMPLETED_VISITS_SIMONYI",
    "auxtel": "COMPLETED_VISITS_AUXTEL",
}


def _named_files(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, Path]:
    found = dict(map(name_and_path, value))
    for path in found.values():
        InputFile().convert(path, parameter, context)
    return found


@click.command("compare-completed", cls=EdgeCommand)
@click.option("--day-obs", required=True, type=DAY_OBS, help="The night.")
@click.option(
    "--telescope", type=click.Choice(list(_FILES)), default="simonyi",
    show_default=True, help="Telescope.",
)  # fmt: skip
@click.option(
    "--completed", type=InputFile(),
    help="Opsim file or visits.h5 of the visits made; by default that of "
    "COMPLETED_VISITS_SIMONYI or COMPLETED_VISITS_AUXTEL.",
)  # fmt: skip
@click.option(
    "--consdb", metavar="URL", envvar="CONSDB_URL", show_envvar=True,
    help="Ask ConsDB for the visits made, if there is no file; needs the extra consdb.",
)  # fmt: skip
@click.option(
    "--tolerance", type=click.FloatRange(min=0, max=1), default=0.002,
    show_default=True, metavar="DEGREES",
    help="Maximum distance between visits of the same field.",
)  # fmt: skip
@click.option(
    "--nights", type=click.IntRange(1, 100), default=1, show_default=True,
    metavar="NUMBER",
    help="Print one line for each of this many nights; the last one is --day-obs.",
)  # fmt: skip
@click.argument("files", nargs=-1, metavar="[NAME=FILE]...", callback=_named_files)
@format_option()
@plain_errors
def compare_completed(
    *,
    day_obs: datetime,
    telescope: str,
    completed: Path | None,
    consdb: str | None,
    tolerance: float,
    nights: int,
    files: dict[str, Path],
    output: str,
) -> None:
    """Compare the visits made on a night with every simulated variant of it.

    A visit is matched with one of the same band whose field is within --tolerance.
    Printed are, for each variant, how many are in both, how late they were made
    (completed minus simulated), differences of airmass and depth, and which variant
    came true. Each NAME=FILE is a variant; without any, the newest archived
    simulations that cover the night are taken.
    """
    from archive_assets.nights.report import (
        NoSimulationsError,
        archived_sequences,
        read_sequences,
    )
    from archive_assets.reading.completed import completed_visits, is_consdb
    from archive_assets.reading.morning_after import NoVisitsError
    from archive_assets.reading.morning_after import compare_completed as compare

    source = _source(completed, consdb, telescope)
    given, made = read_sequences(files), None
    last = day_obs.date()
    found = []
    for night in (last - timedelta(days=n) for n in reversed(range(nights))):
        try:
            planned = given or archived_sequences(night, telescope)[0]
            if made is None or is_consdb(source):  # a file has every night
                made = completed_visits(source, night, telescope)
            found.append(compare(made, planned, night, tolerance_deg=tolerance))
        except (NoVisitsError, NoSimulationsError) as error:
            if nights == 1:
                raise
            note(f"{night}: {error}")
    if output == "json":
        click.echo(json.dumps([one.as_json() for one in found], indent=2))
    elif nights > 1:
        print_rows(output, _TREND, map(_trend, found))
    else:
        _print_night(output, found[0])


def _source(completed: Path | None, consdb: str | None, telescope: str) -> str | Path:
    from pipeline_runtime.environment import text_of

    source = completed or text_of(_FILES[telescope]) or consdb
    if not source:
        raise click.UsageError(
            f"no completed visits: give --completed or --consdb, or set "
            f"{_FILES[telescope]} or CONSDB_URL"
        )
    return source


def _print_night(output: str, found: "MorningAfter") -> None:
    rows = [one.numbers() for one in found.variants]
    print_rows(output, rows[0], (tuple(row.values()) for row in rows))
    if output == "table":
        click.echo()
        print_rows(output, _BANDS, _bands(found))
        click.echo(f"\n{found.answer}")


_BANDS = ("variant", "band", "completed", "simulated", "matched")
_TREND = (
    "day_obs", "completed", "closest", "of_completed", "late_min", "answer",
)  # fmt: skip


def _bands(found: "MorningAfter") -> Iterator[tuple[Any, ...]]:
    for variant in found.variants:
        for band, row in variant.bands.to_dict("index").items():
            yield (variant.name, band, *row.values())


def _trend(found: "MorningAfter") -> tuple[Any, ...]:
    numbers = found.best.numbers()
    late = numbers["50%"]
    return (
        found.day_obs,
        found.best.n_completed,
        found.best.name,
        numbers["of_completed"],
        None if late is None else late / 60,
        found.answer,
    )
