"""Recompute what the database says of archived visits: window and statistics."""

import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from archive_assets.archiving.incoming_visits import n_visits, needed_columns
from archive_assets.integrity.problems import MISSING_STATISTIC, Problem
from visit_tables.day_obs import TIME_COLUMNS, date_of_mjd, night_mjds
from visit_tables.files import iterate_visits
from visit_tables.statistics import CIRCULAR_SUFFIX, STATISTICS, night_statistics

__all__ = ["visits_problems"]

_Key = tuple[date, str, bool]


def visits_problems(
    connection: Connection, uuid: UUID, visits: Path
) -> Iterator[tuple[str, Problem | None]]:
    """Compare the window of nights and the statistics of a sequence with its visits.

    Yields
    ------
    invariant, problem
        What was compared, and how it differs: None if it does not. Statistics of what
        is not a numeric column of the visits cannot be recomputed. A column that ever
        had statistics must have them of all nights.
    """
    recorded = _recorded(connection, uuid)
    columns = _numeric_columns(visits)
    if not columns.keys() & set(TIME_COLUMNS):
        return
    described = _described(connection, uuid) | {key[1:] for key in recorded}
    names = sorted({name.removesuffix(CIRCULAR_SUFFIX) for name, _ in described})
    batch = needed_columns(visits, [name for name in names if columns.get(name)])
    if not n_visits(batch):
        return
    nights = night_mjds(batch)
    first, last = date_of_mjd(int(nights.min())), date_of_mjd(int(nights.max()))
    yield "visits lie in their window of nights", _window(connection, uuid, first, last)
    right = _recomputed(batch, recorded, described)
    for key, row in recorded.items():
        if key in right:
            yield (
                "statistics equal those of the visits",
                _difference(uuid, key, row, right[key]),
            )
    for key in sorted(right.keys() - recorded.keys()):
        if key[1:] in described:
            yield "each night of visits has its statistics", _absent(uuid, key)


def _numeric_columns(visits: Path) -> dict[str, bool]:
    batch = next(iter(iterate_visits(visits)), {})
    return {name: values.dtype.kind in "iufb" for name, values in batch.items()}


def _recorded(connection: Connection, uuid: UUID) -> dict[_Key, dict[str, Any]]:
    rows = connection.execute(
        text(
            "SELECT * FROM nightly_stats WHERE visitseq_uuid = :uuid "
            "ORDER BY day_obs, value_name, accumulated"
        ),
        {"uuid": uuid},
    ).mappings()
    return {
        (row["day_obs"], row["value_name"], row["accumulated"]): dict(row)
        for row in rows
    }


def _described(connection: Connection, uuid: UUID) -> set[tuple[str, bool]]:
    """Return the values that ever had statistics, and whether accumulated ones."""
    names = connection.execute(
        # without the column, an archive is of an earlier revision
        text(
            "SELECT to_jsonb(registry) -> 'described' "
            "FROM visitseq_registry AS registry WHERE visitseq_uuid = :uuid"
        ),
        {"uuid": uuid},
    ).scalar()
    parts = (str(name).partition(":") for name in names or ())
    return {(value, kind == "all") for kind, _, value in parts}


def _recomputed(
    batch: dict[str, Any],
    recorded: dict[_Key, dict[str, Any]],
    described: set[tuple[str, bool]],
) -> dict[_Key, dict[str, float]]:
    """Return the statistics that the recorded ones should be; NaN for null."""
    found = {}
    for accumulated in {of for _, of in described}:
        names = {name for name, of in described if of == accumulated}
        plain = sorted(name for name in names if name in batch)
        bare = {name.removesuffix(CIRCULAR_SUFFIX) for name in names - set(plain)}
        circular = sorted(name for name in bare if name in batch)
        for one in night_statistics(
            batch, plain, accumulated=accumulated, circular=circular
        ):
            values = {name: float(getattr(one, name)) for name in STATISTICS}
            found[one.day_obs, one.value_name, accumulated] = values
    nights = {key[0] for key in found}
    # a night that has no visits cannot have statistics
    nothing = dict.fromkeys(STATISTICS, math.nan) | {"count": 0.0}
    lone = {key: nothing for key in recorded if key[0] not in nights}
    return found | {key: row for key, row in lone.items() if key[1] in batch}


def _difference(
    uuid: UUID, key: _Key, row: dict[str, Any], right: dict[str, float]
) -> Problem | None:
    for name, value in right.items():
        stored = math.nan if row[name] is None else float(row[name])
        if not _equal(stored, value):
            day, column, accumulated = key
            nights = "all nights through" if accumulated else "the night"
            return Problem(
                "changed statistic",
                f"{uuid} {column}",
                f"{name} of {nights} {day} is {stored:g}, of the visits {value:g}",
            )
    return None


def _absent(uuid: UUID, key: _Key) -> Problem:
    day, column, accumulated = key
    nights = "all nights through" if accumulated else "the night"
    detail = (
        f"the statistics of {nights} {day} are gone: "
        f"`vseqarchive add-nightly-stats {uuid} VISITS_FILE {column}` computes them"
    )
    return Problem(MISSING_STATISTIC, f"{uuid} {column}", detail)


def _equal(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    # the original sums in another order
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _window(
    connection: Connection, uuid: UUID, first: date, last: date
) -> Problem | None:
    row = connection.execute(
        text(
            "SELECT first_day_obs, last_day_obs FROM visitseq "
            "WHERE visitseq_uuid = :uuid"
        ),
        {"uuid": uuid},
    ).one()
    if (row[0] or first) <= first and (row[1] or last) >= last:
        return None
    detail = f"visits of {first} to {last} lie outside the window {row[0]} to {row[1]}"
    return Problem("nights", str(uuid), detail)
