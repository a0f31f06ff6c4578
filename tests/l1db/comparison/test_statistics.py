"""What made-up costs, whose truth is known, are said to be."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.comparison.statistics import crossing, growth, ratio

Floats = NDArray[np.float64]

N_REPEATS, N_VISITS = 2, 60
DEPTH = np.arange(1, N_VISITS + 1)


def noisy(costs: Floats, seed: int, noise: float = 0.1) -> Floats:
    """Return what was measured of costs: much more now and then, as load does."""
    rng = np.random.default_rng(seed)
    return costs * (1 - noise + rng.gamma(1.0, noise, (N_REPEATS, len(costs))))


def measured(truth: Callable[[Floats], Floats], n: int = N_VISITS) -> Floats:
    return noisy(truth(np.arange(1.0, n + 1)), seed=5, noise=0.03)


def test_two_of_one_cost_are_seldom_told_apart() -> None:
    alike = np.full(15, 0.2)
    ratios = [
        ratio(noisy(alike, seed), noisy(alike, 1000 + seed)) for seed in range(60)
    ]

    told_apart = [r for r in ratios if r.is_above_one or r.is_below_one]

    assert len(told_apart) <= 9, told_apart


def test_a_third_more_is_told_apart_and_lies_in_the_interval() -> None:
    found = ratio(noisy(np.full(15, 0.4), 1), noisy(np.full(15, 0.3), 2))

    assert found.is_above_one
    assert not found.is_below_one
    assert found.low < 4 / 3 < found.high


def test_one_per_cent_is_no_difference_however_sure() -> None:
    found = ratio(np.full((3, 20), 1.01), np.full((3, 20), 1.0))

    assert found.low > 1
    assert not found.is_above_one


def test_the_curve_of_the_truth_is_found_and_prolonged() -> None:
    line = growth(DEPTH, measured(lambda d: 5 + 0.2 * d), year=140)
    log = growth(DEPTH, measured(lambda d: 5 + 8 * np.log(d)), year=140)

    assert line is not None
    assert log is not None
    assert (line.is_linear, log.is_linear) == (True, False)
    assert line.at_a_year.low < 5 + 0.2 * 140 < line.at_a_year.high
    assert log.at_a_year.low < 5 + 8 * np.log(140) < log.at_a_year.high


def test_a_field_seen_twice_gives_no_curve() -> None:
    depth = np.array([1, 1, 1, 2, 2, 2, 2, 2])

    assert growth(depth, np.ones((1, 8)), year=140) is None
    assert crossing(depth, np.ones((1, 8)), np.ones((1, 8)), year=140) is None


def test_the_crossing_is_where_the_cheaper_one_changes() -> None:
    flat, steep = measured(lambda d: 20 + 0.1 * d), measured(lambda d: 10 + 0.43 * d)

    found = crossing(DEPTH, flat, steep, year=140)

    assert found is not None
    assert found.is_measured
    assert 30 <= found.depth <= 40
    assert crossing(DEPTH, steep, flat, year=140) is None


def test_a_crossing_beyond_the_visits_is_said_to_be_prolonged() -> None:
    n = 24
    flat = measured(lambda d: 20 + 0.1 * d, n)
    steep = measured(lambda d: 10 + 0.43 * d, n)

    found = crossing(DEPTH[:n], flat, steep, year=140)

    assert found is not None
    assert not found.is_measured
    assert found.depth > n


def test_one_that_always_wins_does_so_from_the_first_return() -> None:
    found = crossing(
        DEPTH, measured(lambda d: d + 1), measured(lambda d: 2 * d + 5), year=140
    )

    assert found is not None
    assert found.is_from_the_first
