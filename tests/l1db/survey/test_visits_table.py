import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import astropy.units as u
import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.time import Time
from astropy.utils import iers

from l1db_pipeline.survey.visits_table import read_visits_table
from visit_tables.columns import VisitsFileError
from visit_tables.hdf5.read import write_visits

# columns of a rubin_scheduler opsim file that hold numbers, then text
NUMBERS = [
    "observationId",
    "fieldRA",
    "fieldDec",
    "observationStartMJD",
    "flush_by_mjd",
    "visitExposureTime",
    "rotSkyPos",
    "rotSkyPos_desired",
    "numExposures",
    "airmass",
    "seeingFwhm500",
    "seeingFwhmEff",
    "seeingFwhmGeom",
    "skyBrightness",
    "night",
    "slewTime",
    "visitTime",
    "slewDistance",
    "fiveSigmaDepth",
    "altitude",
    "azimuth",
    "paraAngle",
    "pseudoParaAngle",
    "cloud",
    "moonAlt",
    "sunAlt",
    "target_id",
    "rotTelPos",
    "rotTelPos_backup",
    "moonAz",
    "sunAz",
    "sunRA",
    "sunDec",
    "moonRA",
    "moonDec",
    "moonDistance",
    "solarElong",
    "moonPhase",
    "cummTelAz",
    "cloud_extinction",
]
TEXT = [
    "band",
    "filter",
    "scheduler_note",
    "target_name",
    "observation_reason",
    "science_program",
]
MJD = 61366.0  # 2026-11-22T00:00


def opsim_frame(starts: Sequence[float]) -> pd.DataFrame:
    """Return an opsim table of visits with these starts, 47 columns."""
    n = len(starts)
    frame = pd.DataFrame({name: np.arange(n, dtype=float) for name in NUMBERS})
    frame["observationId"] = np.arange(n)
    frame["observationStartMJD"] = starts
    frame["fieldRA"] = 10.0 * np.arange(n)
    frame["fieldDec"] = -5.0 * np.arange(n)
    frame["visitTime"] = 34.0
    frame["visitExposureTime"] = 30.0
    for name in TEXT:
        frame[name] = "r"
    return frame


def consdb_frame(starts: Sequence[float]) -> pd.DataFrame:
    """Return visits of these starts, TAI, with consdb's names."""
    n = len(starts)
    return pd.DataFrame(
        {"visit_id": np.arange(n), "obs_start_mjd": starts,
         "s_ra": np.arange(n) * 10.0, "s_dec": np.zeros(n),
         "exp_time": np.full(n, 30.0)}
    )  # fmt: skip


def write_sqlite(frame: pd.DataFrame, path: Path, table: str = "observations") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        frame.to_sql(table, connection, index=False)
    return path


def write_archive_hdf5(frame: pd.DataFrame, path: Path) -> Path:
    write_visits(path, {"observations": frame})
    return path


def write_pandas_table(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_hdf(path, key="observations", format="table", data_columns=True)
    return path


def write_pandas_fixed(frame: pd.DataFrame, path: Path) -> Path:
    numbers = frame.select_dtypes("number")  # text would be pickled, with a warning
    numbers.to_hdf(path, key="observations", format="fixed")
    return path


Writer = Callable[[pd.DataFrame, Path], Path]
WRITERS = [write_sqlite, write_archive_hdf5, write_pandas_fixed]


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def writer(request: pytest.FixtureRequest) -> Writer:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("n_columns", [45, 46, 47, 48])
def test_positions_and_times_are_read_from_opsim_of_any_version(
    tmp_path: Path, writer: Writer, n_columns: int
) -> None:
    frame = opsim_frame([MJD + 0.1, MJD + 0.2])
    optional = [name for name in frame if str(name).startswith(("moon", "cloud"))]
    frame = frame.drop(columns=optional[: max(0, 47 - n_columns)])
    if n_columns == 48:
        frame["observation_extra"] = 1.0

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.ra_deg.tolist() == [0, 10]
    assert visits.dec_deg.tolist() == [0, -5]
    assert visits.visit_ids.tolist() == [2026112100001, 2026112100002]


def test_table_that_pandas_wrote_is_read(tmp_path: Path) -> None:
    frame = opsim_frame([MJD + 0.1, MJD + 0.2])

    visits = read_visits_table(write_pandas_table(frame, tmp_path / "visits.h5"))

    assert visits.ra_deg.tolist() == [0, 10]
    assert visits.bands.tolist() == ["r", "r"]


def test_time_is_the_middle_of_the_visit_in_utc(tmp_path: Path, writer: Writer) -> None:
    visits = read_visits_table(writer(opsim_frame([MJD + 0.25]), tmp_path / "visits"))

    # observationStartMJD is UTC; the visit takes 34 s
    expected = datetime(2026, 11, 22, 6, 0, 17, tzinfo=UTC)
    found = visits.times[0].astype(datetime).replace(tzinfo=UTC)
    assert abs((found - expected).total_seconds()) < 1e-4


def test_visits_come_in_time_order(tmp_path: Path, writer: Writer) -> None:
    frame = opsim_frame([MJD + 0.3, MJD + 0.1, MJD + 0.2])

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.ra_deg.tolist() == [10, 20, 0]
    assert (np.diff(visits.times) > np.timedelta64(0)).all()
    assert visits.visit_ids.tolist() == [2026112100000 + n for n in (2, 3, 1)]


def test_visits_that_start_together_come_in_order_of_their_ids(tmp_path: Path) -> None:
    frame = opsim_frame([MJD, MJD, MJD])
    frame["observationId"] = [7, 3, 5]

    visits = read_visits_table(write_sqlite(frame, tmp_path / "visits"))

    assert visits.ra_deg.tolist() == [10, 20, 0]


def test_an_id_has_the_night_and_the_number_in_the_file(
    tmp_path: Path, writer: Writer
) -> None:
    # a night ends at 12:00 UTC
    frame = opsim_frame([MJD + 0.49, MJD + 0.5, MJD + 0.51, MJD + 1.49])

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.visit_ids.tolist() == [
        2026112100001, 2026112200002, 2026112200003, 2026112200004,
    ]  # fmt: skip


def test_an_id_of_consdb_is_kept(tmp_path: Path, writer: Writer) -> None:
    frame = consdb_frame([MJD + 0.1, MJD + 0.2]).assign(
        visit_id=[2026112100407, 2026112100409]
    )

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.visit_ids.tolist() == [2026112100407, 2026112100409]


def test_an_id_without_numbers_is_the_second_of_the_night(
    tmp_path: Path, writer: Writer
) -> None:
    frame = opsim_frame([MJD + 0.25, MJD - 0.5]).drop(columns="observationId")

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.visit_ids.tolist() == [2026112100001, 2026112164801]


@pytest.mark.parametrize("has_numbers", [True, False])
def test_a_late_row_does_not_shift_the_ids_of_others(
    tmp_path: Path, has_numbers: bool
) -> None:
    frame = opsim_frame([MJD + 0.1, MJD + 0.3, MJD + 0.2])
    if not has_numbers:
        frame = frame.drop(columns="observationId")

    before = read_visits_table(write_sqlite(frame.iloc[:2], tmp_path / "before.db"))
    after = read_visits_table(write_sqlite(frame, tmp_path / "after.db"))

    ids = dict(zip(after.times.tolist(), after.visit_ids.tolist(), strict=True))
    assert [ids[t] for t in before.times.tolist()] == before.visit_ids.tolist()
    assert len(set(ids.values())) == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "rows 1 and 3 are a visit twice: they have one number in one night"),
        (
            {"fieldRA": 200.0, "observationStartMJD": MJD + 0.4},
            "rows 1 and 3 are a visit twice: they have one number in one night",
        ),
        (
            {"observationId": 9},
            "rows 1 and 3 are a visit twice: they start at the same time at the same",
        ),
    ],
    ids=["whole row", "number", "time and place"],
)
def test_a_visit_twice_in_a_file_is_said_with_its_rows(
    tmp_path: Path, writer: Writer, changes: dict[str, float], problem: str
) -> None:
    frame = opsim_frame([MJD + 0.1, MJD + 0.2, MJD + 0.3])
    copy = frame.iloc[[1]].assign(**changes)

    found = refusal(
        writer(pd.concat([frame, copy], ignore_index=True), tmp_path / "visits")
    )

    assert problem in found


def test_a_number_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    frame = opsim_frame([MJD, MJD + 0.1]).assign(observationId=[1.0, 1.5])

    found = refusal(write_sqlite(frame, tmp_path / "x.db"))

    assert "row 1: the number of the visit" in found
    assert "is 1.5, not a whole number" in found


def _sidereal_deg(time: Time) -> float:
    return float(time.sidereal_time("mean", longitude=-70.7494 * u.deg).deg)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take UT1 from the tables that astropy has."""
    monkeypatch.setattr(iers.conf, "auto_download", False)
    monkeypatch.setattr(iers.conf, "iers_degraded_accuracy", "ignore")
    monkeypatch.setattr(iers.conf, "auto_max_age", None)


@pytest.mark.usefixtures("offline")
def test_times_that_contradict_the_sidereal_time_of_the_file_are_refused(
    tmp_path: Path, writer: Writer
) -> None:
    starts = [60000.2, 60000.3]
    utc, tai = (
        opsim_frame(starts).assign(
            observationStartLST=_sidereal_deg(Time(60000.2, format="mjd", scale=scale))
        )
        for scale in ("utc", "tai")
    )

    assert len(read_visits_table(writer(utc, tmp_path / "utc"))) == 2
    found = refusal(writer(tai, tmp_path / "tai"))

    assert "row 0: observationStartMJD 60000.200000 (UTC) has the sidereal" in found
    assert "observationStartLST says" in found
    assert "-37 s: give observationStartMJD in UTC" in found


@pytest.mark.usefixtures("offline")
def test_times_of_consdb_are_tai(tmp_path: Path, writer: Writer) -> None:
    time = Time(60000.2, format="mjd", scale="tai")
    frame = consdb_frame([60000.2]).assign(observationStartLST=_sidereal_deg(time))

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    middle = (time + 15 * u.s).utc.to_datetime()
    assert abs(visits.times[0].astype(datetime) - middle) < timedelta(milliseconds=1)


def test_a_night_of_consdb_ends_at_noon_utc_not_tai(tmp_path: Path) -> None:
    noon_tai = MJD + 0.5
    starts = [noon_tai + 36 / 86400, noon_tai + 38 / 86400]

    visits = read_visits_table(write_sqlite(consdb_frame(starts), tmp_path / "x.db"))

    assert (visits.visit_ids // 100_000).tolist() == [20261121, 20261122]


@pytest.mark.parametrize(
    ("mjd", "day_obs"),
    [
        (61405.4, 20261230),
        (61405.5, 20261231),
        (61406.5, 20270101),
        (61465.0, 20270228),
    ],
)
def test_ids_begin_with_the_date_of_the_evening(
    tmp_path: Path, mjd: float, day_obs: int
) -> None:
    visits = read_visits_table(write_sqlite(opsim_frame([mjd]), tmp_path / "visits"))

    assert visits.visit_ids.tolist() == [day_obs * 100_000 + 1]


def test_names_of_consdb_are_understood(tmp_path: Path, writer: Writer) -> None:
    frame = consdb_frame([MJD, MJD]).assign(
        visit_id=[2, 1], s_ra=[350.0, 360.0], s_dec=[1.0, 2.0]
    )

    visits = read_visits_table(writer(frame, tmp_path / "visits"))

    assert visits.ra_deg.tolist() == [0, 350]
    assert visits.dec_deg.tolist() == [2, 1]


def test_bands_are_read_where_they_are_text(tmp_path: Path) -> None:
    frame = opsim_frame([MJD, MJD + 0.1])
    frame["band"] = ["r_57", "z"]

    assert read_visits_table(write_sqlite(frame, tmp_path / "a.db")).bands.tolist() == [
        "r",
        "z",
    ]
    assert read_visits_table(
        write_archive_hdf5(frame, tmp_path / "a.h5")
    ).bands.tolist() == ["r", "z"]


def test_another_table_can_be_named(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]), tmp_path / "visits.db", "completed")

    assert len(read_visits_table(path, table="completed")) == 1


def refusal(path: Path, table: str = "observations") -> str:
    with pytest.raises(VisitsFileError) as caught:
        read_visits_table(path, table=table)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("dropped", "problem"),
    [
        (["fieldRA"], "lacks fieldRA (or s_ra)"),
        (["fieldDec", "observationStartMJD"],
         "lacks observationStartMJD (or obs_start_mjd), fieldDec (or s_dec)"),
    ],
)  # fmt: skip
def test_missing_columns_are_named(
    tmp_path: Path, writer: Writer, dropped: list[str], problem: str
) -> None:
    frame = opsim_frame([MJD]).drop(columns=dropped)

    assert problem in refusal(writer(frame, tmp_path / "visits"))


@pytest.mark.parametrize("writer", [write_sqlite, write_archive_hdf5])
def test_a_table_without_visits_says_that_nothing_was_observed(
    tmp_path: Path, writer: Writer
) -> None:
    visits = read_visits_table(writer(opsim_frame([]), tmp_path / "x"))

    assert len(visits) == len(visits.times) == len(visits.bands) == 0


def test_tables_are_listed_if_the_one_asked_for_is_missing(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]), tmp_path / "x.db", "summary")

    assert "no table 'observations'; it has summary" in refusal(path)


def test_missing_group_is_named(tmp_path: Path) -> None:
    path = write_archive_hdf5(opsim_frame([MJD]), tmp_path / "x.h5")

    assert "has no 'other' in /, but observations" in refusal(path, "other")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"fieldRA,fieldDec\n1,2\n", "neither an opsim (SQLite) nor an HDF5 file"),
        (b"SQLite format 3\0" + bytes(200), "cannot be read"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "cannot be read as HDF5"),
    ],
)
def test_file_of_another_kind_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "x.db").write_bytes(content)

    assert problem in refusal(tmp_path / "x.db")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(tmp_path / "none.db")


@pytest.mark.parametrize("writer", [write_sqlite, write_archive_hdf5])
def test_truncated_file_is_refused(tmp_path: Path, writer: Writer) -> None:
    path = writer(opsim_frame(list(MJD + np.arange(2000) / 5000)), tmp_path / "x")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert re.search("is truncated|cannot be read as HDF5", refusal(path))


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("fieldRA", None, "fieldRA is nan"),
        ("fieldRA", 361.0, "row 1 (of 1 such rows): fieldRA is 361.0"),
        ("fieldDec", -90.1, "fieldDec is -90.1, not within -90..90"),
        ("fieldDec", np.inf, "fieldDec is inf"),
        ("observationStartMJD", 0.0, "observationStartMJD is 0.0"),
    ],
)
def test_value_that_is_no_position_or_time_is_refused(
    tmp_path: Path, writer: Writer, column: str, value: float | None, problem: str
) -> None:
    frame = opsim_frame([MJD, MJD + 0.1])
    frame[column] = frame[column].astype(float)
    frame.loc[1, column] = value

    assert problem in refusal(writer(frame, tmp_path / "visits"))


def test_text_in_place_of_a_number_is_refused(tmp_path: Path) -> None:
    frame = opsim_frame([MJD]).assign(fieldRA="12h30m")

    assert "fieldRA is not a number" in refusal(write_sqlite(frame, tmp_path / "x.db"))


def test_view_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]), tmp_path / "x.db", "summary")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIEW observations AS SELECT * FROM summary")
        connection.commit()

    assert "no table 'observations'" in refusal(path)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]), tmp_path / "x.db")
    before = path.read_bytes()
    path.chmod(0o444)

    read_visits_table(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_strange_table_and_column_names_are_only_names(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]), tmp_path / "x.db", 'a"; DROP TABLE b; --')

    assert len(read_visits_table(path, table='a"; DROP TABLE b; --')) == 1


def plant_link(link: Any) -> Callable[[h5py.File, Path], None]:
    def plant(file: h5py.File, other: Path) -> None:
        file["observations"] = link(other)

    return plant


def plant_external_storage(file: h5py.File, other: Path) -> None:
    file.create_group("observations").create_dataset(
        "table", (1,), np.dtype([("fieldRA", "f8")]), external=[(str(other), 0, 8)]
    )


def plant_virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((1,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "x", (1,))
    file.create_group("observations").create_virtual_dataset("table", layout)


@pytest.mark.parametrize(
    "plant",
    [
        plant_link(lambda other: h5py.ExternalLink(str(other), "/observations")),
        plant_link(lambda _: h5py.SoftLink("/elsewhere")),
        plant_external_storage,
        plant_virtual,
    ],
    ids=["external link", "soft link", "external storage", "virtual"],
)
def test_data_outside_the_file_is_refused(
    tmp_path: Path, plant: Callable[[h5py.File, Path], None]
) -> None:
    secret = write_archive_hdf5(opsim_frame([MJD]), tmp_path / "secret.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        plant(file, secret)

    assert re.search(
        "is a link to elsewhere|is not a table of pandas", refusal(tmp_path / "x.h5")
    )


def test_pickled_columns_are_never_unpickled(tmp_path: Path) -> None:
    path = write_pandas_fixed(opsim_frame([MJD]), tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        group = file["observations"]
        group["block9_items"] = np.array([b"band"])
        values = group.create_dataset(
            "block9_values", (1,), dtype=h5py.vlen_dtype(np.uint8)
        )
        values[0] = np.frombuffer(b"cos\nsystem\n(S'exit 1'\ntR.", dtype=np.uint8)

    assert read_visits_table(path).bands.tolist() == [""]


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_files_of_pandas_are_read_with_their_bands(tmp_path: Path, layout: Any) -> None:
    path = tmp_path / "visits.h5"
    opsim_frame([MJD, MJD + 0.1]).to_hdf(path, key="observations", format=layout)

    visits = read_visits_table(path)

    assert visits.bands.tolist() == ["r", "r"]
    assert visits.ra_deg.tolist() == [0.0, 10.0]


def test_generated_columns_are_columns(tmp_path: Path) -> None:
    path = write_sqlite(opsim_frame([MJD]).drop(columns="band"), tmp_path / "x.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "ALTER TABLE observations ADD COLUMN band TEXT AS (substr('z_20', 1, 1))"
        )
        connection.commit()

    assert read_visits_table(path).bands.tolist() == ["z"]
