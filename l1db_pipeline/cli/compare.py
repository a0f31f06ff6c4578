"""``l1db-compare``: the same visits through several schemas and backends."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from l1db_pipeline.cli.edge import plain_errors, radec_pairs
from pipeline_runtime.edge import EdgeCommand, InputFile, finish, is_quiet

if TYPE_CHECKING:
    from l1db_pipeline.comparison.bakeoff import BakeOff
    from l1db_pipeline.comparison.plan import ComparisonPlan

__all__ = ["main"]

_INDEXES = ("baseline", "htm20_id_iov", "last_object_table")


@click.command(cls=EdgeCommand)
@click.option(
    "-o", "--output", required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the report (index.html, comparison.json, PNGs), of an INI file for "
    "each configuration and of the databases that are files.",
)  # fmt: skip
@click.option(
    "-n", "--num-visits", "visits", type=click.IntRange(min=1), metavar="NUMBER",
    help="Number of visits. [default: 50, or the plan's]",
)  # fmt: skip
@click.option(
    "--repeat", type=click.IntRange(1, 1000), metavar="NUMBER",
    help="Make all visits this often, each time in empty tables. [default: 1]",
)  # fmt: skip
@click.option(
    "--fields", "fields_deg", multiple=True, metavar="'RA,DEC ...'",
    callback=radec_pairs,
    help="Observe these fields in turn (degrees). [default: 3 random ones]",
)  # fmt: skip
@click.option(
    "--visits", "visits_file", metavar="FILE",
    help="Make the first visits of an opsim database or a visits.h5, such as "
    "`vseqarchive get-file UUID visits` fetches from the archive.",
)  # fmt: skip
@click.option(
    "--variables", "variables_per_field", type=click.IntRange(0, 1_000_000),
    metavar="NUMBER", help="Variable sources in a field of view. [default: 500]",
)  # fmt: skip
@click.option(
    "--transients", "n_transients", type=click.IntRange(0, 500_000), metavar="NUMBER",
    help="Mean number of transients and false detections in a visit. [default: 500]",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="NUMBER",
    help="Seed of everything random. [default: 1]",
)  # fmt: skip
@click.option(
    "--backend", "backends", multiple=True, metavar="NAME|URL",
    help="sqlite; postgresql (L1DB_URL, else the project's own server); mariadb "
    "(L1DB_MARIADB_URL); or a database URL. May be repeated. [default: postgresql and "
    "sqlite]",
)  # fmt: skip
@click.option(
    "--index", "indexes", multiple=True, type=click.Choice(_INDEXES),
    help="Index mode of the objects; may be repeated. [default: last_object_table]",
)  # fmt: skip
@click.option(
    "--history", "histories", multiple=True, type=click.Choice(["rows", "packed"]),
    help="Layout of the history; may be repeated. [default: both]",
)  # fmt: skip
@click.argument(
    "plan_file", metavar="[PLAN]", required=False, type=InputFile()
)  # fmt: skip
@plain_errors
def main(
    *,
    output: Path,
    plan_file: Path | None,
    backends: tuple[str, ...],
    indexes: tuple[str, ...],
    histories: tuple[str, ...],
    **workload: Any,  # Any: fields of ComparisonPlan, checked by click
) -> None:
    """Compare configurations of the L1 database on the same visits.

    Without PLAN every --backend is combined with every --index and --history. PLAN is
    a YAML file of databases, any options of the [l1db] section and the visits;
    cfg/compare.yaml and cfg/compare-backends.yaml are examples. Options given here
    replace the plan's visits. Each configuration gets tables of its own, which are
    created first: earlier ones of the same name are dropped.

    The page and its JSON say first whether all hold the same science content, then
    which costs least (CPU of client and server), by how much, from which visit of a
    field on, and what a year would cost. Exit code 1 if the content differs.

    \b
    Examples:
      l1db-compare -o mine --fields "30,-30 120,-50" -n 60 --repeat 3
      l1db-compare -o night --visits opsim.db --backend sqlite --index baseline
      l1db-compare -o twelve cfg/compare.yaml
    """  # noqa: D301  # click wants the control character
    if plan_file and (backends or indexes or histories):
        raise click.UsageError(
            "PLAN lists the configurations: leave out --backend, --index and --history"
        )
    if workload["fields_deg"] and workload["visits_file"]:
        raise click.UsageError("--fields and --visits exclude each other: give one")
    given = {name: value for name, value in workload.items() if value or value == 0}
    if "fields_deg" in given:
        given["fields_deg"] = tuple(given["fields_deg"])
    from dataclasses import replace

    from l1db_pipeline.comparison.backends import all_candidates, databases_of
    from l1db_pipeline.comparison.plan import ComparisonPlan, read_plan
    from l1db_pipeline.schema.config import History, ObjectIndex

    if plan_file:
        bakeoff = _run(replace(read_plan(plan_file), **given), output)
    else:
        with databases_of(backends or ("postgresql", "sqlite")) as databases:
            candidates = all_candidates(
                databases,
                [ObjectIndex(word) for word in indexes or _INDEXES[-1:]],
                [History(word) for word in histories or ("rows", "packed")],
            )
            plan = ComparisonPlan(candidates=candidates, databases=databases, **given)
            bakeoff = _run(plan, output)
    _say(bakeoff, output)
    sys.exit(1 if bakeoff.differing else 0)


def _run(plan: "ComparisonPlan", output: Path) -> "BakeOff":
    from tqdm import tqdm

    from l1db_pipeline.comparison.bakeoff import run_bakeoff

    total = plan.repeat * plan.visits * len(plan.candidates)
    with tqdm(total=total, unit="visit", disable=is_quiet() or None) as bar:

        def on_turn(name: str, n_done: int) -> None:
            bar.set_postfix_str(f"visit {n_done}, {name}", refresh=False)
            bar.update()

        return run_bakeoff(plan, output, on_turn=on_turn)


def _say(bakeoff: "BakeOff", output: Path) -> None:
    from l1db_pipeline.comparison.answer import Answer
    from l1db_pipeline.comparison.report import write_comparison

    page = write_comparison(output, bakeoff)
    answer = Answer(bakeoff)
    click.echo(answer.headline)
    for point in answer.points():
        click.echo(f"- {point}")
    for name, parts in bakeoff.differing.items():
        click.echo(f"Error: {name} differs in {', '.join(parts)}", err=True)
    click.echo(page)
    finish(f"compared {len(bakeoff.results)} configurations", f"open {page}")


if __name__ == "__main__":
    main()
