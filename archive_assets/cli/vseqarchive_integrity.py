"""The commands of ``vseqarchive`` that look after the archive."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from archive_assets.cli.vseqarchive_connection import (
    EXIT_PROBLEMS,
    archive_url_option,
    with_archive,
)

__all__ = ["delete", "doctor", "gc", "move", "restore", "verify"]

# Any: the archive's class is imported only when a command runs

_INDEX_OPTION = click.option(
    "--index-base",
    envvar="PRENIGHT_INDEX_URL",
    help="Base URL of the pre-night indexes; also $PRENIGHT_INDEX_URL.",
)
_JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _days_option(
    name: str, default: int, text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        name, type=click.IntRange(min=0), default=default, show_default=True, help=text
    )


_DATE = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


@click.command()
@click.argument("uuids", nargs=-1, type=click.UUID)
@archive_url_option
@_INDEX_OPTION
@click.option("--day-obs", type=_DATE, help="Only sequences that cover this night.")
@click.option("--since", type=_DATE, help="Only sequences recorded since this day.")
@click.option("--index-from", type=_DATE, help="First night; yesterday by default.")
@click.option("--index-to", type=_DATE, help="Last night; in 3 days by default.")
@click.option(
    "--repair", is_flag=True, help="Repair what can be repaired without loss."
)
@_JSON_OPTION
@with_archive
def verify(
    vsarch: Any,
    *,
    uuids: tuple[UUID, ...],
    archive_base: str,
    index_base: str | None,
    day_obs: datetime | None,
    since: datetime | None,
    index_from: datetime | None,
    index_to: datetime | None,
    repair: bool,
    as_json: bool,
) -> None:
    """Read every object again and compare hashes; check rows and indexes.

    With UUIDS, --day-obs or --since only the objects of these sequences. Says which
    invariants hold, and of how much. Exit code 3 if problems are left. --repair
    records the hash of objects that have none, publishes stale indexes again and
    deletes rows that belong to no sequence.
    """
    from archive_assets.integrity.verify import verify_archive
    from archive_assets.objects.datastore import DataStore

    nights = None
    if index_from is not None or index_to is not None:
        first, last = index_from or index_to, index_to or index_from
        nights = (first.date(), last.date()) if first and last else None
    for uuid in uuids:
        vsarch.describe(uuid)
    if day_obs is not None or since is not None:
        from archive_assets.metadata.inventory import sequences_to_verify

        with vsarch.transaction() as connection:
            found = sequences_to_verify(
                connection, day_obs and day_obs.date(), since and since.date()
            )
        uuids = tuple(u for u in found if not uuids or u in uuids)
        if not uuids:
            raise click.ClickException(
                "no sequence covers this night or was recorded since this day; leave "
                "the option out to verify the whole archive"
            )
    report = verify_archive(
        vsarch,
        DataStore(archive_base),
        uuids=uuids,
        index_base=index_base,
        nights=nights,
        repair=repair,
        progress=_progress("objects"),
    )
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        for problem in report.problems:
            state = " (repaired)" if problem.is_repaired else ""
            click.echo(f"{problem.kind}: {problem.subject}: {problem.detail}{state}")
        for invariant, number in report.proved.items():
            click.echo(f"proved {number} times: {invariant}")
        click.echo(
            f"{report.n_objects} objects ({report.n_bytes} bytes) and "
            f"{report.n_indexes} indexes checked, {len(report.problems)} problems"
        )
    if not report.is_sound:
        click.get_current_context().exit(EXIT_PROBLEMS)


@click.command()
@click.argument("uuids", nargs=-1, required=True, type=click.UUID)
@with_archive
def delete(vsarch: Any, uuids: tuple[UUID, ...]) -> None:
    """Put sequences in the trash: no search finds them; restore brings them back."""
    for uuid in uuids:
        vsarch.trash(uuid)


@click.command()
@click.argument("uuids", nargs=-1, required=True, type=click.UUID)
@with_archive
def restore(vsarch: Any, uuids: tuple[UUID, ...]) -> None:
    """Take sequences out of the trash."""
    for uuid in uuids:
        vsarch.restore(uuid)


@click.command()
@archive_url_option
@_days_option(
    "--trash-days",
    30,
    "Delete sequences that have been in the trash for this many days.",
)
@_days_option(
    "--orphan-days", 7, "Delete unreferenced objects at least this many days old."
)
@click.option(
    "--apply", is_flag=True, help="Do it; otherwise only list what would be done."
)
@_JSON_OPTION
@with_archive
def gc(
    vsarch: Any,
    *,
    archive_base: str,
    trash_days: int,
    orphan_days: int,
    apply: bool,
    as_json: bool,
) -> None:
    """Permanently delete old sequences in the trash, and unreferenced objects.

    Deletes sequences older than --trash-days in the trash, and stored objects older
    than --orphan-days that no sequence refers to.
    """
    from archive_assets.integrity.collect import collect_garbage
    from archive_assets.objects.datastore import DataStore

    done = collect_garbage(
        vsarch,
        DataStore(archive_base),
        trash_days=trash_days,
        orphan_days=orphan_days,
        apply=apply,
    )
    if as_json:
        click.echo(json.dumps(done.as_json(), indent=2))
        return
    for uuid in done.sequences:
        click.echo(f"sequence {uuid}")
    for uuid, reason in done.kept.items():
        click.echo(f"kept {uuid}: {reason}")
    for url in done.orphans:
        click.echo(f"orphan {url}")
    for url in done.foreign:
        click.echo(f"outside the store, kept: {url}")
    verb = "removed" if apply else "would be removed (--apply does it)"
    click.echo(
        f"{len(done.sequences)} sequences and {len(done.orphans)} orphans, "
        f"{done.n_bytes} bytes {verb}"
    )


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("--uuid", "uuids", multiple=True, type=click.UUID, help="Only this one.")
@click.option("--dry-run", is_flag=True, help="Only list what would be moved.")
@_JSON_OPTION
@with_archive
def move(
    vsarch: Any,
    *,
    source: str,
    destination: str,
    uuids: tuple[UUID, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move the archive from the store SOURCE to the store DESTINATION.

    Each object is copied, read back and compared; then its row names the copy. An
    interrupted move is completed by running it again. The old objects stay until gc
    of SOURCE removes them. Exit code 3 if an object could not be moved.
    """
    from archive_assets.integrity.move import move_archive
    from archive_assets.objects.datastore import DataStore

    moved = move_archive(
        vsarch,
        DataStore(source),
        DataStore(destination),
        uuids=uuids,
        dry_run=dry_run,
        progress=_progress("objects"),
    )
    if as_json:
        click.echo(json.dumps(moved.as_json(), indent=2))
    else:
        for subject, reason in moved.problems.items():
            click.echo(f"not moved: {subject}: {reason}")
        verb = "would be moved" if dry_run else f"({moved.n_bytes} bytes) moved"
        click.echo(
            f"{moved.n_objects} objects {verb}, {moved.n_elsewhere} are in other "
            f"stores, {len(moved.problems)} problems"
        )
        if moved.n_objects and not dry_run:
            click.echo(
                "published indexes name the old places: `vseqarchive verify --repair` "
                "publishes them again",
                err=True,
            )
    if moved.problems:
        click.get_current_context().exit(EXIT_PROBLEMS)


def _progress(what: str) -> Callable[[int, int], None]:
    """Return a function that says on a terminal how far a command is."""
    is_terminal = sys.stderr.isatty()

    def say(done: int, total: int) -> None:
        if is_terminal:
            end = "\n" if done == total else ""
            click.echo(f"\r{done} of {total} {what}{end}", err=True, nl=False)

    return say


@click.command()
@archive_url_option
@_INDEX_OPTION
@click.option("--write", is_flag=True, help="Also write a small object and delete it.")
@_JSON_OPTION
@with_archive
def doctor(
    vsarch: Any,
    *,
    archive_base: str,
    index_base: str | None,
    write: bool,
    as_json: bool,
) -> None:
    """Examine database, schema, rights, store and versions.

    Exit code 3 if a problem is found.
    """
    from dataclasses import asdict

    from archive_assets.integrity.doctor import examine
    from archive_assets.objects.datastore import DataStore

    findings = list(examine(vsarch, DataStore(archive_base), index_base, write=write))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        for one in findings:
            mark = "ok  " if one.is_well else "FAIL"
            click.echo(f"{mark} {one.subject}: {one.detail}")
    if not all(one.is_well for one in findings):
        click.get_current_context().exit(EXIT_PROBLEMS)
