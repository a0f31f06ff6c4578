"""What a database was made with: its revision, and the options that may not change."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Schema, Table
from l1db_pipeline.schema.version import (
    SCHEMA_REVISION,
    UNFINISHED,
    VERSION_COLUMN,
    SchemaVersionError,
    is_readable_as,
)
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.errors import SchemaMismatchError, SchemaMissingError
from l1db_pipeline.store.tables.bookkeeping import Settings
from l1db_pipeline.store.tables.layout import SETTINGS, Layout

__all__ = [
    "MadeWith",
    "check_options",
    "options_made_with",
    "options_of",
    "stored_options",
]

_VERSION = "l1.schema_version"
_IDENTITY = "l1.database"
_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "dia_object_index": ObjectIndex,
    "dia_object_nightly": lambda text: text == "1",
    "history": History,
    "history_pixel_level": int,
    "cell_level": int,
}
_ADDED = frozenset({"cell_level"})
"""Options that databases of an earlier revision lack."""


def stored_options(database: Database) -> dict[str, Any]:
    """Return the options of an `L1dbConfig` that a database was made with.

    Raises
    ------
    SchemaMissingError
        If it has no L1 tables.
    """
    if SETTINGS.name not in database.table_names():
        raise SchemaMissingError(database.place)
    rows = database.select(SETTINGS, SETTINGS.names)
    kept = dict(zip(rows["name"].tolist(), rows["value"].tolist(), strict=True))
    return options_of(database.place, kept)


def options_of(place: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of an `L1dbConfig` that settings tell; as `stored_options`."""
    try:
        return {
            name: parse(settings[f"l1.{name}"])
            for name, parse in _OPTIONS.items()
            if f"l1.{name}" in settings or name not in _ADDED
        }
    except KeyError:
        raise SchemaMissingError(place) from None


def options_made_with(schema: Schema, config: L1dbConfig) -> dict[str, str]:
    """Return the settings that tell what tables are made with."""
    return {
        "l1.schema": schema.name,
        _VERSION: schema.version,
        "l1.dia_object_index": config.dia_object_index.value,
        "l1.dia_object_nightly": str(int(config.dia_object_nightly)),
        "l1.history": config.history.value,
        "l1.history_pixel_level": str(config.history_pixel_level),
        "l1.cell_level": str(config.cell_level),
    }


def check_options(
    place: str,
    wanted: Mapping[str, str],
    stored: Mapping[str, str],
    *,
    are_complete: bool,
) -> None:
    """Compare settings; some may be absent unless they are ``are_complete``.

    Raises
    ------
    SchemaMissingError
        If one is absent.
    SchemaMismatchError
        If one is another.
    """
    for name, value in wanted.items():
        found = stored.get(name)
        if found is None and are_complete:
            raise SchemaMissingError(place)
        if name == _VERSION and found and is_readable_as(found, value):
            continue
        if found not in {None, value}:
            raise SchemaMismatchError(place, name[len("l1.") :], str(found), value)


class MadeWith:
    """Compares a database with the configuration that opens it.

    Parameters
    ----------
    database, layout
        The database, and the tables that it should have.
    schema, config
        What it should have been made with.
    """

    def __init__(
        self, database: Database, layout: Layout, schema: Schema, config: L1dbConfig
    ) -> None:
        self._database = database
        self._layout = layout
        self._schema = schema
        self._config = config
        self._settings = Settings(database, layout)
        self.is_checked = False
        """Whether the two were compared and agree."""
        self.identity = ""
        """What tells this database from every other, once it was compared."""
        self._wanted = options_made_with(schema, config)

    def keep(self) -> None:
        """Write the options into a database whose tables were made."""
        self._wanted.pop(_IDENTITY, None)
        for name, value in self._wanted.items():
            self._settings.put(name, value)
        self._settings.put(_IDENTITY, secrets.token_hex(16))
        self.is_checked = False

    def check_once(self) -> Layout:
        """Compare, and return the layout without the columns that are not there.

        A database of an earlier minor version lacks the nullable columns that were
        added since.

        Raises
        ------
        SchemaMissingError
            If there are no tables, or not all.
        SchemaVersionError
            If they are of another revision.
        SchemaMismatchError
            If they were made with other options, or lack a column that must have a
            value.
        """
        if self._layout.settings.name not in self._database.table_names():
            raise SchemaMissingError(self._database.place)
        self.check(are_complete=True)
        identity = self._settings.get(_IDENTITY)
        if identity is None:
            raise SchemaMissingError(self._database.place)
        self.identity = self._wanted[_IDENTITY] = identity
        layout = self._layout
        stored = self._settings.get(_VERSION)
        if stored is not None and stored != self._schema.version:
            layout = Layout.of(self._schema_of_the_tables(stored), self._config)
        self.is_checked = True
        return layout

    def _schema_of_the_tables(self, version: str) -> Schema:
        """Return the schema without the columns that were added after a version."""
        made = {table.name: table for table in self._layout.tables}
        absent = {name: self._absent(made[name], version)
                  for name in self._schema.names if name in made}  # fmt: skip
        # tables that this database does not have are made of the columns of this one
        of_objects = absent["DiaObject"]
        return replace(
            self._schema,
            tables=tuple(
                table.without(absent.get(table.name, of_objects))
                for table in self._schema.tables
            ),
        )

    def _absent(self, table: Table, version: str) -> frozenset[str]:
        held = self._database.column_names(table)
        absent = [column for column in table.columns if column.sql_name not in held]
        for column in absent:
            if not column.nullable:
                raise SchemaMismatchError(
                    self._database.place,
                    "schema_version",
                    version,
                    f"{self._schema.version}, whose column {table.name}.{column.name} "
                    "must have a value",
                )
        return frozenset(column.name for column in absent)

    def check(self, *, are_complete: bool) -> None:
        """Compare; options may be absent unless they are ``are_complete``."""
        place = self._database.place
        self._check_revision(place)
        unfinished = self._settings.get(UNFINISHED)
        if unfinished is not None:
            raise SchemaVersionError(place, f"less than {unfinished}")
        stored = self._settings.beginning_with("l1.")
        check_options(place, self._wanted, stored, are_complete=are_complete)

    def finish(self) -> None:
        """Note that the data which a revision left to be made are there."""
        with self._database.transaction(write=True):
            where = [Condition("name", Op.EQUAL, UNFINISHED)]
            self._database.delete(self._layout.settings, where)

    def _check_revision(self, place: str) -> None:
        found, version = "", self._layout.version
        if version.name in self._database.table_names():
            rows = self._database.select(version, [VERSION_COLUMN])
            found = ", ".join(rows[VERSION_COLUMN].tolist())
        if found != SCHEMA_REVISION:
            raise SchemaVersionError(place, found)
