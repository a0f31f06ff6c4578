"""The visits of a comparison, how deep they are, and the sources that they see."""

import sqlite3
from pathlib import Path

import numpy as np

from l1db_pipeline.comparison.plan import Candidate, ComparisonPlan
from l1db_pipeline.comparison.workload import Workload, depths_of
from l1db_pipeline.sky.htm import radec_to_xyz

ONE = (Candidate(name="a", database="d"),)


def plan(**options: object) -> ComparisonPlan:
    return ComparisonPlan(
        candidates=ONE,
        databases={"d": "sqlite://"},
        **options,  # type: ignore[arg-type]  # fields by name
    )


def test_fields_are_observed_in_turn_and_deepen() -> None:
    load = Workload.of(plan(visits=6, fields_deg=((30.0, -30.0), (120.0, -50.0))))

    assert load.depth.tolist() == [1, 1, 2, 2, 3, 3]
    assert load.n_fields == 2
    assert np.allclose(load.visits[2].centre, radec_to_xyz(30.0, -30.0))


def test_a_pointing_nearby_is_of_the_same_field() -> None:
    places = [(30, -30), (31, -30), (34, -30), (30, -30)]

    depth = depths_of(np.array([radec_to_xyz(ra, dec) for ra, dec in places]))

    assert depth.tolist() == [1, 2, 1, 3]


def test_visits_of_a_file_keep_their_ids_and_times(tmp_path: Path) -> None:
    path = tmp_path / "opsim.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE observations (observationId INTEGER, observationStartMJD "
            "REAL, fieldRA REAL, fieldDec REAL, band TEXT)"
        )
        connection.executemany(
            "INSERT INTO observations VALUES (?, ?, ?, ?, 'r')",
            [(n, 61041.1 + n / 2000, 30.0, -30.0) for n in range(5)],
        )
    connection.close()

    load = Workload.of(plan(visits=3, visits_file=str(path)))

    assert [visit.visit_id % 100_000 for visit in load.visits] == [1, 2, 3]
    assert not load.is_counted


def test_sources_are_of_one_density_where_fields_overlap() -> None:
    load = Workload.of(
        plan(
            visits=2,
            fields_deg=((30.0, -30.0), (31.0, -30.0)),
            variables_per_field=4000,
            n_transients=0,
        )
    )

    counts = [len(load.simulate(visit)) for visit in load.visits]

    assert counts[0] == 4000 or counts[1] == 4000
    assert all(abs(count - 4000) < 6 * np.sqrt(4000) for count in counts)
