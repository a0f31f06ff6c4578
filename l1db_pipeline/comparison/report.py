"""The report of a bake-off: who holds the same, who is faster, who stays so."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l1db_pipeline.comparison.bakeoff import BakeOff, CandidateResult
from l1db_pipeline.comparison.published import (
    FIELDS_PER_HEMISPHERE,
    PublishedRun,
    published_runs,
)
from l1db_pipeline.report.growth import bins, fit_line, without_row_counts
from l1db_pipeline.report.page import Section, Table, write_page
from l1db_pipeline.report.plots import COLORS, new_figure

__all__ = ["write_comparison"]

_NOT_COMPARABLE = (
    "Published runs are lines of reference. Their hardware differs from this machine's "
    "and from each other's: as absolute times they are not comparable, neither with "
    "the candidates nor across machines. What can be compared is how times grow with "
    "the depth of the survey, and the order of modes on one machine. Select and store "
    "of tiled runs are means over tiles, which worked in parallel."
)
_PUBLISHED_CAPTION = (
    "Time of a whole visit against depth: published runs (hardware: see the table), "
    "and in black the candidates. Not comparable as absolute times."
)
_SIZES_LEFT_OUT = ("L1Timings", "L1Settings")
_DATA_TABLES = ("Dia", "L1Packed")


def write_comparison(folder: Path, bakeoff: BakeOff) -> Path:
    """Write the report of a bake-off into a folder; return the path of its page."""
    sections = [
        _verdict(bakeoff),
        _side_by_side(bakeoff),
        _growth(bakeoff),
        _sizes(bakeoff),
        _published(bakeoff),
        _configurations(bakeoff),
    ]
    return write_page(folder, "L1DB schema comparison", sections)


def _verdict(bakeoff: BakeOff) -> Section:
    plan, differing = bakeoff.plan, bakeoff.differing
    work = (
        f"{plan.visits} visits to {plan.fields} fields, about "
        f"{plan.variables_per_field} variable and {plan.n_transients} other sources "
        f"each, seed {plan.seed}"
    )
    if differing:
        parts = "; ".join(
            f"{name} ({', '.join(where)})" for name, where in differing.items()
        )
        text = (
            f"Science content differs from that of "
            f"{bakeoff.results[0].candidate.name}: {parts}. Times below do not compare "
            "the same work."
        )
    else:
        text = (
            f"All {len(bakeoff.results)} candidates hold the same science content: "
            f"objects, sources and forced sources as the API reads them, after {work}."
        )
    parts_of = sorted({part for r in bakeoff.results for part in r.digest})
    rows = [
        [r.candidate.name, *(r.digest.get(part, "")[:16] for part in parts_of)]
        for r in bakeoff.results
    ]
    return Section(
        title="Same content?",
        text=text,
        is_bad=bool(differing),
        tables=[Table(header=("candidate", *parts_of), rows=rows)],
    )


def _database_seconds(result: CandidateResult) -> "pd.Series[float]":
    visits = result.run.visits
    return visits["select_real"].fillna(0) + visits["store_real"].fillna(0)


def _side_by_side(bakeoff: BakeOff) -> Section:
    edge = max(1, bakeoff.plan.visits // 5)
    medians = [_database_seconds(r).median() for r in bakeoff.results]
    best = min(medians)
    sizes = [_total_bytes(r) for r in bakeoff.results]
    rows = []
    for result, median, size in zip(bakeoff.results, medians, sizes, strict=True):
        seconds, visits = _database_seconds(result), result.run.visits
        first, last = seconds.head(edge).median(), seconds.tail(edge).median()
        line = fit_line(visits["order"], seconds)
        rows.append(
            [
                result.candidate.name,
                f"{1000 * median:.1f}",
                f"{median / best:.2f}",
                f"{1000 * visits['select_real'].median():.1f}",
                f"{1000 * visits['store_real'].median():.1f}",
                f"{1000 * visits['visit_proc_cpu'].median():.1f}",
                f"{last / first:.2f}",
                f"{1000 * line.slope_per_1000 / 1000:+.3f}" if line else "",
                f"{size / 1e6:.1f}",
                f"{size / min(sizes):.2f}",
            ]
        )
    header = (
        "candidate", "select + store [ms]", "ratio to fastest", "select [ms]",
        "store [ms]", "client CPU [ms]", f"last {edge} / first {edge}",
        "growth [ms per visit]", "size [MB]", "ratio to smallest",
    )  # fmt: skip
    return Section(
        title="Side by side",
        text="Medians over visits of wall time in database steps. Client CPU is of all "
        "of a visit but its simulation. Growth is a least-squares line.",
        tables=[Table(header=header, rows=rows)],
        figures=[
            (
                "side-by-side",
                "Median time of a visit's steps in the last fifth of the visits.",
                _bars(bakeoff, edge),
            )
        ],
    )


def _bars(bakeoff: BakeOff, edge: int) -> Figure:
    names = [r.candidate.name for r in bakeoff.results]
    figure, (panel,) = new_figure(panel_inches=(9, 1.2 + 0.32 * len(names)))
    parts = (
        ("obj_select_real", "DiaObject select"),
        ("src_select_real", "DiaSource select"),
        ("fsrc_select_real", "DiaForcedSource select"),
        ("store_real", "store"),
    )
    left = np.zeros(len(names))
    for (key, title), color in zip(parts, COLORS, strict=False):
        width = np.array(
            [1000 * r.run.visits[key].tail(edge).median() for r in bakeoff.results]
        )
        width = np.nan_to_num(width)
        panel.barh(names, width, left=left, color=color, label=title)
        left += width
    for place, total in enumerate(left):
        panel.text(total, place, f" {total:.0f}", va="center", fontsize=8)
    panel.invert_yaxis()
    panel.set(xlabel="milliseconds", title=f"last {edge} visits")
    panel.margins(x=0.08)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _growth(bakeoff: BakeOff) -> Section:
    figure, (panel,) = new_figure(panel_inches=(9, 4.4))
    for number, result in enumerate(bakeoff.results):
        visits = without_row_counts(result.run.visits)
        seconds = _database_seconds(result).loc[visits.index]
        found = bins(visits["order"], seconds, n_most=15)
        panel.plot(
            [b.centre for b in found],
            [1000 * float(np.median(b.measured)) for b in found],
            ("-", "--", ":")[number // len(COLORS) % 3],
            color=COLORS[number % len(COLORS)],
            marker=".",
            label=result.candidate.name,
        )
    panel.set(xlabel="visit", ylabel="select + store [ms], median of bin")
    panel.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", fontsize=8)
    caption = "Database time of a visit as the tables grow."
    return Section(title="Growth", figures=[("growth", caption, figure)])


def _sizes(bakeoff: BakeOff) -> Section:
    tables = sorted(
        {
            table
            for r in bakeoff.results
            for table, size in r.table_bytes.items()
            if size and r.row_counts.get(table) and table.startswith(_DATA_TABLES)
        }
    )
    names = [r.candidate.name for r in bakeoff.results]
    figure, (panel,) = new_figure(panel_inches=(9, 1.2 + 0.32 * len(names)))
    left = np.zeros(len(names))
    for number, table in enumerate(tables):
        width = np.array([r.table_bytes.get(table, 0) / 1e6 for r in bakeoff.results])
        panel.barh(
            names, width, left=left, label=table, color=COLORS[number % len(COLORS)],
            hatch="" if number < len(COLORS) else "//",
        )  # fmt: skip
        left += width
    panel.invert_yaxis()
    panel.set(xlabel="MB, indexes included")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    rows = [
        [r.candidate.name, *(f"{r.row_counts.get(table, 0):,}" for table in tables)]
        for r in bakeoff.results
    ]
    return Section(
        title="Rows and size",
        text="Tables that stay small (ledger, settings, visits) are left out.",
        tables=[Table(header=("rows", *tables), rows=rows)],
        figures=[("sizes", "Bytes of each table at the end.", figure)],
    )


def _published(bakeoff: BakeOff) -> Section:
    runs = published_runs()
    figure, (panel,) = new_figure(panel_inches=(10, 6.5))
    styles = ("-", "--", ":", "-.")
    for number, run in enumerate(runs):
        points = [(v / FIELDS_PER_HEMISPHERE, s) for v, _, _, s in run.points if s]
        panel.plot(
            *zip(*points, strict=True),
            styles[number // len(COLORS) % 4],
            color=COLORS[number % len(COLORS)],
            lw=0.9,
            alpha=0.7,
            label=f"{run.ticket}: {run.title}",
        )
    for result in bakeoff.results:
        visits = without_row_counts(result.run.visits)
        found = bins(visits["order"], visits["visit_real"], n_most=10)
        panel.plot(
            [b.centre / bakeoff.plan.fields for b in found],
            [float(np.median(b.measured)) for b in found],
            color="black",
            lw=2,
        )
    panel.plot([], [], color="black", lw=2, label="candidates of this comparison")
    panel.set(
        xscale="log",
        yscale="log",
        xlabel="depth: visits / fields of view of the observed sky",
        ylabel="seconds of a whole visit",
        title="reference only: other hardware, other numbers of sources",
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=6.5)
    return Section(
        title="Published runs",
        text=_NOT_COMPARABLE,
        tables=[_published_table(runs)],
        figures=[("published", _PUBLISHED_CAPTION, figure)],
    )


def _published_table(runs: Sequence[PublishedRun]) -> Table:
    rows = []
    for run in runs:
        known = [(visit, total) for visit, _, _, total in run.points if total]
        (first, first_s), (last, last_s) = known[0], known[-1]
        rows.append(
            [
                run.title,
                run.ticket,
                run.hardware,
                run.note,
                f"{first:,}",
                f"{first_s:.3g}",
                f"{last:,}",
                f"{last_s:.3g}",
                f"{last_s / first_s:.1f}",
            ]
        )
    header = (
        "published run", "ticket", "hardware", "note", "at visit", "visit [s]",
        "at visit", "visit [s]", "last / first",
    )  # fmt: skip
    return Table(header=header, rows=rows)


def _configurations(bakeoff: BakeOff) -> Section:
    rows = [[r.candidate.name, str(r.config)] for r in bakeoff.results]
    return Section(
        title="Configurations",
        text="The INI file of each candidate lies beside this page.",
        tables=[Table(header=("candidate", "configuration"), rows=rows)],
    )


def _total_bytes(result: CandidateResult) -> int:
    return sum(
        size
        for table, size in result.table_bytes.items()
        if table not in _SIZES_LEFT_OUT
    )
