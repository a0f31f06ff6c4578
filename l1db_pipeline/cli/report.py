"""``l1db-report``: plots of one or more runs, as one HTML page and PNG files."""

from pathlib import Path

import click

from l1db_pipeline.cli.edge import plain_errors
from pipeline_runtime.edge import EdgeCommand, finish

__all__ = ["main"]


@click.command(cls=EdgeCommand)
@click.option(
    "-o", "--output", required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the report: index.html, which needs no other file, and PNGs.",
)  # fmt: skip
@click.option(
    "-c", "--config", "configs", multiple=True, metavar="[NAME=]INI",
    help="Configuration (INI file) of a database whose timings table is read. "
    "Can be repeated.",
)  # fmt: skip
@click.option(
    "-t", "--threshold", "threshold_s", type=click.FloatRange(min=0, min_open=True),
    default=10.0, show_default=True, metavar="SECONDS",
    help="Visits that take longer count as slow.",
)  # fmt: skip
@click.argument("files", metavar="[[NAME=]FILE]...", nargs=-1)
@plain_errors
def main(
    output: Path, configs: tuple[str, ...], threshold_s: float, files: tuple[str, ...]
) -> None:
    """Draw the timings of runs of ap_proto.

    A run is read from the timings table of its database (--config), from a CSV
    file of log2csv, or from a log of ap_proto, ours or the original's (FILE).
    Several runs go into one report; NAME is what the report calls a run.

    \b
    Example:
      l1db-report -o report -c rows=l1db-rows.cfg -c packed=l1db-packed.cfg
    """  # noqa: D301  # click wants the control character
    if not configs and not files:
        raise click.UsageError("give at least one --config or FILE")
    named, logs = [*map(_split, configs)], [*map(_split, files)]
    from l1db_pipeline.report.report import write_report
    from l1db_pipeline.report.runs import read_database, read_run

    runs = [read_database(path, name) for name, path in named]
    runs += [read_run(path, name) for name, path in logs]
    page = write_report(output, runs, threshold_s=threshold_s)
    click.echo(page)
    finish(f"report of {len(runs)} runs written", f"open {page} in a browser")


def _split(text: str) -> tuple[str | None, Path]:
    """Split ``NAME=PATH``; a path with a ``=`` of its own needs a name before it."""
    name, equals, path = text.partition("=")
    if not Path(path if equals else text).is_file():
        raise click.BadParameter(f"there is no file {path if equals else text}")
    return (name, Path(path)) if equals else (None, Path(text))


if __name__ == "__main__":
    main()
