"""Which visits a run makes next: where it stands, and how it began."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from typing_extensions import override

from l1db_pipeline.catalog.ids import MAX_VISIT_ID
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.runs.kept_settings import keep_setting
from l1db_pipeline.runs.settings import SettingsConflictError
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.survey.pointings import Pointing, field_pointings, random_pointings
from l1db_pipeline.visit.process import Visit
from pipeline_runtime.documents import parse_json
from visit_tables.time_scales import in_utc

__all__ = [
    "CADENCE_SETTING",
    "Cadence",
    "StartTimeError",
    "next_pointings",
    "settle_cadence",
    "visits_of",
]

CADENCE_SETTING = "run.cadence"
"""Name of the setting in the database."""
_DEFAULT_INTERVAL_S = 45


class StartTimeError(L1dbError):
    """The start time is missing, or before what is stored."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    @override
    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How the visits of a run follow each other."""

    start_time: datetime
    """Of the first visit; aware."""
    start_visit_id: int = 1
    interval_s: int = _DEFAULT_INTERVAL_S
    fields_deg: tuple[tuple[float, float], ...] = ()
    """RA and Dec of the fields that are observed in turn; none for random places."""

    def __post_init__(self) -> None:
        """Refuse a time that nobody can place."""
        in_utc(self.start_time, "start_time")

    def to_json(self) -> str:
        """Return the text that a database keeps."""
        return json.dumps(
            {
                "start_time": self.start_time.astimezone(UTC).isoformat(),
                "start_visit_id": self.start_visit_id,
                "interval_s": self.interval_s,
                "fields_deg": self.fields_deg,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Cadence":
        """Read what `to_json` wrote."""
        values = parse_json(text, "the cadence")
        return cls(
            start_time=datetime.fromisoformat(values["start_time"]),
            start_visit_id=values["start_visit_id"],
            interval_s=values["interval_s"],
            fields_deg=tuple((ra, dec) for ra, dec in values["fields_deg"]),
        )


def settle_cadence(
    store: L1Store,
    *,
    start_time: datetime | None,
    start_visit_id: int | None,
    interval_s: int | None,
    fields_deg: Sequence[tuple[float, float]] = (),
    keep: bool = True,
) -> Cadence:
    """Return the cadence of a run; keep that of the first invocation.

    Parameters
    ----------
    store
        Database of the run.
    start_time, start_visit_id, interval_s, fields_deg
        What was asked for, `None` (or no fields) where nothing was. Start time and
        id are used on an empty database; later they may be repeated.
    keep
        False leaves the database as it is.

    Raises
    ------
    StartTimeError
        If the database is empty and there is no start time, or it has visits and
        the start time is neither that of the first invocation nor after them.
    SettingsConflictError
        If another interval or other fields are asked for than the run has.
    """
    fields = tuple((float(ra), float(dec)) for ra, dec in fields_deg)
    stored = store.get_setting(CADENCE_SETTING)
    last = store.last_visit()
    last_time = last.time if last else None
    if stored is None:
        interval_s = _DEFAULT_INTERVAL_S if interval_s is None else interval_s
        if start_time is None:
            if last_time is None:
                raise StartTimeError(
                    "the database has no visits: give --start-time for the first one"
                )
            start_time = last_time + timedelta(seconds=interval_s)
        _check_after(start_time, last_time)
        cadence = Cadence(
            start_time=start_time,
            start_visit_id=1 if start_visit_id is None else start_visit_id,
            interval_s=interval_s,
            fields_deg=fields,
        )
        if keep:
            keep_setting(store, CADENCE_SETTING, cadence.to_json())
        return cadence
    cadence = Cadence.from_json(stored)
    if interval_s is not None and interval_s != cadence.interval_s:
        raise SettingsConflictError(
            "interval", str(cadence.interval_s), str(interval_s)
        )
    if fields and fields != cadence.fields_deg:
        raise SettingsConflictError("fields", str(cadence.fields_deg), str(fields))
    if start_time is not None and start_time != cadence.start_time:
        _check_after(start_time, last_time)
        cadence = replace(cadence, start_time=start_time)
    return cadence


def _check_after(start_time: datetime, last_time: datetime | None) -> None:
    if last_time is not None and start_time <= last_time:
        raise StartTimeError(
            f"--start-time {start_time:%Y-%m-%d %H:%M:%S} is not after the last visit, "
            f"{last_time:%Y-%m-%d %H:%M:%S}: omit it to continue from there"
        )


def next_pointings(
    store: L1Store, cadence: Cadence, *, seed: int
) -> Iterator[Pointing]:
    """Yield the visits that follow the last complete one, without end."""
    last = store.last_visit()
    visit_id, start = cadence.start_visit_id, cadence.start_time
    if last is not None:
        visit_id = last.visit_id + 1
        start = max(start, last.time + timedelta(seconds=cadence.interval_s))
    if not cadence.fields_deg:
        return random_pointings(
            first_visit_id=visit_id,
            start=start,
            interval_s=cadence.interval_s,
            seed=seed,
        )
    fields = [radec_to_xyz(ra, dec) for ra, dec in cadence.fields_deg]
    return field_pointings(
        fields, first_visit_id=visit_id, start=start, interval_s=cadence.interval_s
    )


def visits_of(
    pointings: Iterable[Pointing], open_angle_deg: float, n: int | None = None
) -> Iterator[Visit]:
    """Yield the first ``n`` pointings (or all) as visits of a field of view.

    Raises
    ------
    ValueError
        If a visit's id is beyond `MAX_VISIT_ID`.
    """
    for pointing in islice(pointings, n):
        if pointing.visit_id > MAX_VISIT_ID:
            raise ValueError(f"visit id {pointing.visit_id} is beyond {MAX_VISIT_ID}")
        yield Visit(
            visit_id=pointing.visit_id,
            time=pointing.time,
            centre=pointing.direction,
            open_angle_deg=open_angle_deg,
            band=pointing.band,
        )
