"""Keep the simulations of a night in the archive, and publish its index."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from archive_assets.archive import archive_visit_sequence
from archive_assets.datastore import DataStore
from archive_assets.prenightindex import write_prenight_index
from archive_assets.simulation.base import (
    ParentVisits,
    SimulationRequest,
    SimulationResult,
)
from archive_assets.simulation.provenance import environment_json, request_digest
from archive_assets.visits.content_hash import file_sha256
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

__all__ = ["SYNTHETIC_TAG", "ArchiveKeeper"]

SYNTHETIC_TAG = "synthetic_site_data"
_IN_KWARGS = ("seed", "variant", "nside", "site_data", "driver", "request_digest")


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
    extra_tags
        Tags that every sequence gets besides those of its variant.
    """

    vsarch: VisitSequenceArchiveMetadata
    store: DataStore
    started: datetime
    index_url: str | None = None
    extra_tags: tuple[str, ...] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def keep_parent(self, parent: ParentVisits) -> UUID:
        """Archive the completed visits; the same ones are archived only once."""
        digest = file_sha256(parent.path).hex()
        return archive_visit_sequence(
            vsarch=self.vsarch,
            store=self.store,
            visits=parent.path,
            label=f"Completed visits through {parent.last_day_obs}",
            telescope=str(parent.telescope),
            kind="completed",
            last_day_obs=parent.last_day_obs,
            stats_columns=(),
            idempotency_key=f"completed:{parent.telescope}:{digest}",
            query=f"visits of {parent.path.name} through {parent.last_day_obs}",
        ).uuid

    def keep(self, request: SimulationRequest, result: SimulationResult) -> UUID:
        """Archive a simulation with its rewards, statistics and provenance.

        The same visits of the same request are archived only once: the sequence
        that is there keeps its label and time.
        """
        facts, parent = result.provenance, request.parent
        environment = environment_json()
        last_day_obs = request.first_day_obs + timedelta(days=request.n_nights - 1)
        archived = archive_visit_sequence(
            vsarch=self.vsarch,
            store=self.store,
            visits=result.opsim_path,
            label=self._label(request, result),
            telescope=str(request.telescope),
            kind="simulations",
            tags=self._tags(request, result),
            files=_files(result),
            first_day_obs=request.first_day_obs,
            last_day_obs=last_day_obs,
            creation_time=self.now(),
            stats_columns=() if result.is_empty else request.variant.statistics,
            conda_env=(hashlib.sha256(environment.encode()).digest(), environment),
            comments=_comments(result),
            idempotency_key=_key(request, result),
            scheduler_version=facts["scheduler_version"],
            config_url=facts["config_url"],
            sim_runner_kwargs=_kwargs(facts),
            parent_visitseq_uuid=None if parent is None else parent.visitseq_uuid,
            parent_last_day_obs=None if parent is None else parent.last_day_obs,
        )
        return archived.uuid

    def refresh_index(self, request: SimulationRequest) -> None:
        """Publish the indexes of the nights of a simulation."""
        for night in range(request.n_nights):
            write_prenight_index(
                self.vsarch,
                request.first_day_obs + timedelta(days=night),
                str(request.telescope),
                self.index_url,
            )

    def _label(self, request: SimulationRequest, result: SimulationResult) -> str:
        parts = [request.variant.label]
        if result.is_empty:
            parts.append("no visits possible")
        if result.provenance["site_data"] == "synthetic":
            parts.append("synthetic site data")
        return ", ".join([*parts, f"run at {self.started.isoformat('T', 'seconds')}"])

    def _tags(
        self, request: SimulationRequest, result: SimulationResult
    ) -> Sequence[str]:
        is_synthetic = result.provenance["site_data"] == "synthetic"
        more = (SYNTHETIC_TAG,) if is_synthetic else ()
        return (*request.variant.tags, *more, *self.extra_tags)


def _files(result: SimulationResult) -> dict[str, Path]:
    """Write the provenance beside the visits, and return what is archived."""
    described = result.folder / "provenance.json"
    described.write_text(json.dumps(result.provenance, indent=1, sort_keys=True))
    files = {"metadata": described, "log": result.log_path}
    if result.rewards_path is not None:
        files["rewards"] = result.rewards_path
    return files


def _comments(result: SimulationResult) -> list[str]:
    facts = result.provenance
    cost = f"{result.cpu_s:.1f} CPU s, {result.peak_memory_bytes / 1e6:.0f} MB"
    comments = [f"simulated on {facts['host']} in {result.wall_s:.1f} s ({cost})"]
    if facts["site_data"] == "synthetic":
        comments.append("made with synthetic site data: plausible, not Rubin's sky")
    if result.is_empty:
        comments.append("no visits were possible: the sequence is empty on purpose")
    return comments


def _kwargs(facts: dict[str, Any]) -> dict[str, object]:
    """Return the arguments of ``sim_runner``, and what else decides the visits."""
    more = {name: facts[name] for name in _IN_KWARGS if name in facts}
    return {**facts["sim_runner_kwargs"], **more}


def _key(request: SimulationRequest, result: SimulationResult) -> str:
    """Return what makes a sequence the same as another: its request and its visits."""
    visits = file_sha256(result.opsim_path).hex()
    digest = request_digest(request, result.provenance["config_url"])
    return f"prenight:{digest}:{visits}"
