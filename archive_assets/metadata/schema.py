"""Create, upgrade and inspect the schema of the metadata database."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateSchema

from archive_assets.metadata.database import MetadataDatabase
from archive_assets.metadata.errors import SchemaError, SchemaExistsError
from pipeline_runtime.postgres_session import CLIENT_ENCODING

__all__ = [
    "SchemaState",
    "create_if_missing",
    "create_schema",
    "schema_state",
    "upgrade_schema",
]

_ORIGINAL_TABLES = frozenset(
    {"visitseq", "simulations", "completed", "mixedvisitseq", "tags", "comments",
     "files", "conda_env", "nightly_stats"}
)  # fmt: skip
_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x7673_6D64  # "vsmd": one migration at a time


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a schema holds.

    Attributes
    ----------
    revision
        Revision in the database; ``"0001"`` for one that the original made, None
        for none.
    head
        Revision that this version of the package needs.
    stamped
        Whether the database itself records the revision.
    """

    revision: str | None
    head: str
    stamped: bool

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to upgrade."""
        return self.revision == self.head


def schema_state(database: MetadataDatabase) -> SchemaState:
    """Return the revision of the schema; no schema at all is revision None."""
    with database.transaction() as connection:
        return _state(connection, database.settings.schema)


def create_schema(database: MetadataDatabase) -> SchemaState:
    """Make the schema and all that belongs in it, or nothing.

    Raises
    ------
    SchemaExistsError
        If a schema of this name exists, whatever it holds.
    SchemaError
        If the database's encoding cannot hold every text.
    """
    schema = database.settings.schema
    with database.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if inspect(connection).has_schema(schema):
            raise SchemaExistsError(schema)
        _check_encoding(connection)
        connection.execute(CreateSchema(schema))
        _migrate(connection, schema)
        return _state(connection, schema)


def _check_encoding(connection: Connection) -> None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != CLIENT_ENCODING:
        raise SchemaError(
            f"the database's encoding is {encoding}, which cannot hold every text: "
            f"use a database that was made with ENCODING '{CLIENT_ENCODING}'"
        )


def create_if_missing(database: MetadataDatabase) -> None:
    """Make the schema unless there is one, made by whoever and whatever it holds."""
    with database.transaction() as connection:
        if inspect(connection).has_schema(database.settings.schema):
            return
    with suppress(SchemaExistsError):  # another process made it meanwhile
        create_schema(database)


def upgrade_schema(database: MetadataDatabase) -> SchemaState:
    """Bring a schema up to date in place, keeping every row; or change nothing.

    A schema that the original made counts as revision 0001.

    Raises
    ------
    SchemaError
        If the schema is missing, is not an archive's, or is newer than this package.
    """
    schema = database.settings.schema
    with database.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        state = _state(connection, schema)
        if state.revision is None:
            raise SchemaError(
                f"{database.settings.place} holds no archive to upgrade: "
                "`vseqarchive schema create` makes one"
            )
        if not state.stamped:
            _stamp(connection, schema, state.revision)
        _migrate(connection, schema)
        return _state(connection, schema)


def _state(connection: Connection, schema: str) -> SchemaState:
    head = str(_script_directory(connection, schema).get_current_head())
    tables = set(inspect(connection).get_table_names(schema))
    if "alembic_version" in tables:
        revision = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar()
        return SchemaState(None if revision is None else str(revision), head, True)
    is_original = tables >= _ORIGINAL_TABLES
    return SchemaState("0001" if is_original else None, head, False)


def _migrate(connection: Connection, schema: str) -> None:
    connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
    try:
        command.upgrade(_config(connection, schema), "head")
    except CommandError as error:
        raise SchemaError(
            f"schema {schema} cannot be upgraded by this version: {error}"
        ) from error


def _stamp(connection: Connection, schema: str, revision: str) -> None:
    command.stamp(_config(connection, schema), revision)


def _config(connection: Connection, schema: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["schema"] = schema
    return config


def _script_directory(connection: Connection, schema: str) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(connection, schema))
