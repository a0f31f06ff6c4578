"""``ap_proto`` as a command: options, wrong input, a night of an opsim file."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from l1db_pipeline.cli.ap_proto import main
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sources.generators import rand_sphere_xyz
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store

START = ["--start-time", "2026-01-01 00:00:00"]
FEW = ["--transients", "5", "--seed", "1"]
SKY = rand_sphere_xyz(3000, -1, seed=3)


@pytest.fixture(autouse=True)
def quiet_root() -> Iterator[None]:
    """Takes back what a command did to the root logger."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[L1Store]:
    """An empty store, of the configuration ``l1db.cfg``; ``sources.npy`` beside it."""
    np.save(tmp_path / "sources.npy", SKY)
    path = tmp_path / "l1db.cfg"
    path.write_text(
        f"[database]\nurl = sqlite:///{tmp_path}/l1.db\n[l1db]\n"
        "dia_object_index = last_object_table\ndia_object_nightly = 1\n"
        "read_sources_months = 12\nread_forced_sources_months = 12\n"
    )
    store = open_store(L1dbConfig.from_ini(path))
    store.create_schema()
    yield store
    store.close()


@pytest.fixture
def ap_proto(
    tmp_path: Path,
    store: L1Store,  # noqa: ARG001 - it makes the tables
) -> Callable[..., Result]:
    """Runs the command in this process."""

    def run(*options: str, sources: Path | None = None) -> Result:
        config = ["-c", str(tmp_path / "l1db.cfg")]
        file = str(sources or tmp_path / "sources.npy")
        return CliRunner().invoke(main, [*config, *options, file])

    return run


def opsim(path: Path, **replaced: object) -> Path:
    """Write an opsim file of six visits in two nights, out of order."""
    columns: dict[str, list[object]] = {
        "observationId": [5, 1, 2, 3, 4, 6],
        "observationStartMJD": [61041.1, 61040.1, 61040.2, 61040.3, 61041.0, 61041.2],
        "fieldRA": [10.0, 10.0, 359.9, 10.0, 10.0, 359.9],
        "fieldDec": [-30.0, -30.0, -89.0, -30.0, -30.0, -89.0],
        "visitTime": [34.0] * 6,
        "band": ["r"] * 6,
    }
    for name, values in replaced.items():
        if values is None:
            del columns[name]
    with sqlite3.connect(path) as connection:
        names = ", ".join(columns)
        connection.execute(f"CREATE TABLE observations ({names})")
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO observations VALUES ({marks})",
            list(zip(*columns.values(), strict=True)),
        )
    connection.close()
    return path


def test_visits_are_processed_and_the_next_command_goes_on(
    ap_proto: Callable[..., Result], store: L1Store
) -> None:
    assert ap_proto("-n", "3", *START, *FEW).exit_code == 0
    assert ap_proto("-n", "2", "-i", "45", *START).exit_code == 0

    last = store.last_visit()
    assert last is not None
    assert last.visit_id == 5
    assert last.time.isoformat() == "2026-01-01T00:03:00+00:00"
    assert store.get_setting("run.seed") == "1"


def test_the_visits_of_an_opsim_file_are_processed_in_time_order(
    ap_proto: Callable[..., Result], store: L1Store, tmp_path: Path
) -> None:
    file = opsim(tmp_path / "opsim.db")

    first = ap_proto("--visits", str(file), "-n", "4", *FEW)
    rest = ap_proto("--visits", str(file))
    again = ap_proto("--visits", str(file))

    assert [r.exit_code for r in (first, rest, again)] == [0, 0, 0], first.output
    assert store.row_counts()["L1DbProtoVisits"] == 6
    last = store.last_visit()
    assert last is not None
    assert last.visit_id == 2025_12_31_00007
    # 61041.2 UTC and half of 34 s
    assert last.time.isoformat(timespec="seconds") == "2026-01-01T04:48:17+00:00"
    # the first night was merged before the second, which is left to the next
    counts = store.row_counts()
    assert counts["DiaObject"] > 0
    assert counts["DiaObjectNightly"] > 0


def test_no_update_writes_nothing(
    ap_proto: Callable[..., Result], store: L1Store
) -> None:
    counts = store.row_counts()

    result = ap_proto("-U", "-n", "2", *START, *FEW)

    assert result.exit_code == 0, result.output
    assert store.row_counts() == counts


def test_explain_logs_the_plans_of_reads(
    ap_proto: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ap_proto"):
        result = ap_proto("-v", "-e", "-n", "1", *START, *FEW)

    assert result.exit_code == 0
    assert any(
        "explain: L1PackedDiaObjectLast select" in r.getMessage()
        for r in caplog.records
    )


def bad_array(folder: Path, values: NDArray[np.generic]) -> Path:
    path = folder / "bad.npy"
    np.save(path, values)
    return path


WRONG_SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "shape": (lambda folder: bad_array(folder, SKY[:, :2]), "shape must be"),
    "dtype": (lambda f: bad_array(f, SKY.astype(np.float32)), "type must be float64"),
    "pickled": (lambda f: bad_array(f, np.array([{}])), "not a .npy file of numbers"),
    "not unit": (lambda f: bad_array(f, SKY * 1.1), "is not a unit vector"),
    "NaN": (lambda f: bad_array(f, SKY * np.nan), "is not a unit vector"),
}


@pytest.mark.parametrize(
    ("make", "complaint"), WRONG_SOURCES.values(), ids=WRONG_SOURCES
)
def test_wrong_sources_are_refused_and_nothing_is_written(
    ap_proto: Callable[..., Result],
    store: L1Store,
    tmp_path: Path,
    make: Callable[[Path], Path],
    complaint: str,
) -> None:
    counts = store.row_counts()

    result = ap_proto(*START, *FEW, sources=make(tmp_path))

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert complaint in result.output
    assert store.row_counts() == counts


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "the database has no visits: give --start-time"),
        ([*START, "--match", "nearest"], "Invalid value for '--match'"),
        ([*START, "--fields", "10;20"], "'10;20' is not RA,DEC in degrees"),
        ([*START, "--fields", "10,-95"], "is not within"),
        (["--start-time", "yesterday"], "Invalid value for '--start-time'"),
        (["--fields", "1,1", "--visits", __file__], "exclude each other"),
        (["--visits", __file__, "-i", "30"], "--visits gives times and ids"),
        (["--visits", "none.db"], "'none.db' does not exist"),
        ([*START, "--detection-probability", "1.5"], "is not in the range"),
        ([*START, "--divide", "-1"], "is not in the range"),
        ([*START, "--start-visit-id", str(2**41)], "visit id 2199023255552"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_stored(
    ap_proto: Callable[..., Result],
    store: L1Store,
    options: list[str],
    complaint: str,
) -> None:
    result = ap_proto(*options, *FEW)

    assert result.exit_code in {1, 2}
    assert complaint in result.output
    assert store.last_visit() is None


def test_an_opsim_file_without_a_needed_column_is_refused(
    ap_proto: Callable[..., Result], store: L1Store, tmp_path: Path
) -> None:
    file = opsim(tmp_path / "opsim.db", fieldRA=None)
    counts = store.row_counts()

    result = ap_proto("--visits", str(file), *FEW)

    assert result.exit_code == 1
    assert "lacks fieldRA" in result.output
    assert store.row_counts() == counts


def test_a_start_before_the_last_visit_is_refused(
    ap_proto: Callable[..., Result], store: L1Store
) -> None:
    ap_proto("-n", "3", *START, *FEW)

    result = ap_proto("--start-time", "2026-01-01 00:01:00")

    assert result.exit_code == 1
    assert "is not after the last visit, 2026-01-01 00:01:30" in result.output
    assert store.row_counts()["L1DbProtoVisits"] == 3


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--seed", "2"], "created with seed=1, but 2 was requested"),
        (["--match", "position"], "created with match=id, but position was requested"),
        (["--transients", "9"], "created with transients=5, but 9 was requested"),
        (["--fill"], "created with fill=0, but 1 was requested"),
        (["-i", "30"], "created with interval=45, but 30 was requested"),
        (["--fields", "1,2"], "created with fields"),
    ],
)
def test_a_run_goes_on_only_as_it_began(
    ap_proto: Callable[..., Result], options: list[str], complaint: str
) -> None:
    ap_proto(*START, *FEW)

    result = ap_proto(*options)

    assert result.exit_code == 1
    assert complaint in result.output


def test_another_catalog_is_refused(
    ap_proto: Callable[..., Result], tmp_path: Path
) -> None:
    ap_proto(*START, *FEW)
    other = tmp_path / "other.npy"
    np.save(other, SKY[1:])

    result = ap_proto(sources=other)

    assert result.exit_code == 1
    assert "created with sources of SHA-256" in result.output


def test_a_database_of_another_configuration_is_refused(
    ap_proto: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "l1db.cfg"
    path.write_text(path.read_text().replace("last_object_table", "baseline"))

    result = ap_proto(*START, *FEW)

    assert result.exit_code == 1
    assert "dia_object_index" in result.output


def test_a_database_without_tables_is_refused(
    ap_proto: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "l1db.cfg"
    path.write_text(path.read_text().replace("l1.db", "new.db"))

    result = ap_proto(*START, *FEW)

    assert result.exit_code == 2
    assert "create_l1_schema" in result.output
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("name", ["ap_proto", "log2csv", "report", "compare"])
def test_help_explains_itself_without_a_database(name: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            f"l1db_pipeline.cli.{name}",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"Example:", "Examples:"} & set(done.stdout.split())
    for heavy in ("numpy", "sqlalchemy", "psycopg", "matplotlib", "pandas"):
        assert f"| {heavy}\n" not in done.stderr.replace("   ", "")
