"""The canonical hash of a table of visits, from a frame or from a file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from visit_tables.columns import Batch
from visit_tables.digest import HASH_ALGORITHM, VisitsDigest
from visit_tables.files import file_sha256
from visit_tables.frames import batch_of_frame

__all__ = ["HASH_ALGORITHM", "file_sha256", "visits_sha256"]


def visits_sha256(visits: pd.DataFrame | str | Path) -> bytes:
    """Return the canonical hash of visits.

    Parameters
    ----------
    visits
        A frame, or an opsim or HDF5 file, whose table ``observations`` is read in
        bounded memory. Equal visits have equal hashes wherever they are.

    Returns
    -------
    sha256
        32 bytes of algorithm `HASH_ALGORITHM`, see ``docs/content-hash.md``.

    Raises
    ------
    UnsupportedColumnError
        If a column holds values without a canonical form.
    VisitsFileError
        If the file cannot be read.
    """
    if not isinstance(visits, pd.DataFrame):
        return file_sha256(visits)
    digest = VisitsDigest()
    for batch in _slices(batch_of_frame(visits)):
        digest.update(batch)
    return digest.digest()


def _slices(batch: Batch, rows: int = 65_536) -> Iterator[Batch]:
    total = len(next(iter(batch.values()), ()))
    starts: Iterable[int] = range(0, max(total, 1), rows)
    for start in starts:
        yield {name: values[start : start + rows] for name, values in batch.items()}
