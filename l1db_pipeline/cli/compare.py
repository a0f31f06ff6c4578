"""``l1db-compare``: the same visits through several schemas and backends."""

import sys
from pathlib import Path

import click

from l1db_pipeline.cli.edge import plain_errors
from pipeline_runtime.edge import EdgeCommand, InputFile, is_quiet

__all__ = ["main"]


@click.command(cls=EdgeCommand)
@click.option(
    "-o", "--output", required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the report (index.html, PNGs), of an INI file for each "
    "configuration and of the databases that are files.",
)  # fmt: skip
@click.option(
    "-n", "--num-visits", type=click.IntRange(min=1), metavar="NUMBER",
    help="Visits, instead of the plan's.",
)  # fmt: skip
@click.argument("plan", type=InputFile())
@plain_errors
def main(output: Path, num_visits: int | None, plan: Path) -> None:
    """Compare configurations of the L1 database on the same visits.

    PLAN is a YAML file: how many visits and sources, the databases, and a list of
    configurations, each a name, a database and options of the INI file's [l1db]
    section; cfg/compare.yaml and cfg/compare-backends.yaml are examples. Each
    configuration gets tables of its own, which are created first: earlier ones of the
    same name are dropped.

    The report shows whether all of them hold the same science content, and their
    times, growth and sizes side by side. Exit code 1 if the content differs.

    \b
    Example:
      L1DB_URL=postgresql+psycopg://localhost/l1db \\
        l1db-compare -o comparison cfg/compare.yaml
    """  # noqa: D301  # click wants the control character
    from dataclasses import replace

    from tqdm import tqdm

    from l1db_pipeline.comparison.bakeoff import run_bakeoff
    from l1db_pipeline.comparison.plan import read_plan
    from l1db_pipeline.comparison.report import write_comparison

    work = read_plan(plan)
    if num_visits is not None:
        work = replace(work, visits=num_visits)
    with tqdm(total=work.visits, unit="visit", disable=is_quiet() or None) as bar:
        bakeoff = run_bakeoff(work, output, on_visit=lambda _: bar.update())
    page = write_comparison(output, bakeoff)
    click.echo(page)
    for name, parts in bakeoff.differing.items():
        click.echo(f"Error: {name} differs in {', '.join(parts)}", err=True)
    sys.exit(1 if bakeoff.differing else 0)


if __name__ == "__main__":
    main()
