"""The report of one or more runs: which tables and figures, in which order."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from l1db_pipeline.report import plots
from l1db_pipeline.report.growth import fit_line, without_row_counts
from l1db_pipeline.report.page import Section, Table, write_page
from l1db_pipeline.report.runs import Run

__all__ = ["DEFAULT_THRESHOLD_S", "file_stem", "write_report"]

DEFAULT_THRESHOLD_S = 10.0
"""Threshold of the published tests (DMTN-113); it is not a requirement."""

_EDGE = 10
_STEPS_CAPTION = (
    "time of each step. Boxes are quartiles, whiskers the full range, red squares "
    "means, the dashed line a least-squares fit."
)


def write_report(
    folder: Path, runs: Sequence[Run], *, threshold_s: float = DEFAULT_THRESHOLD_S
) -> Path:
    """Write a report of runs into a folder; return the path of its page.

    Parameters
    ----------
    folder
        Gets ``index.html`` and a PNG for each figure; made if needed.
    runs
        At least one.
    threshold_s
        Visit time over which a visit counts as slow.
    """
    sections = [_summary(runs, threshold_s)]
    if len(runs) > 1:
        figure = plots.runs_figure(runs)
        sections.append(
            Section(
                title="Runs together",
                figures=[
                    ("runs", "Mean time of a visit in each bin of visits.", figure)
                ],
            )
        )
    for number, run in enumerate(runs, start=1):
        stem = f"{number:02d}-{file_stem(run.name)}"
        sections.append(_run_section(run, stem))
    sections.append(
        Section(
            title="Tables",
            figures=[
                ("tables", "Rows and bytes of each table.", plots.tables_figure(runs))
            ],
        )
    )
    caption = f"Share of visits over {threshold_s:g} s, per bin."
    figure = plots.over_threshold_figure(runs, threshold_s)
    sections.append(
        Section(title="Slow visits", figures=[("over-threshold", caption, figure)])
    )
    return write_page(folder, "L1DB runs: " + ", ".join(r.name for r in runs), sections)


def file_stem(name: str) -> str:
    """Return a name fit for a file: letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "run"


def _summary(runs: Sequence[Run], threshold_s: float) -> Section:
    header = (
        "run", "visits", f"first {_EDGE} [s]", f"last {_EDGE} [s]", "last / first",
        "growth [s per 1000]", "select [s]", "store [s]", "CPU [s]",
        f"over {threshold_s:g} s", "read from",
    )  # fmt: skip
    return Section(
        title="Summary",
        text="Times of a visit are medians of wall time; CPU is the client's, user and "
        "system. Visits that counted rows are left out of times.",
        tables=[
            Table(header=header, rows=[_summary_row(r, threshold_s) for r in runs]),
            *(_settings_table(run) for run in runs if run.settings),
        ],
    )


def _summary_row(run: Run, threshold_s: float) -> list[str]:
    visits = without_row_counts(run.visits)
    total = visits["visit_real"].fillna(visits["visit_proc_real"])
    first, last = total.head(_EDGE).median(), total.tail(_EDGE).median()
    line = fit_line(visits["order"], total)
    return [
        run.name,
        str(len(run.visits)),
        _number(first),
        _number(last),
        _number(last / first),
        f"{line.slope_per_1000:+.3g}" if line else "",
        _number(visits["select_real"].median()),
        _number(visits["store_real"].median()),
        _number(visits["visit_cpu"].median()),
        f"{(total > threshold_s).mean():.1%}",
        run.source,
    ]


def _settings_table(run: Run) -> Table:
    rows = [[name, value] for name, value in sorted(run.settings.items())]
    return Table(header=(f"setting of {run.name}", "value"), rows=rows)


def _run_section(run: Run, stem: str) -> Section:
    figures = [
        (
            f"{stem}-steps",
            f"{run.name}: {_STEPS_CAPTION}",
            plots.steps_figure(run),
        ),
        (
            f"{stem}-fractions",
            f"{run.name}: shares of a visit's time, and of its store step.",
            plots.fractions_figure(run),
        ),
    ]
    if len(run.pointings_deg):
        caption = f"{run.name}: where the visits pointed (ICRS)."
        figures.append((f"{stem}-coverage", caption, plots.coverage_figure(run)))
    return Section(title=run.name, figures=figures)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"
