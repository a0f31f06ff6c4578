"""The report of a bake-off: a page that begins with the answer, JSON beside it."""

import json
import math
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from l1db_pipeline.comparison.answer import YEAR_DEPTH, Answer, Row
from l1db_pipeline.comparison.bakeoff import STEPS, BakeOff, CandidateResult
from l1db_pipeline.comparison.figures import (
    bars_figure,
    data_tables,
    depth_figure,
    sizes_figure,
)
from l1db_pipeline.comparison.published_page import published_section
from l1db_pipeline.report.page import Section, Table, write_page

__all__ = ["JSON_NAME", "write_comparison"]

JSON_NAME = "comparison.json"

_MEASURED = ("client_s", "server_s", "wall_s", "log_bytes")
_DIGITS = 6
_METHOD = (
    "Each visit is made by every configuration before the next one, in an order that "
    "changes. Costs are those of all that a visit does, the daily job included, but "
    "for the simulation of its sources. Ratios and intervals (95 %) are of means over "
    "the last visits, by a bootstrap of blocks of consecutive visits that draws the "
    "same visits of both; two that differ by less than 2 %, or whose interval holds "
    "1, are not distinguishable."
)
_FIT = (
    "The better of two least-squares curves, in depth and in its logarithm, without "
    "the first visit of each field. The interval at a year spans the bootstraps of "
    "both: visits that are not that deep do not tell them apart. Bytes are prolonged "
    "with the slope of the second half of the visits, for the same fields. A guess, "
    "not a measurement: make more visits to narrow it."
)


def write_comparison(folder: Path, bakeoff: BakeOff) -> Path:
    """Write the page and the JSON into a folder; return the path of the page."""
    answer = Answer(bakeoff)
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(_plain(_as_json(answer)), allow_nan=False)
    (folder / JSON_NAME).write_text(content + "\n", encoding="utf-8")
    sections = [
        _answer(answer),
        _growth(answer),
        _steps(answer),
        _sizes(bakeoff),
        _digests(bakeoff),
        published_section(bakeoff),
        _configurations(bakeoff),
    ]
    return write_page(folder, answer.headline, sections)


def _answer(answer: Answer) -> Section:
    header = (
        "configuration", "verdict", "95 %", f"{answer.unit}, mean [ms]", "median",
        "middle half", "server CPU [ms]", "wall [ms]", "log [MB]", "disk [MB]",
    )  # fmt: skip
    rows = [
        [
            row.name,
            row.verdict,
            f"{row.to_best.low:.2f} to {row.to_best.high:.2f}" if row.to_best else "",
            _ms(row.cost.mean),
            _ms(row.cost.median),
            f"{_ms(row.cost.low)} to {_ms(row.cost.high)}",
            _server(row),
            _ms(row.wall_s.median),
            "?" if np.isnan(row.log_bytes) else f"{row.log_bytes / 1e6:.2f}",
            f"{row.total_bytes / 1e6:.1f}",
        ]
        for row in answer.rows
    ]
    return Section(
        title="",
        points=list(answer.points()),
        is_bad=None if answer.is_same else True,
        tables=[Table(header=header, rows=rows)],
        figures=[("costs", _METHOD, bars_figure(answer))],
    )


def _server(row: Row) -> str:
    if np.isnan(row.server_s):
        return "not visible"
    return _ms(row.server_s) if row.server_s else "-"


def _growth(answer: Answer) -> Section:
    year = f"at visit {YEAR_DEPTH} [ms]"
    header = (
        "configuration", "fit [s], depth: visit of a field", year, "95 %",
        "disk after a year of these fields [GB]", "best wins from visit",
    )  # fmt: skip
    rows = [
        [
            row.name,
            "too few returns" if row.growth is None else row.growth.formula,
            "" if row.growth is None else _ms(row.growth.at_a_year.value),
            ""
            if row.growth is None
            else f"{_ms(row.growth.at_a_year.low)} to {_ms(row.growth.at_a_year.high)}",
            f"{row.year_bytes / 1e9:.2f}",
            _crossing(row),
        ]
        for row in answer.rows
    ]
    return Section(
        title="Growth, and a year from now",
        text=_FIT,
        tables=[Table(header=header, rows=rows)],
        figures=[("growth", "Mean cost at each depth.", depth_figure(answer))],
    )


def _crossing(row: Row) -> str:
    if row.wins_from is None:
        return ""
    return f"{row.wins_from.depth}{'' if row.wins_from.is_measured else ' (prolonged)'}"


def _steps(answer: Answer) -> Section:
    last = slice(-answer.n_last, None)
    results = {r.candidate.name: r for r in answer.bakeoff.results}
    rows = [
        [
            row.name,
            *(
                _ms(float(np.median(results[row.name].costs.steps_s[step][:, last])))
                for step in STEPS
            ),
        ]
        for row in answer.rows
    ]
    return Section(
        title="Steps of a visit",
        text=f"Wall time in milliseconds, median of the last {answer.n_last} visits.",
        tables=[Table(header=("configuration", *STEPS), rows=rows)],
    )


def _sizes(bakeoff: BakeOff) -> Section:
    tables = data_tables(bakeoff)
    rows = [
        [r.candidate.name, *(f"{r.row_counts.get(table, 0):,}" for table in tables)]
        for r in bakeoff.results
    ]
    return Section(
        title="Rows and bytes",
        text="Tables that stay small (ledger, settings, visits) are left out.",
        tables=[Table(header=("rows", *tables), rows=rows)],
        figures=[("sizes", "Bytes of each table at the end.", sizes_figure(bakeoff))],
    )


def _digests(bakeoff: BakeOff) -> Section:
    parts = sorted({part for r in bakeoff.results for part in r.digests[-1]})
    rows = [
        [r.candidate.name, *(r.digests[-1].get(part, "")[:16] for part in parts)]
        for r in bakeoff.results
    ]
    return Section(
        title="Same content",
        text="First 16 letters of the digests of what each returns.",
        tables=[Table(header=("configuration", *parts), rows=rows)],
    )


def _configurations(bakeoff: BakeOff) -> Section:
    rows = [[r.candidate.name, str(r.config), r.server] for r in bakeoff.results]
    return Section(
        title="Configurations",
        text="The INI file of each configuration lies beside this page.",
        tables=[
            Table(header=("configuration", "options", "work of the server"), rows=rows)
        ],
    )


def _as_json(answer: Answer) -> dict[str, Any]:
    load, plan = answer.bakeoff.workload, answer.bakeoff.plan
    return {
        "headline": answer.headline,
        "points": list(answer.points()),
        "same_content": answer.is_same,
        "decided_by": answer.unit,
        "last_visits": answer.n_last,
        "year_depth": YEAR_DEPTH,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": answer.bakeoff.load,
            "python": platform.python_version(),
        },
        "plan": {
            "visits": len(load.visits),
            "fields": load.n_fields,
            "fields_deg": plan.fields_deg,
            "visits_file": plan.visits_file,
            "repeat": plan.repeat,
            "variables_per_field": plan.variables_per_field,
            "transients": plan.n_transients,
            "seed": plan.seed,
        },
        "configurations": [asdict(row) for row in answer.rows],
        "visit_ids": [visit.visit_id for visit in load.visits],
        "depth": answer.depth.tolist(),
        "measured": {r.candidate.name: _measured(r) for r in answer.bakeoff.results},
    }


def _measured(result: CandidateResult) -> dict[str, Any]:
    costs = result.costs
    return {
        "options": dict(result.candidate.options),
        "server": result.server,
        "digests": [dict(digest) for digest in result.digests],
        "sizes": result.sizes,
        **{name: getattr(costs, name) for name in _MEASURED},
    }


def _plain(value: object) -> object:
    """Return what JSON can hold: lists for arrays, `None` for NaN."""
    match value:
        case float() if math.isnan(value):
            return None
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case np.ndarray():
            return _plain(value.round(_DIGITS).tolist())
        case _:
            return value


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.1f}" if abs(milliseconds) < 100 else f"{milliseconds:,.0f}"
