"""``log2csv``: numbers of each visit from ap_proto logs, as CSV."""

import logging
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline_runtime.edge import EdgeCommand, InputFile, set_up_logging

__all__ = ["main"]


@click.command(cls=EdgeCommand)
@click.option("-v", "--verbose", count=True, help="Log more; can be repeated.")
@click.option(
    "-s", "--short", is_flag=True,
    help="Only total and processing times and row counts of tables (8 columns).",
)  # fmt: skip
@click.option(
    "-d", "--daily", is_flag=True,
    help="One line for each daily job (nightly merge) instead of each visit.",
)  # fmt: skip
@click.argument(
    "files",
    metavar="LOG...",
    nargs=-1,
    required=True,
    type=InputFile(),
)
def main(verbose: int, short: bool, daily: bool, files: tuple[Path, ...]) -> None:
    """Print a CSV line of timings and row numbers for each visit in LOG files.

    Reads the logs of this ap_proto and of the original one (any of its versions
    that write text logs), in the order given, as if they were one file. Times are
    seconds; "real" is wall clock, "cpu" is user + system. Values that repeat in a
    visit, as those of tiles do, are averaged; select_real is the sum of the three
    selects. A missing number is written NULL.

    \b
    Example:
      ap_proto -v -n 100 --start-time "2026-01-01 00:00:00" sources.npy 2> run.log
      log2csv run.log > run.csv
    """  # noqa: D301  # click wants the control character
    set_up_logging(verbose)
    log = logging.getLogger("log2csv")
    from l1db_pipeline.report.ap_proto_log import (
        DAILY_COLUMNS,
        SHORT_COLUMNS,
        VISIT_COLUMNS,
        LogParser,
        format_value,
    )

    columns: tuple[str, ...] = VISIT_COLUMNS
    if daily:
        columns = DAILY_COLUMNS
    elif short:
        columns = SHORT_COLUMNS

    def lines_of_all() -> Iterator[str]:
        for path in files:
            log.info("reading %s", path)
            with path.open(encoding="utf-8", errors="replace") as stream:
                yield from stream

    parser = LogParser(daily=daily)
    n_rows = 0
    for row in filter(None, map(parser.feed, lines_of_all())):
        if n_rows == 0:
            click.echo(",".join(columns))
        click.echo(",".join(format_value(row.get(name)) for name in columns))
        n_rows += 1
    for visit in parser.unfinished:
        log.info("visit %d was started but not finished; it has no line", visit)
    if n_rows == 0:
        raise click.ClickException(
            f"no {'daily job' if daily else 'finished visit'} in "
            f"{', '.join(map(str, files))}: was ap_proto run with -v?"
        )


if __name__ == "__main__":
    main()
