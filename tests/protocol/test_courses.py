"""A sample of the courses of ``make prove``, and the planted faults that they find."""

import pytest
from protocol.course import Course, Unit
from protocol.planted import PLANTED
from protocol.trial import broken_promise, course_of, digest_of, smallest

N_COURSES = {"memory": 300, "sqlite-packed": 12, "sqlite-rows": 12}
"""What a run of all tests can afford; ``make prove`` plays any number."""
FOUND_BY = {
    "no_claim": ("sqlite-packed", 0),
    "two_snapshots": ("memory", 59),
    "token_at_the_store": ("sqlite-packed", 14),
    "compare_before_the_lock": ("sqlite-packed", 129),
    "only_written_cells": ("memory", 10),
    "own_visit_always": ("memory", 10),
    "nothing_is_stale": ("memory", 10),
    "claim_apart": ("sqlite-packed", 0),
    "retry_without_ledger": ("sqlite-packed", 0),
    "merged_chunks_stay": ("sqlite-packed", 1),
    "never_complete": ("sqlite-packed", 0),
}
"""The backend, and the number of the first course that found the fault when it was
planted. A store that makes other calls is interrupted elsewhere: a later one may."""
N_SEARCHED = 60


@pytest.mark.parametrize("backend", N_COURSES)
def test_the_store_keeps_its_promises_in_every_course(backend: str) -> None:
    broken = {
        seed: promise
        for seed in range(N_COURSES[backend])
        if (promise := broken_promise(backend, course_of(backend, seed)))
    }

    assert broken == {}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_of_the_protocol_is_found(name: str) -> None:
    backend, first = FOUND_BY[name]
    courses = (course_of(backend, first + more) for more in range(N_SEARCHED))

    with PLANTED[name]():
        found = any(broken_promise(backend, course) for course in courses)

    assert found


@pytest.mark.parametrize("backend", ["sqlite-packed", "sqlite-rows"])
def test_the_order_of_a_visits_parts_does_not_matter_to_the_digest(
    backend: str,
) -> None:
    seen = tuple((visit % 5, (visit + 2) % 5, (visit + 3) % 5) for visit in range(8))
    digests = [
        digest_of(backend, Course(seen, (tuple(units),), 0, (), (), ()))
        for units in (
            [Unit(visit, part) for visit in range(8) for part in (0, 1)],
            [Unit(visit, part) for visit in range(8) for part in (1, 0)],
        )
    ]

    assert digests[0] == digests[1]


@pytest.mark.parametrize("seed", [100_367, 100_400])
def test_a_lost_answer_is_neither_a_finding_nor_a_lock(seed: int) -> None:
    assert broken_promise("sqlite-packed", course_of("sqlite-packed", seed)) is None


def test_a_failing_course_is_made_smaller_and_still_fails() -> None:
    with PLANTED["nothing_is_stale"]():
        course = smallest("memory", course_of("memory", 10))
        promise = broken_promise("memory", course)

    assert promise is not None
    assert len(course.units) == 2
    assert (course.upkeep, course.n_reads) == ((), 0)
