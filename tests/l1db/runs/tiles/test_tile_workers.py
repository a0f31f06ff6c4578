"""Divided visits: the rows of undivided ones, whatever fails on the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from l1db_pipeline.runs.command import simulator
from l1db_pipeline.runs.loop import Division, DivisionError, run_visits
from l1db_pipeline.runs.settings import RunSettings
from l1db_pipeline.runs.tiles.workers import TileError, TileWorkers
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.process import MatchMode, Visit, VisitOptions, VisitSummary

START = datetime(2026, 1, 1, tzinfo=UTC)
CENTRE = np.array([0.48, -0.6, -0.64])
N_VISITS = 4
# small enough a field that scattered sources cross tiles and crowd together
OPEN_ANGLE_DEG = 0.05
CATALOG = SourceCatalog(rand_cone_xyz(CENTRE, np.radians(0.052), 150, 1))
SETTINGS = RunSettings(
    seed=9,
    catalog_sha256="",
    n_noise=60,
    open_angle_deg=OPEN_ANGLE_DEG,
    astrometric_scatter_arcsec=0.7,
    detection_probability=0.8,
)
OPTIONS = {
    match: VisitOptions(match=match, match_radius_arcsec=2.0) for match in MatchMode
}
SCHEMA = load_schema()
VISITS = [
    Visit(
        visit_id=number,
        time=START + timedelta(seconds=number),
        centre=CENTRE,
        open_angle_deg=OPEN_ANGLE_DEG,
    )
    for number in range(1, N_VISITS + 1)
]


def config_of(path: Path) -> L1dbConfig:
    return L1dbConfig(
        url=f"sqlite:///{path}",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        object_last_replace=True,
    )


@pytest.fixture(scope="module", params=MatchMode, ids=lambda match: match.value)
def match(request: pytest.FixtureRequest) -> MatchMode:
    found: MatchMode = request.param
    return found


@pytest.fixture
def new_database(tmp_path: Path) -> Iterator[Callable[[], tuple[L1dbConfig, L1Store]]]:
    """Makes empty databases of the test."""
    stores: list[L1Store] = []

    def make() -> tuple[L1dbConfig, L1Store]:
        config = config_of(tmp_path / f"{len(stores)}.db")
        stores.append(open_store(config))
        stores[-1].create_schema()
        return config, stores[-1]

    yield make
    for store in stores:
        store.close()


def process(
    store: L1Store,
    visits: list[Visit],
    match: MatchMode,
    division: Division | None = None,
) -> list[VisitSummary]:
    return list(
        run_visits(
            store,
            visits,
            simulator(CATALOG, SETTINGS),
            options=OPTIONS[match],
            schema=SCHEMA,
            division=division,
        )
    )


def test_a_divided_run_has_the_rows_of_an_undivided_one(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]], match: MatchMode
) -> None:
    (_, whole), (config, divided) = new_database(), new_database()
    expected = process(whole, VISITS, match)

    with TileWorkers(config, 2) as workers:
        found = process(divided, VISITS, match, Division(3, workers))

    assert divided.science_digest() == whole.science_digest()
    for one, other in zip(expected, found, strict=True):
        assert (one.n_matched, one.n_new, one.n_objects) == (
            other.n_matched,
            other.n_new,
            other.n_objects,
        )


def test_a_dead_worker_fails_the_visit_and_only_missing_tiles_are_redone(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    match = MatchMode.POSITION
    (_, whole), (config, divided) = new_database(), new_database()
    process(whole, VISITS, match)

    with TileWorkers(config, 2) as workers:
        process(divided, VISITS[:2], match, Division(3, workers))
        with monkeypatch.context() as patch:
            store_tiles = workers._store

            def kill_one_and_store() -> list[object]:
                workers._workers[0].process.kill()
                workers._workers[0].process.join()
                return list(store_tiles())

            patch.setattr(workers, "_store", kill_one_and_store)
            with pytest.raises(TileError, match="its worker process died") as failure:
                process(divided, VISITS[2:3], match, Division(3, workers))
        stored = divided.stored_tiles(3)
        (redone, last) = process(divided, VISITS[2:], match, Division(3, workers))

    assert len(stored) == failure.value.n_stored
    assert 0 < len(stored) < 9
    assert redone.outcome is StoreOutcome.STORED
    assert last.outcome is StoreOutcome.STORED
    assert divided.science_digest() == whole.science_digest()


def test_a_visit_in_part_is_not_taken_up_in_another_division(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]],
) -> None:
    config, store = new_database()
    with TileWorkers(config, 1) as workers:
        workers.process(
            VISITS[0],
            simulator(CATALOG, SETTINGS)(VISITS[0]),
            options=OPTIONS[MatchMode.ID],
            n=3,
            stored=frozenset({"0x0", "1x1"}),
        )

    with pytest.raises(DivisionError, match="visit 1 is partly stored"):
        process(store, VISITS[:1], MatchMode.ID)
    assert store.last_visit() is None


def test_a_visit_stored_in_another_division_is_passed_over(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]],
) -> None:
    config, store = new_database()
    with TileWorkers(config, 1) as workers:
        process(store, VISITS[:1], MatchMode.ID, Division(2, workers))

    (summary,) = process(store, VISITS[:1], MatchMode.ID)

    assert summary.outcome is StoreOutcome.ALREADY_STORED


def test_a_tile_that_fails_while_reading_leaves_nothing_stored(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]], tmp_path: Path
) -> None:
    _, store = new_database()
    gone = config_of(tmp_path / "empty.db")

    with (
        TileWorkers(gone, 1) as workers,
        pytest.raises(TileError, match="0 of its tiles are stored"),
    ):
        process(store, VISITS[:1], MatchMode.ID, Division(2, workers))

    assert store.stored_tiles(1) == frozenset()


def test_timings_of_tiles_and_their_cpu_are_kept(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]],
) -> None:
    config, store = new_database()

    with TileWorkers(config, 2) as workers:
        (summary,) = process(store, VISITS[:1], MatchMode.ID, Division(2, workers))

    timings = store.read_timings()
    assert set(timings["tile"].tolist()) == {"", "0x0", "0x1", "1x0", "1x1"}
    by_step = {step.step: step for step in summary.steps}
    in_tiles = [s.user_s for s in summary.steps if s.step == "L1-store"]
    assert by_step["VisitProcessing"].user_s >= sum(in_tiles) > 0


def test_no_update_stores_nothing(
    new_database: Callable[[], tuple[L1dbConfig, L1Store]],
) -> None:
    config, store = new_database()

    with TileWorkers(config, 1) as workers:
        summaries = workers.process(
            VISITS[0],
            simulator(CATALOG, SETTINGS)(VISITS[0]),
            options=replace(OPTIONS[MatchMode.ID], update=False),
            n=2,
        )

    assert {summary.outcome for summary in summaries} == {None}
    assert store.stored_tiles(1) == frozenset()


def test_a_pool_needs_a_worker(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        TileWorkers(config_of(tmp_path / "x.db"), 0)
