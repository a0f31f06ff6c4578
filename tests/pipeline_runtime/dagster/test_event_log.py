"""The event log's connection: kept, and made anew if the database was restarted."""

from collections.abc import Iterator

import dagster as dg
import psycopg
import pytest

from pipeline_runtime.dagster.workarounds.event_log import HeldPostgresStorage

BACKENDS = """SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
def storage(dagster_url: str) -> Iterator[HeldPostgresStorage]:
    """Dagster's storage in an empty database."""
    config = {"postgres_url": dagster_url}
    made = HeldPostgresStorage.from_config_value(None, config)
    yield made
    made.event_log_storage.dispose()


def _store(storage: HeldPostgresStorage, n: int) -> None:
    for number in range(n):
        storage.event_log_storage.store_event(
            dg.EventLogEntry(  # type: ignore[no-untyped-call]
                error_info=None,
                level="info",
                user_message=f"event {number}",
                run_id="run",
                timestamp=float(number),
            )
        )


def test_the_connection_is_kept_and_made_anew_after_a_restart(
    storage: HeldPostgresStorage, database_dsn: str
) -> None:
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        _store(storage, 1)
        first = connection.execute(BACKENDS).fetchall()
        _store(storage, 2)
        later = connection.execute(BACKENDS).fetchall()
        connection.execute("SELECT pg_terminate_backend(%s)", first[0])
        _store(storage, 1)
        anew = connection.execute(BACKENDS).fetchall()

    assert len(first) == 1
    assert later == first
    assert anew != first
    assert len(storage.event_log_storage.get_logs_for_run("run")) == 4
