"""Dagster's own database, written through a connection that is held open.

Dagster's storage connects anew for each statement of its event log. A visit has two
events, so a night of 1,000 visits would connect 4,000 times, which costs more than the
statements.
"""

from collections.abc import Mapping
from typing import Any, cast

import sqlalchemy
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
)
from typing_extensions import override

__all__ = ["HeldEventLogStorage", "HeldPostgresStorage"]

_MOST_AT_ONCE = 20  # threads of one process; all but one connection close after use


class HeldEventLogStorage(PostgresEventLogStorage):
    """The event log, through a connection that a process keeps until it ends."""

    @override
    def __init__(self, *args: Any, **options: Any) -> None:  # as Dagster's has them
        super().__init__(*args, **options)
        self._engine: sqlalchemy.Engine = create_pg_engine(
            self.postgres_url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=_MOST_AT_ONCE - 1,
            pool_pre_ping=True,  # the database may have been restarted
        )

    @override
    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class HeldPostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with `HeldEventLogStorage`; same configuration."""

    @override
    def __init__(self, *args: Any, **options: Any) -> None:  # as Dagster's has them
        super().__init__(*args, **options)
        self._event_log_storage = HeldEventLogStorage(
            self.postgres_url,
            self.should_autocreate_tables,
            token_provider=options.get("token_provider"),
        )

    @classmethod
    @override
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HeldPostgresStorage":
        """Return the storage that ``dagster.yaml`` describes."""
        config = cast("PostgresStorageConfig", config_value)
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config),
            should_autocreate_tables=config.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config),
        )
