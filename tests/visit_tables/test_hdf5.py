"""visits.h5: what pandas reads of it, and what we read of others' files."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from visit_tables.columns import UnsupportedColumnError
from visit_tables.files import hdf5_to_opsim, opsim_to_hdf5
from visit_tables.hdf5.read import (
    hdf5_tables,
    read_visits,
    write_visits,
)
from visit_tables.hdf5.write import fletcher32
from visit_tables.opsim.frame import read_opsim


def pandas_reads(path: Path, key: str = "observations") -> pd.DataFrame:
    found = pd.read_hdf(path, key=key)
    assert isinstance(found, pd.DataFrame)
    return found


def same(left: pd.DataFrame | pd.Series, right: pd.DataFrame) -> None:
    assert isinstance(left, pd.DataFrame)
    pd.testing.assert_frame_equal(left, right, check_index_type=False)


def test_pandas_reads_equal_dtypes_and_values(h5: Path, visits: pd.DataFrame) -> None:
    same(pandas_reads(h5), visits)


def test_we_read_what_we_wrote(h5: Path, visits: pd.DataFrame) -> None:
    same(read_visits(h5), visits)


def test_pandas_finds_the_same_keys(h5: Path) -> None:
    with pd.HDFStore(h5, mode="r") as store:
        assert store.keys() == ["/observations"]
    assert hdf5_tables(h5) == ["observations"]


def test_pandas_may_leave_out_the_key(h5: Path, visits: pd.DataFrame) -> None:
    same(pd.read_hdf(h5), visits)


def test_pandas_may_select_columns_and_rows(h5: Path, visits: pd.DataFrame) -> None:
    some = pd.read_hdf(h5, "observations", columns=["band", "night"], start=3, stop=7)
    found = pd.read_hdf(h5, "observations", where="night == 1")

    same(some, visits.loc[3:6, ["band", "night"]])
    same(found, visits[visits["night"] == 1])


def test_pandas_may_append(h5: Path, visits: pd.DataFrame) -> None:
    later = visits.assign(observationStartMJD=visits["observationStartMJD"] + 3)
    later.to_hdf(h5, key="observations", mode="a", format="table", append=True)

    both = pd.concat([visits, later], ignore_index=True)

    same(read_visits(h5), both)
    assert len(read_visits(h5, first_day_obs=date(2025, 11, 24))) == len(visits)


def test_no_dataset_holds_objects_and_all_chunks_are_checked(h5: Path) -> None:
    with h5py.File(h5) as file:
        table = file["observations/table"]

        assert all(kind[0].kind in "iufS" for kind in table.dtype.fields.values())
        assert (table.fletcher32, table.shuffle, table.compression) == (
            True,
            True,
            "gzip",
        )


@given(st.binary(min_size=1, max_size=3000))
@example(b"\xff\xff")  # a sum that is 0 as a remainder, and 65535 to HDF5
@example(b"\xff\xfe\x00\x01")
@example(b"\0\0\0")
def test_the_checksum_of_a_chunk_is_the_one_of_hdf5(data: bytes) -> None:
    with h5py.File("-", "w", driver="core", backing_store=False) as file:
        values = np.frombuffer(data, dtype=np.uint8)
        chunked = {"chunks": (len(data),), "fletcher32": True}
        stored = file.create_dataset("bytes", data=values, **chunked)
        _, chunk = stored.id.read_direct_chunk((0,))

    assert bytes(chunk) == data + fletcher32(data).to_bytes(4, "little")


def test_missing_and_odd_texts_survive(tmp_path: Path) -> None:
    texts = ["", None, "nan", "NaN", "None", "é☃", "\x7f", " a ", "b\n"]
    frame = pd.DataFrame({"text": texts, "more": ["x"] * len(texts)})
    path = tmp_path / "texts.h5"

    write_visits(path, {"observations": frame})

    same(pandas_reads(path), frame)
    same(read_visits(path), frame)


ODD = {
    "index": 1,
    "table": 2,
    "class": 3,
    "a b": "x",
    'q"uote': 0.5,
    "back\\slash": True,
    "new\nline": "z",
    "_v_x": 1.5,
    "sl/ash": "s",
    "d.ot": 1,
    "é": "accent",
    "levels": 4,
    "values_block_0": 5,
    "NROWS": 6,
    "x": 1,
    "x_kind": 2,
    "x_meta": 3.5,
}


def test_odd_column_names_survive(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: [value] * 3 for name, value in ODD.items()})
    path = tmp_path / "odd.h5"

    write_visits(path, {"observations": frame})

    same(read_visits(path), frame)
    same(pandas_reads(path), frame)


@pytest.mark.parametrize(
    "dtype",
    [
        "int8",
        "uint16",
        ">i4",
        "float32",
        ">f8",
        "bool",
        "datetime64[ns]",
        "datetime64[s]",
    ],
)
def test_dtypes_survive_in_native_byte_order(tmp_path: Path, dtype: str) -> None:
    frame = pd.DataFrame({"x": np.array([0, 1, 1], dtype=dtype)})
    path = tmp_path / "dtypes.h5"

    write_visits(path, {"observations": frame})

    expected = frame.astype(np.dtype(dtype).newbyteorder("="))
    same(read_visits(path), expected)
    same(pandas_reads(path), expected)


def test_a_table_without_rows_keeps_its_columns(
    tmp_path: Path, visits: pd.DataFrame
) -> None:
    path = tmp_path / "empty.h5"

    write_visits(path, {"observations": visits.iloc[:0]})

    assert read_visits(path).dtypes.to_dict() == visits.dtypes.to_dict()
    assert pandas_reads(path).columns.tolist() == visits.columns.tolist()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": ["a", 1]}), "column 'x' holds values of kind mixed"),
        (pd.DataFrame({"x": ["a\0"]}), "NUL"),
        (pd.DataFrame({"x": ["\x1a"]}), "0x1A"),
        (pd.DataFrame({"x": [1j]}), "unsupported type complex"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "occurs twice"),
        (pd.DataFrame({3: [1]}), "name that is not a text"),
        (pd.DataFrame({"x": [{}]}), "values of kind mixed"),
        (pd.DataFrame({"x": pd.array([b"\xff"], dtype=object)}), "not in UTF-8"),
    ],
    ids=["mixed", "nul", "marker", "complex", "twice", "number", "object", "bytes"],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    tmp_path: Path, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(UnsupportedColumnError, match=message):
        write_visits(tmp_path / "bad.h5", {"observations": frame})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(h5: Path, visits: pd.DataFrame) -> None:
    bad = {"observations": visits, "more": pd.DataFrame({"x": ["\0"]})}

    with pytest.raises(UnsupportedColumnError, match="NUL"):
        write_visits(h5, bad)

    same(read_visits(h5), visits)


def test_equal_input_gives_equal_bytes(tmp_path: Path, visits: pd.DataFrame) -> None:
    for name in ("a.h5", "b.h5"):
        write_visits(tmp_path / name, {"observations": visits})

    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


class TestNights:
    """Reading some nights of many."""

    @pytest.fixture(scope="class")
    @classmethod
    def many(
        cls,
        tmp_path_factory: pytest.TempPathFactory,
        visits_of: Callable[..., pd.DataFrame],
    ) -> tuple[Path, pd.DataFrame]:
        visits = visits_of(n_nights=60, per_night=100)
        path = tmp_path_factory.mktemp("many") / "visits.h5"
        write_visits(path, {"observations": visits})
        return path, visits

    @pytest.mark.parametrize(
        ("first", "last"), [(0, 0), (59, 59), (10, 12), (-9, 3), (58, 99), (70, 80)]
    )
    def test_nights_are_those_of_a_filter(
        self, many: tuple[Path, pd.DataFrame], first: int, last: int
    ) -> None:
        path, visits = many
        day = date(2025, 11, 21)

        found = read_visits(
            path,
            columns=["fieldRA", "band"],
            first_day_obs=day + timedelta(first),
            last_day_obs=day + timedelta(last),
        )

        expected = visits[visits["night"].between(first, last)][["fieldRA", "band"]]
        same(found, expected.reset_index(drop=True))

    def test_visits_out_of_order_are_found_too(
        self, tmp_path: Path, many: tuple[Path, pd.DataFrame]
    ) -> None:
        shuffled = many[1].sample(frac=1, random_state=0, ignore_index=True)
        path = tmp_path / "shuffled.h5"
        write_visits(path, {"observations": shuffled})

        night = date(2025, 11, 26)
        found = read_visits(path, first_day_obs=night, last_day_obs=night)

        same(found, shuffled[shuffled["night"] == 5].reset_index(drop=True))

    @pytest.mark.parametrize("spelling", ["date", "text", "number"])
    def test_a_column_day_obs_tells_the_night(
        self, tmp_path: Path, spelling: str
    ) -> None:
        days = ["2026-01-01", "2026-01-02", "2026-01-03"]
        spelt = {
            "date": pd.to_datetime(days),
            "text": days,
            "number": [int(day.replace("-", "")) for day in days],
        }
        path = tmp_path / "days.h5"
        write_visits(path, {"observations": pd.DataFrame({"day_obs": spelt[spelling]})})

        assert len(read_visits(path, first_day_obs=date(2026, 1, 2))) == 2


class TestConversions:
    """opsim to HDF5 and back."""

    def test_every_table_goes_both_ways(self, opsim: Path, tmp_path: Path) -> None:
        h5, back = tmp_path / "v.h5", tmp_path / "back.db"
        opsim_to_hdf5(opsim, h5)
        hdf5_to_opsim(h5, back)

        assert hdf5_tables(h5) == ["info", "observations"]
        for name in hdf5_tables(h5):
            same(pandas_reads(h5, name), read_opsim(opsim, name))
            same(read_opsim(back, name), read_opsim(opsim, name))

    def test_many_batches_make_one_table(
        self,
        tmp_path: Path,
        to_opsim: Callable[..., Path],
        visits_of: Callable[..., pd.DataFrame],
    ) -> None:
        visits = visits_of(n_nights=9, per_night=1000)
        opsim_to_hdf5(
            to_opsim(tmp_path / "o.db", observations=visits), tmp_path / "v.h5"
        )

        same(pandas_reads(tmp_path / "v.h5"), visits)


TEXT = st.text(
    st.characters(exclude_characters="\0\x1a", exclude_categories=["Cs"]), max_size=9
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            TEXT | st.none(),
            st.floats(),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_values_survive(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str | None, float, int, bool]],
) -> None:
    frame = pd.DataFrame(rows, columns=["text", "real", "whole", "flag"])
    frame["text"] = frame["text"].astype("str")
    path = tmp_path_factory.mktemp("any") / "v.h5"

    write_visits(path, {"observations": frame})

    same(read_visits(path), frame)
    same(pandas_reads(path), frame)
