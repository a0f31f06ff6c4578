"""The published runs of the original prototype, drawn beside a comparison."""

from collections.abc import Sequence

from l1db_pipeline.comparison.bakeoff import BakeOff
from l1db_pipeline.comparison.figures import by_depth
from l1db_pipeline.comparison.published import (
    FIELDS_PER_HEMISPHERE,
    PublishedRun,
    published_runs,
)
from l1db_pipeline.report.page import Section, Table
from l1db_pipeline.report.plots import COLORS, new_figure

__all__ = ["published_section"]

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


def published_section(bakeoff: BakeOff) -> Section:
    """Return the published runs, and the candidates among them."""
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
    depth = bakeoff.workload.depth
    for result in bakeoff.results:
        panel.plot(*by_depth(depth, result.costs.wall_s), color="black", lw=2, zorder=3)
    panel.plot([], [], color="black", lw=2, label="candidates of this comparison")
    panel.set(
        xscale="log",
        yscale="log",
        xlabel="depth: visits of a field",
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
