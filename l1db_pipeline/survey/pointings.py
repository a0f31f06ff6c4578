"""Which visits a run makes: their ids, times and directions, in order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike, NDArray

from l1db_pipeline.sky.geometry import unit_vector
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sources.generators import rand_sphere_xyz
from l1db_pipeline.survey.visits_table import VisitsTable
from visit_tables.time_scales import in_utc

__all__ = [
    "DAY_END_HOUR",
    "DAY_START_HOUR",
    "Pointing",
    "field_pointings",
    "next_night_time",
    "random_pointings",
    "table_pointings",
    "visit_times",
]

DAY_START_HOUR = 6
DAY_END_HOUR = 20
"""No visit from 06:00 to 19:59:59 UTC, the day of the original's calendar."""
_NIGHT = timedelta(hours=24 - DAY_END_HOUR + DAY_START_HOUR)
_POINTING_STREAM = 100  # simulate_visit uses the streams below


@dataclass(frozen=True, slots=True)
class Pointing:
    """One visit: its id, when it was and where it looked."""

    visit_id: int
    time: datetime
    """Aware, UTC."""
    direction: NDArray[np.float64]
    """Unit vector of the field's centre, ICRS."""
    band: str | None = None


def next_night_time(time: datetime, interval: timedelta) -> datetime:
    """Return the first of ``time``, ``time + interval``, ... that is not by day.

    Raises
    ------
    ValueError
        If the time is naive, or the interval not positive or longer than a night.
    """
    time = in_utc(time, "time of a visit")
    if not timedelta(0) < interval <= _NIGHT:
        raise ValueError(
            f"interval between visits must be positive and at most {_NIGHT}, the "
            f"length of a night, not {interval}"
        )
    while DAY_START_HOUR <= time.hour < DAY_END_HOUR:
        dusk = time.replace(hour=DAY_END_HOUR, minute=0, second=0, microsecond=0)
        time += -((time - dusk) // interval) * interval
    return time


def visit_times(start: datetime, interval_s: float) -> Iterator[datetime]:
    """Yield times of visits without end: steps of the interval, days skipped.

    Errors as `next_night_time`.
    """
    interval = timedelta(seconds=interval_s)
    time = next_night_time(start, interval)
    while True:
        yield time
        time = next_night_time(time + interval, interval)


def random_pointings(
    *, first_visit_id: int, start: datetime, interval_s: float, seed: int
) -> Iterator[Pointing]:
    """Yield visits at random places of the southern hemisphere, without end.

    A visit's place depends on the seed and its id alone, so that a run that is
    resumed continues as it would.

    Parameters
    ----------
    first_visit_id
        Id of the first visit; the next have the next.
    start
        Time of the first visit, aware; if that is by day, the next night.
    interval_s
        Seconds between visits.
    seed
        The run's seed, not negative.

    Raises
    ------
    ValueError
        If the time is naive, or the interval not positive or longer than a night.
    """
    for visit_id, time in enumerate(visit_times(start, interval_s), first_visit_id):
        sequence = SeedSequence([seed, visit_id], spawn_key=(_POINTING_STREAM,))
        direction = rand_sphere_xyz(1, hemi=-1, seed=sequence)[0]
        yield Pointing(visit_id, time, direction)


def field_pointings(
    fields: Sequence[ArrayLike],
    *,
    first_visit_id: int,
    start: datetime,
    interval_s: float,
) -> Iterator[Pointing]:
    """Yield visits that go round a list of fields, without end.

    Visit 1 looks at the first field, whichever visit is the first of this run. Times
    and their errors are as in `random_pointings`.

    Parameters
    ----------
    fields
        Directions of the fields, ICRS.

    Raises
    ------
    ValueError
        If there is no field.
    """
    directions = [unit_vector(field) for field in fields]
    if not directions:
        raise ValueError("no field to point at")
    for visit_id, time in enumerate(visit_times(start, interval_s), first_visit_id):
        yield Pointing(visit_id, time, directions[(visit_id - 1) % len(directions)])


def table_pointings(visits: VisitsTable) -> Iterator[Pointing]:
    """Yield the visits of a table, in its order."""
    directions = radec_to_xyz(visits.ra_deg, visits.dec_deg)
    times: list[datetime] = visits.times.astype("datetime64[us]").tolist()
    for place, visit_id in enumerate(visits.visit_ids.tolist()):
        yield Pointing(
            visit_id,
            times[place].replace(tzinfo=UTC),
            directions[place],
            str(visits.bands[place]) or None,
        )
