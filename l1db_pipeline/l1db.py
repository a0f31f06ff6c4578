"""The L1 database under the original's names: a door."""

from l1db_pipeline.store.original_interface import (
    DiaForcedSource,
    DiaObject,
    DiaObject_short,
    DiaSource,
    DiaSource_full,
    L1db,
    Visit,
)

__all__ = [
    "DiaForcedSource",
    "DiaObject",
    "DiaObject_short",
    "DiaSource",
    "DiaSource_full",
    "L1db",
    "Visit",
]
