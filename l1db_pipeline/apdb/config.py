"""The configuration of an `L1Apdb`, and the store that it opens."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from lsst.dax.apdb import ApdbConfig, IncompatibleVersionError
from lsst.resources import ResourcePath
from pydantic import Field

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.daytime import Daytime
from l1db_pipeline.store.errors import SchemaMismatchError, SchemaMissingError
from l1db_pipeline.store.open import as_made, open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

__all__ = ["L1ApdbConfig", "OpenStore", "open_apdb_store"]

_CELL_LEVEL = 10
"""Some 20 cells a detector, which is what a client reads and stores."""
_COLUMN_MAP = Path(__file__).with_name("column_map.yaml")


class L1ApdbConfig(ApdbConfig):
    """Which database, and how its tables were made; the latter cannot change."""

    _implementation_type: ClassVar[str] = "l1"

    db_url: str = Field(description="SQLAlchemy URL of the database.")
    prefix: str = Field(default="", description="Prefix of every table's name.")
    namespace: str = Field(
        default="", description="PostgreSQL schema of the tables, if not the default."
    )
    dia_object_index: Literal["baseline", "last_object_table"] = Field(
        default="last_object_table", description="Where current DiaObjects are kept."
    )
    history: Literal["rows", "packed"] = Field(
        default="packed", description="Whether reads use rows or packed chunks."
    )
    one_store_per_image: bool = Field(
        default=False,
        description="Refuse a store of other content for an image that is stored.",
    )

    def of_store(self, schema_file: str = "") -> L1dbConfig:
        """Return the configuration of the store, its schema in a local file."""
        return L1dbConfig(
            url=self.db_url,
            prefix=self.prefix,
            namespace=self.namespace,
            dia_object_index=ObjectIndex(self.dia_object_index),
            history=History(self.history),
            cell_level=_CELL_LEVEL,
            schema_file=schema_file,
            column_map=str(_COLUMN_MAP) if schema_file else "",
        )


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store that closes when nobody has it any more: clients do not close."""

    store: SqlL1Store
    daytime: Daytime

    def __del__(self) -> None:
        self.store.close()


def open_apdb_store(
    config: L1ApdbConfig, *, make: bool = False, drop: bool = False
) -> OpenStore:
    """Open the store of an APDB.

    Parameters
    ----------
    config
        Its options for the tables are ignored unless they are made: they were chosen
        then.
    make, drop
        Whether to make the tables, and to drop all there are first.

    Raises
    ------
    IncompatibleVersionError
        If the tables are of a schema version that the configured one cannot use.
    SchemaMissingError
        If there are no tables, or they are not of an APDB.
    """
    with ResourcePath(config.schema_file).as_local() as local:
        asked = config.of_store(local.ospath)
        store = open_sql_store(asked if make else as_made(asked))
    try:
        if make:
            store.create_schema(drop=drop)
        store.read_settings("l1.")  # which compares the tables with the configuration
    except SchemaMismatchError as error:
        store.close()
        if error.name == "schema_version":
            raise IncompatibleVersionError(str(error)) from error
        raise
    except BaseException:
        store.close()
        raise
    if store.daytime is None:
        store.close()
        raise SchemaMissingError(store.place)
    return OpenStore(store, store.daytime)
