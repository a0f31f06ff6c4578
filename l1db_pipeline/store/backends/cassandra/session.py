"""A session with a cluster: statements by their text, many at once, errors by name."""

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cassandra import (
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    ReadTimeout,
    RequestExecutionException,
    Unavailable,
    WriteTimeout,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
)
from cassandra.concurrent import execute_concurrent
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import tuple_factory

from l1db_pipeline.store.backends.cassandra.place import ClusterPlace
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    StoreClosedError,
)

__all__ = ["CassandraSession", "NoQuorumError", "Row"]

_PAGE_ROWS = 64  # a row may be a chunk of some MB
_AT_ONCE, _AT_ONCE_IF_BUSY = 64, 2
_DDL_TIMEOUT_S = 120.0
_PATIENCE = 6  # as many time-outs
_UNANSWERED = (ReadTimeout, WriteTimeout, OperationTimedOut)
"""What is repeated: a node that has just died is waited for until the others know."""
_PROTOCOL = 5

Row = tuple[Any, ...]
"""A row as the driver gives it; the driver has no types."""


class NoQuorumError(DatabaseUnavailableError):
    """Too few replicas answered, or none in time."""

    remedy = (
        "a visit is seen whole or not at all: start the nodes that are down, then "
        "run again"
    )


class CassandraSession:
    """Statements on a cluster, in which ``{}`` is the keyspace with its dot.

    Reads and writes are answered by a majority of the replicas, so that a read sees
    what was acknowledged before.
    """

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        profile = ExecutionProfile(
            TokenAwarePolicy(DCAwareRoundRobinPolicy(place.dc)),
            request_timeout=place.timeout_s,
            consistency_level=ConsistencyLevel.QUORUM,
            serial_consistency_level=ConsistencyLevel.SERIAL,
            row_factory=tuple_factory,
        )
        self._cluster = Cluster(
            place.hosts,
            port=place.port,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=_PROTOCOL,
            compression=False,
            connect_timeout=place.timeout_s,
            auth_provider=PlainTextAuthProvider(place.user, place.password)
            if place.user
            else None,
            ssl_context=ssl.create_default_context(cafile=place.ca)
            if place.ca
            else None,
        )
        self._prepared: dict[str, Any] = {}
        self._is_closed = False
        try:
            with self._told():
                self._session = self._cluster.connect()
        except DatabaseError:
            self._cluster.shutdown()
            raise
        self._session.default_fetch_size = _PAGE_ROWS

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        self._cluster.shutdown()

    @property
    def n_nodes(self) -> int:
        """How many nodes the cluster has, up or down."""
        return len(self._cluster.metadata.all_hosts())

    def replication_factor(self) -> int | None:
        """Return how many replicas the keyspace has; `None` if there is none."""
        with self._told():
            self._cluster.refresh_keyspace_metadata(self.place.keyspace)
        found = self._cluster.metadata.keyspaces.get(self.place.keyspace)
        if found is None:
            return None
        options = found.replication_strategy.export_for_schema()
        numbers = [int(n) for n in _words(options) if n.isdecimal()]
        return max(numbers, default=0)

    def tables(self) -> frozenset[str]:
        """Return the tables of the keyspace."""
        text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        with self._told():
            found = self._session.execute(text, (self.place.keyspace,))
            return frozenset(row[0] for row in found)

    def define(self, text: str) -> None:
        """Run a statement that defines something."""
        with self._told():
            self._session.execute(self._full(text), timeout=_DDL_TIMEOUT_S)

    def forget(self) -> None:
        """Forget prepared statements, after tables were dropped."""
        self._prepared.clear()

    def run(self, text: str, *values: Any, is_serial: bool = False) -> list[Row]:
        """Run a statement; with ``is_serial`` see what is being decided, too."""
        with self._told():
            bound = self._statement(text).bind(values)
            if is_serial:
                bound.consistency_level = ConsistencyLevel.SERIAL
            deadline = self._deadline()
            while True:
                try:
                    return list(self._session.execute(bound))
                except _UNANSWERED:
                    if time.monotonic() > deadline:
                        raise

    def _deadline(self) -> float:
        return time.monotonic() + self.place.timeout_s * _PATIENCE

    def swap(self, text: str, *values: Any) -> bool:
        """Run a conditional statement; false if its condition failed or nobody knows.

        Who gets false looks at what holds, with ``is_serial``.
        """
        with self._told():
            bound = self._statement(text).bind(values)
            return self._swapped(bound)

    def swap_batch(self, parts: Sequence[tuple[str, Row]]) -> bool:
        """Run a batch of one partition of which one statement has a condition."""
        text = " ".join(f"{part};" for part, _ in parts)
        values = [value for _, given in parts for value in given]
        with self._told():
            prepared = self._session.prepare(
                self._full(f"BEGIN BATCH {text} APPLY BATCH")
            )
            return self._swapped(prepared.bind(values))

    def _swapped(self, bound: Any) -> bool:
        try:
            return bool(self._session.execute(bound).was_applied)
        except _UNANSWERED:
            return False

    def many(self, work: Sequence[tuple[str, Row]]) -> list[list[Row]]:
        """Run statements side by side; return the rows of each, in order."""
        if not work:
            return []
        with self._told():
            bound = [(self._statement(text), values) for text, values in work]
            return self._many(bound)

    def _many(self, bound: Sequence[tuple[Any, Row]]) -> list[list[Row]]:
        found: list[list[Row]] = [[] for _ in bound]
        left, at_once = list(range(len(bound))), _AT_ONCE
        deadline = self._deadline()
        while left:
            results = execute_concurrent(
                self._session, [bound[i] for i in left], concurrency=at_once,
                raise_on_first_error=False,
            )  # fmt: skip
            busy = []
            for i, (is_good, result) in zip(left, results, strict=True):
                if is_good:
                    found[i] = list(result)
                elif _is_passing(result) and time.monotonic() < deadline:
                    busy.append(i)
                else:
                    raise result
            left, at_once = busy, _AT_ONCE_IF_BUSY
            if busy:
                time.sleep(0.005)
        return found

    def _statement(self, text: str) -> Any:
        if text not in self._prepared:
            prepared = self._session.prepare(self._full(text))
            prepared.is_idempotent = True
            self._prepared[text] = prepared
        return self._prepared[text]

    def _full(self, text: str) -> str:
        return text.replace("{}", f"{self.place.keyspace}.")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the driver's errors into ours, which name the place and the remedy."""
        if self._is_closed:
            raise StoreClosedError
        try:
            yield
        except (NoHostAvailable, OperationTimedOut, RequestExecutionException) as error:
            raise _unavailable(str(self.place), error) from error
        except DriverException as error:
            raise DatabaseError(str(self.place), _first_line(error)) from error


def _unavailable(place: str, error: Exception) -> DatabaseUnavailableError:
    if isinstance(error, NoHostAvailable):
        causes = list(error.errors.values()) if isinstance(error.errors, dict) else []
        quorum = [c for c in causes if isinstance(c, RequestExecutionException)]
        if not quorum:
            why = f" ({_first_line(causes[0])})" if causes else ""
            return DatabaseUnavailableError(place, f"no node answers{why}")
        error = quorum[0]
    if isinstance(error, Unavailable):
        return NoQuorumError(
            place,
            f"{error.required_replicas} replicas must answer, "
            f"{error.alive_replicas} are up",
        )
    return NoQuorumError(place, f"too few replicas answered ({_first_line(error)})")


def _is_passing(error: Exception) -> bool:
    # overloaded: the socket is full of chunks, nothing was sent
    return isinstance(error, _UNANSWERED) or "overloaded" in str(error)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()
