"""The pre-night searches: which simulations cover a night, with what statistics."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import pandas as pd
from sqlalchemy import Connection, text

from archive_assets.metadata.errors import UnknownSequenceError
from archive_assets.metadata.frames import frame

__all__ = ["ANY_AGE_DAYS", "simulation_on_day", "simulations_on_nights"]

ANY_AGE_DAYS = 36_500
"""A century: simulations are wanted however old they are."""

# The view lets its conditions through to the tables of this version's schema, and
# is right (if slow) on a schema that only the original has touched.
_COVERING = """
    FROM simulations_extra AS sim
    WHERE sim.telescope = :telescope
      AND sim.first_day_obs <= :first AND sim.last_day_obs >= :last
      AND CASE WHEN sim.first_day_obs <= sim.last_day_obs
          THEN daterange(sim.first_day_obs, sim.last_day_obs, '[]') END
          @> daterange(:first, :last, '[]')
      AND sim.creation_time >= now() - make_interval(days => :max_age)
      AND NOT EXISTS (
          SELECT FROM unnest(CAST(:tags AS TEXT[])) AS wanted (tag)
          WHERE NOT EXISTS (
              SELECT FROM tags
              WHERE tags.visitseq_uuid = sim.visitseq_uuid AND tags.tag = wanted.tag))
    ORDER BY sim.creation_time, sim.visitseq_uuid
"""
_STATS = """
    , (SELECT jsonb_object_agg(
           value_name, to_jsonb(stat) - '{visitseq_uuid,day_obs,value_name}'::text[])
       FROM nightly_stats AS stat
       WHERE stat.visitseq_uuid = sim.visitseq_uuid
         AND stat.day_obs = :first AND stat.accumulated = :accumulated) AS stats
"""


def simulations_on_nights(
    connection: Connection,
    first: date,
    last: date,
    *,
    tags: Sequence[str],
    telescope: str,
    max_age_days: int,
    with_stats: bool = False,
    accumulated: bool = False,
) -> pd.DataFrame:
    """Return the simulations that cover both nights, oldest first.

    Parameters
    ----------
    connection
        Open transaction.
    first, last
        Nights (day_obs) that must be within the simulation's window.
    tags
        All must be present; none asks for none.
    telescope
        Exact name.
    max_age_days
        Maximum time since creation.
    with_stats
        Add a column ``stats`` for the first night.
    accumulated
        Take the statistics of all nights through that one instead of its own.

    Returns
    -------
    simulations
        Columns of ``simulations_extra`` (and ``stats``, a dict or None).
    """
    query = "SELECT sim.*" + (_STATS if with_stats else "") + _COVERING
    return frame(
        connection.execute(
            text(query),
            {
                "first": first,
                "last": last,
                "tags": list(tags),
                "telescope": telescope,
                "max_age": max_age_days,
                "accumulated": accumulated,
            },
        )
    )


def simulation_on_day(connection: Connection, day: date, daily_id: int) -> UUID:
    """Return the simulation with this number within its UTC-12 creation day.

    Raises
    ------
    UnknownSequenceError
        If there is none.
    """
    found: UUID | None = connection.execute(
        text(
            "SELECT visitseq_uuid FROM simulations_extra "
            "WHERE sim_creation_day_obs = :day AND daily_id = :daily_id"
        ),
        {"day": day, "daily_id": daily_id},
    ).scalar()
    if found is None:
        raise UnknownSequenceError(f"No simulation {daily_id} from {day} found.")
    return found
