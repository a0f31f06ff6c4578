"""The answer in words, of costs that are made up."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.comparison.answer import Answer
from l1db_pipeline.comparison.bakeoff import STEPS, BakeOff, CandidateResult, Costs
from l1db_pipeline.comparison.plan import Candidate, ComparisonPlan
from l1db_pipeline.comparison.workload import Workload
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.meter import IN_CLIENT

N_VISITS = 60
DEPTH = np.arange(1.0, N_VISITS + 1)
CONFIG = L1dbConfig(url="sqlite://")


def result(
    name: str, server_s: NDArray[np.float64] | float, seed: int, *, n: int = N_VISITS
) -> CandidateResult:
    """Return a candidate whose client takes 10 ms a visit, and its server the rest."""
    noise = np.random.default_rng(seed).normal(1, 0.02, (1, n))
    server = np.broadcast_to(server_s, (1, n)) * noise
    return CandidateResult(
        candidate=Candidate(name=name, database="d"),
        config=CONFIG,
        server=IN_CLIENT if name.startswith("sqlite") else "on this machine",
        costs=Costs(
            wall_s=2 * server + 0.02,
            client_s=np.full((1, n), 0.01),
            server_s=server,
            log_bytes=np.full((1, n), 1e6),
            steps_s={step: np.zeros((1, n)) for step in STEPS},
        ),
        sizes=((1, 10**6), (n // 2, 3 * 10**7), (n, 6 * 10**7)),
        digests=({"DiaObject": "same"},),
        row_counts={},
        table_bytes={"DiaSource": 6 * 10**7},
    )


def answer(*results: CandidateResult, n: int = N_VISITS) -> Answer:
    plan = ComparisonPlan(
        candidates=tuple(r.candidate for r in results),
        databases={"d": "sqlite://"},
        visits=n,
        fields_deg=((30.0, -30.0),),
    )
    return Answer(BakeOff(plan=plan, workload=Workload.of(plan), results=results))


def test_the_cheapest_at_depth_is_the_answer_and_from_when_on_it_is() -> None:
    flat, steep = 0.02 + 0.0001 * DEPTH, 0.01 + 0.00043 * DEPTH

    found = answer(result("pg-rows", steep, 1), result("pg-packed", flat, 2))

    assert found.headline.startswith("pg-packed costs least: ")
    assert [row.name for row in found.rows] == ["pg-packed", "pg-rows"]
    (said,) = [p for p in found.points() if "wins over" in p]
    first = int(said.partition("from visit ")[2].split()[0])
    assert said.startswith("pg-packed wins over pg-rows")
    assert 30 <= first <= 40


def test_two_alike_are_not_distinguishable() -> None:
    found = answer(result("a", 0.05, 1), result("b", 0.05, 2))

    assert found.headline == ("No configuration costs measurably less than the others")
    assert found.rows[1].verdict == "not distinguishable"


def test_other_content_has_no_verdict() -> None:
    wrong = replace(result("b", 0.01, 2), digests=({"DiaObject": "other"},))

    found = answer(result("a", 0.05, 1), wrong)

    assert found.headline.startswith("No verdict")
    assert "b (DiaObject)" in next(found.points())
    assert {row.verdict for row in found.rows} == {"no verdict"}


def test_content_of_any_repeat_counts() -> None:
    wrong = replace(
        result("b", 0.01, 2), digests=({"DiaObject": "other"}, {"DiaObject": "same"})
    )

    assert answer(result("a", 0.05, 1), wrong).bakeoff.differing == {"b": ["DiaObject"]}


def test_few_visits_give_no_verdict() -> None:
    found = answer(result("a", 0.05, 1, n=3), result("b", 0.01, 2, n=3), n=3)

    assert "3 visits are too few" in found.headline


def test_wall_time_decides_where_a_server_cannot_be_seen() -> None:
    hidden = result("far", 0.05, 1)
    costs = replace(hidden.costs, server_s=np.full((1, N_VISITS), np.nan))

    found = answer(replace(hidden, costs=costs), result("near", 0.01, 2))

    assert found.unit == "wall time"
    assert "near costs least" in found.headline
    assert any("server of far cannot be seen" in point for point in found.points())


def test_a_busy_machine_is_named() -> None:
    quiet = answer(result("a", 0.05, 1), result("b", 0.01, 2))
    busy = Answer(replace(quiet.bakeoff, load=1000.0))

    assert not any("busy" in point for point in quiet.points())
    assert any("busy (load 1000 on" in point for point in busy.points())


def test_sqlite_is_said_to_work_inside_the_client() -> None:
    found = answer(result("sqlite-rows", 0.0, 1), result("pg-rows", 0.05, 2))

    assert any("inside the client (sqlite-rows)" in point for point in found.points())


def test_bytes_are_prolonged_to_a_year_of_the_same_fields() -> None:
    (row, _) = answer(result("a", 0.05, 1), result("b", 0.09, 2)).rows

    assert row.year_bytes == 6e7 + (140 - N_VISITS) * 1e6
