"""The canonical hash: equal visits, equal hash, whatever their spelling."""

import hashlib
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visit_tables.columns import UnsupportedColumnError, VisitsFileError
from visit_tables.content_hash import HASH_ALGORITHM, ChangedColumnsError, VisitsDigest
from visit_tables.frame_summaries import visits_sha256
from visit_tables.hdf5.read import write_visits

KNOWN = pd.DataFrame(
    {
        "observationStartMJD": [61000.25, 61000.5],
        "night": [1, 1],
        "band": ["r", None],
        "flag": [True, False],
        "none": [np.nan, np.nan],
    }
)


def test_the_algorithm_never_changes_under_its_name() -> None:
    assert HASH_ALGORITHM == "vseq-visits-1"
    assert visits_sha256(KNOWN).hex() == (
        "bea5492554cce9745a1a4dcb95c801d3108cdd493df494ad125cc3417633a34d"
    )


def test_the_algorithm_is_as_documented() -> None:
    def sha256(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    def column(name: bytes, kind: bytes, *digests: bytes) -> bytes:
        return struct.pack("<I", len(name)) + name + kind + b"".join(digests)

    none, second = sha256(), sha256(struct.pack("<Q", 1))
    expected = sha256(
        b"vseq-visits-1\n",
        struct.pack("<QQ", 2, 5),
        column(b"band", b"t", sha256(struct.pack("<II", 1, 0)), sha256(b"r"), second),
        column(b"flag", b"i", sha256(struct.pack("<qq", 1, 0)), none),
        column(b"night", b"i", sha256(struct.pack("<qq", 1, 1)), none),
        column(b"none", b"0"),
        column(
            b"observationStartMJD",
            b"f",
            sha256(struct.pack("<dd", 61000.25, 61000.5)),
            none,
        ),
    )

    assert visits_sha256(KNOWN) == expected


def test_a_fresh_process_agrees(opsim: Path, visits: pd.DataFrame) -> None:
    program = (
        "import sys; from visit_tables.content_hash import file_sha256;"
        "print(file_sha256(sys.argv[1]).hex())"
    )

    run = subprocess.run(
        [sys.executable, "-c", program, str(opsim)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert run.stdout.strip() == visits_sha256(visits).hex()


def test_opsim_hdf5_and_frame_agree(
    opsim: Path, tmp_path: Path, visits: pd.DataFrame
) -> None:
    write_visits(tmp_path / "v.h5", {"observations": visits})

    hashes = {
        visits_sha256(visits),
        visits_sha256(opsim),
        visits_sha256(tmp_path / "v.h5"),
    }

    assert len(hashes) == 1


def as_bytes(visits: pd.DataFrame) -> pd.DataFrame:
    names: list[str] = list(visits.select_dtypes("str"))
    texts = {name: visits[name].str.encode("utf-8").astype(object) for name in names}
    return visits.assign(**texts)


SPELLINGS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "copy": lambda v: v.copy(deep=True),
    "index": lambda v: v.set_index(np.arange(len(v)) + 7),
    "column order": lambda v: v[v.columns[::-1]],
    "object": lambda v: v.astype(dict.fromkeys(v.select_dtypes("str"), object)),
    "string": lambda v: v.astype(dict.fromkeys(v.select_dtypes("str"), "string")),
    "python str": lambda v: v.astype(
        dict.fromkeys(v.select_dtypes("str"), pd.StringDtype("python"))
    ),
    "category": lambda v: v.astype(dict.fromkeys(v.select_dtypes("str"), "category")),
    "bytes": as_bytes,
    "int32": lambda v: v.astype({"night": "int32", "observationId": "uint16"}),
    "float night": lambda v: v.astype({"night": "float64"}),
    "masked": lambda v: v.astype({"night": "Int64", "altitude": "Float64"}),
    "arrow": lambda v: v.astype({"night": "int64[pyarrow]", "band": "str"}),
    "big-endian": lambda v: v.astype({"night": ">i8", "altitude": ">f8"}),
    "objects": lambda v: v.astype({"night": object, "altitude": object}),
    "none for nan": lambda v: v.assign(
        rotSkyPos_desired=np.full(len(v), None, dtype=object)
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spelling_does_not_matter(visits: pd.DataFrame, spelling: str) -> None:
    assert visits_sha256(SPELLINGS[spelling](visits)) == visits_sha256(visits)


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "row order": lambda v: v.iloc[::-1],
    "a row less": lambda v: v.iloc[1:],
    "a column less": lambda v: v.drop(columns="night"),
    "a column more": lambda v: v.assign(extra=1),
    "a name": lambda v: v.rename(columns={"night": "Night"}),
    "two columns swapped": lambda v: v.rename(
        columns={"altitude": "azimuth", "azimuth": "altitude"}
    ),
    "a bit": lambda v: v.assign(altitude=np.nextafter(v["altitude"], np.inf)),
    "a text": lambda v: v.assign(band=v["band"].replace("r", "R")),
    "missing for empty": lambda v: v.assign(band=v["band"].replace("", None)),
    "one missing": lambda v: v.assign(altitude=v["altitude"].where(v.index != 3)),
    "another missing": lambda v: v.assign(altitude=v["altitude"].where(v.index != 4)),
}


def test_every_change_changes_the_hash(visits: pd.DataFrame) -> None:
    hashes = {visits_sha256(change(visits)) for change in CHANGES.values()}

    assert len(hashes | {visits_sha256(visits)}) == len(CHANGES) + 1


def test_texts_are_not_run_together() -> None:
    one = visits_sha256(pd.DataFrame({"x": ["ab", "c"]}))
    other = visits_sha256(pd.DataFrame({"x": ["a", "bc"]}))

    assert one != other


def test_zero_has_no_sign() -> None:
    assert visits_sha256(pd.DataFrame({"x": [-0.0, 0.5]})) == visits_sha256(
        pd.DataFrame({"x": [0.0, 0.5]})
    )


def test_empty_tables_agree_whatever_their_dtypes(visits: pd.DataFrame) -> None:
    empty = visits.iloc[:0]

    assert visits_sha256(empty) == visits_sha256(empty.astype(object))


COLUMN = st.lists(st.none() | st.floats() | st.integers(-(2**53), 2**53), max_size=12)


@settings(max_examples=60, deadline=None)
@given(COLUMN, st.data())
def test_division_into_batches_does_not_matter(
    values: list[float | None], data: st.DataObject
) -> None:
    whole = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    cut = data.draw(st.integers(0, len(values)))
    digest = VisitsDigest()
    digest.update({"x": whole[:cut]})
    digest.update({"x": whole[cut:]})

    assert digest.digest() == visits_sha256(pd.DataFrame({"x": whole}))
    assert digest.digest() == visits_sha256(
        pd.DataFrame({"x": pd.Series(values, dtype=object)})
    )


def test_batches_of_other_columns_are_refused() -> None:
    digest = VisitsDigest()
    digest.update({"x": np.arange(3)})

    with pytest.raises(ChangedColumnsError, match="columns differ"):
        digest.update({"y": np.arange(3)})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.array([2**63], dtype="uint64"), "integers over"),
        (["a", 1], "kind mixed"),
        (np.array(["3000-01-01"], dtype="datetime64[s]"), "out of range"),
    ],
    ids=["uint64", "mixed", "time"],
)
def test_values_without_a_canonical_form_are_refused(
    column: object, message: str
) -> None:
    with pytest.raises(UnsupportedColumnError, match=message):
        visits_sha256(pd.DataFrame({"x": column}))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("something else, long enough")

    with pytest.raises(VisitsFileError, match="neither an opsim"):
        visits_sha256(tmp_path / "x.db")
