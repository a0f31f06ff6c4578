"""Three nodes of Cassandra, of which one dies, then two: ``make cassandra NODES=3``."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contracts.l1db_options import ON_CASSANDRA
from contracts.l1db_sky import field, key, records

from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.errors import DatabaseUnavailableError
from l1db_pipeline.store.open import open_store
from pipeline_runtime.cassandra import TrialCassandra
from pipeline_runtime.services import trial_cassandra

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(900)]
IDS = np.arange(1, 31)
N_NODES = 3


@pytest.fixture
def nodes() -> Iterator[TrialCassandra]:
    """The nodes of this home, all running before and after."""
    servers = trial_cassandra()
    if len(servers.nodes) != N_NODES or not servers.is_running():
        pytest.skip("no three nodes: run make cassandra NODES=3 in an empty L1DB_HOME")
    yield servers
    _start()


@pytest.fixture
def url(nodes: TrialCassandra) -> Iterator[str]:
    """A keyspace with a replica on each node, dropped at the end."""
    keyspaces = pytest.importorskip("cassandra_keyspace", reason="no cassandra-driver")
    with keyspaces.new_keyspace(nodes.hosts, rf=N_NODES) as made:
        with open_store(ON_CASSANDRA.config(made)) as store:
            store.create_schema()
        yield made
        _start()  # to drop the keyspace


def _kill(nodes: TrialCassandra, number: int) -> None:
    node = nodes.nodes[number - 1]
    node.end(signal.SIGKILL)
    assert not node.answers()


def _start() -> None:
    command = [sys.executable, "-m", "pipeline_runtime.cli", "cassandra", "start"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _store(store: L1Store, visit_id: int) -> StoreOutcome:
    with store.reading_unit(visit_id, field()) as token:
        store.read_objects(field())
    return store.store_visit(key(visit_id), records(visit_id, IDS), token)


def _read(url: str) -> Any:
    """Return what a process that begins now reads."""
    with open_store(ON_CASSANDRA.config(url)) as store:
        return store.science_digest()


def _expected(n_visits: int) -> Any:
    reference = MemoryL1Store(ON_CASSANDRA.config("sqlite://"))
    for visit_id in range(1, n_visits + 1):
        reference.store_visit(key(visit_id), records(visit_id, IDS))
    return reference.science_digest()


def test_one_node_may_die_two_stop_the_store_and_nothing_is_torn(
    nodes: TrialCassandra, url: str
) -> None:
    with open_store(ON_CASSANDRA.config(url)) as store:
        assert _store(store, 1) is StoreOutcome.STORED

        _kill(nodes, 3)
        assert _store(store, 2) is StoreOutcome.STORED
        assert store.compact_history() > 0
        assert _store(store, 3) is StoreOutcome.STORED
        assert _read(url) == _expected(3)

        _kill(nodes, 2)
        with pytest.raises(DatabaseUnavailableError, match="replicas") as caught:
            _store(store, 4)
        assert "\n" not in str(caught.value)

        _start()
        assert _store(store, 4) is StoreOutcome.STORED
        assert _read(url) == _expected(4)
        assert store.verify() == []
