import math
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from l1db_pipeline.cli.gen_sources import main
from l1db_pipeline.sky import sky_index
from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD, unit_vector
from l1db_pipeline.sky.sky_index import SkyIndex
from l1db_pipeline.sources import source_file as sources_module
from l1db_pipeline.sources.generators import rand_sphere_xyz
from l1db_pipeline.sources.source_file import (
    SourceCatalog,
    SourcesFileError,
    load_sources,
    write_sources,
)

SKY = rand_sphere_xyz(30_000, seed=1)
SKY[:6] = np.concatenate([np.eye(3), -np.eye(3)])
SKY[6:12] = [[1, 1, 0], [-1, 1, 0], [0, 1, -1], [1, 0, 1], [-1, -1, 0], [0, -1, 1]]
SKY[6:12] /= math.sqrt(2)
INDEX = SkyIndex(SKY)
INDEXED = SourceCatalog(SKY)
for _ in range(20):  # a catalog that is searched often makes an index
    INDEXED.rows_in_cone([0, 0, 1], 0.01)

component = st.sampled_from([0.0, 1.0, -1.0, 1e-12]) | st.floats(-1, 1)
directions = st.tuples(component, component, component).filter(
    lambda v: sum(c * c for c in v) > 1e-6
)


@given(directions, st.floats(0, math.pi))
def test_index_misses_nothing_within_the_radius(
    direction: tuple[float, float, float], radius: float
) -> None:
    axis = unit_vector(direction)

    rows = INDEX.rows_near(axis, radius)

    assert np.isin(np.flatnonzero(SKY @ axis > math.cos(radius)), rows).all()
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("part", [7, 15_000, 29_999, 30_000])
def test_index_of_several_parts_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    sky = SKY[:: 300 if part == 7 else 1]
    whole = SkyIndex(sky).rows_near(np.array([0.6, 0, -0.8]), 0.3)

    monkeypatch.setattr(sky_index, "_PART", part)

    parts = SkyIndex(sky).rows_near(np.array([0.6, 0, -0.8]), 0.3)
    assert np.array_equal(whole, parts)


@given(directions)
def test_search_with_an_index_equals_one_through_all_rows(
    direction: tuple[float, float, float],
) -> None:
    rows, xyz = SourceCatalog(SKY).rows_in_cone(direction, 0.2)
    indexed_rows, indexed_xyz = INDEXED.rows_in_cone(direction, 0.2)

    assert np.array_equal(rows, indexed_rows)
    assert np.array_equal(xyz, indexed_xyz)


def test_search_finds_what_lies_within_half_the_opening_angle() -> None:
    axis = unit_vector([0.1, -0.7, -0.7])

    rows, xyz = SourceCatalog(SKY).rows_in_cone(axis, FOV_OPEN_ANGLE_RAD)

    inside = SKY @ axis > math.cos(FOV_OPEN_ANGLE_RAD / 2)
    assert np.array_equal(rows, np.flatnonzero(inside))
    assert np.array_equal(xyz, SKY[inside])


def test_search_of_an_empty_catalog_finds_nothing() -> None:
    catalog = SourceCatalog(np.empty((0, 3)))

    for _ in range(20):
        rows, xyz = catalog.rows_in_cone([0, 0, 1])
        assert rows.shape == (0,)
        assert xyz.shape == (0, 3)


def test_sources_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"
    write_sources(path, len(SKY), [SKY[:7], SKY[7:7], SKY[7:]])

    catalog = load_sources(path)

    assert isinstance(catalog.xyz, np.memmap)
    assert np.array_equal(catalog.xyz, SKY)
    assert np.array_equal(np.load(path, allow_pickle=False), SKY)


def test_sources_file_without_sources_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"
    write_sources(path, 0, [])

    assert len(load_sources(path)) == 0


def test_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        SourcesFileError, match=r"x\.npy: .* create one with gen_sources"
    ):
        load_sources(tmp_path / "x.npy")


def test_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourcesFileError, match="cannot read it: is not a regular file"):
        load_sources(tmp_path)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros(3), r"shape must be \(n, 3\), not \(3,\)"),
        (np.zeros((5, 2)), r"shape must be \(n, 3\), not \(5, 2\)"),
        (np.zeros((2, 3, 1)), "shape must be"),
        (np.eye(3, dtype=np.float32), "type must be float64, not float32"),
        (np.eye(3, dtype=np.int64), "type must be float64, not int64"),
        (np.eye(3, dtype=">f8"), "type must be float64, not >f8"),
        (np.eye(3) * [[1], [1.001], [1]], "row 1 is not a unit vector"),
        (np.eye(3) * [[1], [1], [0]], "row 2 is not a unit vector"),
        (np.full((1, 3), np.nan), "row 0 is not a unit vector"),
        (np.full((1, 3), np.inf), "row 0 is not a unit vector"),
        (np.array([[1, "a", None]], dtype=object), r"not a \.npy file of numbers"),
    ],
)
def test_unusable_array_is_refused(
    tmp_path: Path, array: np.ndarray, problem: str
) -> None:
    path = tmp_path / "sources.npy"
    np.save(path, array)

    with pytest.raises(SourcesFileError, match=problem):
        load_sources(path)


def test_a_bad_row_far_into_the_file_is_found(tmp_path: Path) -> None:
    xyz = rand_sphere_xyz(200_000, seed=3)
    xyz[150_000, 0] += 0.1
    np.save(tmp_path / "sources.npy", xyz)

    with pytest.raises(SourcesFileError, match="row 150000 is not a unit vector"):
        load_sources(tmp_path / "sources.npy")


class Planted:
    """Makes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_pickled_file_is_refused_without_running_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"
    np.save(path, np.array([[Planted(tmp_path / "ran")] * 3], dtype=object))

    with pytest.raises(SourcesFileError, match=r"not a \.npy file of numbers"):
        load_sources(path)

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04N.", b"\x93NUMPY\x01"])
def test_file_that_is_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sources.npy").write_bytes(content)

    with pytest.raises(SourcesFileError, match=r"not a \.npy file of numbers"):
        load_sources(tmp_path / "sources.npy")


def test_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "sources.npz", SKY)

    with pytest.raises(SourcesFileError, match=r"an \.npz archive"):
        load_sources(tmp_path / "sources.npz")


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"
    np.save(path, SKY)
    os.truncate(path, path.stat().st_size - 1)

    with pytest.raises(SourcesFileError, match="cut short"):
        load_sources(path)


def test_more_sources_than_ids_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "MAX_CATALOG_SOURCES", 99)
    np.save(tmp_path / "sources.npy", SKY[:100])

    with pytest.raises(SourcesFileError, match="100 sources, but object ids from 99"):
        load_sources(tmp_path / "sources.npy")


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"
    write_sources(path, 3, [SKY[:3]])

    def interrupted() -> Iterator[np.ndarray]:
        yield SKY[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sources(path, 10, interrupted())

    assert np.array_equal(load_sources(path).xyz, SKY[:3])
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_number_of_rows_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="blocks have 5 rows, not 10"):
        write_sources(tmp_path / "sources.npy", 10, [SKY[:5]])

    assert not list(tmp_path.iterdir())


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourcesFileError, match="cannot write it: No such file"):
        write_sources(tmp_path / "none" / "sources.npy", 1, [SKY[:1]])


def gen_sources(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "l1db_pipeline.cli.gen_sources", *arguments]


def test_program_writes_the_points_of_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "sources.npy"

    result = CliRunner().invoke(
        main, ["-H", "-1", "-n", "20", "--seed", "7", str(path)]
    )

    assert result.exit_code == 0, result.output
    assert np.array_equal(load_sources(path).xyz, rand_sphere_xyz(42_877, -1, seed=7))


def test_program_adds_the_suffix_as_the_original_does(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-n", "0.1", str(tmp_path / "sources")])

    assert result.exit_code == 0, result.output
    assert len(load_sources(tmp_path / "sources.npy")) == 428


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "radec"], "is not 'xyz'"),
        (["-n", "-1"], "is not in the range"),
        (["--seed", "-1"], "is not in the range"),
        (["-H", "south"], "is not a valid integer"),
    ],
)
def test_program_refuses_bad_options(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(main, [*arguments, str(tmp_path / "x.npy")])

    assert result.exit_code == 2
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_program_says_what_keeps_it_from_writing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path / "none" / "x.npy")])

    assert result.exit_code == 1
    assert "Error: sources file" in result.output
    assert "No such file or directory" in result.output


def test_program_leaves_nothing_when_space_runs_out(tmp_path: Path) -> None:
    command = " ".join(gen_sources("-n", "100", str(tmp_path / "x.npy")))

    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 1000; {command}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert "cannot write it: File too large" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_leaves_nothing_when_stopped(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        gen_sources("-n", "30000", str(tmp_path / "x.npy")), stderr=subprocess.PIPE
    ) as process:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode == 1
    assert not list(tmp_path.iterdir())


def test_progress_goes_to_the_log_without_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        gen_sources("-v", "-n", "50", str(tmp_path / "x.npy")),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert "214387 of 214387 sources written" in done.stderr
    assert "\r" not in done.stderr


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, 80))

    subprocess.run(
        gen_sources("-n", "500", str(tmp_path / "x.npy")),
        stderr=follower, check=True, timeout=60,
    )  # fmt: skip
    os.close(follower)
    shown = os.read(leader, 10_000).decode()
    os.close(leader)

    assert "0%|" in shown
    assert "/2.14M" in shown
