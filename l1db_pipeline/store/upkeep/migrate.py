"""Carrying a database forward to the newest layout, revision by revision (alembic)."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event, make_url
from typing_extensions import override

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.version import (
    SCHEMA_REVISION,
    UNFINISHED,
    VERSION_COLUMN,
    VERSION_TABLE,
    SchemaVersionError,
)
from l1db_pipeline.store.errors import DatabaseMissingError
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.tables.layout import SETTINGS
from pipeline_runtime.postgres_session import (
    CLIENT_ENCODING,
    OWN_SCHEMA,
    SET_TRANSACTION,
)
from pipeline_runtime.urls import safe_url

__all__ = ["MigrationError", "current_revision", "migrate", "revisions"]

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x4C31_4442  # "L1DB": one migration at a time on a PostgreSQL server


class MigrationError(L1dbError):
    """A database could not be carried to another revision."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


def revisions(more: Sequence[Path] = ()) -> list[tuple[str, str]]:
    """Return every revision with its first line of text, oldest first."""
    scripts = ScriptDirectory.from_config(_alembic_config(more))
    found = [
        (str(s.revision), s.doc.split("\n", 1)[0]) for s in scripts.walk_revisions()
    ]
    return found[::-1]


def current_revision(config: L1dbConfig) -> str:
    """Return the revision of a database.

    Raises
    ------
    MigrationError
        If it cannot be reached, has no L1 tables, or its revision is not known.
    """
    with _connection(config) as connection:
        return _revision(config, connection)


def migrate(
    config: L1dbConfig, revision: str = SCHEMA_REVISION, *, more: Sequence[Path] = ()
) -> tuple[str, str]:
    """Carry a database to a revision, later or earlier; return where from and to.

    Parameters
    ----------
    config
        Names the database; its prefix and namespace name the tables.
    revision
        A revision of `revisions`; the one of this package by default.
    more
        Folders with more revisions.

    Raises
    ------
    MigrationError
        If the database cannot be reached, has no L1 tables, or a step fails. On
        PostgreSQL the failed step has changed nothing; SQLite and MariaDB commit
        each DDL statement by itself.
    SchemaVersionError
        If the database's revision is of a newer version of this package.
    """
    alembic_config = _alembic_config(more)
    place = safe_url(config.url)
    known = [name for name, _ in revisions(more)]
    if revision not in known:
        raise MigrationError(
            place, f"there is no revision {revision}; known: {', '.join(known)}"
        )
    with _connection(config) as connection:
        before = _revision(config, connection)
        if before not in known:
            raise SchemaVersionError(place, before, known[-1])
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
            connection.commit()
        alembic_config.attributes.update(
            connection=connection,
            version_table=config.prefix + VERSION_TABLE.name,
            table_prefix=config.prefix,
            namespace=config.namespace,
        )
        try:
            step = command.upgrade if revision >= before else command.downgrade
            step(alembic_config, revision)
        except (CommandError, NotImplementedError) as error:
            raise MigrationError(place, f"revision {revision}: {error}") from error
        after = _revision(config, connection)
        is_unfinished = _is_unfinished(config, connection)
    if is_unfinished and after == SCHEMA_REVISION:
        with closing(open_sql_store(config)) as store:
            store.finish_migration()
    return before, after


@contextmanager
def _connection(config: L1dbConfig) -> Iterator[sa.Connection]:
    place = safe_url(config.url)
    try:
        engine = _engine(config)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError):
        raise MigrationError(
            place, "is not a database URL, or its driver is not installed"
        ) from None
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and not Path(file).exists():
        raise DatabaseMissingError(place, f"there is no file {file}")
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or type(error).__name__
        raise MigrationError(place, str(cause).strip().split("\n", 1)[0]) from error


def _engine(config: L1dbConfig) -> sa.Engine:
    is_postgres = make_url(config.url).get_backend_name() == "postgresql"
    engine = sa.create_engine(
        config.url,
        poolclass=sa.NullPool,
        connect_args={"client_encoding": CLIENT_ENCODING} if is_postgres else {},
    )
    if is_postgres:
        event.listen(engine, "begin", _Begin(config.namespace))
    return engine


class _Begin:
    """Sets what the session of each transaction relies on."""

    def __init__(self, namespace: str) -> None:
        self._path = namespace

    def __call__(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "SELECT set_config('search_path', coalesce(quote_ident(nullif(%s, '')), "
            f"%s), true), {SET_TRANSACTION}",
            (self._path, OWN_SCHEMA),
        )


def _revision(config: L1dbConfig, connection: sa.Connection) -> str:
    name = config.prefix + VERSION_TABLE.name
    namespace = config.namespace or None
    inspector = sa.inspect(connection)
    if not inspector.has_table(name, schema=namespace):
        problem = (
            "the L1 tables have no revision: they are not of this package"
            if inspector.has_table(config.prefix + "DiaObject", schema=namespace)
            else "there are no L1 tables: create them with create_l1_schema"
        )
        raise MigrationError(safe_url(config.url), problem)
    table = sa.table(name, sa.column(VERSION_COLUMN), schema=namespace)
    found = connection.scalars(sa.select(table.c[VERSION_COLUMN])).all()
    connection.commit()
    if len(found) != 1:
        raise MigrationError(
            safe_url(config.url), f"{name} has {len(found)} rows, not one"
        )
    return str(found[0])


def _is_unfinished(config: L1dbConfig, connection: sa.Connection) -> bool:
    """Tell whether a step, now or before, has left data to be made by the store."""
    name, namespace = config.prefix + SETTINGS.name, config.namespace or None
    if not sa.inspect(connection).has_table(name, schema=namespace):
        return False
    table = sa.table(name, sa.column("name"), schema=namespace)
    found = connection.scalars(sa.select(table.c.name)).all()
    connection.commit()
    return UNFINISHED in found


def _alembic_config(more: Sequence[Path]) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    folders = [_SCRIPTS / "versions", *more]
    config.set_main_option(
        "version_locations", "\n".join(str(f).replace("%", "%%") for f in folders)
    )
    config.set_main_option("path_separator", "newline")
    return config
