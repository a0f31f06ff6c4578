"""An open archive: its settings, its pool, its transactions and raw queries."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection

from archive_assets.metadata.database import MetadataDatabase
from archive_assets.metadata.errors import SchemaNameError
from archive_assets.metadata.frames import frame
from archive_assets.metadata.raw import PooledConnections, compose, run_query
from archive_assets.metadata.settings import connection_settings

__all__ = ["ArchiveConnection"]

_LOG = logging.getLogger(__name__)


class ArchiveConnection:
    """Connections, transactions and raw queries of `VisitSequenceArchiveMetadata`.

    Parameters
    ----------
    metadata_db_kwargs, metadata_db_schema
        As described there.
    """

    def __init__(
        self,
        metadata_db_kwargs: Mapping[str, object] | None = None,
        metadata_db_schema: str | None = None,
    ) -> None:
        settings = connection_settings(metadata_db_kwargs, metadata_db_schema)
        self.database = MetadataDatabase(settings)
        self.metadata_db_schema = settings.schema
        self.sa_engine = self.database.engine
        self.pg_pool = PooledConnections(self.sa_engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction for functions of `archive_assets.metadata`."""
        with self.database.transaction() as connection:
            yield connection

    def query(
        self,
        query: str | sql.Composable,
        data: Mapping[str, object] | Sequence[object] = (),
        commit: bool = False,
        return_result: bool = True,
    ) -> Sequence[tuple[Any, ...]] | tuple[None]:
        """Run one statement in the archive's schema and return its rows.

        Everything is rolled back unless ``commit``; ``(None,)`` is returned if no
        result is wanted.
        """
        return run_query(self.database, query, data, commit, return_result)

    def pd_read_sql(
        self,
        query_template: str,
        sql_params: Sequence[sql.Composable] | None = None,
        query_params: tuple[object, ...] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a query; ``{}`` take identifiers, ``%s`` parameters."""
        statement = compose(query_template, sql_params or ())
        with self.transaction() as connection:
            return frame(connection.exec_driver_sql(statement, query_params or None))

    def create_schema_in_database(self) -> None:
        """Make a test schema; `archive_assets.metadata.schema` makes any other.

        Raises
        ------
        SchemaNameError
            If its name does not hold ``test``.
        SchemaExistsError
            If it is there.
        """
        if "test" not in self.metadata_db_schema:
            raise SchemaNameError(
                f"{self.metadata_db_schema!r} is no test schema: "
                "use `vseqarchive schema create`"
            )
        from archive_assets.metadata.schema import create_schema  # noqa: PLC0415 - alembic takes 0.3 s

        create_schema(self.database)
        _LOG.info("created schema %s", self.metadata_db_schema)
