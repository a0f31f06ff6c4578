"""A finished simulation becomes an archived sequence, with all that is known of it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from archive_assets.archive import ArchivedSequence, archive_visit_sequence
from archive_assets.datastore import DataStore
from archive_assets.simulation.base import Variant
from archive_assets.simulation.outbox import FinishedSimulation
from archive_assets.visits.content_hash import file_sha256
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

__all__ = ["archive_finished", "environment_of"]

_RECORDED = ("driver", "seed", "nside", "site_data", "host", "user", "request_digest")


def environment_of(packages: Mapping[str, str]) -> tuple[bytes, str]:
    """Return hash and JSON of an environment, as ``conda list --json`` has it."""
    listed = [
        {"name": name, "version": version, "channel": "pypi"}
        for name, version in sorted(packages.items())
    ]
    text = json.dumps(listed)
    return hashlib.sha256(text.encode()).digest(), text


def archive_finished(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    finished: FinishedSimulation,
    variant: Variant,
) -> ArchivedSequence:
    """Archive a finished simulation; the same one again returns the same sequence.

    Parameters
    ----------
    vsarch, store
        Metadata and objects.
    finished
        Visits, rewards and provenance in their folder.
    variant
        Its label, tags and statistics columns.

    Raises
    ------
    ArchiveError
        If the store or the database refuses; nothing is left of it then.
    """
    facts = finished.provenance
    has_visits = finished.n_visits > 0
    made = datetime.now(UTC).isoformat(timespec="seconds")
    label = f"{variant.label}, run at {made}"
    content = file_sha256(finished.opsim_path).hex()
    rewards = finished.rewards_path
    return archive_visit_sequence(
        vsarch=vsarch,
        store=store,
        visits=finished.opsim_path,
        label=label if has_visits else f"{label} (no visits possible)",
        telescope=finished.telescope,
        kind="simulations",
        tags=[*variant.tags, *_source_tags(facts)],
        files={} if rewards is None else {"rewards": rewards},
        first_day_obs=finished.first_day_obs,
        last_day_obs=finished.last_day_obs,
        stats_columns=variant.statistics if has_visits else (),
        conda_env=environment_of(facts.get("packages", {})),
        idempotency_key=f"simulation:{finished.request_digest}:{content}",
        scheduler_version=facts.get("scheduler_version"),
        config_url=facts.get("config_url"),
        parent_visitseq_uuid=facts.get("parent_visitseq_uuid"),
        parent_last_day_obs=facts.get("parent_last_day_obs"),
        sim_runner_kwargs={
            **facts.get("sim_runner_kwargs", {}),
            "provenance": {name: facts[name] for name in _RECORDED if name in facts}
            | {"wall_s": finished.wall_s, "cpu_s": finished.cpu_s},
        },
    )


def _source_tags(facts: Mapping[str, Any]) -> list[str]:
    """Return the tag of a sequence whose site data are not the observatory's."""
    return ["synthetic_site_data"] if facts.get("site_data") == "synthetic" else []
