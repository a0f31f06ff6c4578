"""What is refused once a time has expired: the same words in every store."""

import numpy as np

from l1db_pipeline.store.errors import ExpiredTimeError, ExpiryError
from l1db_pipeline.store.months import month_of, starts
from l1db_pipeline.store.tables.history import TimeWindow

__all__ = ["check_before", "kept_window", "refuse_expired"]


def refuse_expired(
    horizon: np.datetime64 | None, what: str, time: np.datetime64
) -> None:
    """Refuse a time before the horizon of a database, if it has one.

    Raises
    ------
    ExpiredTimeError
        If it is; the text says of what.
    """
    if horizon is not None and time < horizon:
        raise ExpiredTimeError(what, time, horizon)


def kept_window(
    horizon: np.datetime64 | None, what: str, window: TimeWindow, *, is_clipped: bool
) -> TimeWindow:
    """Return a window of history, if it is one that is kept.

    Parameters
    ----------
    horizon
        Of the database; `None` if it keeps all.
    what
        Names the history.
    window
        Without beginning it asks for what there is.
    is_clipped
        Whether to begin at the horizon in place of an earlier time.

    Raises
    ------
    ExpiredTimeError
        If it begins or ends before the horizon.
    """
    since, until = window.since, window.until
    if horizon is None:
        return window
    if is_clipped:
        return TimeWindow(None if since is None else max(since, horizon), until)
    if since is not None:
        refuse_expired(horizon, f"{what} since", since)
    if until is not None and until <= horizon:
        raise ExpiredTimeError(f"{what} until", until, horizon)
    return window


def check_before(
    place: str, before: np.datetime64, latest: np.datetime64 | None
) -> None:
    """Check the time before which months are to expire.

    Parameters
    ----------
    place
        The database in words.
    before
        The beginning of a month.
    latest
        Time of the latest visit; `None` if there is none.

    Raises
    ------
    ExpiryError
        If no month begins then, or no visit is from then on. So one that expired is
        always late, and only late visits need be checked when they are stored.
    """
    month = starts(month_of(before))
    if before != month:
        raise ExpiryError(
            place, f"{before} is not the beginning of a month", f"say {month}"
        )
    if latest is None or latest < before:
        raise ExpiryError(
            place,
            f"no visit is stored from {before} on",
            "choose an earlier month: the latest one that has visits is kept",
        )
