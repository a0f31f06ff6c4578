"""``l1db``: operations on an L1 database, each one call of the store."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from typing_extensions import override

from l1db_pipeline.cli.apdb import apdb
from l1db_pipeline.cli.edge import (
    config_option,
    make_tables,
    plain_errors,
    set_up_logging,
    verbose_option,
)
from pipeline_runtime.edge import DAY_OBS, EdgeGroup, finish, note
from pipeline_runtime.printing import format_option, print_rows

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])
_RA = click.FloatRange(0, 360, max_open=True)
_DEC = click.FloatRange(-90, 90)
_CONE = (_RA, _DEC, click.FloatRange(0, 648_000, min_open=True))


class _Months(click.ParamType[int]):
    """A number of months, as ``12months`` or ``1year``."""

    name = "months"
    _pattern = re.compile(r"(\d{1,4}) ?(month|year)s?")

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of months."""
        if isinstance(value, int):
            return value
        found = self._pattern.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not a number of months: say 12months", param, ctx)
        return int(found[1]) * (12 if found[2] == "year" else 1)


@click.group(cls=EdgeGroup)
def main() -> None:
    """Make, check and query an L1 database.

    Every command reads the configuration of -c, an INI file as in cfg/. Data go to
    stdout as CSV (--format has others), messages to stderr.
    """


main.add_command(apdb)


def _command(name: str) -> Callable[[F], click.Command]:
    """Make a command with the options that all have."""

    def wrap(function: F) -> click.Command:
        return main.command(name)(verbose_option(config_option(plain_errors(function))))

    return wrap


def _open(config: str, verbose: int) -> Any:  # L1Store, whose import takes a while
    set_up_logging(verbose)
    from l1db_pipeline.schema.config import L1dbConfig
    from l1db_pipeline.store.open import open_store

    return open_store(L1dbConfig.from_ini(config))


def _print_catalog(output: str, catalog: Any, columns: Sequence[str] | None) -> None:
    """Print a catalog; Any, since its class imports numpy."""
    from l1db_pipeline.catalog.plain_rows import plain_rows

    print_rows(output, *plain_rows(catalog, columns))


@_command("create-schema")
@click.option("--drop", is_flag=True, help="Drop the tables first, with ALL DATA.")
def create_schema(config: str, verbose: int, drop: bool) -> None:
    """Create the tables; those that exist stay as they are."""
    set_up_logging(verbose)
    make_tables(config, drop=drop)


@_command("migrate")
@click.option("--to", "revision", default=None, help="Revision; the newest if absent.")
def migrate_command(config: str, verbose: int, revision: str | None) -> None:
    """Carry the tables to the layout of this version of the package.

    Make a backup first. PostgreSQL undoes a step that fails; SQLite and MariaDB
    do not.
    """
    set_up_logging(verbose)
    from l1db_pipeline.schema.config import L1dbConfig
    from l1db_pipeline.schema.version import SCHEMA_REVISION
    from l1db_pipeline.store.upkeep.migrate import migrate

    before, after = migrate(L1dbConfig.from_ini(config), revision or SCHEMA_REVISION)
    click.echo(f"revision {before} -> {after}" if before != after else f"is {after}")
    if before == after:
        finish("nothing was changed")
    else:
        finish("tables migrated", f"l1db verify -c {config}")


@_command("last-visit")
@format_option("csv")
def last_visit(config: str, verbose: int, output: str) -> None:
    """Print the last complete visit and the largest ids."""
    with closing(_open(config, verbose)) as store:
        last = store.last_visit()
    rows = []
    if last is not None:
        time = last.time.astimezone(UTC).replace(tzinfo=None).isoformat()
        rows = [(last.visit_id, f"{time}Z", last.last_object_id, last.last_source_id)]
    print_rows(output, ("visitId", "visitTime", "lastObjectId", "lastSourceId"), rows)


@_command("row-counts")
@format_option("csv")
def row_counts(config: str, verbose: int, output: str) -> None:
    """Print the exact number of rows of each table; this may take long."""
    with closing(_open(config, verbose)) as store:
        print_rows(output, ("table", "rows"), store.row_counts().items())


@_command("sizes")
@format_option("csv")
def sizes(config: str, verbose: int, output: str) -> None:
    """Print the bytes of each table with its indexes."""
    with closing(_open(config, verbose)) as store:
        print_rows(output, ("table", "bytes"), store.table_bytes().items())


@_command("activity")
@format_option("csv")
def activity(config: str, verbose: int, output: str) -> None:
    """Print who is connected, oldest transaction first, and who waits for whom.

    Only PostgreSQL keeps a list of sessions.
    """
    from l1db_pipeline.store.sql_store import SqlL1Store

    with closing(_open(config, verbose)) as store:
        sessions = store.sessions() if isinstance(store, SqlL1Store) else None
        if sessions is None:
            raise click.ClickException(f"{store.place} has no list of sessions")
    names = ("pid", "program", "state", "seconds", "waits_for", "statement")
    print_rows(output, names, sessions)


@_command("verify")
@click.option("--repair", is_flag=True, help="Rebuild packed history that is wrong.")
@click.option("--day-obs", type=DAY_OBS, help="Only the visits of this night (UTC-12).")
@click.option("--since", type=DAY_OBS, help="Only the visits of this night and later.")
def verify(
    config: str,
    verbose: int,
    repair: bool,
    day_obs: datetime | None,
    since: datetime | None,
) -> None:
    """Check every invariant of the database; exit 1 if one is broken.

    Rows are the record: --repair rebuilds packed history from them and never
    changes a row. With --day-obs or --since only the rows, chunks and entries of
    those visits are checked, not what all visits share: current objects, validity
    of versions, registers. What was checked, and on how many rows (visits, chunks),
    goes to stderr.
    """
    if day_obs is not None and since is not None:
        raise click.UsageError("give --day-obs or --since, not both")
    first = day_obs or since
    from l1db_pipeline.runs.kept_pointings import verify_pointings
    from l1db_pipeline.runs.kept_settings import verify_settings
    from l1db_pipeline.store.base import Verification

    scope = Verification(
        since=None if first is None else _start_of_night(first),
        until=None if day_obs is None else _start_of_night(day_obs) + timedelta(days=1),
        progress=_tell_progress,
    )
    with closing(_open(config, verbose)) as store:
        findings = store.verify(repair=repair, scope=scope)
        findings += verify_settings(store, scope)
        findings += verify_pointings(store, scope)
    for invariant, number in scope.proved.items():
        note(f"checked {invariant}: {number:,}")
    for finding in findings:
        state = "repaired" if finding.repaired else "broken"
        click.echo(f"{state}: {finding}")
    n_broken = sum(not finding.repaired for finding in findings)
    if n_broken:
        raise click.ClickException(f"{n_broken} of the findings are not repaired")
    n_repaired = len(findings)
    finish(f"{n_repaired} findings repaired" if n_repaired else "every invariant holds")


def _start_of_night(day_obs: datetime) -> datetime:
    """Return when a night begins: at noon of UTC-12."""
    return day_obs.replace(tzinfo=UTC) + timedelta(hours=12)


def _tell_progress(n_done: int, n_parts: int) -> None:
    note(f"{n_done} of {n_parts} regions of the sky checked")


@_command("digest")
@format_option("csv")
def digest(config: str, verbose: int, output: str) -> None:
    """Print digests of the science content; equal ones mean equal content.

    They do not depend on the backend, the index mode or the layout of history.
    """
    with closing(_open(config, verbose)) as store:
        digests = store.science_digest()
    print_rows(output, ("table", "digest"), digests.items())


@_command("light-curve")
@click.argument("object_id", type=int)
@click.option(
    "--part",
    type=click.Choice(["versions", "sources", "forced-sources"]),
    default="sources",
    show_default=True,
    help="What to print of the object.",
)
@format_option("csv")
def light_curve(
    config: str, verbose: int, object_id: int, part: str, output: str
) -> None:
    """Print the sources, forced sources or versions of an object, by time."""
    with closing(_open(config, verbose)) as store:
        curve = store.light_curve(object_id)
    rows = getattr(curve, part.replace("-", "_"))
    if not len(curve.versions):
        raise click.ClickException(f"diaObjectId {object_id} is not in the database")
    _print_catalog(output, rows, None)


@_command("cone-search")
@click.argument("cone", metavar="RA DEC RADIUS", nargs=3, type=_CONE)
@click.option(
    "--columns", help="Names, with commas between; the short record if absent."
)
@format_option("csv")
def cone_search(
    config: str,
    verbose: int,
    cone: tuple[float, float, float],
    columns: str | None,
    output: str,
) -> None:
    """Print current objects near a place, nearest first.

    RA and DEC are degrees (ICRS), RADIUS is arcseconds:
    l1db cone-search -c l1db.cfg 10.5 -20.25 3
    """
    names = columns.split(",") if columns else None
    with closing(_open(config, verbose)) as store:
        found = store.cone_search(*cone, columns=names)
    _print_catalog(output, found, names)


@_command("explain")
@click.argument("ra_deg", metavar="RA", type=_RA)
@click.argument("dec_deg", metavar="DEC", type=_DEC)
@click.option(
    "--radius", "radius_deg", type=click.FloatRange(0, 90, min_open=True),
    default=1.75, show_default=True, help="Radius of the field of view, degrees.",
)  # fmt: skip
def explain(
    config: str, verbose: int, ra_deg: float, dec_deg: float, radius_deg: float
) -> None:
    """Print the database's plans of the reads of a visit at RA, DEC (degrees)."""
    from lsst.sphgeom import Angle, Circle, LonLat, UnitVector3d

    centre = UnitVector3d(LonLat.fromDegrees(ra_deg, dec_deg))
    region = Circle(centre, Angle.fromDegrees(radius_deg))
    set_up_logging(verbose)
    from l1db_pipeline.schema.config import L1dbConfig
    from l1db_pipeline.store.backends.explain import Plans
    from l1db_pipeline.store.open import open_store

    plans = Plans(click.echo)
    store = open_store(L1dbConfig.from_ini(config), plans=plans)
    with closing(store), plans.asked():
        store.read_objects(region)
        store.read_sources(region=region)
        store.read_forced_sources(region=region)


@_command("merge-nightly")
def merge_nightly(config: str, verbose: int) -> None:
    """Move DiaObjectNightly into DiaObject, and vacuum."""
    with closing(_open(config, verbose)) as store:
        n_moved = store.merge_nightly()
    click.echo(f"{n_moved} rows moved")
    finish("nightly table merged" if n_moved else "nothing was changed")


@_command("compact")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Leave packed history from this day (UTC) on as it is.",
)
def compact(config: str, verbose: int, before: datetime | None) -> None:
    """Merge packed history into one chunk a pixel and month.

    Off-line work: what is read is the same before, during and after.
    """
    limit = None if before is None else before.replace(tzinfo=UTC)
    with closing(_open(config, verbose)) as store:
        n_fewer = store.compact_history(before=limit)
    click.echo(f"{n_fewer} chunks fewer")
    done = "history merged" if n_fewer else "nothing was changed"
    finish(done, f"l1db verify -c {config}")


@_command("partitions")
@format_option("csv")
def partitions(config: str, verbose: int, output: str) -> None:
    """Print what each month has: visits, rows, bytes, and whether it has expired.

    Bytes are the month's part of the tables, by number of rows. Nothing is scanned.
    """
    with closing(_open(config, verbose)) as store:
        _print_months(output, store.months())


def _print_months(output: str, months: Iterable[Any]) -> None:
    names = ("month", "visits", "rows", "bytes", "expired")
    rows = [(m.month, m.n_visits, m.n_rows, m.n_bytes, m.is_expired) for m in months]
    print_rows(output, names, rows)


@_command("expire")
@click.option(
    "--keep",
    type=_Months(),
    help="Months before that of the latest visit to keep: 12months, 2years.",
)
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m"]),
    help="In the place of --keep: the first month (UTC) that is kept.",
)
@click.option("--yes", is_flag=True, help="Do it; without only say what would go.")
@format_option("csv")
def expire(
    config: str,
    verbose: int,
    output: str,
    *,
    keep: int | None,
    before: datetime | None,
    yes: bool,
) -> None:
    """Delete the history of months that are too old, and print which.

    Current objects stay, and each object's version from the beginning of the first
    month that is kept. Visits stay in the ledger, so one that expired does not come
    back. Reads of an earlier time are refused from then on. Interrupted, it is run
    again.
    """
    if (keep is None) == (before is None):
        raise click.UsageError("give --keep or --before")
    from l1db_pipeline.store.retention import expire_months, plan_expiry

    first = None if before is None else before.replace(tzinfo=UTC)
    with closing(_open(config, verbose)) as store:
        plan = (expire_months if yes else plan_expiry)(store, keep=keep, before=first)
    _print_months(output, plan.months)
    if not plan.months:
        finish("nothing was changed")
    elif yes:
        # so that what was deleted makes room for what comes
        finish("months expired", f"l1db merge-nightly -c {config}")
    else:
        finish("nothing was changed: these would expire", "the same with --yes")


@_command("rebuild")
def rebuild(config: str, verbose: int) -> None:
    """Rebuild packed history from the rows."""
    with closing(_open(config, verbose)) as store:
        click.echo(f"{store.rebuild_history()} pixels done")
    finish("history rebuilt", f"l1db verify -c {config}")


@_command("timings")
@format_option("csv")
def timings(config: str, verbose: int, output: str) -> None:
    """Print what each step of each visit cost, seconds."""
    with closing(_open(config, verbose)) as store:
        rows = store.read_timings()
    _print_catalog(output, rows, rows.names)


if __name__ == "__main__":
    main()
