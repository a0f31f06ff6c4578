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
    StoreFolder,
    archive_url_option,
    with_archive,
)
from pipeline_runtime.edge import DAY_OBS, EdgeCommand, finish, is_quiet
from pipeline_runtime.printing import format_option, plain_words, print_rows

__all__ = ["delete", "doctor", "gc", "move", "restore", "verify"]

# Any: the archive's class is imported only when a command runs

_INDEX_OPTION = click.option(
    "--index-base",
    envvar="PRENIGHT_INDEX_URL",
    help="Base URL of the pre-night indexes; also $PRENIGHT_INDEX_URL.",
)


def _days_option(
    name: str, default: int, text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        name, type=click.IntRange(min=0), default=default, show_default=True, help=text
    )


@click.command(cls=EdgeCommand)
@click.argument("uuids", nargs=-1, type=click.UUID)
@archive_url_option(is_read=True)
@_INDEX_OPTION
@click.option("--day-obs", type=DAY_OBS, help="Only sequences that cover this night.")
@click.option("--since", type=DAY_OBS, help="Only sequences recorded since this day.")
@click.option("--index-from", type=DAY_OBS, help="First night; yesterday by default.")
@click.option("--index-to", type=DAY_OBS, help="Last night; in 3 days by default.")
@click.option(
    "--repair", is_flag=True, help="Repair what can be repaired without loss."
)
@format_option()
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
    output: str,
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
    if output == "json":
        click.echo(json.dumps(report.as_json(), indent=2))
    elif output != "table":
        print_rows(
            output,
            ("kind", "subject", "detail", "is_repaired"),
            [(p.kind, p.subject, p.detail, p.is_repaired) for p in report.problems],
        )
    else:
        for problem in report.problems:
            state = " (repaired)" if problem.is_repaired else ""
            line = f"{problem.kind}: {problem.subject}: {problem.detail}{state}"
            click.echo(plain_words(line))
        for invariant, number in report.proved.items():
            click.echo(f"checked {invariant}: {number:,}")
        click.echo(
            f"{report.n_objects} objects ({report.n_bytes} bytes) and "
            f"{report.n_indexes} indexes checked, {len(report.problems)} problems"
        )
    if not report.is_sound:
        click.get_current_context().exit(EXIT_PROBLEMS)


@click.command(cls=EdgeCommand)
@click.argument("uuids", nargs=-1, required=True, type=click.UUID)
@with_archive
def delete(vsarch: Any, uuids: tuple[UUID, ...]) -> None:
    """Put sequences in the trash: no search finds them; restore brings them back."""
    for uuid in uuids:
        vsarch.trash(uuid)
    finish(f"{len(uuids)} in the trash", f"vseqarchive restore {uuids[0]} undoes it")


@click.command(cls=EdgeCommand)
@click.argument("uuids", nargs=-1, required=True, type=click.UUID)
@with_archive
def restore(vsarch: Any, uuids: tuple[UUID, ...]) -> None:
    """Take sequences out of the trash."""
    for uuid in uuids:
        vsarch.restore(uuid)
    finish(f"{len(uuids)} restored", f"vseqarchive show {uuids[0]}")


@click.command(cls=EdgeCommand)
@archive_url_option(is_read=True)
@_days_option(
    "--trash-days",
    30,
    "Delete sequences that have been in the trash for this many days.",
)
@_days_option(
    "--orphan-days", 7, "Delete unreferenced objects at least this many days old."
)
@click.option(
    "--apply", is_flag=True, help="Delete; by default only list what would be deleted."
)
@format_option()
@with_archive
def gc(
    vsarch: Any,
    *,
    archive_base: str,
    trash_days: int,
    orphan_days: int,
    apply: bool,
    output: str,
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
    if output == "json":
        click.echo(json.dumps(done.as_json(), indent=2))
    elif output != "table":
        print_rows(output, ("what", "name", "detail"), _of_garbage(done))
    else:
        for what, name, detail in _of_garbage(done):
            click.echo(plain_words(f"{what} {name}{f': {detail}' if detail else ''}"))
        verb = "removed" if apply else "would be removed"
        click.echo(
            f"{len(done.sequences)} sequences and {len(done.orphans)} orphans, "
            f"{done.n_bytes} bytes {verb}"
        )
    if not apply:
        finish("nothing was changed", "vseqarchive gc --apply")
    else:
        finish("garbage collected", "vseqarchive verify")


def _of_garbage(done: Any) -> list[tuple[str, str, str]]:
    """Return what was collected, and what was kept with the reason."""
    return [
        *(("sequence", uuid, "") for uuid in done.sequences),
        *(("kept", uuid, reason) for uuid, reason in done.kept.items()),
        *(("orphan", url, "") for url in done.orphans),
        *(("kept", url, "outside the store") for url in done.foreign),
    ]


@click.command(cls=EdgeCommand)
@click.argument("source", type=StoreFolder(is_read=True))
@click.argument("destination", type=StoreFolder(is_read=False))
@click.option(
    "--uuid", "uuids", multiple=True, type=click.UUID, help="Only this sequence."
)
@click.option("--dry-run", is_flag=True, help="Only list what would be moved.")
@format_option()
@with_archive
def move(
    vsarch: Any,
    *,
    source: str,
    destination: str,
    uuids: tuple[UUID, ...],
    dry_run: bool,
    output: str,
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
    if output == "json":
        click.echo(json.dumps(moved.as_json(), indent=2))
    elif output != "table":
        print_rows(output, ("subject", "problem"), moved.problems.items())
    else:
        for subject, reason in moved.problems.items():
            click.echo(plain_words(f"not moved: {subject}: {reason}"))
        verb = "would be moved" if dry_run else f"({moved.n_bytes} bytes) moved"
        click.echo(
            f"{moved.n_objects} objects {verb}, {moved.n_elsewhere} are in other "
            f"stores, {len(moved.problems)} problems"
        )
    if moved.problems:
        click.get_current_context().exit(EXIT_PROBLEMS)
    if moved.n_objects and not dry_run:
        finish(
            "published indexes name the old places",
            "`vseqarchive verify --repair` publishes them again",
        )
    else:
        finish("nothing was changed")


def _progress(what: str) -> Callable[[int, int], None]:
    """Return a function that says on a terminal how far a command is."""
    is_terminal = sys.stderr.isatty() and not is_quiet()

    def say(done: int, total: int) -> None:
        if is_terminal:
            end = "\n" if done == total else ""
            click.echo(f"\r{done} of {total} {what}{end}", err=True, nl=False)

    return say


@click.command(cls=EdgeCommand)
@archive_url_option()
@_INDEX_OPTION
@click.option("--write", is_flag=True, help="Also write a small object and delete it.")
@format_option()
@with_archive
def doctor(
    vsarch: Any,
    *,
    archive_base: str,
    index_base: str | None,
    write: bool,
    output: str,
) -> None:
    """Examine database, schema, rights, store and versions.

    Exit code 3 if a problem is found.
    """
    from dataclasses import asdict

    from archive_assets.integrity.doctor import examine
    from archive_assets.objects.datastore import DataStore

    findings = list(examine(vsarch, DataStore(archive_base), index_base, write=write))
    if output == "json":
        click.echo(json.dumps([asdict(one) for one in findings], indent=2))
    elif output != "table":
        print_rows(
            output,
            ("is_well", "subject", "detail"),
            [(one.is_well, one.subject, one.detail) for one in findings],
        )
    else:
        for one in findings:
            mark = "ok  " if one.is_well else "FAIL"
            click.echo(plain_words(f"{mark} {one.subject}: {one.detail}"))
    if not all(one.is_well for one in findings):
        click.get_current_context().exit(EXIT_PROBLEMS)
