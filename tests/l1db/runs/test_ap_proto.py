"""The AP prototype: the flow of a visit, resuming, replaying, the load model."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.log2csv import parse_log
from l1db_pipeline.report.load_model import LoadModel
from l1db_pipeline.report.runs import read_store
from l1db_pipeline.runs.command import simulator
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.runs.settings import RunSettings
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.generators import rand_cone_xyz, rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.base import L1Store, StoreOutcome
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.process import MatchMode, Visit, VisitOptions, VisitSummary

START = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = rand_sphere_xyz(3, -1, seed=5)
CATALOG = SourceCatalog(
    np.concatenate(
        [rand_cone_xyz(f, np.radians(3.5), 60, i) for i, f in enumerate(FIELDS)]
    )
)
SETTINGS = RunSettings(seed=9, catalog_sha256="", n_noise=40)
SCHEMA = load_schema()
OPTIONS = VisitOptions()


def visits(n: int, *, first: int = 1, step_s: int = 45) -> list[Visit]:
    return [
        Visit(
            visit_id=number,
            time=START + timedelta(seconds=number * step_s),
            centre=FIELDS[number % len(FIELDS)],
            open_angle_deg=3.5,
        )
        for number in range(first, first + n)
    ]


def process(
    store: L1Store,
    todo: list[Visit],
    *,
    settings: RunSettings = SETTINGS,
    options: VisitOptions = OPTIONS,
    **keywords: Any,
) -> list[VisitSummary]:
    simulate = simulator(CATALOG, settings)
    return list(
        run_visits(store, todo, simulate, options=options, schema=SCHEMA, **keywords)
    )


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[[], L1Store]]:
    """Makes empty stores in SQLite files of the test."""
    stores: list[L1Store] = []

    def make() -> L1Store:
        config = L1dbConfig(
            url=f"sqlite:///{tmp_path}/{len(stores)}.db",
            dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
            object_last_replace=True,
        )
        store = open_store(config)
        store.create_schema()
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store: Callable[[], L1Store]) -> L1Store:
    """An empty store."""
    return new_store()


def content(store: L1Store) -> Mapping[str, str]:
    return store.science_digest()


def test_each_visit_makes_sources_versions_and_forced_sources(store: L1Store) -> None:
    summaries = process(store, visits(6))

    counts = store.row_counts()
    assert counts["DiaSource"] == sum(s.n_sources for s in summaries)
    assert counts["DiaObject"] == sum(s.n_objects for s in summaries)
    assert counts["DiaForcedSource"] == counts["DiaObject"]
    assert counts["L1DbProtoVisits"] == 6
    assert {s.outcome for s in summaries} == {StoreOutcome.STORED}


def test_the_second_visit_to_a_field_knows_the_first_ones_objects(
    store: L1Store,
) -> None:
    *_, last = process(store, visits(4))

    assert last.n_objects_known == pytest.approx(100, abs=40)
    assert last.n_matched == pytest.approx(60, abs=2)
    assert last.n_sources_found == last.n_objects_known
    assert last.n_objects == last.n_new + last.n_objects_known


def test_objects_are_measured_for_30_days_after_their_last_detection(
    store: L1Store,
) -> None:
    first, *_ = visits(1)
    late = replace(first, visit_id=2, time=first.time + timedelta(days=30))
    later = replace(first, visit_id=3, time=first.time + timedelta(days=30, seconds=1))

    _, second, third = process(store, [first, late, later])

    assert second.n_objects == second.n_sources + second.n_objects_known - 60
    # the first visit's transients are too old, the second's are not
    assert third.n_objects == third.n_sources + second.n_new


def test_history_is_read_within_its_window_only(store: L1Store) -> None:
    first, *_ = visits(1)
    later = replace(first, visit_id=2, time=first.time + timedelta(days=45))

    (_, narrow) = process(
        store,
        [first, later],
        options=VisitOptions(read_sources_months=1, read_forced_sources_months=2),
    )

    assert narrow.n_sources_found == 0
    assert narrow.n_forced_sources_found > 0


def test_stored_visits_are_passed_over(store: L1Store) -> None:
    process(store, visits(3))
    before = content(store)

    summaries = process(store, visits(4))

    assert [s.outcome for s in summaries] == [StoreOutcome.ALREADY_STORED] * 3 + [
        StoreOutcome.STORED
    ]
    assert content(store) != before


@pytest.mark.parametrize("match", MatchMode)
def test_a_replayed_visit_makes_the_same_rows(store: L1Store, match: MatchMode) -> None:
    options = VisitOptions(match=match)
    process(store, visits(7), options=options)
    before = content(store)

    summaries = process(store, visits(7), options=options, verify_stored=True)

    assert {s.outcome for s in summaries} == {StoreOutcome.ALREADY_STORED}
    assert content(store) == before


def test_a_visit_finds_the_objects_of_later_ones_that_are_stored(
    store: L1Store,
) -> None:
    options = VisitOptions(match=MatchMode.POSITION)
    first, *_, second = visits(4)  # of one field
    process(store, [second], options=options)

    (summary,) = process(store, [first], options=options)

    assert summary.outcome is StoreOutcome.STORED
    assert summary.n_matched > 40  # of 60 variables in the field


def test_other_content_under_a_visits_id_is_refused(store: L1Store) -> None:
    process(store, visits(3))
    before = content(store)

    with pytest.raises(VisitConflictError, match="visit 2 is already stored"):
        process(
            store,
            visits(1, first=2),
            settings=replace(SETTINGS, seed=10),
            verify_stored=True,
        )

    assert content(store) == before


def test_a_run_in_two_parts_equals_one(new_store: Callable[[], L1Store]) -> None:
    whole, parts = new_store(), new_store()

    process(whole, visits(8))
    process(parts, visits(5))
    process(parts, visits(3, first=6))

    assert content(parts) == content(whole)


def test_no_update_leaves_the_database_as_it_is(store: L1Store) -> None:
    process(store, visits(3))
    before, counts = content(store), store.row_counts()

    (summary,) = process(store, visits(1, first=4), options=VisitOptions(update=False))

    assert summary.outcome is None
    assert summary.n_objects_known > 0
    assert (content(store), store.row_counts()) == (before, counts)


def test_scattered_sources_match_by_position(store: L1Store) -> None:
    settings = replace(
        SETTINGS,
        match=MatchMode.POSITION,
        astrometric_scatter_arcsec=0.1,
        match_radius_arcsec=1.5,
    )
    options = VisitOptions(
        match=MatchMode.POSITION, match_radius_arcsec=1.5, position_sigma_deg=0.1 / 3600
    )

    *_, last = process(store, visits(4), settings=settings, options=options)

    assert last.n_matched == pytest.approx(60, abs=3)


def test_undetected_variables_are_measured_by_forced_photometry(
    store: L1Store,
) -> None:
    settings = replace(SETTINGS, detection_probability=0.5)

    *_, last = process(store, visits(7), settings=settings)

    assert 15 < last.n_matched < 50
    assert last.n_objects > last.n_sources


def test_filled_columns_do_not_change_who_is_who(
    new_store: Callable[[], L1Store],
) -> None:
    narrow, full = new_store(), new_store()
    process(narrow, visits(4))

    process(
        full,
        visits(4),
        settings=replace(SETTINGS, fill=True),
        options=VisitOptions(fill=True),
    )

    assert full.row_counts()["DiaObject"] == narrow.row_counts()["DiaObject"]
    rows = full.read_sources(object_ids=np.arange(10))
    assert not rows.null_mask("psFlux").any()
    assert (np.abs(rows["snr"]) >= 5).all()


def test_log_lines_give_the_originals_numbers(
    store: L1Store, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        summaries = process(store, visits(4), counts_every=4, daily_every=2)

    lines = [f"2026 [INFO] {r.name}: {r.getMessage()}" for r in caplog.records]
    rows = list(parse_log(lines))
    assert [row["visit"] for row in rows] == [1, 2, 3, 4]
    assert rows[3]["obj_in_fov"] == summaries[3].n_objects_known
    assert rows[3]["src_selected"] == summaries[3].n_sources_found
    assert rows[3]["obj_count"] == sum(s.n_objects for s in summaries[:3])
    assert rows[3]["visit_real"] >= rows[3]["visit_proc_real"] > 0
    assert rows[3]["obj_last_insert_real"] > 0
    assert len(list(parse_log(lines, daily=True))) == 2


def test_timings_and_pointings_are_kept_with_the_run(store: L1Store) -> None:
    process(store, visits(4), counts_every=2)

    run = read_store(store, name="run", source="here")

    assert run.visits["visit"].tolist() == [1, 2, 3, 4]
    assert (run.visits["store_real"] > 0).all()
    assert run.visits["obj_count"].notna().tolist() == [False, True, False, True]
    assert set(run.tables["table"]) >= {"DiaObject", "DiaSource", "DiaForcedSource"}
    assert run.pointings_deg.shape == (4, 2)


def test_the_load_model_predicts_a_runs_rows_within_1_percent(
    store: L1Store,
) -> None:
    n_fields, n_variables, n_noise, n_visits = 4, 100, 600, 36
    fields = rand_sphere_xyz(n_fields, -1, seed=6)
    catalog = SourceCatalog(
        np.concatenate(
            [rand_cone_xyz(f, np.radians(3.5), n_variables, 1) for f in fields]
        )
    )
    days = [
        Visit(
            visit_id=number,
            time=START + timedelta(days=number),
            centre=fields[number % n_fields],
            open_angle_deg=3.5,
        )
        for number in range(1, n_visits + 1)
    ]
    model = LoadModel(
        n_fields=n_fields,
        n_variables=n_variables,
        n_noise=n_noise,
        forced_visits=30,
        in_turn=True,
    )
    settings = replace(SETTINGS, n_noise=n_noise)
    options = VisitOptions(read_sources_months=0, read_forced_sources_months=0)
    simulate = simulator(catalog, settings)

    for _ in run_visits(store, days, simulate, options=options, schema=SCHEMA):
        pass

    counts, predicted = store.row_counts(), model.totals(n_visits)
    assert counts["DiaSource"] == pytest.approx(predicted.dia_source, rel=0.01)
    assert counts["DiaObject"] == pytest.approx(predicted.dia_object, rel=0.01)
    assert counts["DiaForcedSource"] == pytest.approx(
        predicted.dia_forced_source, rel=0.01
    )


@pytest.mark.parametrize(
    "change",
    [{"time": START + timedelta(hours=3)}, {"centre": FIELDS[0]}],
    ids=["another time", "another place"],
)
def test_another_visit_never_passes_for_the_stored_one_of_its_id(
    store: L1Store, change: dict[str, Any]
) -> None:
    process(store, visits(4))
    before = content(store)
    other = replace(visits(1, first=4)[0], **change)

    with pytest.raises(VisitConflictError, match=r"visit 4 is already stored with"):
        process(store, [other])

    assert content(store) == before


def test_an_attempt_that_stored_nothing_does_not_fix_the_place_of_a_visit(
    store: L1Store,
) -> None:
    (visit,) = visits(1)
    store.put_setting("pointing.1", "0.000000 0.000000")

    process(store, [visit])
    (summary,) = process(store, [visit])

    assert summary.outcome is StoreOutcome.ALREADY_STORED
