"""HDF5 files of others: pandas' own, damaged ones, and ones that mean harm."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from typing_extensions import override

from visit_tables.hdf5.read import (
    HDF5FileError,
    read_visits,
)

Layout = Literal["fixed", "table"]


class TestPandasOwnFiles:
    """Files in pandas' own layouts, with pickles in their text columns."""

    @pytest.fixture(params=["fixed", "table"])
    def layout(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
    def test_frames_of_pandas_are_read(
        self, tmp_path: Path, visits: pd.DataFrame, layout: Layout
    ) -> None:
        frame = visits.assign(
            flag=visits["night"] > 0, when=pd.Timestamp("2026-01-01"), small=np.int8(3)
        )
        frame.loc[3, "band"] = np.nan
        path = tmp_path / "pandas.h5"
        frame.to_hdf(path, key="observations", format=layout)

        assert_frame_equal(read_visits(path), frame)

    def test_chosen_columns_and_nights_of_pandas_files(
        self, tmp_path: Path, visits: pd.DataFrame, layout: Layout
    ) -> None:
        path = tmp_path / "pandas.h5"
        visits.select_dtypes("number").to_hdf(path, key="o", format=layout)

        found = read_visits(
            path, table="o", columns=["altitude"], first_day_obs=date(2025, 11, 22)
        )

        expected = visits[visits["night"] > 0][["altitude"]]
        assert_frame_equal(found, expected.reset_index(drop=True))

    @pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
    def test_a_planted_payload_is_refused_and_does_not_run(
        self, tmp_path: Path, visits: pd.DataFrame
    ) -> None:
        path, trace = tmp_path / "planted.h5", tmp_path / "it ran"
        visits[["observationStartMJD", "band"]].to_hdf(path, key="observations")
        payload = pickle.dumps(_Touch(trace))
        with h5py.File(path, "r+") as file:
            for name in ("block0_values", "block1_values"):
                node = file["observations"][name]
                if node.dtype == object:
                    node[0] = np.frombuffer(payload, dtype=np.uint8)

        with pytest.raises(HDF5FileError, match=r"asks for posix\.mkdir"):
            read_visits(path)

        assert not trace.exists()
        with pytest.raises(TypeError):
            pd.read_hdf(path, key="observations")  # what it does to pandas
        assert trace.exists()

    def test_a_planted_attribute_is_refused_and_does_not_run(
        self, h5: Path, tmp_path: Path
    ) -> None:
        trace = tmp_path / "it ran"
        payload = pickle.dumps(_Touch(trace), 0)
        with h5py.File(h5, "r+") as file:
            attributes = file["observations"].attrs
            attributes["non_index_axes"] = np.bytes_(payload)

        with pytest.raises(HDF5FileError, match=r"asks for posix\.mkdir"):
            read_visits(h5)

        assert not trace.exists()


class _Touch:
    """Pickles as a call that leaves a folder behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    @override
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os  # noqa: PLC0415 as an attacker would

        return os.mkdir, (str(self.trace),)


def external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        file.copy("observations", other)
    del file["observations"]
    file["observations"] = h5py.ExternalLink("other.h5", "/observations")


def soft_link(file: h5py.File, _: Path) -> None:
    file.move("observations", "elsewhere")
    file["observations"] = h5py.SoftLink("/elsewhere")


def soft_table(file: h5py.File, _: Path) -> None:
    file.move("observations/table", "elsewhere")
    file["observations/table"] = h5py.SoftLink("/elsewhere")


def virtual(file: h5py.File, _: Path) -> None:
    table = file["observations/table"]
    layout = h5py.VirtualLayout(shape=table.shape, dtype=table.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "t", table.shape, table.dtype)
    _swap(file, lambda g: g.create_virtual_dataset("table", layout))


def external_storage(file: h5py.File, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_bytes(b"x" * 100_000)
    dtype = file["observations/table"].dtype
    _swap(
        file,
        lambda g: g.create_dataset(
            "table", (3,), dtype, external=[(str(secret), 0, 100_000)]
        ),
    )


def objects(file: h5py.File, _: Path) -> None:
    kind = np.dtype([("index", "i8"), ("band", h5py.string_dtype())])
    _swap(file, lambda g: g.create_dataset("table", (3,), kind))


def references(file: h5py.File, _: Path) -> None:
    kind = np.dtype([("index", "i8"), ("band", h5py.ref_dtype)])
    _swap(file, lambda g: g.create_dataset("table", (3,), kind))


def huge(file: h5py.File, _: Path) -> None:
    dtype = file["observations/table"].dtype
    _swap(
        file,
        lambda g: g.create_dataset("table", (10**12,), dtype, chunks=(1000,)),
    )


def no_table(file: h5py.File, _: Path) -> None:
    del file["observations/table"]


def dataset_as_key(file: h5py.File, _: Path) -> None:
    del file["observations"]
    file["observations"] = np.arange(3)


def plain_group(file: h5py.File, _: Path) -> None:
    del file["observations"].attrs["pandas_type"]


def _swap(file: h5py.File, make: Callable[[h5py.Group], h5py.Dataset]) -> None:
    group = file["observations"]
    attributes = dict(group["table"].attrs)
    del group["table"]
    made = make(group)
    for name, value in attributes.items():
        made.attrs[name] = value


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (external_link, "'observations' is a link to elsewhere"),
        (soft_link, "'observations' is a link to elsewhere"),
        (soft_table, "'table' is a link to elsewhere"),
        (virtual, "keeps its values in another file"),
        (external_storage, "keeps its values in another file"),
        (objects, "holds objects"),
        (references, "holds objects"),
        (huge, "claims more rows than it stores"),
        (no_table, "has no 'table'"),
        (dataset_as_key, "is not a group"),
        (plain_group, "is not a table of pandas"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unsafe_files_are_refused(
    h5: Path,
    tmp_path: Path,
    spoil: Callable[[h5py.File, Path], None],
    message: str,
) -> None:
    with h5py.File(h5, "r+") as file:
        spoil(file, tmp_path)

    with pytest.raises(HDF5FileError, match=message):
        read_visits(h5)


def test_a_wrong_key_names_the_keys_there_are(h5: Path) -> None:
    with pytest.raises(HDF5FileError, match=r"has no 'visits' in /, but observations"):
        read_visits(h5, table="visits")


@pytest.mark.parametrize("key", ["", "/", "../x", "observations/table", "."])
def test_keys_are_plain_names(h5: Path, key: str) -> None:
    with pytest.raises(HDF5FileError, match=r"cannot be a key|has no"):
        read_visits(h5, table=key)


def test_an_unknown_column_is_named(h5: Path) -> None:
    with pytest.raises(HDF5FileError, match="has no column depth"):
        read_visits(h5, columns=["depth"])


@pytest.mark.parametrize("kept", [0, 50, 2_000, -1])
def test_truncated_files_are_refused(h5: Path, kept: int) -> None:
    h5.write_bytes(h5.read_bytes()[:kept])

    with pytest.raises(HDF5FileError, match=r"empty|cannot be read as HDF5"):
        read_visits(h5)


def test_a_flipped_bit_is_noticed(h5: Path) -> None:
    with h5py.File(h5) as file:
        chunk = file["observations/table"].id.get_chunk_info(0)
    data = bytearray(h5.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    h5.write_bytes(data)

    with pytest.raises(HDF5FileError, match="cannot be read as HDF5"):
        read_visits(h5)


def test_reading_needs_neither_pytables_nor_pandas() -> None:
    program = (
        "import sys; import visit_tables.files, "
        "visit_tables.files, visit_tables.statistics; "
        "heavy = {'tables', 'pandas'} & set(sys.modules); "
        "sys.exit(' '.join(heavy) or None)"
    )

    run = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)

    assert run.returncode == 0
