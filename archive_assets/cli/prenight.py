"""``prenight``: simulate nights, and what that needs."""

import shlex
import signal
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from archive_assets.cli.edge import DAY_OBS, name_and_path, plain_errors
from archive_assets.cli.prenight_compare import compare_completed
from archive_assets.cli.vseqarchive_connection import StoreFolder
from pipeline_runtime.edge import EdgeGroup, InputFile, finish, is_quiet
from pipeline_runtime.printing import format_option, plain_words, print_rows

__all__ = ["main"]

_A_DAY = timedelta(days=1)
_VARIANT_COLUMNS = ("telescope", "variant", "nights", "rewards", "tags", "label")
_TELESCOPES = click.Choice(["simonyi", "auxtel"])

_site_data_option = click.option(
    "--site-data",
    "site_data",
    envvar="RUBIN_SIM_DATA_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of site data; by default ~/rubin_sim_data.",
)
_telescope_option = click.option(
    "--telescope", type=_TELESCOPES, default="simonyi", show_default=True,
    help="Telescope.",
)  # fmt: skip


@click.group(cls=EdgeGroup)
def main() -> None:
    """Simulate coming nights and archive them.

    The variants of a night are in a file that a site edits: see prenight variants.
    """


@main.command()
@click.option(
    "--day-obs", type=DAY_OBS, help="First night; by default the coming one (UTC-12)."
)
@_telescope_option
@click.option(
    "--variant", "names", multiple=True,
    help="Only this variant; may be repeated. All by default.",
)  # fmt: skip
@click.option(
    "--nights",
    type=click.IntRange(1, 400),
    help="Nights; else as in the variants file.",
)
@click.option(
    "--completed",
    type=InputFile(),
    help="Visits made so far, opsim file or visits.h5: archived, and the start.",
)
@click.option(
    "--completed-through", type=DAY_OBS,
    help="Last night of the visits made so far; by default the one before the first.",
)  # fmt: skip
@click.option("--repo", help="Git repository of the scheduler's configuration.")
@click.option("--script", help="Its script, a path or in the repository.")
@click.option("--ref", default="main", show_default=True, help="Branch, tag or commit.")
@click.option(
    "--command",
    help="Program that simulates instead of rubin_scheduler, with its arguments; no "
    "shell. Words in braces are replaced, such as {day_obs}, {n_nights}, {variant}; "
    "it must leave the file {opsim} and may leave {rewards}.",
)
@click.option("--progress", is_flag=True, help="Report progress on stderr.")
@click.option("--seed", default=42, show_default=True, help="Seed of the tessellation.")
@click.option(
    "--at-once", default=2, show_default=True, type=click.IntRange(1, 64),
    help="Simulations at the same time, each on one core.",
)  # fmt: skip
@click.option(
    "--memory-mb", default=8000, show_default=True, type=click.IntRange(200),
    help="Maximum memory of one simulation.",
)  # fmt: skip
@click.option(
    "--timeout-minutes", default=120.0, show_default=True, help="Maximum time of one."
)
@_site_data_option
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work folder; else PRENIGHT_WORK, else in L1DB_HOME.",
)
@click.option(
    "--archive-base", required=True, envvar="ARCHIVE_URL", show_envvar=True,
    type=StoreFolder(is_read=False),
    help="Where the files are archived.",
)  # fmt: skip
@click.option(
    "--index", envvar="PRENIGHT_INDEX_URL", show_envvar=True,
    type=StoreFolder(is_read=False),
    help="Folder of the pre-night indexes.",
)  # fmt: skip
@plain_errors
def run(  # noqa: PLR0917 - click passes options by keyword
    day_obs: datetime | None,
    telescope: str,
    names: tuple[str, ...],
    nights: int | None,
    completed: Path | None,
    completed_through: datetime | None,
    repo: str | None,
    script: str | None,
    ref: str,
    command: str | None,
    progress: bool,
    seed: int,
    at_once: int,
    memory_mb: int,
    timeout_minutes: float,
    site_data: Path | None,
    work: Path | None,
    archive_base: str,
    index: str | None,
) -> None:
    """Simulate all variants of a night, and archive each as it finishes.

    Prints one line a variant: name, UUID, number of visits, seconds. The index of the
    nights is published after each. Where the metadata are: VSARCHIVE_PGHOST and so on.
    A run that is interrupted leaves what it had archived, and nothing half done.
    """
    from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
    from archive_assets.nights.keeper import ArchiveKeeper
    from archive_assets.objects.datastore import DataStore
    from archive_assets.simulation import (
        Limits,
        ParentVisits,
        Telescope,
    )
    from archive_assets.simulation.config_script import scheduler_source
    from archive_assets.simulation.drivers import ExternalCommandDriver
    from archive_assets.simulation.errors import UnknownVariantError
    from archive_assets.simulation.night import plan_night, run_night
    from archive_assets.simulation.site_data import site_data_folder
    from archive_assets.simulation.work import default_work_folder
    from visit_tables.day_obs import day_obs_at

    if repo and not script:
        raise click.UsageError("--repo needs --script")
    if command and script:
        raise click.UsageError("--command has its own configuration: no --script")
    driver = ExternalCommandDriver(tuple(shlex.split(command))) if command else None
    now = datetime.now(UTC)
    first = day_obs.date() if day_obs else day_obs_at(now)
    last_made = completed_through.date() if completed_through else first - _A_DAY
    parent = None
    if completed is not None:
        parent = ParentVisits(
            path=completed, telescope=Telescope(telescope), last_day_obs=last_made
        )
    try:
        plan = plan_night(
            first,
            Telescope(telescope),
            names=names,
            n_nights=nights,
            site_data=site_data or site_data_folder(),
            work_folder=work or default_work_folder(),
            scheduler=scheduler_source(repo, script, ref),
            parent=parent,
            seed=seed,
            limits=Limits(wall_s=timeout_minutes * 60, memory_bytes=memory_mb * 10**6),
            n_at_once=at_once,
        )
    except UnknownVariantError as error:
        raise click.BadParameter(str(error), param_hint="--variant") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up first
    with VisitSequenceArchiveMetadata() as vsarch:
        keeper = ArchiveKeeper(
            vsarch=vsarch, store=DataStore(archive_base), started=now, index_url=index
        )
        keeper.check()
        outcomes = run_night(
            plan,
            keeper,
            driver,
            on_progress=lambda variant, done: (
                click.echo(f"{variant.name}: {done.line}", err=True)
                if progress and not is_quiet()
                else None
            ),
            on_outcome=lambda outcome: click.echo(
                outcome.line, err=outcome.error is not None
            ),
        )
    if failed := [o.variant.name for o in outcomes if o.error is not None]:
        raise click.ClickException(
            f"{len(failed)} of {len(outcomes)} variants failed: {', '.join(failed)}"
        )
    finish(f"{len(outcomes)} variants archived", f"prenight report --day-obs {first}")


@main.command()
@click.option("--day-obs", required=True, type=DAY_OBS, help="The night.")
@_telescope_option
@click.option(
    "--output", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the pictures; created if missing.",
)  # fmt: skip
@click.argument("files", nargs=-1, metavar="[NAME=FILE]...")
@plain_errors
def report(
    day_obs: datetime, telescope: str, output: Path, files: tuple[str, ...]
) -> None:
    """Draw a night: altitude, sky, programmes, and differences to nominal.

    Each NAME=FILE is a variant with its visits (opsim or visits.h5), the nominal one
    first. Without any, the newest archived simulations of the night are drawn.
    Prints the path of each PNG picture.
    """
    named = dict(map(name_and_path, files))
    from archive_assets.nights.report import archived_sequences, read_sequences
    from archive_assets.simulation.night_report import write_night_report

    night = day_obs.date()
    if named:
        sequences, note = read_sequences(named), ""
    else:
        sequences, note = archived_sequences(night, telescope)
    pictures = write_night_report(output, sequences, night, note=note)
    for path in pictures.values():
        click.echo(path)
    finish(f"{len(pictures)} pictures in {output}")


@main.command()
@click.option("--file", "file", type=InputFile(), help="Variants file.")
@format_option("tsv")
@plain_errors
def variants(file: Path | None, output: str) -> None:
    """List the variants of a night, in the order in which they are simulated.

    They are read from --file, else from the file that PRENIGHT_VARIANTS names, else
    from the one that comes with the package; its path is printed first.
    """
    from archive_assets.simulation.variants import load_variants, variants_file

    path = file or variants_file()
    plans = load_variants(path)
    rows = [
        (telescope, one.name, plan.nights, "rewards" if one.rewards else "-",
         ",".join(one.tags), one.label)
        for telescope, plan in plans.items()
        for one in plan.variants
    ]  # fmt: skip
    if output == "tsv":
        click.echo(f"# {path}")
        for row in rows:
            click.echo("\t".join(plain_words(str(word)) for word in row))
    else:
        print_rows(output, _VARIANT_COLUMNS, rows)


@main.command()
@click.option("--day-obs", type=DAY_OBS, help="The night; by default the latest.")
@format_option()
@click.option(
    "--index", envvar="PRENIGHT_INDEX_URL", show_envvar=True, default="",
    type=StoreFolder(is_read=False),
    help="Folder of the pre-night indexes.",
)  # fmt: skip
@plain_errors
def status(day_obs: datetime | None, index: str, output: str) -> None:
    """Print the page of a night: what is done, what failed, what to do.

    It is the page that the job night_report published last, and says when.
    Exits with 1 if the night needs somebody.
    """
    import dataclasses
    import json

    from archive_assets.nights.page import page_text, read_page

    name = day_obs.date().isoformat() if day_obs else "latest"
    page = read_page(name, index)
    if output == "json":
        click.echo(json.dumps(dataclasses.asdict(page), default=str))
    elif output != "table":
        print_rows(output, ("name", "value"), dataclasses.asdict(page).items())
    else:
        click.echo(page_text(page))
    if page.to_do:
        raise SystemExit(1)


@main.command()
@click.option("--test", is_flag=True, required=True, help="Send one message.")
@plain_errors
def alarm(*, test: bool) -> None:  # noqa: ARG001 - said so that nobody sends by chance
    """Send one alarm to every channel of ALARM_URLS; exit with 1 if one fails.

    Prints a line a channel, without what is secret of it.
    """
    from pipeline_runtime.alarms import Alarm, alarm_channels

    channels = alarm_channels()
    if not channels:
        raise click.ClickException(
            "ALARM_URLS is not set: set it to URLs such as slack://..., mailto://... "
            "or json://..., with spaces between them"
        )
    message = Alarm(
        cause="test",
        title="prenight: a test of the alarm",
        lines=(f"sent by `prenight alarm --test` on {socket.gethostname()}",),
    )
    failed = 0
    for channel in channels:
        is_sent = channel.send(message)
        failed += not is_sent
        click.echo(f"{channel.name}: {'sent' if is_sent else 'FAILED'}")
    if failed:
        raise click.ClickException(
            f"{failed} of {len(channels)} channels did not accept the message"
        )


main.add_command(compare_completed)


@main.group("site-data")
def site_data_group() -> None:
    """Check or synthesize the files of the site that the scheduler reads."""


def _first_and_nights(
    function: click.decorators.FC,
) -> click.decorators.FC:
    function = click.option(
        "--nights", default=1, show_default=True, type=click.IntRange(1, 400),
        help="How many nights are simulated.",
    )(function)  # fmt: skip
    return click.option("--first", required=True, type=DAY_OBS, help="First night.")(
        function
    )


@site_data_group.command()
@_site_data_option
@_first_and_nights
@plain_errors
def check(site_data: Path | None, first: datetime, nights: int) -> None:
    """Check that the site data cover some nights; exit with 1 if not."""
    from archive_assets.simulation.site_data import (
        check_site_data,
        is_synthetic,
        site_data_folder,
    )

    folder = site_data or site_data_folder()
    check_site_data(folder, first.date(), nights)
    kind = "synthetic" if is_synthetic(folder) else "real"
    click.echo(f"{folder}: {kind} site data cover {nights} nights from {first.date()}")


@site_data_group.command()
@_site_data_option
@_first_and_nights
@click.option(
    "--step-minutes", default=10.0, show_default=True, type=click.FloatRange(1, 60),
    help="Time between two maps of the sky, for a new folder.",
)  # fmt: skip
@plain_errors
def synthesize(
    site_data: Path | None, first: datetime, nights: int, step_minutes: float
) -> None:
    """Synthesize site data of some nights, or add nights to synthetic ones.

    Takes some seconds. Everything that is simulated with them is labelled synthetic.
    """
    from archive_assets.simulation.site_data import site_data_folder
    from archive_assets.simulation.site_data.synthesize import synthesize_site_data

    synthesize_site_data(
        site_data or site_data_folder(),
        first.date(),
        nights,
        step_minutes=step_minutes,
        report=click.echo,
    )
    finish("site data synthesized", f"prenight run --day-obs {first.date()}")


if __name__ == "__main__":
    main()
