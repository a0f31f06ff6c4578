"""The AP prototype over chosen visits of a visits table, such as an archived night."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.runs.cadence import visits_of
from l1db_pipeline.runs.command import simulator
from l1db_pipeline.runs.kept_settings import keep_setting
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.runs.settings import catalog_digest, settle
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.source_file import load_sources
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.survey.pointings import table_pointings
from l1db_pipeline.survey.visits_table import VisitsTable
from l1db_pipeline.visit.process import VisitSummary

__all__ = [
    "NightRun",
    "NightSequence",
    "SequenceConflictError",
    "UnknownVisitsError",
    "night_visit_ids",
]

_SEQUENCE = "run.sequence.{night}"


class UnknownVisitsError(L1dbError, ValueError):
    """Visits were asked for that the visits table does not have."""

    def __init__(self, unknown: Collection[int], n_visits: int) -> None:
        super().__init__(unknown, n_visits)
        self.unknown = unknown
        self.n_visits = n_visits

    @override
    def __str__(self) -> str:
        first = ", ".join(str(visit_id) for visit_id in sorted(self.unknown)[:5])
        return (
            f"{len(self.unknown)} visits are not among the {self.n_visits} of the "
            f"archived sequence, such as {first}: register the night's visits again"
        )


class SequenceConflictError(L1dbError, ValueError):
    """The stored visits of a night are those of another sequence."""

    def __init__(self, night: date, stored: str, offered: str) -> None:
        super().__init__(night, stored, offered)
        self.night = night
        self.stored = stored
        self.offered = offered

    @override
    def __str__(self) -> str:
        return (
            f"visits of {self.night} are stored from sequence {self.stored}, not from "
            f"{self.offered}; nothing was stored: use another database for "
            f"{self.offered}, or archive and register {self.stored} for the night again"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NightSequence:
    """The sequence that the visits of a night are from; the database keeps it."""

    night: date
    visitseq_uuid: str

    def check(self, kept: str | None) -> None:
        """Refuse a night whose visits are stored from another sequence.

        Raises
        ------
        SequenceConflictError
            If they are.
        """
        if kept not in {None, self.visitseq_uuid}:
            raise SequenceConflictError(self.night, str(kept), self.visitseq_uuid)


def night_visit_ids(visits: VisitsTable, day_obs: date) -> NDArray[np.int64]:
    """Return the ids of a night's visits, in time order."""
    night = int(day_obs.strftime("%Y%m%d"))
    is_of_night: NDArray[np.bool_] = visits.visit_ids // 100_000 == night
    return visits.visit_ids[is_of_night]


@dataclass(frozen=True, kw_only=True, slots=True)
class NightRun:
    """What the visits of a night are run with.

    Seed, catalog and detection settings are kept in the database with the first
    visit; a later run with others is refused.
    """

    config: L1dbConfig
    sources_file: Path
    seed: int
    n_noise: int | None = None
    """Mean transients and false positives a visit; `None` for the original's."""
    fill: bool | None = None
    """Fill every column with plausible values."""

    def run(
        self,
        store: L1Store,
        visits: VisitsTable,
        visit_ids: Collection[int],
        *,
        sequence: NightSequence,
    ) -> Iterator[VisitSummary]:
        """Process the chosen visits in time order; yield each one's summary.

        A visit that is stored already is passed over.

        Raises
        ------
        UnknownVisitsError, SequenceConflictError
            If the table lacks a visit, or visits of the night are stored from
            another sequence; nothing was stored then.
        SettingsConflictError
            If the database was created with other settings.
        """
        chosen = frozenset(visit_ids)
        if unknown := chosen.difference(visits.visit_ids.tolist()):
            raise UnknownVisitsError(unknown, len(visits))
        name = _SEQUENCE.format(night=sequence.night.isoformat())
        sequence.check(store.get_setting(name))
        catalog = load_sources(self.sources_file)
        settings = settle(
            store,
            {
                "seed": self.seed,
                "catalog_sha256": catalog_digest(catalog.xyz),
                "n_noise": self.n_noise,
                "fill": self.fill,
            },
        )
        pointings = (
            pointing
            for pointing in table_pointings(visits)
            if pointing.visit_id in chosen
        )
        summaries = run_visits(
            store,
            visits_of(pointings, settings.open_angle_deg),
            simulator(catalog, settings),
            options=settings.options(self.config),
            schema=load_schema(
                self.config.schema_file, column_map=self.config.column_map
            ),
        )
        for n_done, summary in enumerate(summaries):
            if not n_done:  # a night of which nothing is stored may change its mind
                sequence.check(keep_setting(store, name, sequence.visitseq_uuid))
            yield summary
