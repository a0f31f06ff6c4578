"""Logs that were cut, CSV that went through a spreadsheet, names with dollar signs."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from l1db_pipeline.report.report import write_report
from l1db_pipeline.report.runs import RunDataError, read_run
from pipeline_runtime.figure_words import draw_words_plainly

LOG = """I: +++ Start processing visit 1 at 2026-01-01 03:00:00
I: Pointing ra, decl = 10.0, -20.0; xyz = 1, 2, 3
I: timer: VisitProcessing: real=4.5 user=0.5 sys=0.1
I: --- Finished processing visit 1, time: real=5.0 user=1.0 sys=0.2
"""
SECOND = """I: +++ Start processing visit 2 at 2026-01-01 03:00:40
I: Pointing ra, decl = 11.5, -21.5; xyz = 1, 2, 3
I: timer: VisitProcessing: real=4.5 user=0.5 sys=0.1
I: --- Finished processing visit 2, time: real=5.0 user=1.0 sys=0.2
"""
CSV = "visit,visit_real,visit_proc_real\n1,5.25,4.5\n2,6.25,NULL\n"


def test_a_log_that_is_cut_anywhere_gives_what_was_finished(tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    # in each line at each third place, and all along the last
    last = SECOND.index("I: ---")
    for end in (*range(0, last, 3), *range(last, len(SECOND) - len("0.2\n"))):
        file.write_text(LOG + SECOND[:end])

        run = read_run(file)

        assert run.visits["visit"].tolist() == [1], SECOND[:end]
        assert run.pointings_deg.tolist() in (
            [[10.0, -20.0]],
            [[10.0, -20.0], [11.5, -21.5]],
        )


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace(",", ";").replace(".", ",").encode("utf-8-sig"),
        CSV.replace(",", "\t").replace(".", ",").encode(),
        CSV.replace("visit,visit_real,visit_proc_real", '"visit","visit_real",'
                    '"visit_proc_real"').encode(),
        (CSV + ",,\n,,\n").encode(),
        CSV.replace("NULL", "").encode(),
    ],
    ids=["ours", "bom", "crlf", "semicolons", "tabs", "quotes", "empty rows", "empty"],
)  # fmt: skip
def test_csv_that_went_through_a_spreadsheet_is_the_same_run(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "run.csv"
    file.write_bytes(content)

    visits = read_run(file).visits

    assert visits["visit"].tolist() == [1, 2]
    assert visits["visit_real"].tolist() == [5.25, 6.25]
    np.testing.assert_equal(visits["visit_proc_real"].to_numpy(), [4.5, np.nan])


@pytest.mark.parametrize("value", ["1.234.567", "5s", "01.02.2026", "9" * 200_000])
def test_a_value_that_a_spreadsheet_spoilt_is_refused(
    value: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.csv"
    file.write_text(CSV.replace("5.25", value))

    with pytest.raises(RunDataError, match=r"run\.csv is not a CSV file of log2csv"):
        read_run(file)


def test_names_of_runs_are_drawn_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    file.write_text(CSV)
    names = ["from $a_{ to $b: 100 %", "$5 and $6 $\\alpha$"]

    page = write_report(tmp_path / "out", [read_run(file, name) for name in names])

    assert page.is_file()


def test_words_of_a_figure_are_no_mathematics_but_powers_of_ten_are() -> None:
    figure = Figure()
    plain, logarithmic = figure.subplots(1, 2)
    plain.barh(["$a$", "b$_2$"], [1, 2], label="$c$")
    plain.legend()
    figure.suptitle("$d$")
    logarithmic.set_xscale("log")
    logarithmic.set_xlim(1, 1000)

    draw_words_plainly(figure)
    figure.draw_without_rendering()

    words = {
        text.get_text(): text.get_parse_math()
        for text in figure.findobj(Text)
        if "$" in text.get_text()
    }
    assert {text for text, is_math in words.items() if not is_math} == {
        "$a$", "b$_2$", "$c$", "$d$",
    }  # fmt: skip
    assert any(text.startswith(r"$\mathdefault{10^") for text in words)
