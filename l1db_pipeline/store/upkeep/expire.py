"""Months that expire: whole ones, oldest first, each by itself.

A month goes in two transactions. The first raises the horizon, while no visit is being
stored: from its COMMIT on, nothing from before the horizon can be stored, or asked for.
It notes, too, that the month is not deleted yet. The second deletes, and takes that
note back. Who is killed in between leaves the note, and the next call begins with it.

The ledger keeps the visits, and their time says that they have expired: so a visit that
comes again is known. What was current at the horizon stays, with the version of each
object that was valid then, so that every later time can be read as before.
"""

from collections.abc import Sequence

import numpy as np

from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import ExpiryError, no_months
from l1db_pipeline.store.expired import check_before, kept_window, refuse_expired
from l1db_pipeline.store.months import Month, month_of, starts
from l1db_pipeline.store.tables.bookkeeping import Settings, one_row
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.layout import VISIT_TIME, Layout
from l1db_pipeline.store.upkeep.compact import rebuild

__all__ = ["Retention"]

_HORIZON = "l1.expired_before"
_UNFINISHED = "l1.expiring"
_KEPT = "l1.expired_versions_kept"
_INSTANT = np.timedelta64(1, "us")


class Retention:
    """What of a database has expired, and how more of it does."""

    def __init__(
        self, database: Database, layout: Layout, histories: Sequence[HistoryTable]
    ) -> None:
        self._database = database
        self._layout = layout
        self._histories = histories
        self._settings = Settings(database, layout)

    def horizon(self) -> np.datetime64 | None:
        """Return from when on rows are kept, `None` if all are."""
        return self._time(_HORIZON)

    def unfinished(self) -> np.datetime64 | None:
        """Return the horizon before which rows are still to be deleted."""
        return self._time(_UNFINISHED)

    def n_kept(self) -> int:
        """Return how many versions from before the horizon were valid at it."""
        return int(self._settings.get(_KEPT) or 0)

    def _time(self, name: str) -> np.datetime64 | None:
        text = self._settings.get(name)
        return None if text is None else np.datetime64(text, "us")

    def refuse(self, what: str, time: np.datetime64) -> None:
        """Refuse a time that has expired.

        Raises
        ------
        ExpiredTimeError
            If it has.
        """
        refuse_expired(self.horizon(), what, time)

    def kept(self, what: str, window: TimeWindow, *, is_clipped: bool) -> TimeWindow:
        """Return a window of history, as `kept_window` has it.

        Raises
        ------
        ExpiredTimeError
            If it is not kept.
        """
        if window == TimeWindow():
            return window
        return kept_window(self.horizon(), what, window, is_clipped=is_clipped)

    def months(self) -> list[Month]:
        """Return the months that have visits, in order; nothing is scanned."""
        ledger, horizon = self._layout.ledger, self.horizon()
        counted: dict[str, list[Table | None]] = {
            "objects": [self._layout.objects],
            "sources": [self._layout.sources, self._layout.packed_sources],
            "forcedSources": [self._layout.forced, self._layout.packed_forced],
        }
        entries = self._database.select(ledger, ["visitId", "visitTime", *counted])
        months, of_entry = np.unique(
            month_of(entries["visitTime"]), return_inverse=True
        )
        is_expired = np.zeros(len(months), dtype=np.bool_)
        if horizon is not None:
            is_expired = months < month_of(horizon)
        n_rows = np.zeros(len(months), dtype=np.int64)
        n_bytes = np.zeros(len(months))
        for name, tables in counted.items():
            digests = map(TableDigest.parse, entries[name].tolist())
            of_entries = [digest.n_rows for digest in digests]
            rows = np.bincount(of_entry, of_entries, len(months)) * ~is_expired
            size = sum(self._database.n_bytes(t) for t in tables if t is not None)
            n_bytes += size * rows / max(rows.sum(), 1)
            n_rows += rows.astype(np.int64)
        visits = [
            len(np.unique(entries["visitId"][of_entry == place]))
            for place in range(len(months))
        ]
        columns = visits, n_rows.tolist(), n_bytes.tolist(), is_expired.tolist()
        return [
            Month(
                month=str(month), n_visits=v, n_rows=r, n_bytes=round(b), is_expired=x
            )
            for month, v, r, b, x in zip(months, *columns, strict=True)
        ]

    def expire(self, before: np.datetime64) -> None:
        """Delete what is of months that end by a time, the beginning of one.

        Raises
        ------
        ExpiryError
            If the database cannot, or a month is not over.
        """
        if not self._database.can_expire:
            raise no_months(self._database.place, before)
        if self._layout.daytime is not None:
            raise ExpiryError(
                self._database.place,
                "months of a database with updates by day cannot expire yet",
                "keep them: the journal and the register of images know all months",
            )
        self._finish()
        self._refuse_unready(before)
        for horizon in self._steps(before):
            self._raise_horizon(horizon)
            self._finish()

    def _steps(self, before: np.datetime64) -> list[np.datetime64]:
        """Return the ends of the months that have visits, and the time itself."""
        is_over = Condition("visitTime", Op.LESS, before)
        with self._database.transaction(write=False):
            ledger, done = self._layout.ledger, self.horizon()
            times = self._database.select(ledger, ["visitTime"], [is_over])["visitTime"]
        months = np.unique(month_of(times if done is None else times[times >= done]))
        ends = {starts(month + 1) for month in months}
        return sorted(ends | {before}) if ends else []

    def _raise_horizon(self, horizon: np.datetime64) -> None:
        """Let nothing from before the horizon be stored or read any more."""
        with self._database.transaction(write=True):
            # who is storing ends first, and who begins to later sees the new horizon
            self._database.lock(self._layout.ledger)
            now = self.horizon()
            if self.unfinished() is not None or (now is not None and now >= horizon):
                return  # another is at it
            self._refuse_unready(horizon)
            self._put(_HORIZON, str(horizon))
            self._put(_UNFINISHED, str(horizon))

    def _refuse_unready(self, horizon: np.datetime64) -> None:
        place, nightly = self._database.place, self._layout.nightly
        latest = self._database.maximum(self._layout.ledger, "visitTime")
        if latest is not None:
            latest = np.datetime64(latest, "us")
        check_before(place, horizon, latest)
        if nightly is None:
            return
        started = [Condition("validityStart", Op.LESS, horizon + _INSTANT)]
        n_waiting = self._database.count(nightly, started)
        if n_waiting:
            raise ExpiryError(
                place,
                f"{n_waiting} versions from before {horizon} are in {nightly.name}",
                "run l1db merge-nightly first",
            )

    def _finish(self) -> None:
        """Delete what is from before the horizon, if that was not done yet."""
        while not self._deleted():
            # versions before this one have merged history across months
            for history in self._histories:
                rebuild(self._database, history, self._crossed_by_chunks(history))

    def _crossed_by_chunks(self, history: HistoryTable) -> list[int]:
        horizon = self.unfinished()
        if history.packed is None or horizon is None:
            return []
        crosses = [
            Condition("firstTime", Op.LESS, horizon),
            Condition("lastTime", Op.AT_LEAST, horizon),
        ]
        found = self._database.select(history.packed, ["pixel"], crosses)["pixel"]
        pixels: list[int] = np.unique(found).tolist()
        return pixels

    def _deleted(self) -> bool:
        """Delete in one transaction; false if a chunk has to be divided before."""
        with self._database.transaction(write=True):
            where = [Condition("name", Op.EQUAL, _HORIZON)]
            self._database.lock_rows(self._layout.settings, where)  # one at a time
            horizon = self.unfinished()
            if horizon is None:
                return True
            if any(self._crossed_by_chunks(history) for history in self._histories):
                return False
            for history in self._histories:
                if history.packed is not None:
                    ended = [Condition("lastTime", Op.LESS, horizon)]
                    self._database.delete(history.packed, ended)
                is_before = [Condition(VISIT_TIME, Op.LESS, horizon)]
                self._database.delete(history.table, is_before)
            self._delete_versions(horizon)
            unfinished = Condition("name", Op.EQUAL, _UNFINISHED)
            self._database.delete(self._layout.settings, [unfinished])
        return True

    def _delete_versions(self, horizon: np.datetime64) -> None:
        """Delete the versions that ended by the horizon, and count those that stay."""
        objects, layout = self._layout.objects, self._layout
        if layout.last is None and layout.packed_last is None:
            ended = [Condition("validityEnd", Op.LESS, horizon + _INSTANT)]
            self._database.delete(objects, ended)
        else:
            self._database.delete_superseded(objects, horizon)
        began = [Condition("validityStart", Op.LESS, horizon)]
        self._put(_KEPT, str(self._database.count(objects, began)))

    def _put(self, name: str, value: str) -> None:
        # changed in place, so that who waits for the row finds it again
        settings, where = self._layout.settings, [Condition("name", Op.EQUAL, name)]
        if not self._database.set_value(settings, "value", value, where):
            self._database.append(settings, one_row(settings, name, value))
