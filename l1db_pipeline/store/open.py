"""A store for a configuration: which backend its URL asks for."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from l1db_pipeline.errors import ConfigError
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.backends.explain import Plans, explaining
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.made_with import stored_options
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.layout import SETTINGS, Layout
from l1db_pipeline.store.timing import Timings
from pipeline_runtime.extras import how_to_install
from pipeline_runtime.urls import safe_url

__all__ = ["OPENERS", "STORES", "as_made", "open_sql_store", "open_store"]

_StoreOpener = Callable[[L1dbConfig | str, Timings | None], L1Store]
_Opener = Callable[[L1dbConfig, Sequence[Table]], Database]


def open_store(
    config: L1dbConfig | str | PathLike[str],
    *,
    timings: Timings | None = None,
    plans: Plans | None = None,
) -> L1Store:
    """Connect to the database of a configuration; use it in a ``with`` statement.

    Tables are not made here (`L1Store.create_schema` does it) and not looked at
    before the first call that needs them. A SQLite file that does not exist is made by
    `create_schema` alone.

    Parameters
    ----------
    config
        The configuration, or the path of its INI file; or a database URL such as
        ``postgresql+psycopg://host/database``, whose tables then say with which
        options they were made.
    timings
        Where steps are recorded; `None` for a collector of its own.
    plans
        Receives the database's plans while they are wanted.

    Raises
    ------
    ConfigError
        If the URL names a backend that is not supported, or its driver is absent.
    DatabaseUnavailableError
        If no connection can be made.
    DatabaseMissingError
        If a URL names a SQLite file that does not exist.
    SchemaMissingError
        If a URL's database has no L1 tables.
    """
    if isinstance(config, str) and "://" in config:
        opener = STORES.get(_backend(config))
        if opener is not None:
            return opener(config, timings)
        config = as_made(L1dbConfig(url=config))
    elif not isinstance(config, L1dbConfig):
        config = L1dbConfig.from_ini(config)
    opener = STORES.get(_backend(config.url))
    if opener is None:
        return open_sql_store(config, timings=timings, plans=plans)
    if plans is not None:
        raise ConfigError(f"{safe_url(config.url)} tells no plans: only SQL has them")
    return opener(config, timings)


def open_sql_store(
    config: L1dbConfig,
    *,
    timings: Timings | None = None,
    plans: Plans | None = None,
) -> SqlL1Store:
    """Connect to a database whose tables are to be carried to another layout.

    Parameters and errors as in `open_store`.
    """
    schema = load_schema(config.schema_file, column_map=config.column_map)
    known = Layout.of(schema, config).tables
    database = _connect(config, known)
    if plans is not None:
        database = explaining(database, plans)
    return SqlL1Store(database, schema, config, timings)


def as_made(config: L1dbConfig) -> L1dbConfig:
    """Return a configuration with the options that its tables were made with.

    Raises
    ------
    DatabaseMissingError, DatabaseUnavailableError, SchemaMissingError
        As `open_store`.
    """
    with closing(_connect(config, (SETTINGS,))) as database:
        return replace(config, **stored_options(database))


def _backend(url: str) -> str:
    try:
        return make_url(url).get_backend_name()
    except (ArgumentError, ValueError):  # the latter of a port that is not a number
        raise ConfigError(
            f"{safe_url(url)} is not a database URL: see cfg/ for examples"
        ) from None


def _connect(config: L1dbConfig, known: Sequence[Table]) -> Database:
    opener = OPENERS.get(_backend(config.url))
    if opener is None:
        raise ConfigError(
            f"unsupported database backend in {safe_url(config.url)}: use "
            + ", ".join(sorted({*OPENERS, *STORES}))
        )
    return opener(config, known)


def _postgres(config: L1dbConfig, known: Sequence[Table]) -> Database:
    from l1db_pipeline.store.backends.postgres import PostgresDatabase  # noqa: PLC0415 - its driver only where used

    return PostgresDatabase(
        config.url, prefix=config.prefix, namespace=config.namespace, known=known
    )


def _sqlite(config: L1dbConfig, known: Sequence[Table]) -> Database:
    from l1db_pipeline.store.backends.sqlite import SqliteDatabase  # noqa: PLC0415 - as above

    return SqliteDatabase(config.url, prefix=config.prefix, known=known)


def _mariadb(config: L1dbConfig, known: Sequence[Table]) -> Database:
    try:
        from l1db_pipeline.store.backends.mariadb import MariadbDatabase  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{safe_url(config.url)} needs {error.name}: {how_to_install('mariadb')}"
        ) from None
    return MariadbDatabase(config.url, prefix=config.prefix, known=known)


def _cassandra(config: L1dbConfig | str, timings: Timings | None) -> L1Store:
    try:
        from l1db_pipeline.store.backends.cassandra.opening import open_cassandra  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        url = config if isinstance(config, str) else config.url
        raise ConfigError(
            f"{safe_url(url)} needs {error.name}: {how_to_install('cassandra')}"
        ) from None
    return open_cassandra(config, timings)


STORES: dict[str, _StoreOpener] = {"cassandra": _cassandra}
"""By the scheme of the URL, stores that are no tables of a database."""
OPENERS: dict[str, _Opener] = {
    "mariadb": _mariadb,
    "mysql": _mariadb,
    "postgresql": _postgres,
    "sqlite": _sqlite,
}
"""By the scheme of the URL: a further backend is a module and a line here."""
