"""Tiles: each position of the field of view is in exactly one."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from l1db_pipeline.runs.tiles.division import make_tiles
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.visit.process import Visit, field_of_view


def visit_at(centre: list[float]) -> Visit:
    return Visit(
        visit_id=1,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        centre=np.array(centre),
        open_angle_deg=3.5,
    )


CENTRES = {
    "equator": [1.0, 0.0, 0.0],
    "south pole": [0.0, 0.0, -1.0],
    "north pole": [0.0, 0.0, 1.0],
    "oblique": [0.48, -0.6, -0.64],
}


@pytest.mark.parametrize(("n", "n_tiles"), [(2, 4), (5, 25), (8, 60), (10, 96)])
def test_tiles_outside_the_field_are_left_out(n: int, n_tiles: int) -> None:
    tiles = make_tiles(visit_at(CENTRES["oblique"]), n)

    assert len(tiles) == n_tiles
    assert {tile.n_areas for tile in tiles} == {n_tiles}


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_each_position_is_in_exactly_one_tile(centre: list[float], n: int) -> None:
    visit = visit_at(centre)
    xyz = rand_cone_xyz(visit.centre, np.radians(3.6), 20_000, 1)

    inside = [tile.contains(xyz) for tile in make_tiles(visit, n)]

    expected = field_of_view(visit).contains(xyz).astype(int)
    assert np.array_equal(np.sum(inside, axis=0), expected)


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES)
def test_a_point_on_a_border_is_in_exactly_one_tile(centre: list[float]) -> None:
    visit = visit_at(centre)
    tiles = make_tiles(visit, 4)
    corners = np.array(
        [
            [vertex.x(), vertex.y(), vertex.z()]
            for tile in tiles
            for vertex in tile.region.getVertices()  # type: ignore[attr-defined]
        ]
    )

    inside = np.sum([tile.contains(corners) for tile in tiles], axis=0)

    assert len(corners) > 40
    assert inside.tolist() == field_of_view(visit).contains(corners).tolist()


@pytest.mark.parametrize("margin_deg", [0.0, 0.01])
def test_a_tiles_region_holds_the_tile_and_its_margin(margin_deg: float) -> None:
    visit = visit_at(CENTRES["oblique"])
    xyz = rand_cone_xyz(visit.centre, np.radians(3.5), 5_000, 2)

    for tile in make_tiles(visit, 3, margin_deg=margin_deg):
        own = xyz[tile.contains(xyz)]
        rng = np.random.default_rng(4)
        steps = rng.normal(size=own.shape)
        steps -= np.einsum("ij,ij->i", steps, own)[:, None] * own
        steps *= np.radians(margin_deg) / np.linalg.norm(steps, axis=1)[:, None]
        near = own + steps
        near /= np.linalg.norm(near, axis=1)[:, None]
        # the stubs of sphgeom know scalars only
        inside: Any = tile.region.contains(*near.T)
        assert inside.all()


def test_a_field_cannot_be_cut_into_no_tiles() -> None:
    with pytest.raises(ValueError, match="cannot cut a field into 0x0"):
        make_tiles(visit_at(CENTRES["equator"]), 0)
