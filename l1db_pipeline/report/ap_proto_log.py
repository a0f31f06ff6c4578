"""Read ap_proto logs, ours and the original's, into one row of numbers per visit."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

__all__ = [
    "DAILY_COLUMNS",
    "SHORT_COLUMNS",
    "VISIT_COLUMNS",
    "LogParser",
    "format_value",
    "parse_log",
]

VISIT_COLUMNS = (
    "visit",
    "obj_select_real", "obj_select_cpu",
    "obj_last_delete_real", "obj_last_insert_real",
    "obj_trunc_real", "obj_trunc_cpu",
    "obj_insert_real", "obj_insert_cpu",
    "src_select_real", "src_select_cpu",
    "src_insert_real", "src_insert_cpu",
    "fsrc_select_real", "fsrc_select_cpu",
    "fsrc_insert_real", "fsrc_insert_cpu",
    "select_real",
    "store_real", "store_cpu",
    "visit_proc_real", "visit_proc_cpu",
    "visit_real", "visit_cpu",
    "obj_selected", "src_selected", "fsrc_selected",
    "obj_in_fov",
    "obj_count", "src_count", "fsrc_count",
)  # fmt: skip
"""The original's 31 columns: seconds (``cpu`` is user + system) and row numbers."""

SHORT_COLUMNS = (
    "visit",
    "visit_real", "visit_cpu",
    "visit_proc_real", "visit_proc_cpu",
    "obj_count", "src_count", "fsrc_count",
)  # fmt: skip
DAILY_COLUMNS = ("visit", "obj_daily_copy_real", "obj_daily_delete_real")

STEP_KEYS: Mapping[str, str] = {
    "DiaObject select": "obj_select",
    "DiaObject truncate": "obj_trunc",
    "DiaObject insert": "obj_insert",
    "DiaObjectNightly insert": "obj_insert",
    "DiaObjectLast delete": "obj_last_delete",
    "DiaObjectLast insert": "obj_last_insert",
    "DiaObjectNightly copy": "obj_daily_copy",
    "DiaObjectNightly delete": "obj_daily_delete",
    "DiaSource select": "src_select",
    "DiaSource insert": "src_insert",
    "DiaForcedSource select": "fsrc_select",
    "DiaForcedSource insert": "fsrc_insert",
    "L1-store": "store",
    "VisitProcessing": "visit_proc",
}
"""Names of timed steps to the prefix of their CSV columns."""

SELECT_KEYS = ("obj_select_real", "src_select_real", "fsrc_select_real")

_COUNT_KEYS = {
    "DiaObject": "obj_count",
    "DiaSource": "src_count",
    "DiaForcedSource": "fsrc_count",
}
_FOUND_KEYS = {
    "objects": "obj_selected",
    "sources": "src_selected",
    "forced sources": "fsrc_selected",
}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TILE = r"(?:tile=\d+x\d+ )?"
_TIMES = r"real=(\d+\.?\d*) user=(\d+\.?\d*) sys=(\d+\.?\d*)"
_START = re.compile(r"\+\+\+ Start processing visit (\d+) at ")
_FINISHED = re.compile(rf"--- Finished processing visit (\d+), time: {_TIMES}")
_DAILY_DONE = re.compile(r"Done with daily activities")
_STEP = re.compile(rf"timer: {_TILE}([A-Z][\w -]*?): {_TIMES}")
_COUNT = re.compile(r"(\w+) row count: (\d+)")
_FOUND = re.compile(rf": {_TILE}database found (\d+) (objects|sources|forced sources)")
_FILTERED = re.compile(rf": {_TILE}after filtering (\d+) objects")


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    n: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.n += 1

    @property
    def value(self) -> float:
        return self.total / self.n


@dataclass(slots=True)
class LogParser:
    """Turns log lines into rows, one per finished visit (or daily job).

    A key that repeats within a visit is averaged, as the tiles of a visit need;
    ``select_real`` is the *sum* of the three averaged selects (the first original
    averaged them too, so its values are a third of the truth). Lines of tiles,
    which carry a ``tile=<ix>x<iy>`` prefix, count like others: row numbers are
    means over tiles, as in the published CSV files. A visit that never finished
    gives no row.

    Parameters
    ----------
    daily
        Give a row for each daily job instead, under the last visit before it.
    """

    daily: bool = False
    unfinished: list[int] = field(default_factory=list)
    """Visits that were started, and neither finished nor left open at the end."""
    _means: defaultdict[str, _Mean] = field(default_factory=lambda: defaultdict(_Mean))
    _visit: int | None = None
    _is_open: bool = False

    def feed(self, line: str) -> dict[str, float] | None:
        """Take a line; return the row that it completes, else `None`.

        Parameters
        ----------
        line
            One line of a log; colours of a terminal are ignored.

        Returns
        -------
        row
            Times in seconds and counts, by the names of `VISIT_COLUMNS` or
            `DAILY_COLUMNS`; what the log does not say is left out.
        """
        line = _ANSI.sub("", line)
        if match := _START.search(line):
            if self._is_open and self._visit is not None:
                self.unfinished.append(self._visit)
            self._means.clear()
            self._visit, self._is_open = int(match[1]), True
        elif match := _FINISHED.search(line):
            self._add_times("visit", match.groups()[1:])
            self._is_open = False
            return None if self.daily else self._row()
        elif _DAILY_DONE.search(line):
            return self._row() if self.daily else None
        else:
            self._add_line(line)
        return None

    def _add_line(self, line: str) -> None:
        if match := _STEP.search(line):
            if key := STEP_KEYS.get(match[1]):
                self._add_times(key, match.groups()[1:])
        elif match := _COUNT.search(line):
            if key := _COUNT_KEYS.get(match[1]):
                self._means[key].add(int(match[2]))
        elif match := _FOUND.search(line):
            self._means[_FOUND_KEYS[match[2]]].add(int(match[1]))
        elif match := _FILTERED.search(line):
            self._means["obj_in_fov"].add(int(match[1]))

    def _add_times(self, key: str, times: Iterable[str]) -> None:
        real, user, system = map(float, times)
        self._means[f"{key}_real"].add(real)
        self._means[f"{key}_cpu"].add(user + system)

    def _row(self) -> dict[str, float]:
        row = {key: mean.value for key, mean in self._means.items()}
        if self._visit is not None:
            row["visit"] = self._visit
        selects = [row[key] for key in SELECT_KEYS if key in row]
        if selects:
            row["select_real"] = sum(selects)
        self._means.clear()
        return row


def parse_log(
    lines: Iterable[str], *, daily: bool = False
) -> Iterator[dict[str, float]]:
    """Yield a row of `VISIT_COLUMNS` (or `DAILY_COLUMNS`) per visit of a log.

    Parameters
    ----------
    lines
        Of one log, or of several that follow each other.
    daily
        As in `LogParser`.

    Yields
    ------
    row
        Times in seconds and counts; what the log does not say is left out.
    """
    parser = LogParser(daily=daily)
    for line in lines:
        if (row := parser.feed(line)) is not None:
            yield row


def format_value(value: float | None) -> str:
    """Write a number as the original's CSV does.

    Parameters
    ----------
    value
        An integer is written in full, any other number as ``%.6g``, `None` as
        ``NULL``.
    """
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"{value:.6g}"
