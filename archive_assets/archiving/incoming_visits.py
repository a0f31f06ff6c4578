"""Visits on their way into the archive: without pickles, and what is told of them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.values import checked_nights
from visit_tables.columns import Batch
from visit_tables.convert import opsim_to_hdf5
from visit_tables.files import is_sqlite, iterate_visits
from visit_tables.hdf5.batches import hdf5_tables, iterate_hdf5
from visit_tables.hdf5.nodes import child_group, open_hdf5
from visit_tables.hdf5.tables import FixedFormat, stored_table
from visit_tables.hdf5.write import write_batches
from visit_tables.nights import TIME_COLUMNS, date_of_mjd, night_mjds

__all__ = ["VISITS_NAME", "as_hdf5", "n_visits", "needed_columns", "window"]

VISITS_NAME = "visits.h5"
_EXPECTED_ROWS = 1000  # sets the size of chunks where the number is not known


@contextmanager
def as_hdf5(visits: Path) -> Iterator[Path]:
    """Yield the visits as an HDF5 file without pickles, a temporary one if need be."""
    is_opsim = is_sqlite(visits)
    if not is_opsim and not _has_pickles(visits):
        yield visits
        return
    with tempfile.TemporaryDirectory(prefix="vseqarchive-") as folder:
        converted = Path(folder) / VISITS_NAME
        if is_opsim:
            opsim_to_hdf5(visits, converted)
        else:
            tables = hdf5_tables(visits)
            batches = ((t, _EXPECTED_ROWS, iterate_hdf5(visits, t)) for t in tables)
            write_batches(converted, batches)
        yield converted


def _has_pickles(visits: Path) -> bool:
    """Tell whether an HDF5 file is in pandas' fixed format, which pickles texts."""
    with open_hdf5(visits) as file:
        table = stored_table(child_group(file, "observations"))
        return isinstance(table, FixedFormat)


def needed_columns(visits: Path, stats_columns: Sequence[str]) -> Batch:
    """Read the column that tells the night and those of the statistics."""
    present = next(iter(iterate_visits(visits)), {})
    times = [name for name in TIME_COLUMNS if name in present][:1]
    for name in stats_columns:
        if name not in present:
            raise InvalidValueError(
                f"the visits have no column {name!r} for statistics; "
                f"they have {', '.join(present)}"
            )
    wanted = list(dict.fromkeys([*times, *stats_columns]))
    pieces = list(iterate_visits(visits, columns=wanted))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in wanted}


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
