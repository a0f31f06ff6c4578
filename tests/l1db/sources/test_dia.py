import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import stats

from l1db_pipeline.catalog.ids import MAX_SOURCES_PER_VISIT
from l1db_pipeline.dia import DIA, DiaModel, SimulatedSources, simulate_visit
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD, unit_vector
from l1db_pipeline.sources.generators import rand_sphere_xyz
from l1db_pipeline.sources.source_file import SourceCatalog

SKY = rand_sphere_xyz(400_000, -1, seed=1)
CATALOG = SourceCatalog(SKY)
POINTING = unit_vector([0.3, -0.5, -0.8])


def visit(visit_id: int = 1, seed: int = 11, **options: Any) -> SimulatedSources:
    return simulate_visit(
        CATALOG, POINTING, seed=seed, visit_id=visit_id, model=DiaModel(**options)
    )


def digest(visit_id: int) -> float:
    sources = visit(visit_id, measure=True)
    return float(sources.xyz.sum() + sources.columns["apFlux"].sum())


def test_sources_are_the_variables_of_the_field_and_noise() -> None:
    sources = visit()
    rows = sources.catalog_rows[sources.catalog_rows >= 0]

    cosines = SKY @ POINTING
    inside = cosines > np.cos(FOV_OPEN_ANGLE_RAD / 2)
    assert np.array_equal(rows, np.flatnonzero(inside))
    assert np.array_equal(sources.xyz[: len(rows)], SKY[inside])
    assert (sources.catalog_rows[len(rows) :] == -1).all()


def test_number_of_noise_sources_is_poisson_about_5150() -> None:
    counts = [int((visit(n).catalog_rows < 0).sum()) for n in range(60)]

    # mean of 60 within 4 sigma; dispersion as a Poisson variable's
    assert np.mean(counts) == pytest.approx(5150, abs=4 * np.sqrt(5150 / 60))
    dispersion = 59 * np.var(counts, ddof=1) / 5150
    assert 1e-3 < stats.chi2(59).cdf(dispersion) < 1 - 1e-3


def test_same_visit_gives_the_same_sources() -> None:
    first, second = visit(7, measure=True), visit(7, measure=True)

    assert np.array_equal(first.xyz, second.xyz)
    for name, column in first.columns.items():
        assert np.array_equal(column, second.columns[name])


def test_visits_and_seeds_differ() -> None:
    noise = {visit(n, seed).xyz[-1].tobytes() for n in (1, 2, 3) for seed in (1, 2)}

    assert len(noise) == 6


def test_another_process_gives_the_same_sources() -> None:
    spawn = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert list(pool.map(digest, [3, 4])) == [digest(3), digest(4)]


def test_a_catalog_with_an_index_gives_the_same_sources() -> None:
    catalog = SourceCatalog(SKY)
    for _ in range(20):
        catalog.rows_in_cone(POINTING)

    sources = simulate_visit(catalog, POINTING, seed=11, visit_id=1)

    assert np.array_equal(sources.xyz, visit(1).xyz)


def test_detection_probability_drops_that_share_of_variables() -> None:
    n_all = int((visit().catalog_rows >= 0).sum())
    n_seen = [
        int((visit(n, detection_probability=0.4).catalog_rows >= 0).sum())
        for n in range(50)
    ]

    sigma = np.sqrt(n_all * 0.4 * 0.6 / 50)
    assert np.mean(n_seen) == pytest.approx(0.4 * n_all, abs=4 * sigma)


def test_scatter_moves_variables_by_its_sigma_in_each_direction() -> None:
    sources = visit(astrometric_scatter_arcsec=0.3)
    n_variables = int((sources.catalog_rows >= 0).sum())

    offsets = sources.xyz[:n_variables] - SKY[sources.catalog_rows[:n_variables]]

    separation_arcsec = np.degrees(np.linalg.norm(offsets, axis=1)) * 3600
    rayleigh = stats.rayleigh(scale=0.3)
    assert stats.kstest(separation_arcsec, rayleigh.cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.linalg.norm(sources.xyz, axis=1), 1, atol=1e-15)


@pytest.mark.parametrize(
    "options",
    [{"astrometric_scatter_arcsec": 0.3}, {"measure": True},
     {"detection_probability": 0.4}],
)  # fmt: skip
def test_options_leave_the_noise_as_it_was(options: dict[str, Any]) -> None:
    plain, other = visit(), visit(**options)

    assert np.array_equal(
        plain.xyz[plain.catalog_rows < 0], other.xyz[other.catalog_rows < 0]
    )


def test_measurements_are_columns_of_dia_source_and_fit_together() -> None:
    columns = visit(measure=True).columns
    table = load_schema().table("DiaSource")

    for name, values in columns.items():
        assert values.dtype == table.column(name).numpy_dtype
        assert np.isfinite(values).all()
    assert columns["snr"].min() >= 5
    np.testing.assert_allclose(
        np.abs(columns["apFlux"]) / columns["apFluxErr"], columns["snr"], rtol=1e-5
    )
    limit = columns["raSigma"].astype(float) * columns["declSigma"]
    assert (np.abs(columns["ra_decl_Cov"]) <= limit).all()
    assert (columns["x"] >= 0).all()
    assert (columns["x"] <= 4000).all()


def test_original_class_gives_positions_and_rows() -> None:
    xyz, rows = DIA(POINTING, FOV_OPEN_ANGLE_RAD, SKY, 100, seed=1).makeSources()

    assert xyz.shape == (len(rows), 3)
    assert np.array_equal(xyz[rows >= 0], SKY[rows[rows >= 0]])
    assert rows.dtype == np.int64
    assert 50 < (rows == -1).sum() < 150


def test_original_class_differs_from_call_to_call() -> None:
    dia = DIA(POINTING, FOV_OPEN_ANGLE_RAD, SKY, 100, seed=1)

    assert not np.array_equal(dia.makeSources()[0][-1], dia.makeSources()[0][-1])


def test_field_without_anything_has_no_sources() -> None:
    catalog = SourceCatalog(np.empty((0, 3)))
    model = DiaModel(n_noise=0, measure=True)

    sources = simulate_visit(catalog, POINTING, seed=1, visit_id=1, model=model)

    assert len(sources) == 0
    assert sources.xyz.shape == (0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_noise": -1}, "number of noise sources out of range: -1"),
        ({"n_noise": float("nan")}, "out of range: nan"),
        ({"open_angle_rad": 0}, "opening angle must be within"),
        ({"detection_probability": 1.1}, "detection probability must be within"),
        ({"astrometric_scatter_arcsec": -1}, "astrometric scatter must be within"),
    ],
)
def test_value_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiaModel(**options)


def test_more_sources_than_ids_are_refused() -> None:
    crowd = SourceCatalog(np.tile(POINTING, (MAX_SOURCES_PER_VISIT, 1)))
    model = DiaModel(n_noise=10)

    with pytest.raises(ValueError, match=r"visit 5 has .* there are ids for 1048576"):
        simulate_visit(crowd, POINTING, seed=1, visit_id=5, model=model)
