"""``ap_proto``: simulated alert production against the L1 database."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from l1db_pipeline.cli.edge import radec_pairs
from pipeline_runtime.edge import EdgeCommand, InputFile, finish, is_quiet, plain_end

__all__ = ["INTERRUPTED", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


@click.command(cls=EdgeCommand)
@click.option(
    "-v", "--verbose", count=True,
    help="Log what happens to standard error; twice for more.",
)  # fmt: skip
@click.option(
    "-n", "--num-visits", type=click.IntRange(min=1), metavar="NUMBER",
    help="Visits to process. [default: 1; with --visits, all that are not stored]",
)  # fmt: skip
@click.option(
    "-i", "--interval", type=click.IntRange(min=1), metavar="SECONDS",
    help="Time between visits. [default: 45]",
)  # fmt: skip
@click.option(
    "-c", "--config", "config_file", default="l1db.cfg", show_default=True,
    metavar="PATH", type=InputFile(), envvar="L1DB_CONFIG", show_envvar=True,
    help="Configuration of the database, an INI file; see cfg/ for examples.",
)  # fmt: skip
@click.option(
    "-e", "--explain", is_flag=True,
    help="Log the database's plan of each select before it runs (with -v).",
)  # fmt: skip
@click.option(
    "-U", "--no-update", is_flag=True,
    help="Do not change the database: read and compute only.",
)  # fmt: skip
@click.option(
    "--start-time", metavar="'YYYY-MM-DD hh:mm:ss'",
    type=click.DateTime(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]),
    help="Time of the first visit, UTC. Needed when the database has no visits; later "
    "it may be repeated. No visits are made from 6:00 to 20:00.",
)  # fmt: skip
@click.option(
    "--start-visit-id", type=click.IntRange(min=0), metavar="ID",
    help="Id of the first visit, when the database has none. [default: 1]",
)  # fmt: skip
@click.option(
    "--divide", type=click.IntRange(min=0, max=64), default=0, metavar="N",
    help="Divide the field of view into N x N tiles and process them in parallel.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="NUMBER",
    help="Processes that work on tiles. [default: one for each processor]",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="NUMBER",
    help="Seed of everything random. [default: a random one]",
)  # fmt: skip
@click.option(
    "--match", type=click.Choice(["id", "position"]),
    help="How a source finds its object: by the generator's id, as in the original, "
    "or by position. [default: id]",
)  # fmt: skip
@click.option(
    "--match-radius", type=click.FloatRange(min=0, min_open=True, max=60),
    metavar="ARCSEC", help="Largest distance of a match by position. [default: 1]",
)  # fmt: skip
@click.option(
    "--transients", type=click.IntRange(min=0, max=500_000), metavar="NUMBER",
    help="Mean number of transients and false detections in a visit. [default: 5150]",
)  # fmt: skip
@click.option(
    "--detection-probability", type=click.FloatRange(0, 1), metavar="P",
    help="Chance that a visit detects a variable source. [default: 1]",
)  # fmt: skip
@click.option(
    "--astrometric-scatter", type=click.FloatRange(min=0, max=60), metavar="ARCSEC",
    help="Error of a variable source's position in each direction. [default: 0]",
)  # fmt: skip
@click.option(
    "--fields", multiple=True, metavar="'RA,DEC ...'", callback=radec_pairs,
    help="Observe these fields in turn (degrees), instead of random places of the "
    "southern sky.",
)  # fmt: skip
@click.option(
    "--visits", "visits_file", metavar="FILE",
    type=InputFile(),
    help="Observe the visits of an opsim database or a visits.h5, in their order, at "
    "their times.",
)  # fmt: skip
@click.option(
    "--fill/--no-fill", default=None,
    help="Fill every column with plausible values, or only the required ones. "
    "[default: --no-fill]",
)  # fmt: skip
@click.argument("sources_file", type=InputFile())
def main(
    *,
    verbose: int,
    num_visits: int | None,
    interval: int | None,
    config_file: Path,
    explain: bool,
    no_update: bool,
    start_time: datetime | None,
    start_visit_id: int | None,
    divide: int,
    workers: int | None,
    seed: int | None,
    match: str | None,
    match_radius: float | None,
    transients: int | None,
    detection_probability: float | None,
    astrometric_scatter: float | None,
    fields: list[tuple[float, float]],
    visits_file: Path | None,
    fill: bool | None,
    sources_file: Path,
) -> None:
    """Process simulated visits as alert production would, and store them.

    Each visit simulates difference imaging of variable sources (SOURCES_FILE, made by
    gen_sources) and transients, reads the objects known in its field of view, matches
    sources to them, measures undetected ones by forced photometry, reads their
    history, and stores all of it in one transaction.

    A run continues from where the database stands: repeat the command after a crash.
    Seed, matching and simulation are kept in the database, so that a resumed run makes
    the rows of an uninterrupted one; asking for other values is an error.

    Ctrl-C ends the run after the visit that is being processed, with exit code 130; a
    second Ctrl-C ends it at once, and the visit leaves nothing in the database.

    \b
    Example:
      gen_sources -H -1 -n 1000 sources.npy
      create_l1_schema -c l1db.cfg
      ap_proto -v -n 100 --start-time "2026-01-01 00:00:00" sources.npy
    """  # noqa: D301  # click wants the control character
    if fields and visits_file:
        raise click.UsageError("--fields and --visits exclude each other: give one")
    if visits_file and (start_time or start_visit_id is not None or interval):
        raise click.UsageError(
            "--visits gives times and ids: leave out --start-time, --start-visit-id "
            "and --interval"
        )
    from l1db_pipeline.errors import EXPECTED_ERRORS
    from l1db_pipeline.runs.command import RunRequest, run

    request = RunRequest(
        config_file=config_file,
        sources_file=sources_file,
        visits_file=visits_file,
        n_visits=num_visits,
        interval_s=interval,
        start_time=start_time.replace(tzinfo=UTC) if start_time else None,
        start_visit_id=start_visit_id,
        fields_deg=fields,
        divide=divide,
        n_workers=workers,
        explain=explain,
        update=not no_update,
        settings={
            "seed": seed,
            "match": match,
            "match_radius_arcsec": match_radius,
            "n_noise": transients,
            "detection_probability": detection_probability,
            "astrometric_scatter_arcsec": astrometric_scatter,
            "fill": fill,
        },
    )
    try:
        done = run(request, verbosity=verbose, is_quiet=is_quiet())
    except KeyboardInterrupt:
        done = None
    except (*EXPECTED_ERRORS, ValueError) as error:
        raise plain_end(error) from error
    if done is None:
        click.echo("interrupted: run the command again to continue", err=True)
        sys.exit(INTERRUPTED)
    if no_update:
        finish(f"{done} visits processed, nothing was changed")
    elif done:
        finish(f"{done} visits stored", f"l1db-report -o report -c {config_file}")
    else:
        finish("nothing was changed: every visit is stored")


if __name__ == "__main__":
    main()
