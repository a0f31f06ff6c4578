"""The stop-watch under the original's names: a door."""

from l1db_pipeline.store.timing import Timer

__all__ = ["Timer"]
