"""log2csv: logs of the original and of ours become the original's CSV."""

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from l1db_pipeline.cli.log2csv import main
from l1db_pipeline.log2csv import VISIT_COLUMNS, parse_log

ORIGINAL = Path(__file__).parents[1] / "data" / "original_fork.log"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """CSV rows that the command prints for the original's tiled log."""
    result = CliRunner().invoke(main, [str(ORIGINAL)])
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.output)))


def test_columns_are_the_originals_31(rows: list[dict[str, str]]) -> None:
    assert len(VISIT_COLUMNS) == 31
    assert tuple(rows[0]) == VISIT_COLUMNS


def test_repeated_steps_of_tiles_are_averaged(rows: list[dict[str, str]]) -> None:
    assert rows[0]["obj_select_real"] == "0.2"
    assert rows[0]["obj_selected"] == "200"
    assert rows[0]["obj_in_fov"] == "150"
    assert rows[0]["src_selected"] == "2000"
    assert rows[0]["fsrc_selected"] == "2300"


def test_select_real_is_the_sum_of_the_selects(rows: list[dict[str, str]]) -> None:
    assert float(rows[0]["select_real"]) == pytest.approx(0.2 + 0.5 + 0.1)


def test_nightly_insert_counts_as_object_insert(rows: list[dict[str, str]]) -> None:
    assert rows[0]["obj_insert_real"] == "0.7"
    assert rows[0]["obj_last_insert_real"] == "0.2"


def test_row_counts_are_not_mixed_with_the_last_table(
    rows: list[dict[str, str]],
) -> None:
    assert [rows[0][name] for name in ("obj_count", "src_count", "fsrc_count")] == [
        "1.7e+07",
        "1.5e+07",
        "1.7e+07",
    ]


def test_colours_do_not_hide_the_visit_time(rows: list[dict[str, str]]) -> None:
    assert (rows[0]["visit"], rows[0]["visit_real"], rows[0]["visit_cpu"]) == (
        "1000",
        "3.9",
        "0.82",
    )


def test_a_visit_that_was_cut_off_leaves_nothing_in_its_repetition(
    rows: list[dict[str, str]],
) -> None:
    assert [row["visit"] for row in rows] == ["1000", "1001"]
    assert rows[1]["obj_select_real"] == "NULL"
    assert rows[1]["visit_proc_real"] == "2"


def test_short_gives_eight_columns() -> None:
    result = CliRunner().invoke(main, ["--short", str(ORIGINAL)])

    assert result.output.splitlines()[0].count(",") == 7
    assert result.output.splitlines()[2].startswith("1001,2.9,0.8,2,0.03,NULL")


def test_daily_gives_the_nightly_merge() -> None:
    result = CliRunner().invoke(main, ["--daily", str(ORIGINAL)])

    assert result.output.splitlines() == [
        "visit,obj_daily_copy_real,obj_daily_delete_real",
        "NULL,191.25,29.5",
    ]


def test_the_end_of_an_mpi_tile_does_not_end_the_visit() -> None:
    times = "time: real=1.1 user=0.1 sys=0.1"
    lines = [
        "x [INFO] ap_proto: +++ Start processing visit 7 at 2019-01-01 22:00:00",
        "x [INFO] ap_proto: +++ Start processing visit 7 tile (0, 1) at 2019-01-01",
        "x [INFO] timer: DiaObject select: real=1.000 user=0.1 sys=0.1",
        f"x [INFO] ap_proto: --- Finished processing visit 7 tile (0, 1), {times}",
        "x [INFO] timer: DiaObject select: real=3.000 user=0.1 sys=0.1",
        "x [I] ap_proto: --- Finished processing visit 7, time: real=4.5 user=1 sys=0",
    ]

    (row,) = parse_log(lines)

    assert row["obj_select_real"] == 2
    assert row["visit_real"] == 4.5


def test_a_log_without_visits_is_an_error(tmp_path: Path) -> None:
    log = tmp_path / "empty.log"
    log.write_text("nothing here\n")

    result = CliRunner().invoke(main, [str(log)])

    assert result.exit_code == 1
    assert "no finished visit" in result.output
