"""The Python API of the L1 database: objects, light curves, visits, conversions."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from contracts.l1db_sky import DEC_DEG, RA_DEG, START, as_us, field, key, records

import l1db_pipeline
from l1db_pipeline.queries.light_curve import NoSuchObjectError, light_curve
from l1db_pipeline.queries.rows import Rows
from l1db_pipeline.runs.kept_pointings import KeptPointing
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.errors import DatabaseMissingError, SchemaMissingError
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.process import Visit
from visit_tables.time_scales import NaiveTimeError, mjd_tai_from_utc

IDS = np.arange(1, 13)


@pytest.fixture(params=["sqlite", pytest.param("pg", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of three visits, the third without a kept pointing."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path}/l1.db"
    else:
        found = request.getfixturevalue("database_url")
    config = L1dbConfig(
        url=found,
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        history=History.ROWS,
        history_pixel_level=7,
        cell_level=9,
    )
    with open_store(config) as store:
        store.create_schema()
        for visit_id, band in ((0, "g"), (1, "r"), (2, None)):
            store.store_visit(key(visit_id), records(visit_id, IDS))
            centre = radec_to_xyz(np.array([RA_DEG]), np.array([DEC_DEG]))[0]
            visit = Visit(
                visit_id=visit_id, time=key(visit_id).time, centre=centre,
                open_angle_deg=3.5, band=band,
            )  # fmt: skip
            if band:
                KeptPointing.of(visit).keep(store, visit_id)
    return found


@pytest.fixture
def store(url: str) -> Iterator[L1Store]:
    """The database as its URL alone opens it."""
    with open_store(url) as opened:
        yield opened


def test_a_url_is_opened_with_the_options_its_tables_were_made_with(
    store: L1Store,
) -> None:
    assert store.config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
    assert store.config.history is History.ROWS
    assert store.config.history_pixel_level == 7
    assert store.config.cell_level == 9


def test_a_misspelt_file_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissingError, match=r"there is no file .*typo\.db"):
        open_store(f"sqlite:///{tmp_path}/typo.db")

    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    with pytest.raises(SchemaMissingError, match="create_l1_schema"):
        open_store(f"sqlite:///{tmp_path}/empty.db")


def test_the_package_gives_the_functions_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, json, l1db_pipeline, archive_assets\n"
        "heavy = {'pandas', 'numpy', 'sqlalchemy', 'astropy', 'pyarrow', 'click'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == []
    for name in (
        "open_store", "cone_search", "light_curve", "objects", "visits", "digest",
    ):  # fmt: skip
        assert callable(getattr(l1db_pipeline, name))
        assert name in dir(l1db_pipeline)
    with pytest.raises(AttributeError, match="no attribute 'light_curves'"):
        _ = l1db_pipeline.light_curves


def test_a_light_curve_has_detected_and_forced_points_by_time(
    store: L1Store,
) -> None:
    curve = light_curve(store, 7)

    assert curve["visitId"].tolist() == [0, 0, 1, 1, 2, 2]
    assert curve["forced"].tolist() == [False, True] * 3
    assert curve["flux"].tolist() == [7, 7, 7, 6, 7, 5]
    assert curve["band"].tolist() == ["g", "g", "r", "r", None, None]
    assert curve.units == {"flux": "nmgy", "fluxErr": "nmgy"}
    assert curve["time"].tolist()[2] == as_us(START + timedelta(days=1)).item()


def test_a_flux_that_was_not_measured_is_null_in_every_form(store: L1Store) -> None:
    curve = light_curve(store, 5)  # whose sources have no psFlux

    frame, table, arrow = curve.to_pandas(), curve.to_astropy(), curve.to_arrow()

    assert frame["flux"].isna().tolist() == [True, False] * 3
    assert frame["flux"].dtype == "Float32"
    assert table["flux"].mask.tolist() == [True, False] * 3
    assert str(table["flux"].unit) == "nmgy"
    assert arrow["flux"].to_pylist() == [None, 5, None, 4, None, 3]
    assert arrow.schema.field("flux").metadata[b"unit"] == b"nmgy"
    assert frame["band"].isna().tolist() == [False] * 4 + [True] * 2
    assert frame.attrs["units"] == {"flux": "nmgy", "fluxErr": "nmgy"}


def test_nan_stays_nan_beside_null(store: L1Store) -> None:
    curve = light_curve(store, 3)  # whose sources have NaN

    assert np.isnan(curve.to_pandas()["flux"].to_numpy(dtype=float, na_value=0)[0])
    assert np.isnan(curve.to_arrow()["flux"].to_pylist()[0])
    assert np.isnan(curve["flux"][0])
    assert not np.ma.getmaskarray(curve["flux"])[0]


def test_times_are_aware_in_pandas_and_arrow_and_tai_in_astropy(
    store: L1Store,
) -> None:
    rows = l1db_pipeline.visits(store)

    frame, table, arrow = rows.to_pandas(), rows.to_astropy(), rows.to_arrow()

    assert frame["visitTime"].tolist() == [START + timedelta(days=n) for n in range(3)]
    assert table["visitTime"].scale == "tai"
    expected = mjd_tai_from_utc(rows["visitTime"].data)
    np.testing.assert_allclose(table["visitTime"].mjd, expected, rtol=0, atol=1e-9)
    assert arrow.schema.field("visitTime").type == pa.timestamp("us", tz="UTC")
    assert arrow["visitTime"].to_pylist()[0] == START


def test_visits_have_centre_and_band_where_the_database_keeps_them(
    store: L1Store,
) -> None:
    rows = l1db_pipeline.visits(store, since=START + timedelta(days=1))

    assert rows["visitId"].tolist() == [1, 2]
    assert rows["ra"].tolist() == [pytest.approx(RA_DEG), None]
    assert rows["decl"].tolist() == [pytest.approx(DEC_DEG), None]
    assert rows["band"].tolist() == ["r", None]


def test_an_open_validity_is_not_a_time_of_1970(store: L1Store) -> None:
    names = ["diaObjectId", "validityStart", "validityEnd"]
    rows = l1db_pipeline.objects(
        store, field(), at=START + timedelta(days=5), columns=names
    )

    assert rows.to_pandas()["validityEnd"].isna().all()
    assert rows.to_astropy()["validityEnd"].mask.all()
    assert rows.to_arrow()["validityEnd"].null_count == len(IDS)


def test_objects_are_those_of_the_region_or_of_the_sky(store: L1Store) -> None:
    everywhere = l1db_pipeline.objects(store)
    nowhere = l1db_pipeline.objects(store, field(1e-6))

    assert everywhere["diaObjectId"].tolist() == IDS.tolist()
    assert len(nowhere) == 0
    assert len(nowhere.to_pandas()) == len(nowhere.to_astropy()) == 0


def test_objects_of_a_naive_time_are_refused(store: L1Store) -> None:
    with pytest.raises(NaiveTimeError, match="no time zone"):
        l1db_pipeline.objects(store, at=START.replace(tzinfo=None))


def test_a_cone_search_gives_the_nearest_first_with_units(store: L1Store) -> None:
    found: Rows = l1db_pipeline.cone_search(store, RA_DEG, DEC_DEG, 3600)

    offsets = (found["decl"] - DEC_DEG) ** 2 + (
        (found["ra"] - RA_DEG) * np.cos(np.radians(DEC_DEG))
    ) ** 2
    assert (np.diff(offsets) > -1e-6).all()
    assert str(found.to_astropy()["ra"].unit) == "deg"


def test_an_unknown_object_is_named(store: L1Store) -> None:
    with pytest.raises(NoSuchObjectError, match="diaObjectId 99 is not in"):
        light_curve(store, 99)


def test_texts_of_results_are_short(store: L1Store) -> None:
    curve = light_curve(store, 7)

    assert repr(curve) == (
        "<Photometry of diaObjectId 7: 3 detections, 3 forced, bands gr>"
    )
    assert repr(l1db_pipeline.visits(store)) == (
        "<Rows: 3 rows: visitId, visitTime, ra [deg], decl [deg], band>"
    )
    assert "index=last_object_table" in repr(store)
    assert "password" not in repr(store)


def test_a_plot_has_a_series_a_band_and_kind(store: L1Store) -> None:
    axes: Any = light_curve(store, 7).plot()

    _, labels = axes.get_legend_handles_labels()
    assert sorted(labels) == [
        "g", "g forced", "r", "r forced", "unknown band", "unknown band forced",
    ]  # fmt: skip
    assert axes.get_xlabel() == "MJD (TAI)"
    assert axes.get_ylabel() == "flux (nmgy)"


def test_digests_are_those_of_the_store(store: L1Store) -> None:
    assert l1db_pipeline.digest(store) == store.science_digest()


def test_the_examples_of_the_page_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("the page opens l1.db")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[3] / "docs" / "python-l1db.md"
    names: dict[str, Any] = {}

    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(block, names)

    assert names["object_id"] == 1
    assert len(names["detected"]) == 3
    assert names["near"].columns
