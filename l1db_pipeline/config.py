"""The configuration of an L1 database, for scripts and notebooks: a door."""

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex, SourceSelect

__all__ = ["History", "L1dbConfig", "ObjectIndex", "SourceSelect"]
