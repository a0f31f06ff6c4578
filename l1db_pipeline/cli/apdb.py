"""``l1db apdb``: make an APDB, and the commands of ``apdb-cli`` on it."""

import click

from l1db_pipeline.cli.edge import plain_errors
from l1db_pipeline.errors import ConfigError
from pipeline_runtime.edge import EdgeGroup, finish
from pipeline_runtime.extras import how_to_install

__all__ = ["apdb"]

_THEIRS = {
    "list-index": "Print the APDBs of the index that DAX_APDB_INDEX_URI names.",
    "metadata": "Show, get, set or delete metadata of an APDB.",
    "metrics": "Convert logs to metrics.",
    "replication": "List or delete replica chunks of an APDB.",
}
"""Commands of ``apdb-cli`` that any implementation serves."""


@click.group(cls=EdgeGroup)
def apdb() -> None:
    """Make an APDB for clients of lsst.dax.apdb, and look after it.

    Needs the extra apdb. All but init are commands of apdb-cli, which knows nothing of
    this package by itself; their options and their output are its own.
    """


def _registered() -> None:
    try:
        from l1db_pipeline.apdb.registration import register
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed: {how_to_install('apdb')}"
        ) from None
    register()


@apdb.command("init")
@click.argument("db_url")
@click.argument("output_config")
@click.option("--schema-file", help="Felis file or URI; today's schema by default.")
@click.option("--ss-schema-file", help="Felis file of SSObject, if it is apart.")
@click.option("--namespace", help="PostgreSQL schema of the tables.")
@click.option("--prefix", help="Prefix of every table's name.")
@click.option(
    "--dia-object-index",
    type=click.Choice(["last_object_table", "baseline"]),
    help="Where current DiaObjects are kept.",
)
@click.option(
    "--history", type=click.Choice(["packed", "rows"]), help="What reads use."
)
@click.option("--enable-replica", is_flag=True, help="Fill replica chunks.")
@click.option(
    "--one-store-per-image/--any-store",
    default=True,
    show_default=True,
    help="Refuse a store of other content for an image that is stored.",
)
@click.option("--drop", is_flag=True, help="Drop the tables first, with ALL DATA.")
@plain_errors
def init(db_url: str, output_config: str, drop: bool, **options: object) -> None:
    """Make the tables of an APDB at DB_URL, and write its configuration.

    OUTPUT_CONFIG is the YAML file that clients open with Apdb.from_uri; it holds
    DB_URL as given, a password included.
    """
    _registered()
    from l1db_pipeline.apdb.apdb import L1Apdb

    given = {name: value for name, value in options.items() if value is not None}
    L1Apdb.init_database(db_url, drop=drop, **given).save(output_config)
    finish("tables created", f"l1db apdb metadata show {output_config}")


def _add(name: str, help_text: str) -> None:
    @apdb.command(
        name,
        help=help_text,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @plain_errors
    def run(arguments: tuple[str, ...]) -> None:
        _registered()
        from lsst.dax.apdb.cli.apdb_cli import main

        click.get_current_context().exit(main([name, *arguments]) or 0)


for _name, _help in _THEIRS.items():
    _add(_name, _help)
