"""Months that expire: what goes, what stays, and what is said of it."""

from collections.abc import Callable

import numpy as np
import pytest
from contracts.l1db_options import Options, empty_store
from contracts.l1db_sky import key, records

from l1db_pipeline.schema.config import History, ObjectIndex
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.months import month_of
from l1db_pipeline.store.sql_store import SqlL1Store

IDS = np.arange(1, 41)
PACKED = Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED)


@pytest.mark.parametrize("options", [PACKED], ids=str)
def test_merges_of_history_do_not_cross_months(
    options: Options, open_stores: Callable[[Options], SqlL1Store]
) -> None:
    store, reference = open_stores(options), MemoryL1Store(options.config("memory:"))
    empty_store(store)
    nights = [*range(20, 45), 5, 6, 50]  # of three months, two of the visits late
    for visit_id, night in enumerate(nights, 1):
        for to in (store, reference):
            to.store_visit(key(visit_id, night), records(visit_id, IDS, night))

    for packed in (store.layout.packed_sources, store.layout.packed_forced):
        assert packed is not None
        names = ("firstTime", "lastTime", "tier")
        chunks = store._database.select(packed, names)
        first, last = (month_of(chunks[name]) for name in names[:2])
        assert (first == last).all()
        assert len(np.unique(first[chunks["tier"] > 0])) == 2
    assert store.verify() == []
    assert store.science_digest() == reference.science_digest()
