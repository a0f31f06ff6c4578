"""Keep the simulations of a night in the archive, and publish its index."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from archive_assets.archiving.completed_visits import archive_completed
from archive_assets.archiving.finished_simulation import archive_finished
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.nights.index import write_prenight_index
from archive_assets.objects.datastore import DataStore
from archive_assets.simulation.base import (
    ParentVisits,
    SimulationRequest,
    SimulationResult,
)
from archive_assets.simulation.outbox import FinishedSimulation

__all__ = ["ArchiveKeeper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveKeeper:
    """Archives each simulation of a night as one act.

    Attributes
    ----------
    vsarch
        The metadata database.
    store
        Where the files go.
    index_url
        Folder of the pre-night indexes; by default ``PRENIGHT_INDEX_URL``.
    started
        When the night's simulations began; part of their labels.
    """

    vsarch: VisitSequenceArchiveMetadata
    store: DataStore
    started: datetime
    index_url: str | None = None

    def check(self) -> None:
        """Find out before hours of simulation whether the archive is there.

        Raises
        ------
        ArchiveError
            If it cannot be reached, or its schema was not made.
        """
        self.vsarch.query("SELECT visitseq_uuid FROM visitseq_registry LIMIT 0")

    def keep_parent(self, parent: ParentVisits) -> UUID:
        """Archive the completed visits; the same ones are archived only once."""
        return archive_completed(self.vsarch, self.store, parent).uuid

    def keep(self, request: SimulationRequest, result: SimulationResult) -> UUID:
        """Archive a simulation with its rewards, statistics and provenance.

        The same visits of the same request are archived only once: the sequence
        that is there keeps its label and time.
        """
        finished = FinishedSimulation(
            folder=result.folder,
            first_day_obs=request.first_day_obs,
            last_day_obs=request.first_day_obs + timedelta(days=request.n_nights - 1),
            telescope=str(request.telescope),
            variant=request.variant.name,
            n_visits=result.n_visits,
            wall_s=result.wall_s,
            cpu_s=result.cpu_s,
            peak_memory_bytes=result.peak_memory_bytes,
            provenance=result.provenance,
        )
        return archive_finished(
            self.vsarch, self.store, finished, request.variant, started=self.started
        ).uuid

    def refresh_index(self, request: SimulationRequest) -> None:
        """Publish the indexes of the nights of a simulation."""
        for night in range(request.n_nights):
            write_prenight_index(
                self.vsarch,
                request.first_day_obs + timedelta(days=night),
                str(request.telescope),
                self.index_url,
            )
