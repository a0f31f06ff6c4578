"""Reports of runs: from logs, CSV files and timings tables to pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.cli.log2csv import main as log2csv
from l1db_pipeline.cli.report import main
from l1db_pipeline.log2csv import VISIT_COLUMNS
from l1db_pipeline.report.growth import bins, fit_line, share_over, without_row_counts
from l1db_pipeline.report.page import Section, Table, write_page
from l1db_pipeline.report.report import file_stem, write_report
from l1db_pipeline.report.runs import Run, RunDataError, read_run, run_from_timings

LOG = Path(__file__).parents[1] / "data" / "original_fork.log"
N_VISITS = 60


@pytest.fixture(scope="module")
def timings() -> Catalog:
    """A timings table of a divided run, with row counts every ten visits."""
    rows: list[tuple[int, str, str, float, int | None, int | None]] = []
    for visit in range(1, N_VISITS + 1):
        for tile in ("0x0", "0x1"):
            seconds = 0.1 if tile == "0x0" else 0.3
            rows += [
                (visit, tile, "DiaObject select", seconds + visit / 1000, 5, None),
                (visit, tile, "DiaSource select", 0.1, 7, None),
                (visit, tile, "DiaSource select", 0.1, 3, None),
                (visit, tile, "DiaObject insert", 0.2, 9, None),
                (visit, tile, "L1-store", 0.2, 9, None),
            ]
        rows.append((visit, "", "VisitProcessing", 1.0 + visit / 100, None, None))
        rows.append((visit, "", "Visit", 1.1 + visit / 100, None, None))
        if visit % 10 == 0:
            rows.append((visit, "", "DiaSource rows", 0.0, 100 * visit, 8000 * visit))
    visit_ids, tiles, steps, real, n_rows, n_bytes = zip(*rows, strict=True)
    columns = {
        "visitId": np.array(visit_ids),
        "tile": np.array(tiles, dtype=object),
        "step": np.array(steps, dtype=object),
        "real_s": np.array(real),
        "user_s": np.array(real) / 4,
        "sys_s": np.array(real) / 4,
        "n_rows": np.array([n or 0 for n in n_rows]),
        "n_bytes": np.array([n or 0 for n in n_bytes]),
    }
    nulls = {
        "n_rows": np.array([n is None for n in n_rows]),
        "n_bytes": np.array([n is None for n in n_bytes]),
    }
    return Catalog(columns, nulls)


@pytest.fixture(scope="module")
def run(timings: Catalog) -> Run:
    rng = np.random.default_rng(1)
    pointings = np.column_stack([rng.uniform(0, 360, 50), rng.uniform(-90, 0, 50)])
    made = run_from_timings(timings, name="a <b> run", source="here")
    return replace(made, pointings_deg=pointings)


def test_steps_are_summed_in_a_tile_and_averaged_over_tiles(run: Run) -> None:
    first = run.visits.iloc[0]

    assert first["obj_select_real"] == pytest.approx(0.2 + 0.001)
    assert first["src_select_real"] == pytest.approx(0.2)
    assert first["select_real"] == pytest.approx(0.401)
    assert first["src_selected"] == 10
    assert first["visit_cpu"] == pytest.approx(1.11 / 2)


def test_rows_and_bytes_of_tables_are_found(run: Run) -> None:
    assert run.tables["table"].unique().tolist() == ["DiaSource"]
    assert run.tables["n_bytes"].tolist() == [8000 * v for v in range(10, 61, 10)]
    assert run.visits["src_count"].notna().sum() == 6


def test_a_run_without_timings_is_an_error(timings: Catalog) -> None:
    with pytest.raises(RunDataError, match="holds no timings"):
        run_from_timings(timings.take(np.array([], dtype=int)), name="x", source="db")


def test_logs_and_their_csv_give_the_same_run(tmp_path: Path) -> None:
    csv = tmp_path / "run.csv"
    csv.write_text(CliRunner().invoke(log2csv, [str(LOG)]).output)

    from_log, from_csv = read_run(LOG), read_run(csv, "named")

    pd.testing.assert_frame_equal(from_log.visits, from_csv.visits)
    assert (from_log.name, from_csv.name) == ("original_fork", "named")
    assert from_log.pointings_deg.tolist() == [[201.5, -33.25]]


def test_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("visit,visit_real\n1,fast\n")

    with pytest.raises(RunDataError, match="is not a CSV file of log2csv"):
        read_run(path)
    with pytest.raises(RunDataError, match="cannot read"):
        read_run(tmp_path / "none.csv")


def test_a_line_is_fitted_as_seconds_and_seconds_per_1000_visits() -> None:
    visit = pd.Series(np.arange(1.0, 101))

    line = fit_line(visit, 2 + visit * 0.003)

    assert line is not None
    assert (line.intercept, line.slope_per_1000) == pytest.approx((2, 3))
    assert fit_line(visit[:2], visit[:2]) is None


def test_bins_have_round_widths_and_hold_each_visit_once() -> None:
    visit = pd.Series(np.arange(1.0, 1001))

    found = bins(visit, visit, n_most=20)

    assert len(found) == 20
    assert {b.last - b.first + 1 for b in found} == {50}
    assert sum(len(b.measured) for b in found) == 1000


def test_share_over_a_threshold() -> None:
    visit = pd.Series(np.arange(1.0, 101))

    shares = share_over(visit, visit, 50)

    assert shares[0][1] == 0
    assert shares[-1][1] == 1


def test_visits_that_counted_rows_are_left_out(run: Run) -> None:
    assert len(without_row_counts(run.visits)) == N_VISITS - 6
    assert len(without_row_counts(run.visits.head(10))) == 10


def test_a_report_of_several_runs_is_one_page_and_its_pictures(
    run: Run, tmp_path: Path
) -> None:
    empty = read_run(LOG)

    page = write_report(tmp_path, [run, empty], threshold_s=1.4)

    text = page.read_text()
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert {
        "runs.png",
        "tables.png",
        "over-threshold.png",
        "01-a-b-run-steps.png",
        "01-a-b-run-fractions.png",
        "01-a-b-run-coverage.png",
    } <= pictures
    assert text.count("data:image/png;base64,") == len(pictures)
    assert "a &lt;b&gt; run" in text
    assert "<b> run" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_cells_of_tables_are_escaped(tmp_path: Path) -> None:
    table = Table(header=("<i>",), rows=[["<script>"]])

    page = write_page(tmp_path, "t", [Section(title="s", tables=[table])])

    assert "<script>" not in page.read_text()


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a b/c", "a-b-c"), ("../..", "run"), ("é", "run"), ("x_1.2", "x_1.2")],
)
def test_names_become_safe_file_names(name: str, stem: str) -> None:
    assert file_stem(name) == stem


def test_the_command_needs_something_to_report(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-o", str(tmp_path)])

    assert result.exit_code == 2
    assert "give at least one --config or FILE" in result.output


def test_the_command_says_which_file_it_cannot_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-o", str(tmp_path / "o"), "none.csv"])

    assert result.exit_code == 2
    assert "there is no file none.csv" in result.output
    assert not (tmp_path / "o").exists()


def test_csv_columns_are_those_of_a_run() -> None:
    assert tuple(read_run(LOG).visits.columns) == (*VISIT_COLUMNS, "order")


def test_plots_run_along_visits_whose_ids_are_days(timings: Catalog) -> None:
    ids = timings["visitId"]
    nights = 2026010100000 + np.where(ids > 30, 100_000, 0) + ids
    run = run_from_timings(
        Catalog({**timings.columns, "visitId": nights}, timings.nulls),
        name="nights",
        source="here",
    )

    assert run.visits["order"].tolist() == list(range(1, N_VISITS + 1))
    assert run.tables["order"].tolist() == [10, 20, 30, 40, 50, 60]
