"""Two daemons of one instance: one works, the other stands by."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from dagster._daemon.daemon import DaemonIterator, DagsterDaemon
from typing_extensions import override

from pipeline_runtime.dagster.workarounds.event_log import HeldPostgresStorage
from pipeline_runtime.dagster.workarounds.one_daemon import (
    KEY,
    let_one_daemon_work,
)

END_ALL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
HOLDERS = """SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND granted"""
TIMEOUT_S = 120


class Worker(DagsterDaemon[Any]):
    """A daemon of which only its loop matters; it counts its turns."""

    def __init__(self, storage: HeldPostgresStorage) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Dagster's has no annotations
        self.has_worked = threading.Event()
        self.is_to_end = threading.Event()
        instance = SimpleNamespace(
            event_log_storage=storage.event_log_storage,
            daemon_skip_heartbeats_without_errors=True,
        )
        context = SimpleNamespace(instance=instance)
        self._thread = threading.Thread(
            target=self.run_daemon_loop,
            args=(context, "its id", self.is_to_end),
            kwargs={"heartbeat_interval_seconds": 30, "error_interval_seconds": 300},
        )
        self._thread.start()

    @classmethod
    @override
    def daemon_type(cls) -> str:
        return "WORKER"

    @override
    def core_loop(
        self, workspace_process_context: Any, shutdown_event: threading.Event
    ) -> DaemonIterator:
        while True:
            self.has_worked.set()
            shutdown_event.wait(0.01)
            yield None

    def has_stopped_working(self) -> bool:
        """Tell whether no turn comes once one that goes on has ended."""
        self.has_worked.clear()
        return not self.has_worked.wait(0.5)

    def end(self) -> None:
        """End the loop and wait for its end."""
        self.is_to_end.set()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def storages(
    dagster_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[HeldPostgresStorage, HeldPostgresStorage]]:
    """Dagster's storage as two processes would open it."""
    loop = DagsterDaemon.run_daemon_loop
    monkeypatch.setattr(DagsterDaemon, "run_daemon_loop", loop)  # as before at the end
    let_one_daemon_work()
    config = {"postgres_url": dagster_url}
    first, second = (
        HeldPostgresStorage.from_config_value(None, config) for _ in range(2)
    )
    yield first, second
    for storage in (first, second):
        storage.event_log_storage.dispose()


def test_a_second_daemon_works_once_the_first_has_ended(
    storages: tuple[HeldPostgresStorage, HeldPostgresStorage],
) -> None:
    first = Worker(storages[0])
    assert first.has_worked.wait(TIMEOUT_S)
    second = Worker(storages[1])
    stood_by = second.has_stopped_working()

    first.end()
    storages[0].event_log_storage.dispose()  # as the end of its process does
    worked = second.has_worked.wait(TIMEOUT_S)
    second.end()

    assert stood_by
    assert worked


def test_a_daemon_whose_place_another_took_works_no_longer(
    storages: tuple[HeldPostgresStorage, HeldPostgresStorage], database_dsn: str
) -> None:
    first = Worker(storages[0])
    assert first.has_worked.wait(TIMEOUT_S)
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute(END_ALL)
        connection.execute("SELECT pg_advisory_lock(%s)", [KEY])

        stopped = _comes_true(first.has_stopped_working)
    first.end()

    assert stopped


def test_the_one_daemon_goes_on_after_its_database_was_restarted(
    storages: tuple[HeldPostgresStorage, HeldPostgresStorage], database_dsn: str
) -> None:
    only = Worker(storages[0])
    with psycopg.connect(database_dsn, autocommit=True) as connection:

        def holders() -> set[tuple[int, ...]]:
            return set(connection.execute(HOLDERS).fetchall())

        assert _comes_true(holders)
        before = holders()
        connection.execute(END_ALL)
        assert _comes_true(lambda: holders() - before)
        only.has_worked.clear()
        goes_on = only.has_worked.wait(TIMEOUT_S)
    only.end()

    assert goes_on


def _comes_true(ask: Callable[[], object]) -> bool:
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(found)
