"""Any sequence of visits leaves a database that answers as the reference in memory."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pytest
from contracts.l1db_options import Options, empty_store
from contracts.l1db_sky import by, field, key, records, visit_time
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.config import History, ObjectIndex
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

IDS = np.arange(1, 13)
OPTIONS = [
    Options("sqlite", ObjectIndex.BASELINE, True, False, History.PACKED),
    Options("sqlite", ObjectIndex.HTM20_ID_IOV, False, False, History.ROWS),
    Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, True, History.PACKED),
    Options("sqlite", ObjectIndex.LAST_OBJECT_TABLE, True, False, History.ROWS),
]


@dataclass(frozen=True)
class Visit:
    visit_id: int
    night: int
    ids: frozenset[int]
    moved: bool
    then: str
    """What is done after it: nothing, or off-line work."""


visits = st.builds(
    Visit,
    visit_id=st.integers(0, 6),
    night=st.integers(0, 60),
    ids=st.frozensets(st.sampled_from(IDS.tolist())),
    moved=st.booleans(),
    then=st.sampled_from(["", "", "", "merge", "compact", "rebuild"]),
)


def _store(store: L1Store, visit: Visit) -> str:
    """Store a visit; return what came of it, the kind of error included."""
    part = records(
        visit.visit_id,
        sorted(visit.ids),
        visit.night,
        moved_deg=0.4 if visit.moved else 0.0,
    )
    try:
        outcome = store.store_visit(key(visit.visit_id, visit.night), part).value
    except L1dbError as error:
        outcome = type(error).__name__
    match visit.then:
        case "merge":
            store.merge_nightly()
        case "compact":
            store.compact_history(before=visit_time(45))
        case "rebuild":
            store.rebuild_history()
        case _:
            pass
    return outcome


def _lists(rows: Catalog, *keys: str) -> dict[str, list[object]]:
    """Return a catalog's rows in an order of their own, NULL as `None`."""
    ordered = by(rows, *keys)
    return {
        name: [
            None if is_null else repr(value)
            for value, is_null in zip(
                ordered[name].tolist(), ordered.null_mask(name).tolist(), strict=True
            )
        ]
        for name in ordered.names
    }


def _answers(store: L1Store) -> list[object]:
    region, then = field(0.4), visit_time(30)
    names = ["diaObjectId", "ra", "decl", "validityStart", "gPSFluxMean"]
    source_names = ["diaSourceId", "diaObjectId", "apFlux", "psFlux", "ccdVisitId"]
    forced_names = ["diaObjectId", "ccdVisitId", "psFlux", "psFluxSigma"]
    history = store.read_sources(object_ids=IDS, columns=source_names)
    near = store.read_sources(region=region, since=then, columns=source_names)
    forced = store.read_forced_sources(
        region=region, object_ids=IDS[:6], until=then, columns=forced_names
    )
    return [
        store.science_digest(),
        store.last_visit(),
        _lists(store.read_objects(region, columns=names), "diaObjectId"),
        _lists(
            store.read_objects(region, columns=[*names, "validityEnd"], at=then),
            "diaObjectId",
        ),
        _lists(history, "diaSourceId"),
        _lists(near, "diaSourceId"),
        _lists(forced, "diaObjectId", "ccdVisitId"),
        _lists(store.light_curve(3).versions, "validityStart"),
    ]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def database(request: pytest.FixtureRequest) -> Iterator[SqlL1Store]:
    """A store in memory: what a file adds, ``test_l1_store`` tests."""
    options: Options = request.param
    with closing(open_sql_store(options.config("sqlite://"))) as store:
        store.create_schema()
        yield store


@pytest.mark.timeout(900)
@settings(
    max_examples=12,
    derandomize=True,  # the same examples at each run; change both to search for more
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(
    sequence=[
        Visit(1, 14, frozenset({1, 2}), moved=False, then=""),
        Visit(4, 14, frozenset({2, 3}), moved=True, then=""),
    ]
)
@example(
    sequence=[
        Visit(0, 32, frozenset({1, 2}), moved=False, then=""),
        Visit(0, 4, frozenset(), moved=False, then="rebuild"),  # after a refusal
    ]
)
@given(sequence=st.lists(visits, max_size=6))
def test_a_database_answers_as_the_reference_does(
    database: SqlL1Store, sequence: list[Visit]
) -> None:
    empty_store(database)
    reference = MemoryL1Store(database.config)

    outcomes = [(_store(database, v), _store(reference, v)) for v in sequence]

    assert all(ours == theirs for ours, theirs in outcomes), outcomes
    assert _answers(database) == _answers(reference)
    assert database.verify() == []
