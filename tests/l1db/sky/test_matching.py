import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.matching import match_positions

ARCSEC = 1 / 3600
CENTERS = [(0.0, 0.0), (359.9999, 10.0), (120.0, 90.0), (10.0, -89.9999)]
grid = st.integers(-6, 6)  # few places, so that ties and duplicates are common
places = st.lists(st.tuples(grid, grid), max_size=12)


def near(
    center: tuple[float, float], offsets: list[tuple[int, int]], step: float
) -> NDArray[np.float64]:
    ra, dec = center
    pole = radec_to_xyz(ra, dec)
    east = radec_to_xyz(ra + 90, 0)
    north = np.cross(pole, east)
    offset = np.array(offsets, dtype=np.float64).reshape(-1, 2) * np.radians(step)
    xyz = pole + offset[:, :1] * east + offset[:, 1:] * north
    unit: NDArray[np.float64] = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    return unit


def separations(
    sources: NDArray[np.float64], objects: NDArray[np.float64]
) -> NDArray[np.float64]:
    chord = np.linalg.norm(sources[:, np.newaxis] - objects, axis=2)
    angle: NDArray[np.float64] = np.degrees(2 * np.arcsin(chord / 2)) / ARCSEC
    return angle


@given(st.sampled_from(CENTERS), places, places, st.floats(0.3, 5))
def test_match_is_the_nearest_object_within_the_radius(
    center: tuple[float, float],
    sources: list[tuple[int, int]],
    objects: list[tuple[int, int]],
    radius: float,
) -> None:
    source_xyz = near(center, sources, ARCSEC)
    object_xyz = near(center, objects, ARCSEC)

    rows = match_positions(source_xyz, object_xyz, radius)

    for row, distances in zip(rows, separations(source_xyz, object_xyz), strict=True):
        if row >= 0:
            assert distances[row] <= radius + 1e-6
            assert distances[row] <= distances.min() + 1e-6
        else:
            assert (distances > radius - 1e-6).all()


@given(st.sampled_from(CENTERS), places, places, st.floats(0.3, 5))
def test_no_object_is_taken_twice_when_asked_for(
    center: tuple[float, float],
    sources: list[tuple[int, int]],
    objects: list[tuple[int, int]],
    radius: float,
) -> None:
    rows = match_positions(
        near(center, sources, ARCSEC),
        near(center, objects, ARCSEC),
        radius,
        one_source_per_object=True,
    )
    taken = rows[rows >= 0]

    assert len(np.unique(taken)) == len(taken)


@given(st.sampled_from(CENTERS), places, places, st.floats(0.3, 5))
def test_each_object_keeps_the_nearest_source_that_chose_it(
    center: tuple[float, float],
    sources: list[tuple[int, int]],
    objects: list[tuple[int, int]],
    radius: float,
) -> None:
    source_xyz = near(center, sources, ARCSEC)
    object_xyz = near(center, objects, ARCSEC)

    chosen = match_positions(source_xyz, object_xyz, radius)
    kept = match_positions(source_xyz, object_xyz, radius, one_source_per_object=True)

    distances = separations(source_xyz, object_xyz)
    for row in np.unique(chosen[chosen >= 0]):
        rivals = np.flatnonzero(chosen == row)
        (winner,) = np.flatnonzero(kept == row)
        assert winner in rivals
        assert distances[winner, row] <= distances[rivals, row].min() + 1e-6
    assert ((kept == chosen) | (kept == -1)).all()


def test_closer_source_wins_and_the_other_has_no_object() -> None:
    objects = near((30, -20), [(0, 0), (30, 0)], ARCSEC / 10)
    sources = near((30, -20), [(12, 0), (1, 0)], ARCSEC / 10)

    rows = match_positions(sources, objects, 5, one_source_per_object=True)

    assert rows.tolist() == [-1, 0]


@given(st.integers(0, 2**32 - 1))
def test_a_match_depends_on_nothing_beyond_three_radii(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources = radec_to_xyz(*(rng.uniform(0, 20 / 3600, (2, 60))))
    objects = radec_to_xyz(*(rng.uniform(0, 20 / 3600, (2, 60))))
    whole = match_positions(sources, objects, 1.0, one_source_per_object=True)
    probe = sources[0]
    reach = 2 * np.sin(np.radians(3.001 / 3600) / 2)
    near = np.linalg.norm(sources - probe, axis=1) <= reach
    near_objects = np.flatnonzero(np.linalg.norm(objects - probe, axis=1) <= reach)

    part = match_positions(
        sources[near], objects[near_objects], 1.0, one_source_per_object=True
    )

    row = part[np.flatnonzero(near).tolist().index(0)]
    assert (near_objects[row] if row >= 0 else -1) == whole[0]


def test_two_sources_share_an_object_by_default() -> None:
    objects = near((30, -20), [(0, 0)], ARCSEC)
    sources = near((30, -20), [(1, 0), (0, 1)], ARCSEC)

    assert match_positions(sources, objects, 2).tolist() == [0, 0]


def test_tie_between_objects_goes_to_the_lower_row() -> None:
    objects = near((0, 0), [(5, 5), (3, 3), (3, 3), (3, 3)], ARCSEC)
    sources = near((0, 0), [(3, 3)], ARCSEC)

    assert match_positions(sources, objects, 2).tolist() == [1]


def test_tie_between_sources_goes_to_the_lower_row() -> None:
    objects = near((0, 0), [(3, 3)], ARCSEC)
    sources = near((0, 0), [(3, 3)] * 3, ARCSEC)

    rows = match_positions(sources, objects, 2, one_source_per_object=True)

    assert rows.tolist() == [0, -1, -1]


def test_many_objects_in_one_place_do_not_hide_a_match() -> None:
    objects = near((0, 0), [(1, 1)] * 100, ARCSEC)
    sources = near((0, 0), [(1, 1)] * 100, ARCSEC)

    assert match_positions(sources, objects, 1).tolist() == [0] * 100


def test_a_radius_of_zero_matches_equal_positions() -> None:
    objects = near((45, 45), [(0, 0), (1, 0)], ARCSEC)

    assert match_positions(objects[1:], objects, 0).tolist() == [1]


@pytest.mark.parametrize(("n_sources", "n_objects"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_matches_nothing(n_sources: int, n_objects: int) -> None:
    xyz = near((0, 0), [(0, 0)] * 3, ARCSEC)

    rows = match_positions(xyz[:n_sources], xyz[:n_objects], 1)

    assert rows.tolist() == [-1] * n_sources


@pytest.mark.parametrize("radius", [-1, 648001, np.nan])
def test_radius_out_of_range_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="match radius must be within"):
        match_positions(np.eye(3), np.eye(3), radius)
