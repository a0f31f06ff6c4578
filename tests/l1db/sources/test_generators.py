import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD, unit_vector
from l1db_pipeline.sources.generators import (
    catalog_size,
    rand_cone_xyz,
    rand_sphere_xyz,
    sphere_blocks,
)

counts = st.integers(0, 3000)
seeds = st.integers(0, 2**64)
POINTINGS = [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.3, -0.4, -0.7)]


@given(counts, st.sampled_from([-2, -1, 0, 1, 7]), seeds, st.integers(1, 4000))
def test_points_do_not_depend_on_the_block_size(
    count: int, hemi: int, seed: int, block: int
) -> None:
    parts = [part.copy() for part in sphere_blocks(count, hemi, seed, block=block)]

    assert np.array_equal(
        np.concatenate([np.empty((0, 3)), *parts]), rand_sphere_xyz(count, hemi, seed)
    )


def test_points_are_unit_vectors() -> None:
    xyz = rand_sphere_xyz(50_000, seed=1)

    np.testing.assert_allclose(np.linalg.norm(xyz, axis=1), 1, atol=1e-15)


@pytest.mark.parametrize("hemi", [-3, -1, 1, 2])
def test_hemisphere_has_points_on_one_side_only(hemi: int) -> None:
    z = rand_sphere_xyz(10_000, hemi, seed=1)[:, 2]

    assert (np.sign(z) == np.sign(hemi)).all()


def test_points_are_uniform_on_the_sphere() -> None:
    x, y, z = rand_sphere_xyz(100_000, seed=2).T

    for value in (x, y, z):  # uniform on any axis: Archimedes' hat box
        assert stats.kstest(value, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_points_without_seed_differ() -> None:
    assert not np.array_equal(rand_sphere_xyz(10), rand_sphere_xyz(10))


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot make -1 points"):
        rand_sphere_xyz(-1)


@pytest.mark.parametrize(
    ("hemi", "size"), [(0, 42_877_470), (1, 21_438_735), (-1, 21_438_735)]
)
def test_catalog_sizes_are_those_of_the_original(hemi: int, size: int) -> None:
    assert catalog_size(10_000, hemi) == size


@pytest.mark.parametrize("direction", POINTINGS)
def test_cone_is_filled_uniformly_and_not_left(
    direction: tuple[float, float, float],
) -> None:
    axis = unit_vector(direction)

    height = rand_cone_xyz(axis, FOV_OPEN_ANGLE_RAD, 50_000, seed=3) @ axis

    low = math.cos(FOV_OPEN_ANGLE_RAD / 2)
    assert height.min() >= low - 1e-15
    uniform = stats.uniform(low, 1 - low)
    assert stats.kstest(np.clip(height, low, 1), uniform.cdf).pvalue > 1e-3


@pytest.mark.parametrize("open_angle", [0, 1e-9, 0.06, math.pi, 2 * math.pi])
def test_points_of_any_cone_are_unit_vectors(open_angle: float) -> None:
    xyz = rand_cone_xyz([0.3, -0.4, 0.5], open_angle, 1000, seed=4)

    np.testing.assert_allclose(np.linalg.norm(xyz, axis=1), 1, atol=1e-15)


def test_same_seed_gives_the_same_cone() -> None:
    first, second = (rand_cone_xyz([0, 0, -1], 0.1, 100, seed=5) for _ in range(2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize("open_angle", [-0.1, 6.3, math.nan])
def test_cone_angle_out_of_range_is_refused(open_angle: float) -> None:
    with pytest.raises(ValueError, match="opening angle must be within"):
        rand_cone_xyz([0, 0, 1], open_angle)
