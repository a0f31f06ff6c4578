from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.sphgeom import HtmPixelization, UnitVector3d
from numpy.typing import NDArray

from l1db_pipeline.sky.htm import (
    MAX_HTM_LEVEL,
    home_pixel,
    htm_index,
    radec_to_xyz,
    xyz_to_radec,
)

AXES = np.concatenate([np.eye(3), -np.eye(3)])
component = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-17, -1e-17, 1e-9, -1e-9]),
    st.floats(-1, 1, allow_subnormal=False),
)
directions = st.tuples(component, component, component).filter(
    lambda v: sum(c * c for c in v) > 1e-6
)


def by_sphgeom(xyz: NDArray[np.float64], level: int) -> list[int]:
    index = HtmPixelization(level).index
    return [index(UnitVector3d(x, y, z)) for x, y, z in xyz.tolist()]


def random_directions(count: int, seed: int) -> NDArray[np.float64]:
    xyz = np.random.default_rng(seed).normal(size=(count, 3))
    unit: NDArray[np.float64] = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    return unit


def close_to_edges(level: int, offset: float, seed: int) -> NDArray[np.float64]:
    """Return points beside the edges of random trixels, and near their corners."""
    rng = np.random.default_rng(seed)
    points = []
    for pixel in rng.integers(8 * 4**level, 16 * 4**level, size=100).tolist():
        corners = [
            np.array([v.x(), v.y(), v.z()])
            for v in HtmPixelization.triangle(pixel).getVertices()
        ]
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            along = start + rng.choice([0, 1e-3, 0.5, rng.random()]) * (end - start)
            points.append(along + offset * rng.normal(size=3))
    return np.array(points)


@pytest.mark.parametrize("level", range(MAX_HTM_LEVEL + 1))
def test_pixels_are_those_of_sphgeom_at_each_level(level: int) -> None:
    xyz = random_directions(4000, seed=level)

    assert htm_index(xyz, level).tolist() == by_sphgeom(xyz, level)


def test_pixels_are_those_of_sphgeom_on_many_points() -> None:
    xyz = random_directions(200_000, seed=99)

    assert htm_index(xyz).tolist() == by_sphgeom(xyz, 20)


@pytest.mark.parametrize("offset", [0.0, 1e-17, 1e-15, 1e-12, 1e-10, 1e-9, 1e-7])
@pytest.mark.parametrize("level", [0, 1, 5, 6, 7, 9, 10, 11, 14, 16, 19, 20])
def test_pixels_beside_edges_are_those_of_sphgeom(level: int, offset: float) -> None:
    xyz = close_to_edges(level, offset, seed=level)

    assert htm_index(xyz).tolist() == by_sphgeom(xyz, 20)


@given(st.lists(directions, max_size=8), st.sampled_from([0, 3, 10, 20, 24]))
def test_pixels_of_any_direction_are_those_of_sphgeom(
    points: Sequence[tuple[float, float, float]], level: int
) -> None:
    xyz = np.array(points, dtype=np.float64).reshape(-1, 3)

    assert htm_index(xyz, level).tolist() == by_sphgeom(xyz, level)


@pytest.mark.parametrize("offset", [0.0, 1e-300, 1e-16, -1e-16, 1e-8, -1e-8])
def test_pixels_at_poles_octant_edges_and_meridian_are_those_of_sphgeom(
    offset: float,
) -> None:
    angles = np.arange(0, 2 * np.pi, np.pi / 180)
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
    circles = np.concatenate([circle, circle[:, [0, 2, 1]], circle[:, [2, 1, 0]]])
    xyz = np.concatenate([AXES, circles]) + offset

    assert htm_index(xyz).tolist() == by_sphgeom(xyz, 20)


def test_length_of_a_vector_does_not_matter() -> None:
    xyz = random_directions(5000, seed=3)

    assert (htm_index(2.0**-400 * xyz) == htm_index(2.0**400 * xyz)).all()


def test_no_position_has_no_pixel() -> None:
    assert htm_index(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_position_without_direction_is_refused(bad: float) -> None:
    xyz = np.full((3, 3), 0.5)
    xyz[1] = bad

    with pytest.raises(ValueError, match="zero, infinite or NaN"):
        htm_index(xyz)


@pytest.mark.parametrize("level", [-1, 25])
def test_level_out_of_range_is_refused(level: int) -> None:
    with pytest.raises(ValueError, match=r"level must be within 0\.\.24"):
        htm_index(AXES, level)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 3, 3)])
def test_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        htm_index(np.ones(shape))


def test_home_pixel_is_the_pixel_of_a_coarser_level() -> None:
    xyz = random_directions(1000, seed=4)

    assert (home_pixel(htm_index(xyz), 7) == htm_index(xyz, 7)).all()


def test_home_pixel_finer_than_its_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"within 0\.\.20, not 21"):
        home_pixel(htm_index(AXES), 21)


@given(
    st.floats(0, 360, exclude_max=True, allow_subnormal=False), st.floats(-89.9, 89.9)
)
def test_angles_survive_the_way_to_vectors_and_back(ra: float, dec: float) -> None:
    ra_back, dec_back = xyz_to_radec(radec_to_xyz([ra], [dec]))

    assert 0 <= ra_back[0] < 360
    assert abs((ra_back[0] - ra + 180) % 360 - 180) < 1e-9
    assert dec_back[0] == pytest.approx(dec, abs=1e-12)


def test_right_ascension_of_a_pole_is_zero() -> None:
    ra, dec = xyz_to_radec(np.array([[0.0, -0.0, 1.0], [-0.0, 0.0, -1.0]]))

    assert ra.tolist() == [0, 0]
    assert dec.tolist() == [90, -90]


def test_right_ascension_just_below_zero_is_not_360() -> None:
    ra, _ = xyz_to_radec(np.array([[1.0, -1e-20, 0.0]]))

    assert ra[0] == 0
