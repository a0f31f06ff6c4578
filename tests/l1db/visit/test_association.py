"""Matching, forced photometry and the records of a visit."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.ids import new_object_ids
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.visit.association import (
    Detections,
    forced_photometry_rows,
    forced_source_records,
    ids_by_catalog,
    object_records,
    source_records,
    with_required_columns,
)
from l1db_pipeline.visit.filling import fill_columns, row_keys

TIME = np.datetime64("2026-01-31T00:00:00", "us")


def detections(
    ra_deg: list[float], dec_deg: list[float], catalog_index: list[int]
) -> Detections:
    xyz = radec_to_xyz(np.array(ra_deg), np.array(dec_deg))
    return Detections(
        xyz=xyz,
        ra_deg=np.array(ra_deg),
        dec_deg=np.array(dec_deg),
        htm20=htm_index(xyz),
        catalog_index=np.array(catalog_index),
        places=np.arange(len(ra_deg)),
    )


def known(ids: list[int], last: list[str]) -> Catalog:
    n = len(ids)
    columns: dict[str, NDArray[Any]] = {
        "diaObjectId": np.array(ids),
        "lastNonForcedSource": np.array(last, dtype="datetime64[us]"),
        "ra": np.full(n, 10.0),
        "decl": np.full(n, -10.0),
        "raSigma": np.full(n, 0.25, dtype=np.float32),
        "declSigma": np.full(n, 0.5, dtype=np.float32),
        "ra_decl_Cov": np.full(n, 0.125, dtype=np.float32),
        "htmId20": np.full(n, 8796093022208),
    }
    return Catalog(columns)


def test_a_variable_source_has_its_catalog_row_as_object_id() -> None:
    found = ids_by_catalog(detections([1, 2, 3], [0, 0, 0], [7, -1, 0]), visit_id=5)

    assert found.tolist() == [7, int(new_object_ids(5, np.array([1]))[0]), 0]


def test_forced_photometry_ends_30_days_after_the_last_detection() -> None:
    objects = known(
        [1, 2, 3, 4],
        ["2026-01-30", "2026-01-01T00:00:00", "2025-12-31T23:59:59", "2026-01-30"],
    )

    rows = forced_photometry_rows(objects, np.array([4]), TIME)

    assert objects["diaObjectId"][rows].tolist() == [1, 2]


def test_a_forced_object_keeps_its_position_and_its_clock() -> None:
    forced = known([9], ["2026-01-30T01:00:00"])

    objects = object_records(detections([1], [2], [3]), np.array([3]), forced, TIME)

    assert objects["diaObjectId"].tolist() == [3, 9]
    assert objects["lastNonForcedSource"].tolist() == [
        TIME.item(),
        datetime(2026, 1, 30, 1),  # noqa: DTZ001 - numpy gives naive times
    ]
    assert objects["ra"].tolist() == [1.0, 10.0]
    assert objects["raSigma"].tolist() == [0.0, 0.25]
    # MJD TAI runs 37 s ahead of UTC
    assert objects["radecTai"][0] == pytest.approx(61071 + 37 / 86400, abs=1e-9)


def test_every_object_version_has_a_forced_source() -> None:
    forced = known([9], ["2026-01-30"])
    found = detections([1], [2], [3])
    objects = object_records(found, np.array([3]), forced, TIME)

    records = forced_source_records(objects, 77, found)

    assert records["diaObjectId"].tolist() == [3, 9]
    assert records["ccdVisitId"].tolist() == [77, 77]


def test_required_columns_are_complete_and_of_the_schemas_types() -> None:
    schema = load_schema()
    found = detections([1, 2], [3, 4], [0, 1])
    sources = source_records(found, np.array([0, 1]), 5, TIME)

    complete = with_required_columns(sources, schema.table("DiaSource"))

    assert set(schema.table("DiaSource").required) <= set(complete.names)
    for column in schema.table("DiaSource").columns:
        if column.name in complete:
            assert complete[column.name].dtype == column.numpy_dtype
    assert complete["snr"].tolist() == [5, 5]


def test_filled_values_depend_on_the_row_alone() -> None:
    table = load_schema().table("DiaSource")
    found = detections([1, 2, 3], [3, 4, 5], [0, 1, 2])
    sources = source_records(found, np.array([0, 1, 2]), 5, TIME)
    keys = row_keys(sources["diaSourceId"])

    whole = fill_columns(sources, table, keys)
    part = fill_columns(sources.take(np.array([2])), table, keys[2:])

    for name in whole.names:
        assert whole[name][2] == part[name][0], name
    assert set(table.names) - set(whole.names) == {
        "ssObjectId",
        "parentDiaSourceId",
        "ssObjectReassocTime",
    }


def test_filled_positions_lie_near_the_source() -> None:
    table = load_schema().table("DiaSource")
    found = detections([359.99999], [-89.99999], [0])
    sources = source_records(found, np.array([0]), 5, TIME)

    filled = fill_columns(sources, table, row_keys(sources["diaSourceId"]))

    offset_deg = (filled["psRa"][0] - 359.99999 + 180) % 360 - 180
    assert abs(offset_deg) < 2e-4
    assert -90 <= filled["psDecl"][0] <= -89.999
    assert filled["psRa"].dtype == np.float64
    assert len(load_schema().table("DiaObject").columns) == 93


@pytest.mark.parametrize("name", ["DiaSource", "DiaObject"])
def test_filled_covariances_are_possible(name: str) -> None:
    table = load_schema().table(name)
    keys = row_keys(np.arange(1000))

    filled = fill_columns(Catalog({"ra": np.linspace(0, 359, 1000)}), table, keys)

    covariances = [column for column in table.names if column.endswith("_Cov")]
    assert covariances
    for covariance in covariances:
        pair = covariance.removesuffix("_Cov").split("_")
        sigmas = [
            filled[f"{value}Sigma"] for value in pair if f"{value}Sigma" in filled
        ]
        limit = np.prod(np.array(sigmas, dtype=np.float64), axis=0)
        assert (np.abs(filled[covariance]) <= limit).all(), covariance
        assert np.ptp(filled[covariance]) > 0, covariance


def test_blobs_have_the_sizes_of_the_data_products_document() -> None:
    table = load_schema().table("DiaObject")

    filled = fill_columns(
        Catalog({"diaObjectId": np.array([1])}), table, row_keys(np.array([1]))
    )

    assert len(filled["uLcPeriodic"][0]) == 128
    assert len(filled["uLcNonPeriodic"][0]) == 80


def test_forced_fluxes_are_the_sources_or_noise_around_zero() -> None:
    found = replace(
        detections([1], [2], [3]),
        columns={
            "psFlux": np.array([0.5], dtype=np.float32),
            "psFluxSigma": np.array([0.25], dtype=np.float32),
        },
    )
    forced = known(list(range(100, 400)), ["2026-01-30"] * 300)
    objects = object_records(found, np.array([3]), forced, TIME)

    records = forced_source_records(objects, 77, found)

    assert records["psFlux"][0] == 0.5
    noise = records["psFlux"][1:] / records["psFluxSigma"][1:]
    assert abs(noise.mean()) < 0.25
    assert 0.8 < noise.std() < 1.2
