from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from archive_assets.prenight import AnomalousOverheadFunc, compute_sim_start_and_end
from archive_assets.simulation.errors import SimulationRangeError
from archive_assets.simulation.overhead import no_overlap
from archive_assets.simulation.site_data import SiteDataError

VISIT = {"slewtime": 5.0, "visittime": 34.0, "exptime": 30.0}


def offsets(func: AnomalousOverheadFunc, n: int = 200) -> list[float]:
    return [func(obs=VISIT) for _ in range(n)]


def test_without_scales_nothing_is_added() -> None:
    assert offsets(AnomalousOverheadFunc(1), 5) == [0.0] * 5


def test_the_slews_part_is_normal() -> None:
    drawn = offsets(AnomalousOverheadFunc(101, slew_scale=0.1, slew_loc=0.5))

    assert stats.kstest(drawn, stats.norm(loc=2.5, scale=0.5).cdf).pvalue > 0.001


def test_the_slews_part_never_takes_more_than_the_slew() -> None:
    drawn = offsets(AnomalousOverheadFunc(101, slew_scale=10.0))

    assert min(drawn) == -5.0


def test_the_other_part_is_half_normal_by_default() -> None:
    drawn = offsets(AnomalousOverheadFunc(7, scatter_kwargs={"scale": 10.0}))

    assert stats.kstest(drawn, stats.halfnorm(scale=10).cdf).pvalue > 0.001


def test_the_other_part_may_be_a_method_of_the_generator() -> None:
    func = AnomalousOverheadFunc(
        7, scatter_distribution="uniform", scatter_kwargs={"low": 2.0, "high": 3.0}
    )

    assert all(2 <= offset < 3 for offset in offsets(func))


def test_the_other_part_may_be_a_distribution_of_scipy() -> None:
    frozen: Any = stats.expon(scale=4)  # its stubs are narrower than its words
    drawn = offsets(AnomalousOverheadFunc(7, scatter_distribution=frozen))

    assert stats.kstest(drawn, stats.expon(scale=4).cdf).pvalue > 0.001


def test_an_unknown_distribution_is_refused_at_once() -> None:
    with pytest.raises(AttributeError, match="no_such"):
        AnomalousOverheadFunc(7, scatter_distribution="no_such")


def test_the_same_seed_gives_the_same_offsets() -> None:
    first, second = (AnomalousOverheadFunc(5, slew_scale=0.2) for _ in range(2))

    assert offsets(first) == offsets(second)


def test_the_total_overhead_has_a_minimum() -> None:
    # the model's overhead is 5 + 34 - 30 = 9 s
    func = AnomalousOverheadFunc(3, slew_scale=0.5, min_overhead=8.5)

    drawn = offsets(func)

    assert min(drawn) == pytest.approx(-0.5)
    assert max(drawn) > 0


def test_a_visit_as_numpy_array_will_do() -> None:
    visit = np.array([(5.0, 34.0, 30.0)], dtype=[(name, float) for name in VISIT])

    assert AnomalousOverheadFunc(3, min_overhead=20)(obs=visit) == pytest.approx(11)


def test_a_minimum_that_cannot_be_verified_is_told() -> None:
    func = AnomalousOverheadFunc(3, min_overhead=20)

    with pytest.warns(UserWarning, match="could not be verified"):
        offset = func(obs={"slewtime": 5.0})

    assert offset == 0.0


def test_times_as_arguments_are_deprecated() -> None:
    func = AnomalousOverheadFunc(3, slew_loc=1.0)

    with pytest.warns(DeprecationWarning, match="give obs"):
        offset = func(34.0, 5.0)

    assert offset == pytest.approx(5.0)


def test_scatter_of_the_visit_is_not_implemented() -> None:
    with pytest.raises(NotImplementedError, match="visit_scale above 0"):
        AnomalousOverheadFunc(3, visit_scale=0.1)


def test_no_visit_starts_before_the_last_one_ended() -> None:
    rng = np.random.default_rng(4)
    shortest_s = 3.07  # the camera's readout
    slews_s = shortest_s + rng.exponential(8.0, 500) * (rng.random(500) < 0.3)
    observatory = SimpleNamespace(observatory=SimpleNamespace(overhead=shortest_s))
    drawn = AnomalousOverheadFunc(101, slew_scale=1.0)
    limited = no_overlap(AnomalousOverheadFunc(101, slew_scale=1.0), observatory)
    assert limited is not None

    visits = [VISIT | {"slewtime": slew_s} for slew_s in slews_s]
    as_drawn = np.array([drawn(obs=visit) for visit in visits])
    given = np.array([limited(obs=visit) for visit in visits])

    gaps_s = given[:-1] + slews_s[1:]
    assert (as_drawn[:-1] + slews_s[1:]).min() < 0
    assert gaps_s.min() >= 0
    # what was cut is taken from later offsets
    assert given.sum() == pytest.approx(as_drawn.sum(), abs=10 * shortest_s)


@pytest.fixture
def with_site_data(site_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUBIN_SIM_DATA_DIR", str(site_data))


@pytest.mark.usefixtures("with_site_data")
def test_a_simulation_goes_from_twilight_to_sunrise() -> None:
    start, duration = compute_sim_start_and_end(20260101, 1)

    assert start == pytest.approx(61042.034, abs=0.001)
    assert duration == pytest.approx(0.3757, abs=0.001)


@pytest.mark.usefixtures("with_site_data")
def test_a_delay_moves_the_start_and_not_the_end() -> None:
    start, duration = compute_sim_start_and_end(20260101, 3)

    later, shorter = compute_sim_start_and_end(20260101, 3, delay=240)

    assert later - start == pytest.approx(4 / 24)
    assert later + shorter == pytest.approx(start + duration)
    assert 2 < shorter < 3


@pytest.mark.usefixtures("with_site_data")
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((20260101, 1, 600), "a delay of 600 minutes leaves no part"),
        ((20400101, 1), "the almanac does not have the 1 nights from 2040-01-01"),
        ((20200101, 1), "the almanac does not have"),
        ((20261301, 1), "day_obs 20261301 is not YYYYMMDD"),
        ((20260101, 0), "sim_nights must be at least 1, not 0"),
    ],
)
def test_impossible_nights_are_told(arguments: tuple[int, ...], match: str) -> None:
    with pytest.raises(SimulationRangeError, match=match):
        compute_sim_start_and_end(*arguments)


def test_missing_site_data_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUBIN_SIM_DATA_DIR", str(tmp_path / date.min.isoformat()))

    with pytest.raises(SiteDataError, match=r"sunsets\.npz cannot be read"):
        compute_sim_start_and_end(20260101, 1)
