"""A finished simulation becomes an archived sequence, with all that is known of it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from archive_assets.archiving.sequence import ArchivedSequence, archive_visit_sequence
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.objects.datastore import DataStore
from archive_assets.simulation.base import Variant
from archive_assets.simulation.outbox import FinishedSimulation
from archive_assets.simulation.provenance import (
    OPSIM_FILE_DRIVER,
    environment_json,
    package_versions,
)

__all__ = [
    "SYNTHETIC_TAG",
    "archive_finished",
    "environment_of",
    "missing_statistics",
]

SYNTHETIC_TAG = "synthetic_site_data"
_PROVENANCE_FILE = "provenance.json"
_RECORDED = ("driver", "seed", "nside", "site_data", "host", "user", "request_digest")


def environment_of(packages: Mapping[str, str]) -> tuple[bytes, str]:
    """Return hash and JSON of an environment, as ``conda list --json`` has it.

    Parameters
    ----------
    packages
        Version by name. If they are those of this process, the JSON also says which
        of them came from conda, and from which channel.
    """
    if dict(packages) == package_versions():
        text = environment_json()
    else:
        listed = [
            {"name": name, "version": version, "channel": "unknown"}
            for name, version in sorted(packages.items())
        ]
        text = json.dumps(listed)
    return hashlib.sha256(text.encode()).digest(), text


def archive_finished(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    finished: FinishedSimulation,
    variant: Variant,
    *,
    started: datetime | None = None,
) -> ArchivedSequence:
    """Archive a finished simulation; the same one again returns the same sequence.

    Besides the visits it keeps the rewards, the log, the whole provenance (as the file
    ``metadata``), statistics, and comments that say what the simulation cost, whether
    its site data are synthetic and whether no visit was possible.

    Parameters
    ----------
    vsarch, store
        Metadata and objects.
    finished
        Visits, rewards and provenance in their folder.
    variant
        Its label, tags and statistics columns.
    started
        The time in the label; now by default.

    Raises
    ------
    ArchiveError
        If the store or the database refuses; nothing is left of it then.
    """
    facts = finished.provenance
    return archive_visit_sequence(
        vsarch=vsarch,
        store=store,
        visits=finished.opsim_path,
        label=_label(finished, variant, started or datetime.now(UTC)),
        telescope=finished.telescope,
        kind="simulations",
        tags=[*variant.tags, *([SYNTHETIC_TAG] if _is_synthetic(facts) else [])],
        files=_files(finished),
        first_day_obs=finished.first_day_obs,
        last_day_obs=finished.last_day_obs,
        stats_columns=variant.statistics if finished.n_visits > 0 else (),
        conda_env=environment_of(facts["packages"]) if "packages" in facts else None,
        comments=_comments(finished),
        idempotency_key=f"simulation:{finished.request_digest}:{{}}".format,
        scheduler_version=facts.get("scheduler_version"),
        config_url=facts.get("config_url"),
        parent_visitseq_uuid=facts.get("parent_visitseq_uuid"),
        parent_last_day_obs=facts.get("parent_last_day_obs"),
        sim_runner_kwargs={
            **facts.get("sim_runner_kwargs", {}),
            "variant": facts.get("variant", {"name": variant.name}),
            "provenance": {name: facts[name] for name in _RECORDED if name in facts}
            | {"wall_s": finished.wall_s, "cpu_s": finished.cpu_s},
        },
    )


def _is_synthetic(facts: Mapping[str, Any]) -> bool:
    """Tell whether the site data were not the observatory's."""
    return facts.get("site_data") == "synthetic"


def _is_file(facts: Mapping[str, Any]) -> bool:
    """Tell whether the visits are those of a file that someone else made."""
    return facts.get("driver") == OPSIM_FILE_DRIVER


def _label(finished: FinishedSimulation, variant: Variant, started: datetime) -> str:
    facts = finished.provenance
    # the variant's label says how its visits were made: not known of a file
    parts = [
        f"Visits of {Path(facts['opsim_file']).name}, taken as {variant.name}"
        if _is_file(facts)
        else variant.label
    ]
    if finished.n_visits == 0:
        parts.append("no visits possible")
    if _is_synthetic(facts):
        parts.append("synthetic site data")
    return ", ".join([*parts, f"run at {started.isoformat('T', 'seconds')}"])


def _files(finished: FinishedSimulation) -> dict[str, Path]:
    """Write the provenance beside the visits, and return what is archived."""
    described = finished.folder / _PROVENANCE_FILE
    described.write_text(json.dumps(finished.provenance, indent=1, sort_keys=True))
    files = {"metadata": described, "rewards": finished.rewards_path}
    if finished.log_path.is_file():
        files["log"] = finished.log_path
    return {kind: path for kind, path in files.items() if path is not None}


def _comments(finished: FinishedSimulation) -> list[str]:
    memory_mb = finished.peak_memory_bytes / 1e6
    host = finished.provenance.get("host", "an unknown machine")
    cost = f"{finished.cpu_s:.1f} CPU s, {memory_mb:.0f} MB"
    comments = [
        f"copied on {host} from a file; how its visits were made is not known"
        if _is_file(finished.provenance)
        else f"simulated on {host} in {finished.wall_s:.1f} s ({cost})"
    ]
    if _is_synthetic(finished.provenance):
        comments.append("made with synthetic site data: plausible, not Rubin's sky")
    if finished.n_visits == 0:
        comments.append("no visits were possible: the sequence is empty on purpose")
    return comments


def missing_statistics(
    vsarch: VisitSequenceArchiveMetadata,
    uuid: UUID,
    finished: FinishedSimulation,
    variant: Variant,
) -> list[str]:
    """Return the columns whose nightly statistics the archive should have and lacks."""
    if finished.n_visits == 0:
        return []
    present = set(vsarch.query_nightly_stats(uuid)["value_name"])
    return [
        f"no statistics of {name}" for name in variant.statistics if name not in present
    ]
