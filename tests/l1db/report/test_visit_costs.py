"""The costs of visits: the slowest first, nothing of those stored before."""

import numpy as np

from l1db_pipeline.report.plots import costs_figure
from l1db_pipeline.report.visit_costs import (
    SLOWEST_COLUMNS,
    VisitCost,
    slowest_rows,
)
from l1db_pipeline.store.timing import StepTiming
from l1db_pipeline.visit.process import VisitSummary


def _summary(visit_id: int, *steps: StepTiming) -> VisitSummary:
    return VisitSummary(
        visit_id=visit_id, tile="", outcome=None, n_detections=9, n_objects_found=9,
        n_objects_known=8, n_matched=5, n_new=4, n_sources_found=7,
        n_forced_sources_found=6, n_objects=30, n_sources=9, steps=steps,
    )  # fmt: skip


def _cost(visit_id: int, wall_s: float) -> VisitCost:
    return VisitCost(
        visit_id=visit_id, wall_s=wall_s, cpu_s=wall_s / 2, n_rows=visit_id,
        longest_step="L1-store", longest_s=wall_s / 3,
    )  # fmt: skip


def test_a_cost_has_the_rows_of_all_tables_and_the_longest_step() -> None:
    cost = VisitCost.of(
        _summary(
            1,
            StepTiming("Objects-read", 0.2, 0.1, 0.0),
            StepTiming("L1-store", 0.5, 0.1, 0.1),
            StepTiming("VisitProcessing", 0.9, 0.3, 0.1),
            StepTiming("Visit", 1.0, 0.3, 0.125),
        )
    )

    assert cost == VisitCost(
        visit_id=1, wall_s=1.0, cpu_s=0.425, n_rows=30 + 30 + 9,
        longest_step="L1-store", longest_s=0.5,
    )  # fmt: skip


def test_a_visit_that_was_stored_before_cost_nothing() -> None:
    assert VisitCost.of(_summary(1)) is None


def test_the_slowest_come_first_and_no_more_than_asked_for() -> None:
    rows = slowest_rows([_cost(1, 0.5), _cost(2, 3.0), _cost(3, 1.25)], n=2)

    assert [(row["visit"], row["seconds"]) for row in rows] == [(2, 3.0), (3, 1.25)]
    assert set(rows[0]) == set(SLOWEST_COLUMNS)


def test_every_visit_is_a_point_and_the_slowest_is_named() -> None:
    time, rows = costs_figure([_cost(1, 0.5), _cost(2, 3.0), _cost(3, 1.25)]).axes

    assert np.asarray(time.lines[0].get_ydata()).tolist() == [0.5, 3.0, 1.25]
    assert np.asarray(rows.lines[0].get_ydata()).tolist() == [1, 2, 3]
    assert [text.get_text() for text in time.texts] == ["2"]
