"""The figures of a comparison: costs now, costs by depth, bytes by table."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from l1db_pipeline.comparison.answer import YEAR_DEPTH, Answer
from l1db_pipeline.comparison.bakeoff import BakeOff
from l1db_pipeline.report.plots import COLORS, new_figure

__all__ = ["bars_figure", "by_depth", "data_tables", "depth_figure", "sizes_figure"]

Floats = NDArray[np.float64]

_MOST_POINTS = 40
_DATA_TABLES = ("Dia", "L1Packed")
_MARKS = "os^vDP*X"


def by_depth(depth: NDArray[np.int64], costs: Floats) -> tuple[Floats, Floats]:
    """Return the mean cost at each depth, neighbours together if there are many.

    Parameters
    ----------
    depth
        Of each visit.
    costs
        Shape ``(repeat, visit)``.
    """
    width = max(1, -(-int(depth.max()) // _MOST_POINTS))
    group = (depth - 1) // width
    found = np.unique(group)
    means = [(depth[group == g].mean(), costs[:, group == g].mean()) for g in found]
    x, y = np.array(means, dtype=np.float64).T
    return x, y


def bars_figure(answer: Answer) -> Figure:
    """Draw what a visit costs in the last visits, client and server apart."""
    rows = answer.rows
    names = [row.name for row in rows]
    figure, (panel,) = new_figure(panel_inches=(9, 0.9 + 0.3 * len(names)))
    client = np.array([1000 * row.client_s for row in rows])
    server = np.nan_to_num([1000 * row.server_s for row in rows])
    panel.barh(names, client, color=COLORS[0], label="CPU of the client")
    panel.barh(names, server, left=client, color=COLORS[1], label="CPU of the server")
    walls = [1000 * row.wall_s.median for row in rows]
    panel.plot(walls, names, "k|", ms=12, mew=2, label="wall time, median")
    panel.invert_yaxis()
    panel.set(xlabel=f"milliseconds a visit, mean of the last {answer.n_last} visits")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def depth_figure(answer: Answer) -> Figure:
    """Draw cost against depth, the fits, and where they lead in a year."""
    figure, panels = new_figure(1, 2, panel_inches=(5.4, 3.8))
    near, far = panels
    deepest = int(answer.depth.max())
    results = {r.candidate.name: r for r in answer.bakeoff.results}
    for number, row in enumerate(answer.rows):
        color = COLORS[number % len(COLORS)]
        line = ("-", "--", ":")[number // len(COLORS) % 3]
        mark = _MARKS[number % len(_MARKS)]
        x, y = by_depth(answer.depth, answer.costs(results[row.name]))
        near.plot(x, 1000 * y, mark, color=color, ms=4, label=row.name)
        if row.growth is None:
            continue
        measured = np.linspace(2, max(2, deepest), 50)
        near.plot(
            measured, 1000 * row.growth.at(measured), ls=line, lw=1.2, color=color
        )
        whole = np.linspace(2, max(YEAR_DEPTH, deepest), 200)
        far.plot(whole, 1000 * row.growth.at(whole), ls=line, lw=1.2, color=color)
        year = row.growth.at_a_year
        shift = 1 + 0.006 * number  # so that intervals do not hide each other
        far.errorbar(
            YEAR_DEPTH * shift,
            1000 * year.value,
            [[1000 * (year.value - year.low)], [1000 * (year.high - year.value)]],
            fmt=mark,
            ms=4,
            capsize=3,
            color=color,
        )
    far.axvspan(0, deepest, color="#eeeeee", zorder=0)
    label = f"{answer.unit} a visit [ms]"
    near.set(xlabel="visit of a field", ylabel=label, title="measured, and the fits")
    far.set(
        xlabel="visit of a field; grey: measured",
        ylabel=label,
        title=f"the fits, prolonged to visit {YEAR_DEPTH} of a field, a year",
    )
    for panel in panels:
        panel.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure


def data_tables(bakeoff: BakeOff) -> list[str]:
    """Return the tables that hold data, in any candidate."""
    return sorted(
        {
            table
            for result in bakeoff.results
            for table, size in result.table_bytes.items()
            if size and result.row_counts.get(table) and table.startswith(_DATA_TABLES)
        }
    )


def sizes_figure(bakeoff: BakeOff) -> Figure:
    """Draw the bytes of each table at the end."""
    names = [result.candidate.name for result in bakeoff.results]
    figure, (panel,) = new_figure(panel_inches=(9, 1.2 + 0.32 * len(names)))
    left = np.zeros(len(names))
    for number, table in enumerate(data_tables(bakeoff)):
        width = np.array([r.table_bytes.get(table, 0) / 1e6 for r in bakeoff.results])
        panel.barh(
            names, width, left=left, label=table, color=COLORS[number % len(COLORS)],
            hatch="" if number < len(COLORS) else "//",
        )  # fmt: skip
        left += width
    panel.invert_yaxis()
    panel.set(xlabel="MB, indexes included")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure
