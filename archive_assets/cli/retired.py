"""Commands that wrote to the prototype archive: they say what takes their place."""

from typing import NoReturn

import click

from pipeline_runtime.edge import EdgeCommand

__all__ = ["INSTEAD", "main"]

INSTEAD = {
    "archive_sim": "archive the simulation with `vseqarchive add OPSIM LABEL`",
    "compile_sim_archive_metadata_resource": (
        "nothing needs compiling, `vseqarchive search` asks the database"
    ),
}


@click.command(
    cls=EdgeCommand,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def main(context: click.Context, arguments: tuple[str, ...]) -> NoReturn:
    """Refuse: the prototype archive is no longer written; say what to do instead."""
    del arguments  # whatever they are
    name = str(context.info_name)
    raise click.ClickException(
        f"{name} is retired, the prototype archive is only read: "
        f"{INSTEAD.get(name, INSTEAD['archive_sim'])}"
    )


if __name__ == "__main__":
    main()
