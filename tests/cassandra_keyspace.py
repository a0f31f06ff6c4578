"""A keyspace of Cassandra for tests."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from l1db_pipeline.store.backends.cassandra.place import ClusterPlace
from l1db_pipeline.store.backends.cassandra.session import CassandraSession


@contextmanager
def new_keyspace(hosts: str, *, rf: int = 1) -> Iterator[str]:
    """Yield the URL of a keyspace that is not there yet, and drop it."""
    name = f"test_{secrets.token_hex(6)}"
    url = f"cassandra://{hosts}/{name}?rf={rf}&merge_age_s=0&lease_s=2&timeout_s=30"
    yield url
    session = CassandraSession(ClusterPlace.of(url))
    session.define(f"DROP KEYSPACE IF EXISTS {name}")
    session.close()
