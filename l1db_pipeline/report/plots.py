"""Figures of a report: each function takes runs and returns one figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l1db_pipeline.report.growth import bins, fit_line, share_over, without_row_counts
from l1db_pipeline.report.runs import Run
from l1db_pipeline.report.visit_costs import VisitCost

__all__ = [
    "COLORS",
    "costs_figure",
    "coverage_figure",
    "fractions_figure",
    "new_figure",
    "over_threshold_figure",
    "runs_figure",
    "steps_figure",
    "tables_figure",
]

COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
"""Colours that colour-blind readers tell apart (Okabe and Ito 2008)."""

_STEP_PANELS = (
    ("visit_real", "whole visit"),
    ("visit_proc_real", "visit processing"),
    ("select_real", "select (all tables)"),
    ("store_real", "store (all tables)"),
    ("obj_select_real", "DiaObject select"),
    ("src_select_real", "DiaSource select"),
    ("fsrc_select_real", "DiaForcedSource select"),
    ("visit_cpu", "whole visit, client CPU"),
)
_STORE_PARTS = (
    ("obj_insert_real", "DiaObject insert"),
    ("obj_last_insert_real", "DiaObjectLast insert"),
    ("obj_last_delete_real", "DiaObjectLast delete"),
    ("obj_trunc_real", "DiaObject interval closing"),
    ("src_insert_real", "DiaSource insert"),
    ("fsrc_insert_real", "DiaForcedSource insert"),
)


def new_figure(
    n_rows: int = 1, n_columns: int = 1, *, panel_inches: tuple[float, float] = (5.2, 3)
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, row by row, with grids and readable type."""
    figure = Figure(
        figsize=(panel_inches[0] * n_columns, panel_inches[1] * n_rows),
        layout="constrained",
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
    for panel in panels:
        panel.grid(color="0.9")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def steps_figure(run: Run) -> Figure:
    """Draw the time of each step against visits: boxes per bin, means, fitted line.

    Boxes span quartiles, whiskers the full range, squares are means.
    """
    visits = without_row_counts(run.visits)
    shown = [(key, title) for key, title in _STEP_PANELS if visits[key].notna().any()]
    n_rows = max(1, (len(shown) + 1) // 2)
    figure, panels = new_figure(n_rows, 2)
    for panel, (key, title) in zip(panels, shown, strict=False):
        _boxes(panel, visits["order"], visits[key])
        panel.set(title=title, xlabel="visit", ylabel="seconds")
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    figure.suptitle(run.name)
    return figure


def tables_figure(runs: Sequence[Run]) -> Figure:
    """Draw rows and bytes of each table against visits, a line style for each run."""
    figure, (rows, size) = new_figure(1, 2, panel_inches=(5.8, 3.8))
    names = sorted({name for run in runs for name in run.tables["table"].unique()})
    for column, panel, scale in (("n_rows", rows, 1), ("n_bytes", size, 1e6)):
        for run, style in zip(runs, _styles(len(runs)), strict=True):
            for name, color in zip(names, _colors(len(names)), strict=True):
                table = run.tables[run.tables["table"] == name].dropna(subset=[column])
                if not table.empty:
                    label = name if len(runs) == 1 else f"{name} · {run.name}"
                    panel.plot(
                        table["order"], table[column] / scale, style,
                        color=color, label=label, marker=".",
                    )  # fmt: skip
    rows.set(title="rows", xlabel="visit", ylabel="rows")
    size.set(title="size with indexes", xlabel="visit", ylabel="MB")
    if rows.lines:
        figure.legend(
            *rows.get_legend_handles_labels(), loc="outside right upper", fontsize=7
        )
    for panel in (rows, size):
        if not panel.lines:
            _legend_or_note(panel, "not counted in these runs")
    return figure


def fractions_figure(run: Run) -> Figure:
    """Draw what a visit's time is spent on: parts of the whole, and of the store."""
    visits = without_row_counts(run.visits)
    figure, (whole, store) = new_figure(1, 2, panel_inches=(5.8, 3.8))
    total = visits["visit_real"].fillna(visits["visit_proc_real"])
    select, stored = visits["select_real"].fillna(0), visits["store_real"].fillna(0)
    parts = pd.DataFrame(
        {
            "select": select / total,
            "store": stored / total,
            "rest (simulate, match, ...)": (total - select - stored).clip(0) / total,
        }
    )
    _shares(whole, visits["order"], parts)
    cpu = [(b.centre, b.measured.mean()) for b in bins(
        visits["order"], visits["visit_cpu"] / total
    )]  # fmt: skip
    if cpu:
        whole.plot(*zip(*cpu, strict=True), "k--", label="client CPU / wall")
    whole.set(title="share of the visit's wall time", xlabel="visit", ylim=(0, 1.05))
    shown = {title: visits[key] / stored for key, title in _STORE_PARTS
             if visits[key].notna().any()}  # fmt: skip
    _shares(store, visits["order"], pd.DataFrame(shown))
    store.set(title="share of the store's wall time", xlabel="visit", ylim=(0, 1.05))
    for panel in (whole, store):
        _legend_or_note(panel, "no such timings in this run")
    figure.suptitle(run.name)
    return figure


def over_threshold_figure(runs: Sequence[Run], threshold_s: float) -> Figure:
    """Draw the share of visits that take longer than a threshold, per bin."""
    figure, (panel,) = new_figure(1, 1, panel_inches=(7.5, 3.2))
    for run, color in zip(runs, _colors(len(runs)), strict=True):
        visits = without_row_counts(run.visits)
        shares = share_over(visits["order"], _total(visits), threshold_s)
        if shares:
            panel.plot(
                *zip(*shares, strict=True), color=color, marker="o", label=run.name
            )
    panel.set(
        title=f"visits that take more than {threshold_s:g} s",
        xlabel="visit",
        ylabel="share of visits",
        ylim=(-0.03, 1.03),
    )
    _legend_or_note(panel, "no visit times")
    return figure


def runs_figure(runs: Sequence[Run]) -> Figure:
    """Draw the mean time of a visit of several runs together, with their lines."""
    figure, (panel,) = new_figure(1, 1, panel_inches=(7.5, 4))
    for run, color in zip(runs, _colors(len(runs)), strict=True):
        visits = without_row_counts(run.visits)
        found = bins(visits["order"], _total(visits))
        centres = [b.centre for b in found]
        means = [b.measured.mean() for b in found]
        panel.plot(centres, means, "s-", color=color, label=run.name, markersize=4)
    panel.set(title="time of a visit", xlabel="visit", ylabel="seconds (mean of bin)")
    panel.set_ylim(bottom=0)
    _legend_or_note(panel, "no visit times")
    return figure


def coverage_figure(run: Run) -> Figure:
    """Draw where the visits pointed, equal-area, coloured by visits per cell."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    panel = figure.add_subplot(projection="mollweide")
    panel.grid(color="0.85")
    ra_deg, dec_deg = run.pointings_deg.T
    longitude = np.radians((ra_deg + 180) % 360 - 180)
    # cells of equal area: sin(dec) is uniform on the sphere
    cell = np.floor(ra_deg / 5) * 1000 + np.floor(
        (np.sin(np.radians(dec_deg)) + 1) * 40
    )
    _, inverse, counts = np.unique(cell, return_inverse=True, return_counts=True)
    dots = panel.scatter(
        longitude, np.radians(dec_deg), c=counts[inverse], s=12, cmap="viridis"
    )
    figure.colorbar(
        dots, ax=panel, shrink=0.7, label="visits within the same cell of 5° in RA"
    )
    panel.set_title(f"{run.name}: {len(ra_deg)} visits")
    panel.set_xticklabels(
        [f"{ra}°" for ra in (210, 240, 270, 300, 330, 0, 30, 60, 90, 120, 150)],
        fontsize=7,
    )
    return figure


def costs_figure(costs: Sequence[VisitCost]) -> Figure:
    """Draw a point a visit, in their order: time and rows; name the slowest."""
    figure, (time, rows) = new_figure(2, 1, panel_inches=(7.5, 2.6))
    order = range(1, len(costs) + 1)
    wall = [cost.wall_s for cost in costs]
    time.plot(order, wall, ".", color=COLORS[0], label="wall")
    time.plot(order, [c.cpu_s for c in costs], ".", color=COLORS[1], label="client CPU")
    slowest = max(range(len(costs)), key=wall.__getitem__)
    time.annotate(f"{costs[slowest].visit_id}", (slowest + 1, wall[slowest]))
    time.set(ylabel="seconds")
    time.set_ylim(bottom=0)
    time.legend(fontsize=7)
    rows.plot(order, [cost.n_rows for cost in costs], ".", color=COLORS[2])
    rows.set(xlabel="visit", ylabel="rows stored")
    rows.set_ylim(bottom=0)
    return figure


def _total(visits: pd.DataFrame) -> "pd.Series[float]":
    return visits["visit_real"].fillna(visits["visit_proc_real"])


def _boxes(panel: Axes, visit: "pd.Series[float]", values: "pd.Series[float]") -> None:
    """Draw boxes of all bins at once; `Axes.boxplot` takes ten times as long."""
    found = bins(visit, values)
    centres = np.array([b.centre for b in found])
    half = (found[0].last - found[0].first + 1) * 0.3
    low, q1, median, q3, high = np.array(
        [np.percentile(b.measured, (0, 25, 50, 75, 100)) for b in found]
    ).T
    panel.vlines(centres, low, high, color="0.3", lw=1)
    panel.bar(
        centres, q3 - q1, 2 * half, bottom=q1, color="white", edgecolor="0.3", zorder=2
    )
    panel.hlines(median, centres - half, centres + half, color=COLORS[0], zorder=3)
    means = [b.measured.mean() for b in found]
    panel.plot(centres, means, "s", color="red", markersize=3, zorder=4)
    panel.set_ylim(0, 1.2 * max(b.measured.max() for b in found) or 1)
    if line := fit_line(visit, values):
        ends = np.array([visit.min(), visit.max()], dtype=np.float64)
        panel.plot(ends, line.at(ends), "--", color=COLORS[2])
        panel.annotate(
            f"{line.intercept:.3g} s {line.slope_per_1000:+.3g} s per 1000 visits",
            (0.02, 0.97), xycoords="axes fraction", va="top", fontsize=8,
            color=COLORS[2], bbox={"facecolor": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip


def _shares(panel: Axes, visit: "pd.Series[float]", parts: pd.DataFrame) -> None:
    binned = {name: bins(visit, parts[name]) for name in parts}
    binned = {name: found for name, found in binned.items() if found}
    if not binned:
        return
    centres = [b.centre for b in next(iter(binned.values()))]
    heights = [
        [b.measured.mean() for b in found]
        for found in binned.values()
        if len(found) == len(centres)
    ]
    panel.stackplot(
        centres,
        heights,
        labels=[str(name) for name in binned],
        colors=_colors(len(heights)),
        alpha=0.75,
    )
    if len(centres) == 1:
        panel.set_xlim(centres[0] - 1, centres[0] + 1)


def _legend_or_note(panel: Axes, note: str) -> None:
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=7, framealpha=0.85)
    else:
        panel.text(0.5, 0.5, note, transform=panel.transAxes, ha="center", color="0.4")


def _colors(n: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(n)]


def _styles(n: int) -> list[str]:
    return [("-", "--", ":", "-.")[i % 4] for i in range(n)]
