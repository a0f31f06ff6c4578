import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsst.sphgeom import (
    Angle,
    Box,
    Circle,
    ConvexPolygon,
    HtmPixelization,
    Region,
    UnitVector3d,
)
from numpy.typing import NDArray

from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD, make_square_tiles
from l1db_pipeline.sky.htm import htm_index
from l1db_pipeline.sky.pixelization import htm_ranges, in_region

SKY = np.random.default_rng(5).normal(size=(20_000, 3))
SKY /= np.linalg.norm(SKY, axis=1, keepdims=True)
SKY[:6] = np.concatenate([np.eye(3), -np.eye(3)])
OCTANT = ConvexPolygon([UnitVector3d.X(), UnitVector3d.Y(), UnitVector3d.Z()])

component = st.floats(-1, 1, allow_subnormal=False)
directions = st.tuples(component, component, component).filter(
    lambda v: sum(c * c for c in v) > 1e-6
) | st.sampled_from([(0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (1.0, -1e-12, 0.0)])
circles = st.builds(
    lambda v, degrees: Circle(UnitVector3d(*v), Angle.fromDegrees(degrees)),
    directions,
    st.floats(0.01, 120),
)
tiles = st.builds(
    lambda v, place: make_square_tiles(FOV_OPEN_ANGLE_RAD, 5, 5, v)[place].region,
    directions,
    st.integers(0, 24),
)
regions = circles | tiles | st.just(OCTANT)


def in_ranges(
    pixels: NDArray[np.int64], ranges: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which pixels lie in half-open ranges: an odd number of bounds is passed."""
    inside: NDArray[np.bool_] = (
        np.searchsorted(ranges.ravel(), pixels, side="right") % 2 == 1
    )
    return inside


def points_inside(region: Region) -> NDArray[np.float64]:
    center = region.getBoundingCircle().getCenter()
    radius = region.getBoundingCircle().getOpeningAngle().asRadians()
    near = np.array([center.x(), center.y(), center.z()]) + radius * SKY[:2000]
    xyz = np.concatenate([SKY, near / np.linalg.norm(near, axis=1, keepdims=True)])
    return xyz[in_region(xyz, region)]


@given(regions, st.integers(2, 80))
def test_ranges_hold_every_point_of_the_region(region: Region, limit: int) -> None:
    pixels = htm_index(points_inside(region))

    assert in_ranges(pixels, htm_ranges(region, max_ranges=limit)).all()


@given(regions, st.integers(2, 80), st.integers(0, 24))
def test_ranges_are_few_sorted_and_disjoint(
    region: Region, limit: int, level: int
) -> None:
    ranges = htm_ranges(region, level, limit)

    assert ranges.shape[0] <= limit
    assert (np.diff(ranges.ravel()) > 0).all()
    assert ranges.min() >= 8 * 4**level
    assert ranges.max() <= 16 * 4**level


def test_default_ranges_cover_at_most_a_fifth_more_than_the_field_of_view() -> None:
    circle = Circle(UnitVector3d(0.3, -0.5, -0.8), Angle.fromDegrees(1.75))
    ranges = htm_ranges(circle)
    pixel_area = 4 * np.pi / (8 * 4**20)

    assert 1 <= np.diff(ranges).sum() * pixel_area / circle.getArea() < 1.2


def test_whole_sky_is_one_range() -> None:
    assert htm_ranges(Circle.full()).tolist() == [[8 * 4**20, 16 * 4**20]]


def test_empty_region_has_no_range() -> None:
    assert htm_ranges(Circle.empty()).shape == (0, 2)


@pytest.mark.parametrize("limit", [1, 0, -5])
def test_fewer_than_two_ranges_are_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_ranges must be at least 2"):
        htm_ranges(Circle.full(), max_ranges=limit)


def test_level_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level must be within 0\.\.24, not 25"):
        htm_ranges(Circle.full(), 25)


@given(regions)
def test_trim_agrees_with_sphgeom_point_by_point(region: Region) -> None:
    xyz = SKY[:200]

    expected = [region.contains(UnitVector3d(*point)) for point in xyz.tolist()]

    assert in_region(xyz, region).tolist() == expected


def test_trim_works_for_a_box_across_the_meridian() -> None:
    box = Box.fromDegrees(350, -10, 10, 10)
    xyz = np.array([[1, 0, 0], [1, 0.1, 0], [1, -0.1, 0], [1, 0.3, 0], [-1, 0, 0.0]])

    assert in_region(xyz, box).tolist() == [True, True, True, False, False]


def test_envelope_of_sphgeom_limited_to_one_range_still_loses_area() -> None:
    """The reason for the minimum of 2: remove it once this fails."""
    circle = Circle(UnitVector3d(1.0, 0.2, 0.2), Angle.fromDegrees(30))
    rng = np.random.default_rng(0)

    lost = False
    for _ in range(300):
        direction = UnitVector3d(*rng.normal(size=3))
        circle = Circle(direction, Angle.fromDegrees(rng.uniform(1, 40)))
        ranges = np.array(HtmPixelization(12).envelope(circle, 1).ranges())
        pixels = htm_index(points_inside(circle), 12)
        lost |= not in_ranges(pixels, ranges).all()

    assert lost
