from typing import Any

import numpy as np
import pytest

from l1db_pipeline.report.load_model import FIELDS_PER_HEMISPHERE, LoadModel


def replayed(model: LoadModel, n_visits: int) -> dict[str, list[float]]:
    """Count the rows of visits in turn, object by object, as a database would."""
    n_fields = int(model.n_fields)
    detected: list[list[int]] = [[] for _ in range(n_fields)]  # visit of each object
    forced: list[list[int]] = [[] for _ in range(n_fields)]  # visit of each row
    counts: dict[str, list[float]] = {
        "objects": [], "known_objects": [], "sources_read": [],
        "forced_sources_read": [],
    }  # fmt: skip
    sources: list[list[int]] = [[] for _ in range(n_fields)]
    variables, noise = int(model.n_variables), int(model.n_noise)
    for visit in range(n_visits):
        place = visit % n_fields
        seen = len(sources[place]) > 0
        since = visit - model.history_visits
        counts["known_objects"].append(seen * variables + len(detected[place]))
        counts["sources_read"].append(sum(v >= since for v in sources[place]))
        counts["forced_sources_read"].append(sum(v >= since for v in forced[place]))
        recent = sum(visit - v <= model.forced_visits for v in detected[place])
        n_objects = variables + noise + recent
        counts["objects"].append(n_objects)
        detected[place] += [visit] * noise
        sources[place] += [visit] * (variables + noise)
        forced[place] += [visit] * n_objects
    return counts


def test_number_of_fields_is_that_of_the_published_runs() -> None:
    assert pytest.approx(2143.9, abs=0.05) == FIELDS_PER_HEMISPHERE


@pytest.mark.parametrize(
    ("visit", "objects", "known", "history"),
    [
        (1_000, 17_500, 6_100, 7_100),
        (5_000, 27_000, 21_000, 35_000),
        (10_000, 39_000, 34_000, 71_000),
        (15_000, 51_000, 46_000, 106_000),
        (30_000, 73_000, 82_000, 212_000),
        (288_000, 73_000, 702_000, 2_040_000),
    ],
)
def test_rows_of_a_visit_are_those_of_the_published_analysis(
    visit: int, objects: int, known: int, history: int
) -> None:
    rows = LoadModel().visits(visit)

    assert rows.sources[0] == 15_150
    assert rows.objects[0] == pytest.approx(objects, rel=0.01)
    assert rows.known_objects[0] == pytest.approx(known, rel=0.01)
    assert rows.sources_read[0] == pytest.approx(history, rel=0.01)


@pytest.mark.parametrize(
    ("n_visits", "area_factor", "published"),
    [(15_000, 1.0, 4.94e8), (57_000, 1.14, 3.82e9)],
)
def test_totals_are_those_of_published_runs_to_one_percent(
    n_visits: int, area_factor: float, published: float
) -> None:
    totals = LoadModel(area_factor=area_factor).totals(n_visits)

    assert totals.dia_object == pytest.approx(published, rel=0.01)
    assert totals.dia_forced_source == totals.dia_object


def test_totals_of_sources_allow_for_fields_across_the_equator() -> None:
    # published totals after 15,000 visits, and 65 sources fewer in a visit
    totals = LoadModel(n_variables=9_935).totals(15_000)

    assert totals.dia_source == pytest.approx(226_286_952, rel=0.001)
    assert totals.dia_object == pytest.approx(493_491_996, rel=0.01)


@pytest.mark.parametrize("history_visits", [np.inf, 12, 7])
@pytest.mark.parametrize("forced_visits", [1000, 9])
def test_rows_of_visits_in_turn_are_counted_exactly(
    forced_visits: int, history_visits: float
) -> None:
    model = LoadModel(
        n_fields=3, n_variables=5, n_noise=4, in_turn=True,
        forced_visits=forced_visits, history_visits=history_visits,
    )  # fmt: skip

    rows = model.visits(np.arange(1, 31))
    counted = replayed(model, 30)

    assert rows.objects.tolist() == counted["objects"]
    assert rows.known_objects.tolist() == counted["known_objects"]
    assert rows.sources_read.tolist() == counted["sources_read"]
    assert rows.forced_sources_read.tolist() == counted["forced_sources_read"]


def test_random_places_have_the_rows_of_a_simulation() -> None:
    rng = np.random.default_rng(4)
    n_visits, n_fields, n_runs = 60, 8, 3000
    places = rng.integers(0, n_fields, (n_runs, n_visits))
    revisits = np.array(
        [(places[:, :n] == places[:, n : n + 1]).sum(axis=1) for n in range(n_visits)]
    )
    model = LoadModel(n_fields=n_fields, n_variables=100, n_noise=10)
    rows = model.visits(np.arange(1, n_visits + 1))

    objects = 110 + 10 * revisits.mean(axis=1)

    np.testing.assert_allclose(rows.objects, objects, rtol=0.02)


def test_totals_are_the_sum_of_the_visits() -> None:
    model = LoadModel(detection_probability=0.7, area_factor=1.27)

    rows = model.visits(np.arange(1, 2001))

    assert model.totals(2000).dia_object == pytest.approx(rows.objects.sum())
    assert model.totals(2000).dia_source == pytest.approx(rows.sources.sum())


def test_undetected_variables_are_measured_too() -> None:
    certain = LoadModel(n_fields=1, n_variables=100, n_noise=0, in_turn=True)
    half = LoadModel(
        n_fields=1, n_variables=100, n_noise=0, in_turn=True, detection_probability=0.5
    )

    assert certain.visits(3).objects[0] == 100
    assert half.visits(3).objects[0] == 50 + 50 * 0.75


def test_no_visit_has_no_rows() -> None:
    assert LoadModel().totals(0).dia_object == 0


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"n_fields": 0}, "need a field and a factor"),
        ({"area_factor": 0.9}, "need a field and a factor"),
        ({"n_noise": -1}, "cannot be negative"),
        ({"detection_probability": 2}, "detection probability must be within"),
        ({"n_fields": 2.5, "in_turn": True}, "cannot visit 2.5 fields in turn"),
    ],
)
def test_quantity_out_of_range_is_refused(
    quantities: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LoadModel(**quantities)


def test_visit_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="numbered from 1, not 0"):
        LoadModel().visits(0)


def test_negative_number_of_visits_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be -1"):
        LoadModel().totals(-1)
