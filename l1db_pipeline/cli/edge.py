"""What every command of the L1 database has at its edge."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from l1db_pipeline.errors import EXPECTED_ERRORS
from pipeline_runtime.edge import InputFile, finish, set_up_logging, turned_into_text

__all__ = [
    "config_option",
    "make_tables",
    "plain_errors",
    "radec_pairs",
    "set_up_logging",
    "verbose_option",
]

P = ParamSpec("P")
R = TypeVar("R")

config_option = click.option(
    "-c",
    "--config",
    default="l1db.cfg",
    type=InputFile(str),
    show_default=True,
    envvar="L1DB_CONFIG",
    show_envvar=True,
    metavar="PATH",
    help="Configuration of the L1 database, an INI file; see cfg/ for examples.",
)
verbose_option = click.option(
    "-v", "--verbose", count=True, help="Log more; give it twice for still more."
)


def make_tables(config: str, *, drop: bool) -> None:
    """Create the tables that a configuration describes, and say what was done."""
    from contextlib import closing

    from l1db_pipeline.store.errors import DatabaseMissingError, SchemaMissingError
    from l1db_pipeline.store.open import open_store

    with closing(open_store(config)) as store:
        try:
            store.last_visit()
            is_new = drop
        except (DatabaseMissingError, SchemaMissingError):
            is_new = True
        store.create_schema(drop=drop)
    if is_new:
        finish("tables created", f"ap_proto -c {config} SOURCES_FILE")
    else:
        finish("nothing was changed: the tables exist")


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into ``Error: ...`` on stderr and exit code 1."""
    return turned_into_text(*EXPECTED_ERRORS)(function)


def radec_pairs(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> list[tuple[float, float]]:
    """Read ``RA,DEC`` pairs, several in one value if blanks separate them."""
    fields = []
    for word in " ".join(value).split():
        try:
            ra_deg, dec_deg = (float(part) for part in word.split(","))
        except ValueError as error:
            raise click.BadParameter(f"{word!r} is not RA,DEC in degrees") from error
        if not (0 <= ra_deg < 360 and -90 <= dec_deg <= 90):
            raise click.BadParameter(f"{word!r} is not within 0..360,-90..90 degrees")
        fields.append((ra_deg, dec_deg))
    return fields
