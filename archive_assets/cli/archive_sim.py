"""``archive_sim``: add a simulation to the prototype archive."""

import tempfile
from datetime import UTC, datetime

import click

from archive_assets.cli.edge import WithTags, plain_errors

__all__ = ["main"]

_FILE = click.Path(exists=True, dir_okay=False)


@click.command(cls=WithTags, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("label")
@click.argument("opsim", type=_FILE)
@click.option("--rewards", type=_FILE, help="Rewards, an HDF5 file.")
@click.option("--scheduler_version", help="Version of rubin_scheduler.")
@click.option("--scheduler", type=_FILE, help="Pickle of the scheduler at the start.")
@click.option("--script", type=_FILE, help="Script that made the simulation.")
@click.option("--notebook", type=_FILE, help="Notebook that made the simulation.")
@click.option(
    "--archive_base_uri",
    default="s3://rubin:rubin-scheduler-prenight/opsim/",
    show_default=True,
    help="The prototype archive.",
)
@click.option("--tags", multiple=True, help="Tags of the simulation, one or more.")
@click.option(
    "--telescope", default="simonyi", show_default=True, help="simonyi or auxtel."
)
@plain_errors
def main(  # noqa: PLR0917 click passes them by name
    label: str,
    opsim: str,
    scheduler_version: str | None,
    archive_base_uri: str,
    tags: tuple[str, ...],
    telescope: str,
    **files: str | None,
) -> object:
    """Add the simulation in OPSIM to the prototype archive, and print its URL.

    The prototype archive is deprecated: `vseqarchive add` is its successor.
    """
    from archive_assets.prototype_archive.folder import make_prototype_folder
    from archive_assets.prototype_archive.layout import transfer_folder

    with tempfile.TemporaryDirectory() as folder:
        make_prototype_folder(
            folder,
            opsim,
            label=label,
            telescope=telescope,
            tags=tags,
            scheduler_version=scheduler_version,
            files={kind: path for kind, path in files.items() if path is not None},
        )
        today = datetime.now(UTC).date()
        place = transfer_folder(folder, archive_base_uri, today)
    click.echo(place.geturl())
    return place


if __name__ == "__main__":
    main()
