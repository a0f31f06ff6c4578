"""Opens a store on Cassandra for a configuration, or as its keyspace says."""

from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.store.backends.cassandra.keeping import stored_settings
from l1db_pipeline.store.backends.cassandra.place import ClusterPlace
from l1db_pipeline.store.backends.cassandra.session import CassandraSession
from l1db_pipeline.store.backends.cassandra.store import CassandraL1Store
from l1db_pipeline.store.made_with import options_of
from l1db_pipeline.store.timing import Timings

__all__ = ["open_cassandra"]


def open_cassandra(
    config: L1dbConfig | str, timings: Timings | None = None
) -> CassandraL1Store:
    """Connect to a keyspace; parameters and errors as in `open_store`."""
    url = config if isinstance(config, str) else config.url
    session = CassandraSession(ClusterPlace.of(url))
    try:
        if isinstance(config, str):
            options = options_of(str(session.place), stored_settings(session))
            config = L1dbConfig(url=url, **options)
        schema = load_schema(config.schema_file, column_map=config.column_map)
        return CassandraL1Store(session, schema, config, timings)
    except BaseException:
        session.close()
        raise
