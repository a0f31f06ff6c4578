"""A gate in the L1 database: the AP prototype waits in the middle of a night.

However slow or quick the machine is, what a test does to a run then happens to a run
that has stored some visits and has others before it.
"""

import contextlib
from collections.abc import Iterator

import psycopg
from live.instance import Instance, wait_for
from live.workers import n_stored_visits

from l1db_pipeline.defs.resources import L1dbResource
from l1db_pipeline.store.open import open_store

_KEY = 12
_CLOSE = f"""
CREATE OR REPLACE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({_KEY}); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON "L1DbProtoVisits"
FOR EACH ROW WHEN (NEW."visitId" % 100000 > {{n_visits}})
EXECUTE FUNCTION wait_at_the_gate();
"""


@contextlib.contextmanager
def closed_gate(instance: Instance, n_visits: int) -> Iterator[None]:
    """Let the first visits of a night be stored, and no other until the end."""
    config = L1dbResource(url=instance.environ["L1DB_URL"]).l1db_config()
    with contextlib.closing(open_store(config)) as store:
        store.create_schema()
    dsn = instance.server.dsn("l1db")
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as keeper:
        keeper.execute(f"SELECT pg_advisory_lock({_KEY})".encode())
        keeper.execute(_CLOSE.format(n_visits=n_visits).encode())
        yield
    with psycopg.connect(dsn) as connection:
        connection.execute('DROP TRIGGER gate ON "L1DbProtoVisits"')


def wait_at_gate(instance: Instance, n_visits: int) -> None:
    """Wait until all that the gate lets through is stored."""
    wait_for(f"{n_visits} visits", lambda: n_stored_visits(instance) == n_visits)
