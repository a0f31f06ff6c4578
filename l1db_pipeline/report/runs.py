"""A run to report: its numbers per visit, wherever they were kept."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.report.ap_proto_log import (
    SELECT_KEYS,
    STEP_KEYS,
    VISIT_COLUMNS,
    LogParser,
)
from l1db_pipeline.runs.cadence import CADENCE_SETTING
from l1db_pipeline.runs.kept_pointings import pointings_of
from l1db_pipeline.runs.settings import SETTING_NAMES
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.timing import TABLE_ROWS_STEP
from pipeline_runtime.documents import open_regular
from pipeline_runtime.urls import safe_url

__all__ = [
    "TOTAL_STEP",
    "Run",
    "RunDataError",
    "read_csv",
    "read_database",
    "read_log",
    "read_run",
    "read_store",
    "run_from_timings",
]

TOTAL_STEP = "Visit"
"""Name of the step that spans a whole visit."""

_LONGEST_LINE = 10_000
_HEADER = re.compile(r'"?visit"?([,;\t])')
_NUMBER = r"([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)"
_POINTING = re.compile(rf"Pointing ra, decl = {_NUMBER}, *{_NUMBER}\s*[;\n]")
_LARGEST_COUNT = 10_000_000
"""Larger visit ids are of days, as 2026010100001."""
_MOST_POINTINGS = 2000
"""Pointings are settings of the database, read one by one."""
_ROWS_SUFFIX = TABLE_ROWS_STEP.format(table="")
_ROW_STEPS = {
    "Objects-read": "obj_in_fov",
    "DiaObject select": "obj_selected",
    "DiaSource select": "src_selected",
    "DiaForcedSource select": "fsrc_selected",
}
_COUNT_COLUMNS = {
    "obj_count": "DiaObject",
    "src_count": "DiaSource",
    "fsrc_count": "DiaForcedSource",
}


class RunDataError(L1dbError):
    """A file or database holds no timings of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a report shows of one run."""

    name: str
    source: str
    """Where the numbers come from, for people."""
    visits: pd.DataFrame
    """A row per visit, sorted; `VISIT_COLUMNS`, seconds and rows, NaN for none.

    Column ``order`` is what plots run along: the visit's id, or its place in the run
    where ids (day and sequence number) do not count on.
    """
    tables: pd.DataFrame
    """Columns ``visit``, ``order``, ``table``, ``n_rows``, ``n_bytes`` (NaN: unknown).
    """
    pointings_deg: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    """RA and Dec of visits, ICRS, shape ``(n, 2)``; empty if not known."""
    settings: Mapping[str, str] = field(default_factory=dict)


def read_run(path: Path, name: str | None = None) -> Run:
    """Read a run from a CSV file of `log2csv` or, by its content, from a log.

    Raises
    ------
    RunDataError
        If the file holds no visit.
    """
    try:
        with open_regular(path) as stream:
            first = stream.readline(_LONGEST_LINE).decode("utf-8-sig", "replace")
    except OSError as error:
        raise RunDataError(f"cannot read {path}: {error.strerror}") from error
    if _HEADER.match(first):
        return read_csv(path, name)
    return read_log(path, name)


def read_csv(path: Path, name: str | None = None) -> Run:
    """Read a run from a CSV file as `log2csv` and the original write it.

    A spreadsheet may have saved it since, with a byte order mark, semicolons or tabs
    between values, quotes, and decimal commas.

    Raises
    ------
    RunDataError
        If a value is not a number; the text says where.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        header = _HEADER.match(stream.readline(_LONGEST_LINE))
    separator = header[1] if header else ","
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter=separator))
        numbers = [
            {
                key: _number(value, separator)
                for key, value in row.items()
                if key is not None
            }
            for row in rows
            if any(row.values())
        ]
    except (ValueError, AttributeError, csv.Error) as error:
        raise RunDataError(f"{path} is not a CSV file of log2csv: {error}") from error
    return _run(numbers, name or path.stem, str(path))


def _number(text: str | None, separator: str) -> float:
    if text is None or text.strip() in {"NULL", ""}:
        return float("nan")
    return float(text.replace(",", ".") if separator != "," else text)


def read_log(path: Path, name: str | None = None) -> Run:
    """Read a run from a log of ap_proto, ours or the original's."""
    parser = LogParser()
    pointings: list[tuple[float, float]] = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        rows = []
        for line in stream:
            if (row := parser.feed(line)) is not None:
                rows.append(row)
            elif "Pointing ra, decl = " in line:
                pointings += _pointing(line)
    return _run(rows, name or path.stem, str(path), np.array(pointings).reshape(-1, 2))


def read_store(store: L1Store, *, name: str, source: str) -> Run:
    """Read a run from what its database keeps: timings, settings, pointings."""
    names = (*SETTING_NAMES, CADENCE_SETTING)
    settings = {key: store.get_setting(key) for key in names}
    run = run_from_timings(
        store.read_timings(),
        name=name,
        source=source,
        settings={key: value for key, value in settings.items() if value is not None},
    )
    visit_ids = run.visits["visit"].astype(int)
    every = -(-len(visit_ids) // _MOST_POINTINGS)
    pointings = pointings_of(store, visit_ids.iloc[::every].tolist())
    return replace(run, pointings_deg=pointings)


def read_database(config_file: Path, name: str | None = None) -> Run:
    """Read a run from the database that an INI file names.

    Raises
    ------
    L1dbError
        If the file or the database cannot be read, or holds no timings.
    """
    config = L1dbConfig.from_ini(config_file)
    store = open_store(config)
    try:
        source = safe_url(config.url)
        return read_store(store, name=name or config_file.stem, source=source)
    finally:
        store.close()


def run_from_timings(
    timings: Catalog,
    *,
    name: str,
    source: str,
    settings: Mapping[str, str] | None = None,
) -> Run:
    """Make a run of a timings table; steps of tiles are averaged as in `log2csv`."""
    frame = _timings_frame(timings)
    if frame.empty:
        raise RunDataError(f"{source} holds no timings: was ap_proto run with it?")
    is_table = frame["step"].str.endswith(_ROWS_SUFFIX)
    sizes = frame[is_table]
    tables = pd.DataFrame(
        {
            "visit": sizes["visit"],
            "table": sizes["step"].str.removesuffix(_ROWS_SUFFIX),
            "n_rows": sizes["n_rows"],
            "n_bytes": sizes["n_bytes"],
        }
    ).reset_index(drop=True)
    visits, tables = _in_order(_visits_frame(frame[~is_table], tables), tables)
    return Run(
        name=name,
        source=source,
        visits=visits,
        tables=tables,
        settings=dict(settings or {}),
    )


def _in_order(
    visits: pd.DataFrame, tables: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both with column ``order``."""
    ids = np.unique(visits["visit"].to_numpy())
    if len(ids) and ids[-1] > _LARGEST_COUNT:
        return (
            visits.assign(order=np.searchsorted(ids, visits["visit"]) + 1.0),
            tables.assign(order=np.searchsorted(ids, tables["visit"]) + 1.0),
        )
    return visits.assign(order=visits["visit"]), tables.assign(order=tables["visit"])


def _timings_frame(timings: Catalog) -> pd.DataFrame:
    frame = pd.DataFrame({key: timings[key] for key in timings.names})
    for key in timings.names:
        if (mask := timings.null_mask(key)).any():
            frame[key] = frame[key].astype("float64").mask(mask)
    return frame.rename(columns={"visitId": "visit"})


def _visits_frame(steps: pd.DataFrame, tables: pd.DataFrame) -> pd.DataFrame:
    steps = steps.assign(cpu_s=steps["user_s"] + steps["sys_s"])
    # a step may run several times in a tile (one SELECT per batch): sum, then average
    per_tile = (
        steps.groupby(["visit", "tile", "step"])[["real_s", "cpu_s", "n_rows"]]
        .sum(min_count=1)
        .reset_index()
    )
    means = per_tile.pivot_table(
        index="visit",
        columns="step",
        values=["real_s", "cpu_s", "n_rows"],
        dropna=False,
    )
    visits = pd.DataFrame(index=means.index, columns=list(VISIT_COLUMNS), dtype=float)
    visits["visit"] = means.index.to_numpy()
    done = set(means["real_s"].columns)
    for step, key in {**STEP_KEYS, TOTAL_STEP: "visit"}.items():
        for kind in ("real", "cpu"):
            if step in done and f"{key}_{kind}" in visits:
                visits[f"{key}_{kind}"] = means[f"{kind}_s"][step].fillna(
                    visits[f"{key}_{kind}"]
                )
    for step, key in _ROW_STEPS.items():
        if step in done:
            visits[key] = means["n_rows"][step]
    visits["select_real"] = visits[list(SELECT_KEYS)].sum(axis=1, min_count=1)
    for key, table in _COUNT_COLUMNS.items():
        counts = tables[tables["table"] == table].set_index("visit")["n_rows"]
        visits[key] = counts.reindex(visits.index)
    return visits[visits["visit_proc_real"].notna()].reset_index(drop=True)


def _run(
    rows: list[dict[str, float]],
    name: str,
    source: str,
    pointings_deg: NDArray[np.float64] | None = None,
) -> Run:
    if not rows:
        raise RunDataError(f"{source} holds no finished visit")
    visits = pd.DataFrame(rows).reindex(columns=list(VISIT_COLUMNS)).astype(float)
    visits = visits.sort_values("visit", kind="stable").reset_index(drop=True)
    tables = pd.concat(
        [
            pd.DataFrame(
                {"visit": visits["visit"], "table": table, "n_rows": visits[key]}
            ).dropna()
            for key, table in _COUNT_COLUMNS.items()
        ],
        ignore_index=True,
    ).assign(n_bytes=np.nan)
    visits, tables = _in_order(visits, tables)
    return Run(
        name=name,
        source=source,
        visits=visits,
        tables=tables,
        pointings_deg=np.empty((0, 2)) if pointings_deg is None else pointings_deg,
    )


def _pointing(line: str) -> list[tuple[float, float]]:
    """Return RA and Dec of a log line ``Pointing ra, decl = <ra>, <decl>; ...``.

    A line that was cut, of a job that was killed or on a full disk, gives none: its
    last number may lack digits.
    """
    found = _POINTING.search(line)
    return [] if found is None else [(float(found[1]), float(found[2]))]
