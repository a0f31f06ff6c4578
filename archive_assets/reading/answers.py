"""The Python API of the archive: questions with plain arguments, and their answers.

Where the archive is comes from the environment (``VSARCHIVE_PGHOST`` and the others).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from typing_extensions import override

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.nights.index import get_prenight_index
from archive_assets.reading.chosen import choose_sequence
from archive_assets.reading.compare import Comparison, compare_visits
from archive_assets.reading.files import read_sequence
from visit_tables.day_obs import DayObs, dayobs_to_date
from visit_tables.time_scales import TAI_COLUMNS, UTC_COLUMNS

__all__ = ["Answer", "compare", "index", "search", "visits"]

# Any: Astropy and pyarrow are imported only by who converts to them

_UNITS = {
    "fieldRA": "deg", "fieldDec": "deg", "s_ra": "deg", "s_dec": "deg",
    "altitude": "deg", "azimuth": "deg", "rotSkyPos": "deg", "rotTelPos": "deg",
    "observationStartLST": "deg", "moonAlt": "deg", "sunAlt": "deg",
    "visitTime": "s", "visitExposureTime": "s", "slewTime": "s", "exp_time": "s",
    "slewDistance": "deg", "seeingFwhm500": "arcsec", "seeingFwhmEff": "arcsec",
    "seeingFwhmGeom": "arcsec", "fiveSigmaDepth": "mag",
    "skyBrightness": "mag / arcsec2",
}  # fmt: skip


class Answer:
    """Rows of the archive, and what they convert to.

    Parameters
    ----------
    frame
        The rows.
    what
        What a row is, for the text of the answer.
    """

    def __init__(self, frame: pd.DataFrame, what: str) -> None:
        self.frame = frame
        self.what = what

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns whose unit is known, as Astropy spells them."""
        return {name: _UNITS[name] for name in self.frame.columns if name in _UNITS}

    @override
    def __repr__(self) -> str:
        columns = list(map(str, self.frame.columns))
        more = ", …" if len(columns) > 6 else ""
        return f"<{len(self)} {self.what}: {', '.join(columns[:6])}{more}>"

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as nullable columns; a missing value is `pandas.NA`."""
        frame = self.frame.convert_dtypes()
        frame.attrs["units"] = self.units
        return frame

    def to_astropy(self) -> Any:
        """Return an `astropy.table.QTable`, with units; times have the scale TAI."""
        from astropy import units  # noqa: PLC0415 - 0.5 s, for those who want it
        from astropy.table import MaskedColumn, QTable  # noqa: PLC0415 - as above
        from astropy.time import Time  # noqa: PLC0415 - as above

        table = QTable()
        for name, series in self.frame.items():
            if name in (*UTC_COLUMNS, *TAI_COLUMNS):
                scale = "utc" if name in UTC_COLUMNS else "tai"
                table[name] = Time(series.to_numpy(), format="mjd", scale=scale).tai
            elif name in _UNITS:
                values = series.to_numpy(dtype=float)
                table[name] = values * units.Unit(_UNITS[str(name)])
            else:
                is_number = series.dtype.kind in "iufb"  # where NaN is a value
                values = series.to_numpy(dtype=None if is_number else object)
                missing = np.zeros(len(series)) if is_number else series.isna()
                table[name] = MaskedColumn(values, mask=np.asarray(missing, dtype=bool))
        return table

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`; fields have their ``unit`` as metadata."""
        import pyarrow as pa  # noqa: PLC0415 - 0.1 s, for those who want it

        frame = self.frame.map(lambda value: str(value) if _is_uuid(value) else value)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        fields = [
            field.with_metadata({"unit": _UNITS[field.name]})
            if field.name in _UNITS
            else field
            for field in table.schema
        ]
        return table.cast(pa.schema(fields))


def _is_uuid(value: object) -> bool:
    return isinstance(value, UUID)


def search(
    *,
    night: DayObs | None = None,
    tags: str | Sequence[str] = (),
    telescope: str | None = None,
    kind: str | None = None,
    label: str | None = None,
    limit: int | None = None,
) -> Answer:
    """Return the archived sequences that match, newest first.

    Parameters
    ----------
    night
        A night (day_obs) that the sequence covers: date, ``YYYY-MM-DD``, YYYYMMDD.
    tags
        All must be present; one text for one tag.
    telescope
        Exact name, such as ``simonyi``.
    kind
        ``simulations``, ``completed``, ``mixedvisitseq`` or ``visitseq``.
    label
        Text within the label.
    limit
        Maximum number to return.

    Returns
    -------
    sequences
        One sequence a row.
    """
    criteria = SearchCriteria(
        day_obs=None if night is None else dayobs_to_date(night),
        tags=[tags] if isinstance(tags, str) else list(tags),
        telescope=telescope,
        kind=kind,
        label=label,
        limit=limit,
    )
    with VisitSequenceArchiveMetadata() as vsarch:
        return Answer(vsarch.search(criteria), "sequences")


def visits(sequence: UUID | str, *, night: DayObs | None = None) -> Answer:
    """Return the visits of a sequence, compared with their recorded hash.

    Parameters
    ----------
    sequence
        UUID; or tags with commas between them, of which the newest sequence is taken.
    night
        A night that a sequence found by its tags must cover.

    Returns
    -------
    visits
        One visit a row.

    Raises
    ------
    ArchiveError
        If there is no such sequence, or its visits are missing or damaged.
    """
    day_obs = None if night is None else dayobs_to_date(night)
    with VisitSequenceArchiveMetadata() as vsarch:
        chosen = choose_sequence(vsarch, sequence, day_obs=day_obs)
        return Answer(read_sequence(vsarch, chosen.uuid), "visits")


def compare(
    a: UUID | str,
    b: UUID | str,
    *,
    night: DayObs | None = None,
    all_nights: bool = False,
) -> Comparison:
    """Return which visits two sequences share, and when each has them.

    Parameters
    ----------
    a, b
        Each a UUID, or tags with commas between them.
    night
        Compare this night alone; by default those on which both have visits.
    all_nights
        Compare every night of either.

    Raises
    ------
    ArchiveError
        If there is no such sequence, or there is no night to compare.
    """
    day_obs = None if night is None else dayobs_to_date(night)
    with VisitSequenceArchiveMetadata() as vsarch:
        frames = [
            read_sequence(vsarch, choose_sequence(vsarch, one, day_obs=day_obs).uuid)
            for one in (a, b)
        ]
    return compare_visits(*frames, day_obs=day_obs, all_nights=all_nights)


def index(night: DayObs, telescope: str = "simonyi") -> Answer:
    """Return the pre-night index of a night: its simulations tagged ``prenight``.

    Parameters
    ----------
    night
        The night (day_obs): date, ``YYYY-MM-DD``, YYYYMMDD.
    telescope
        Exact name.

    Returns
    -------
    simulations
        One simulation a row, with its UUID in ``visitseq_uuid``.
    """
    found = get_prenight_index(night, telescope)
    return Answer(found.reset_index(), "simulations")
