"""Dagster's own database: a connection that is held open, pools that are given back.

Dagster's storage reconnects for each statement of its event log. A visit has two
events, so a night of 1,000 visits would connect 4,000 times, which costs more than the
statements. Dagster issue 33935 asks for pools that ``dagster.yaml`` sets: once there
are, the connection is closed; ``test_event_log.py`` counts the connections.

A run that was killed holds its pools until a daemon frees them; without a daemon, as
after ``dagster job execute``, for ever. Who waits for a pool looks who holds it.
"""

import logging
import sys
from typing import Any

import sqlalchemy
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
)
from typing_extensions import override

from pipeline_runtime.dagster.workarounds.one_daemon import (
    DaemonPlace,
    let_one_daemon_work,
)
from pipeline_runtime.dagster.workarounds.run_process import process_of

__all__ = ["HeldEventLogStorage", "HeldPostgresStorage"]

_LOG = logging.getLogger("dagster")  # shown by every command of Dagster
_MOST_AT_ONCE = 20  # threads of one process; all but one connection close after use


class HeldEventLogStorage(PostgresEventLogStorage):
    """The event log, through a connection that a process keeps until it ends."""

    @override
    def __init__(self, *args: Any, **options: Any) -> None:  # as Dagster's has them
        super().__init__(*args, **options)
        self._said: set[tuple[str, str]] = set()
        self._engine: sqlalchemy.Engine = create_pg_engine(
            self.postgres_url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=_MOST_AT_ONCE - 1,
            pool_pre_ping=True,  # the database may have been restarted
        )
        place = create_pg_engine(
            self.postgres_url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            poolclass=sqlalchemy.NullPool,
        )
        self.daemon_place = DaemonPlace(place)  # connects once a daemon asks

    @override
    def claim_concurrency_slot(
        self,
        concurrency_key: str,
        run_id: str,
        step_key: str,
        priority: int | None = None,
    ) -> Any:  # Any: Dagster keeps the name private
        """Claim a pool; free it first of runs whose process is gone."""
        claim = concurrency_key, run_id, step_key, priority
        status = super().claim_concurrency_slot(*claim)
        if status.is_claimed:
            return status
        info = self.get_concurrency_info(concurrency_key)
        holders = (info.active_run_ids | info.assigned_run_ids) - {run_id}
        for holder in sorted(holders):
            self._free_or_name(holder, concurrency_key, run_id)
        return super().claim_concurrency_slot(*claim)

    def _free_or_name(self, holder: str, pool: str, waiting: str) -> None:
        """Free what a run holds if its process is gone; else say once that it holds it.

        The run itself is left to run monitoring, which sees to its retry.
        """
        run = self._instance.get_run_by_id(holder)
        process = process_of(self._instance, run) if run else None
        if run is None or (process and process.is_gone()):
            self.free_concurrency_slots_for_run(holder)
            said = f"Freed pool {pool}: {process or 'the run'} is gone (run {holder})"
        else:
            said = (
                f"Waiting for pool {pool}: {process or 'a process'} of run {holder} "
                f"({run.job_name}, {run.status.value}) holds it. If that process is "
                "gone, free the pool under Deployment > Concurrency."
            )
        if (waiting, said) not in self._said:
            self._said.add((waiting, said))
            self._instance.report_engine_event(
                said, self._instance.get_run_by_id(waiting)
            )
            _LOG.warning(said)

    @override
    def optimize_for_webserver(self, *limits: int, **named: int) -> None:
        """Make ready for a web server: it alone calls this, however it is started."""
        from pipeline_runtime.dagster.workarounds.web_hosts import guard_web_server

        guard_web_server()
        super().optimize_for_webserver(*limits, **named)

    @override
    def dispose(self) -> None:
        super().dispose()
        self.daemon_place.leave()
        self._engine.dispose()


class HeldPostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with `HeldEventLogStorage`; same configuration."""

    @override
    def __init__(self, *args: Any, **options: Any) -> None:  # as Dagster's has them
        super().__init__(*args, **options)
        if "dagster._daemon.daemon" in sys.modules:  # which a daemon alone imports
            let_one_daemon_work()
        self._event_log_storage = HeldEventLogStorage(
            self.postgres_url,
            self.should_autocreate_tables,
            token_provider=options.get("token_provider"),
        )

    @classmethod
    @override
    def from_config_value(
        cls,
        inst_data: Any,
        config_value: Any,  # Any: as above
    ) -> "HeldPostgresStorage":
        """Return the storage that ``dagster.yaml`` describes."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )
