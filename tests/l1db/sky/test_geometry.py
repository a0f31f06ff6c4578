import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.sphgeom import Angle, Circle, UnitVector3d
from numpy.typing import NDArray

from l1db_pipeline.sky.geometry import (
    FOV_OPEN_ANGLE_RAD,
    TileGrid,
    fov_circle,
    make_square_tiles,
    rotate,
    rotation_matrix,
    unit_vector,
)
from l1db_pipeline.sky.pixelization import in_region

SPECIAL = [
    (1.0, 0.0, 0.0),
    (0.0, -1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.0, 0.0, -1.0),
    (1e-9, 0.0, -1.0),
    (1e-16, 1e-16, -1.0),
    (1.0, 1.0, -1.0),
]
component = st.floats(-1, 1, allow_subnormal=False)
directions = st.sampled_from(SPECIAL) | st.tuples(component, component, component)
directions = directions.filter(lambda v: sum(c * c for c in v) > 1e-6)
divisions = st.integers(1, 12)


def points_about(
    direction: NDArray[np.float64], half_angle: float, count: int
) -> NDArray[np.float64]:
    """Return points within a square about a direction, its corners included."""
    rng = np.random.default_rng(count)
    half_width = math.tan(half_angle)
    plane = rng.uniform(-half_width, half_width, size=(count, 2))
    plane[:4] = half_width * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    xyz = np.column_stack([plane, np.ones(count)])
    xyz = xyz @ rotation_matrix([0, 0, 1], direction).T
    unit: NDArray[np.float64] = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
    return unit


@given(directions, directions)
def test_rotation_turns_one_direction_into_the_other(
    a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    rotation = rotation_matrix(a, b)

    np.testing.assert_allclose(rotation @ unit_vector(a), unit_vector(b), atol=4e-15)


@given(directions, directions)
def test_rotation_keeps_lengths_and_handedness(
    a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    rotation = rotation_matrix(a, b)

    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=4e-15)
    assert np.linalg.det(rotation) == pytest.approx(1)


@given(directions)
def test_rotation_between_opposite_directions_is_a_half_turn(
    a: tuple[float, ...],
) -> None:
    rotation = rotation_matrix(a, np.negative(a))

    np.testing.assert_allclose(rotation @ unit_vector(a), -unit_vector(a), atol=4e-15)
    assert np.trace(rotation) == pytest.approx(-1)


def test_rotation_of_a_direction_into_itself_is_none() -> None:
    rotation = rotation_matrix([1, 2, 3], [1, 2, 3])

    np.testing.assert_allclose(rotation, np.eye(3), atol=4e-15)


@pytest.mark.parametrize("bad", [(0, 0, 0), (np.nan, 0, 1), (np.inf, 0, 0)])
def test_vector_without_direction_is_refused(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="is not a direction"):
        unit_vector(bad)


def test_direction_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\), not \(2,\)"):
        unit_vector([1, 2])


@given(directions, st.integers(1, 300))
def test_a_vector_is_rotated_to_the_same_bits_in_any_array(
    direction: tuple[float, ...], count: int
) -> None:
    xyz = points_about(unit_vector(direction), 0.1, 300)
    rotation = rotation_matrix([0, 0, 1], direction)

    whole, part = rotate(xyz, rotation), rotate(xyz[:count].copy(), rotation)

    assert np.array_equal(whole[:count], part)
    np.testing.assert_allclose(whole, xyz @ rotation.T, atol=1e-15)


def test_field_of_view_has_half_the_opening_angle_as_radius() -> None:
    circle = fov_circle([0, 0, -1])

    assert circle.getOpeningAngle().asDegrees() == pytest.approx(1.75)


@pytest.mark.parametrize("direction", SPECIAL)
@pytest.mark.parametrize(
    ("nx", "ny", "count"),
    [(1, 1, 1), (2, 2, 4), (16, 2, 32), (8, 8, 60), (5, 5, 25), (10, 10, 96),
     (15, 15, 201), (20, 20, 352)],
)  # fmt: skip
def test_number_of_tiles_is_that_of_the_original_everywhere(
    nx: int, ny: int, count: int, direction: tuple[float, float, float]
) -> None:
    assert len(make_square_tiles(FOV_OPEN_ANGLE_RAD, nx, ny, direction)) == count


def test_tiles_are_original_triples_with_names() -> None:
    tile = make_square_tiles(FOV_OPEN_ANGLE_RAD, 8, 8)[0]
    ix, iy, region = tile

    assert tile.name == f"{ix}x{iy}"
    assert len(region.getVertices()) == 4


def test_tiles_of_the_original_cover_27_percent_more_than_the_circle() -> None:
    tiles = make_square_tiles(FOV_OPEN_ANGLE_RAD, 5, 5)
    rng = np.random.default_rng(1)
    xyz = np.column_stack([rng.uniform(-0.05, 0.05, (200_000, 2)), np.ones(200_000)])

    n_in_tiles = sum(int(in_region(xyz, tile.region).sum()) for tile in tiles)
    n_in_circle = int(in_region(xyz, fov_circle([0, 0, 1])).sum())

    assert n_in_tiles / n_in_circle == pytest.approx(1.273, abs=0.01)


@given(directions, divisions, divisions)
def test_each_point_of_the_field_lies_in_exactly_one_tile(
    direction: tuple[float, ...], nx: int, ny: int
) -> None:
    center = unit_vector(direction)
    grid = TileGrid(center, FOV_OPEN_ANGLE_RAD, nx, ny)
    xyz = points_about(center, FOV_OPEN_ANGLE_RAD / 2, 300)
    in_field = xyz @ center >= math.cos(FOV_OPEN_ANGLE_RAD / 2)

    places = grid.assign(xyz)

    assert (places[in_field] >= 0).all()
    assert places.max() < len(grid.tiles)


@given(directions, divisions, divisions)
def test_assigned_tile_is_the_one_whose_region_holds_the_point(
    direction: tuple[float, ...], nx: int, ny: int
) -> None:
    center = unit_vector(direction)
    grid = TileGrid(center, FOV_OPEN_ANGLE_RAD, nx, ny)
    xyz = points_about(center, FOV_OPEN_ANGLE_RAD / 2, 100)[4:]  # without corners

    places = grid.assign(xyz)

    for place, tile in enumerate(grid.tiles):
        assert ((places == place) == in_region(xyz, tile.region)).all()


@given(st.sampled_from([4, 8, 10, 20]), st.sampled_from(SPECIAL))
def test_points_on_tile_borders_lie_in_exactly_one_tile(
    count: int, direction: tuple[float, ...]
) -> None:
    center = unit_vector(direction)
    grid = TileGrid(center, FOV_OPEN_ANGLE_RAD, count, count)
    edges = math.tan(FOV_OPEN_ANGLE_RAD / 2) * np.linspace(-1, 1, count + 1)
    x, y = (axis.ravel() for axis in np.meshgrid(edges, edges))
    rotation = rotation_matrix([0, 0, 1], center)
    corners = np.column_stack([x, y, np.ones_like(x)]) @ rotation.T
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    in_field = corners @ center >= math.cos(FOV_OPEN_ANGLE_RAD / 2) - 1e-15

    places = grid.assign(corners[in_field])

    assert (places >= 0).all()
    for place, tile in enumerate(grid.tiles):
        assert in_region(corners[in_field][places == place], tile.region).all()


def test_points_outside_the_square_lie_in_no_tile() -> None:
    grid = TileGrid(unit_vector([0, 0, -1]), FOV_OPEN_ANGLE_RAD, 8, 8)
    outside = np.array([[0, 0, 1.0], [1, 0, 0], [0.04, 0, -1], [0.03, 0.03, -1]])

    assert grid.assign(outside).tolist() == [-1, -1, -1, -1]


def test_no_point_lies_in_no_tile() -> None:
    grid = TileGrid(unit_vector([0, 0, -1]), FOV_OPEN_ANGLE_RAD, 8, 8)

    assert grid.assign(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("angle", [0, -1, math.pi, math.nan])
def test_opening_angle_out_of_range_is_refused(angle: float) -> None:
    with pytest.raises(ValueError, match="opening angle must be within"):
        make_square_tiles(angle, 2, 2)


def test_grid_without_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot cut a field into 0x2 tiles"):
        make_square_tiles(FOV_OPEN_ANGLE_RAD, 0, 2)


def test_circle_is_the_one_sphgeom_makes_of_the_half_angle() -> None:
    expected = Circle(UnitVector3d(1, 0, 0), Angle.fromDegrees(1.0))

    assert fov_circle([2, 0, 0], math.radians(2)).getCenter() == expected.getCenter()
