"""Visits on their way into the archive: without pickles, with what is recorded."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.values import checked_nights
from visit_tables.columns import Batch, VisitsFileError
from visit_tables.content_hash import VisitsDigest
from visit_tables.day_obs import TIME_COLUMNS, date_of_mjd, night_mjds
from visit_tables.files import is_sqlite, iterate_visits, opsim_to_hdf5
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.nodes import child_group, open_hdf5
from visit_tables.hdf5.tables import FixedFormat, stored_table
from visit_tables.hdf5.write import write_batches
from visit_tables.validity import given_problems

__all__ = [
    "VISITS_NAME",
    "IncomingVisits",
    "incoming_visits",
    "n_visits",
    "needed_columns",
    "window",
]

VISITS_NAME = "visits.h5"
_USUAL_STATISTICS = ("altitude", "azimuth")
_EXPECTED_ROWS = 1000  # sets the size of chunks where the number is not known


@dataclass(frozen=True, slots=True)
class IncomingVisits:
    """Visits as they are stored, and what was told of them on their way.

    Attributes
    ----------
    path
        An HDF5 file without pickles, a temporary one if need be.
    sha256
        Canonical hash of the visits.
    needed
        The column that tells the night, and those of the statistics.
    stats_columns
        The columns of the statistics.
    """

    path: Path
    sha256: bytes
    needed: Batch
    stats_columns: tuple[str, ...]


class _Account:
    """Hashes visits as they pass, and keeps the columns that are needed."""

    def __init__(self, source: Path, stats_columns: Sequence[str] | None) -> None:
        self._source = source
        self._stats_columns = stats_columns
        self._digest = VisitsDigest()
        self._pieces: list[Batch] = []

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        n_rows = 0
        for batch in batches:
            if problems := given_problems(batch, first_row=n_rows):
                raise VisitsFileError(self._source, "; ".join(problems))
            n_rows += len(next(iter(batch.values()), ()))
            wanted = _wanted(batch, self._stats_columns)
            self._digest.update(batch)
            self._pieces.append({name: batch[name].copy() for name in wanted})
            yield batch

    def of(self, path: Path) -> IncomingVisits:
        needed = _joined(self._pieces)
        return IncomingVisits(
            path, self._digest.digest(), needed, _described(needed, self._stats_columns)
        )


@contextmanager
def incoming_visits(
    visits: Path, stats_columns: Sequence[str] | None
) -> Iterator[IncomingVisits]:
    """Yield the visits as they are to be stored; they are read once.

    Raises
    ------
    InvalidValueError
        If a column of the statistics is not there.
    VisitsFileError
        If the file cannot be read.
    """
    account = _Account(visits, stats_columns)
    is_opsim = is_sqlite(visits)
    if not is_opsim and not _has_pickles(visits):
        for _ in account.watch(iterate_hdf5(visits)):
            pass
        yield account.of(visits)
        return
    with tempfile.TemporaryDirectory(prefix="vseqarchive-") as folder:
        converted = Path(folder) / VISITS_NAME
        if is_opsim:
            opsim_to_hdf5(visits, converted, watch=account.watch)
        else:
            write_batches(converted, _rewritten(visits, account))
        yield account.of(converted)


def _rewritten(
    visits: Path, account: _Account
) -> Iterator[tuple[str, int, Iterable[Batch]]]:
    for table in hdf5_tables(visits):
        batches = iterate_hdf5(visits, table)
        watched = account.watch(batches) if table == "observations" else batches
        yield table, _EXPECTED_ROWS, watched


def _has_pickles(visits: Path) -> bool:
    """Tell whether an HDF5 file is in pandas' fixed format, which pickles texts."""
    with open_hdf5(visits) as file:
        table = stored_table(child_group(file, "observations"))
        return isinstance(table, FixedFormat)


def needed_columns(visits: Path, stats_columns: Sequence[str]) -> Batch:
    """Read the column that tells the night and those of the statistics."""
    present = next(iter(iterate_visits(visits)), {})
    wanted = _wanted(present, stats_columns)
    return _joined(list(iterate_visits(visits, columns=wanted)))


def _described(present: Batch, stats_columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns of the statistics: those asked for, or the usual ones."""
    if stats_columns is None:
        return tuple(name for name in _USUAL_STATISTICS if name in present)
    return tuple(stats_columns)


def _wanted(present: Batch, stats_columns: Sequence[str] | None) -> list[str]:
    times = [name for name in TIME_COLUMNS if name in present][:1]
    described = _described(present, stats_columns)
    for name in described:
        if name not in present:
            raise InvalidValueError(
                f"the visits have no column {name!r} for statistics; "
                f"they have {', '.join(present)}"
            )
    return list(dict.fromkeys([*times, *described]))


def _joined(pieces: list[Batch]) -> Batch:
    names = pieces[0] if pieces else {}
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}


def n_visits(batch: Batch) -> int:
    """Return the number of visits of a batch."""
    return max(map(len, batch.values()), default=0)


def window(
    batch: Batch, first: date | None, last: date | None
) -> tuple[date | None, date | None]:
    """Return the window of nights; where none is given, that of the visits."""
    if n_visits(batch) and (first is None or last is None):
        nights = night_mjds(batch)
        first = first or date_of_mjd(int(nights.min()))
        last = last or date_of_mjd(int(nights.max()))
    return checked_nights(first, last)
