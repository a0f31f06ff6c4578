"""Calendar months (UTC) of visit time, the unit in which history is kept or expires."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

__all__ = ["Month", "aware", "month_of", "starts"]

_Months = Any  # datetime64[M], one or an array: numpy's types do not tell units


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """What a database has of a month."""

    month: str
    """As ``2026-01``."""
    n_visits: int
    n_rows: int
    """Versions, sources and forced sources, as the ledger counts them."""
    n_bytes: int
    """Their part of the tables and indexes, by number of rows."""
    is_expired: bool
    """Whether its rows are gone; what was current at its end is kept."""


def month_of(times: Any) -> _Months:
    """Return the month of a time, or of each of an array."""
    return times.astype("datetime64[M]")


def aware(time: np.datetime64 | None) -> datetime | None:
    """Return a time, if there is one, as Python has it, in UTC."""
    if time is None:
        return None
    moment: Any = time.astype("datetime64[us]").item()
    found: datetime = moment.replace(tzinfo=UTC)
    return found


def starts(month: _Months) -> np.datetime64:
    """Return when a month begins, in microseconds."""
    first: np.datetime64 = month.astype("datetime64[us]")
    return first
