"""One daemon at a time works on an instance; any other stands by.

Dagster supports one daemon only, and says so in the log of two, but nothing keeps a
second one away (issue 33962): ``make ui`` in two terminals, a rolling update, a host
that comes back. Both then start one run, whose two processes fail each other; ask for
the same runs; and if one is killed between what it decided and what it asked for, the
other never asks: a daemon takes up the newest tick alone, which is its own.

So the loops of a daemon run while its process has the instance's place: an advisory
lock in Dagster's database, which ends with its connection, hence with the process,
however that ends. ``test_one_daemon.py`` tells when this can go: it passes without.
"""

import logging
import threading
import time
from typing import Any

import sqlalchemy
from typing_extensions import override

__all__ = ["KEY", "DaemonPlace", "let_one_daemon_work"]

_LOG = logging.getLogger("dagster.daemon")
KEY = 0x6461656D6F6E
"""Of the lock, the letters of "daemon": Dagster's own are small numbers."""
_POLL_S = 1.0
# a server notices within a minute that the host of a daemon is gone
_NOTICE = "SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; \
SET tcp_keepalives_count = 3"


class DaemonPlace:
    """The place of an instance's daemon, which one process has at a time.

    Parameters
    ----------
    engine
        Of Dagster's database, in autocommit mode. One connection of it is kept.
    """

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()  # all loops of a daemon ask
        self._connection: sqlalchemy.Connection | None = None
        self._is_standing_by = False
        self._asked = -_POLL_S

    def is_ours(self) -> bool:
        """Tell whether this process has the place; take it if nobody has it.

        The answer is at most a second old.
        """
        with self._guard:
            if time.monotonic() - self._asked >= _POLL_S:
                self._ask()
                self._asked = time.monotonic()
            return self._connection is not None

    def leave(self) -> None:
        """Give the place up."""
        with self._guard:
            self._close()

    def _ask(self) -> None:
        try:
            if self._connection is None:
                self._take()
            else:
                self._connection.execute(sqlalchemy.text("SELECT 1"))
        except sqlalchemy.exc.DBAPIError as error:  # the server restarts, or is away
            _LOG.warning("The daemon's place is lost: %s", error.orig)
            self._close()

    def _take(self) -> None:
        self._connection = self._engine.connect()
        lock = sqlalchemy.func.pg_try_advisory_lock(KEY)
        if self._connection.scalar(sqlalchemy.select(lock)):
            self._connection.execute(sqlalchemy.text(_NOTICE))
            self._is_standing_by = False
            return
        self._close()
        if not self._is_standing_by:
            self._is_standing_by = True
            _LOG.warning("Another daemon works on this instance: standing by for it.")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # ends the session, and with it the lock
            self._connection.close()
            self._connection = None


class _Stop(threading.Event):
    """The event that ends the loops of a daemon, or of one that lost its place."""

    def __init__(self, shutdown: threading.Event, place: DaemonPlace) -> None:
        super().__init__()
        self._shutdown = shutdown
        self._place = place

    @override
    def is_set(self) -> bool:
        return self._shutdown.is_set() or not self._place.is_ours()

    @override
    def wait(self, timeout: float | None = None) -> bool:
        return self._shutdown.wait(timeout)


def let_one_daemon_work() -> None:
    """Let the daemons that this process starts work only while they have the place."""
    from dagster._daemon.daemon import DagsterDaemon

    if getattr(DagsterDaemon.run_daemon_loop, "has_a_place", False):
        return
    run = DagsterDaemon.run_daemon_loop

    def run_daemon_loop(
        self: Any,  # Any here: as Dagster's has them
        workspace_process_context: Any,
        daemon_uuid: str,
        daemon_shutdown_event: threading.Event,
        *intervals: Any,
        **named: Any,
    ) -> None:
        storage = workspace_process_context.instance.event_log_storage
        place = getattr(storage, "daemon_place", None)
        stop = _Stop(daemon_shutdown_event, place) if place else daemon_shutdown_event
        while not daemon_shutdown_event.is_set():
            if stop.is_set():
                daemon_shutdown_event.wait(_POLL_S)
            else:
                context = workspace_process_context, daemon_uuid, stop
                run(self, *context, *intervals, **named)

    run_daemon_loop.has_a_place = True  # type: ignore[attr-defined] # of a function
    DagsterDaemon.run_daemon_loop = run_daemon_loop  # type: ignore[method-assign] # there is no option
