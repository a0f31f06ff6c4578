"""Which months to keep: what a command or a scheduled job asks of a store."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.errors import ExpiryError
from l1db_pipeline.store.months import Month, aware

__all__ = ["Plan", "expire_months", "plan_expiry"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What of a database is to expire."""

    before: datetime | None
    """The beginning of the first month that is kept; `None` if all are."""
    months: tuple[Month, ...]
    """Those that have rows and go."""


def plan_expiry(
    store: L1Store, *, keep: int | None = None, before: datetime | None = None
) -> Plan:
    """Say what expires; nothing is changed.

    Parameters
    ----------
    store
        The database.
    keep
        So many whole months before that of the latest visit are kept. No clock is
        asked: a database that gets no visits keeps what it has.
    before
        In the place of ``keep``: the beginning of the first month that is kept, UTC.

    Raises
    ------
    ExpiryError
        If visits read more months than are kept, or the latest visit is so much later
        than all others that none of the months before it has one.
    """
    months = store.months()
    if not months:
        return Plan(before=None, months=())
    if before is None:
        first = _first_kept(store, months, keep or 0)
        before = aware(first)
    limit = f"{before:%Y-%m}"
    going = [m for m in months if m.month < limit and not m.is_expired]
    return Plan(before=before, months=tuple(going))


def _first_kept(store: L1Store, months: list[Month], keep: int) -> np.datetime64:
    config = store.config
    n_read = max(config.read_sources_months, config.read_forced_sources_months)
    if keep < max(n_read, 1):
        raise ExpiryError(
            store.place,
            f"to keep {keep} months is too few: visits read {n_read}",
            f"keep {max(n_read, 1)} or more, or set read_sources_months and "
            "read_forced_sources_months lower",
        )
    latest = np.datetime64(months[-1].month, "M")
    first: np.datetime64 = latest - np.timedelta64(keep, "M")
    is_alone = all(month.month < str(first) for month in months[:-1])
    if len(months) > 1 and is_alone:
        raise ExpiryError(
            store.place,
            f"the latest visit is of {latest}, and none of the {keep} months before "
            f"has one; the one before is of {months[-2].month}",
            "see whether its time is right; if it is, name the first month to be kept",
        )
    return first


def expire_months(
    store: L1Store, *, keep: int | None = None, before: datetime | None = None
) -> Plan:
    """Let months expire, and return which; arguments and errors as `plan_expiry`.

    It may be called at any time, again, and by several at once. An expiry that was
    cut off is completed first.
    """
    plan = plan_expiry(store, keep=keep, before=before)
    if plan.before is not None:
        store.expire(plan.before)
    return plan
