"""What a database was made with: its revision, and the options that may not change."""

from collections.abc import Callable, Mapping
from typing import Any

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Schema
from l1db_pipeline.schema.version import (
    SCHEMA_REVISION,
    UNFINISHED,
    VERSION_COLUMN,
    SchemaVersionError,
    is_patch_of,
)
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.errors import SchemaMismatchError, SchemaMissingError
from l1db_pipeline.store.tables.bookkeeping import Settings
from l1db_pipeline.store.tables.layout import SETTINGS, Layout

__all__ = ["MadeWith", "stored_options"]

_VERSION = "l1.schema_version"
_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "dia_object_index": ObjectIndex,
    "dia_object_nightly": lambda text: text == "1",
    "history": History,
    "history_pixel_level": int,
}


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
    try:
        return {name: parse(kept[f"l1.{name}"]) for name, parse in _OPTIONS.items()}
    except KeyError:
        raise SchemaMissingError(database.place) from None


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
        self._settings = Settings(database, layout)
        self.is_checked = False
        """Whether the two were compared and agree."""
        self._wanted = {
            "l1.schema": schema.name,
            _VERSION: schema.version,
            "l1.dia_object_index": config.dia_object_index.value,
            "l1.dia_object_nightly": str(int(config.dia_object_nightly)),
            "l1.history": config.history.value,
            "l1.history_pixel_level": str(config.history_pixel_level),
        }

    def keep(self) -> None:
        """Write the options into a database whose tables were made, and compare."""
        for name, value in self._wanted.items():
            self._settings.put(name, value)
        self.is_checked = False
        self.check_once()

    def check_once(self) -> None:
        """Compare at the first call.

        Raises
        ------
        SchemaMissingError
            If there are no tables, or not all.
        SchemaVersionError
            If they are of another revision.
        SchemaMismatchError
            If they were made with other options.
        """
        if self.is_checked:
            return
        if self._layout.settings.name not in self._database.table_names():
            raise SchemaMissingError(self._database.place)
        self.check(are_complete=True)
        self.is_checked = True

    def check(self, *, are_complete: bool) -> None:
        """Compare; options may be absent unless they are ``are_complete``."""
        place = self._database.place
        self._check_revision(place)
        unfinished = self._settings.get(UNFINISHED)
        if unfinished is not None:
            raise SchemaVersionError(place, f"less than {unfinished}")
        for name, wanted in self._wanted.items():
            stored = self._settings.get(name)
            if stored is None and are_complete:
                raise SchemaMissingError(place)
            if name == _VERSION and stored and is_patch_of(stored, wanted):
                continue
            if stored not in {None, wanted}:
                raise SchemaMismatchError(place, name[len("l1.") :], stored, wanted)

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
