"""``compile_sim_archive_metadata_resource``: compile the prototype's metadata."""

import logging
import warnings

import click

from archive_assets.cli.edge import plain_errors

__all__ = ["main"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--compilation_uri",
    help="File to write; compiled_metadata_cache.h5 in the archive by default.",
)
@click.option(
    "--archive_base_uri",
    default="s3://rubin:rubin-scheduler-prenight/opsim/",
    show_default=True,
    help="The prototype archive.",
)
@click.option(
    "--append",
    is_flag=True,
    help="Read only what was added since the newest date that is compiled.",
)
@click.option(
    "--log-file",
    envvar="SIM_ARCHIVE_LOG_FILE",
    type=click.Path(dir_okay=False),
    help="Where to log; also $SIM_ARCHIVE_LOG_FILE, else stderr.",
)
@plain_errors
def main(
    compilation_uri: str | None,
    archive_base_uri: str,
    append: bool,
    log_file: str | None,
) -> None:
    """Write the metadata of the prototype archive to one HDF5 file; print its URL."""
    from archive_assets.prototype_archive.prototype import (
        CACHE_NAME,
        compile_sim_metadata,
    )

    logging.basicConfig(
        filename=log_file,
        level=logging.INFO,
        format="%(asctime)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    place = compilation_uri or f"{archive_base_uri.rstrip('/')}/{CACHE_NAME}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        written = compile_sim_metadata(archive_base_uri, place, append=append)
    click.echo(written.geturl())


if __name__ == "__main__":
    main()
