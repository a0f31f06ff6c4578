"""What a night leaves behind, and what it leaves if nothing disturbs it."""

import contextlib
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
from live.instance import N_VISITS, SITE, Instance

from l1db_pipeline.defs.resources import L1dbResource
from l1db_pipeline.runs.archived_night import NightRun, NightSequence, night_visit_ids
from l1db_pipeline.sources.kept_sources import SOURCES_FILE
from l1db_pipeline.store.open import open_store
from l1db_pipeline.survey.visits_table import read_visits_table
from visit_tables.frame_summaries import visits_sha256

DELAYS_MIN = (0, 240)  # of site/variants.yaml
N_NOISE = 5150


@dataclass(frozen=True)
class NightState:
    """Hashes and digests of everything that a night stores."""

    visits_sha256: list[str]
    """Of the archived visits of all variants, sorted."""
    science_digest: dict[str, str]
    n_visits: int


def stored_nights(instance: Instance, nights: Collection[date]) -> NightState:
    """Return what the databases hold of nights, and of no other."""
    with psycopg.connect(instance.server.dsn("archive")) as connection:
        archived = connection.execute(
            "SELECT encode(visitseq_sha256, 'hex') FROM vsmd.simulations"
            " WHERE first_day_obs = ANY(%s)",
            [list(nights)],
        ).fetchall()
    config = L1dbResource(url=instance.environ["L1DB_URL"]).l1db_config()
    with contextlib.closing(open_store(config)) as store:
        assert not store.verify()
        return NightState(
            visits_sha256=sorted(row[0] for row in archived),
            science_digest=dict(store.science_digest()),
            n_visits=store.row_counts()["L1DbProtoVisits"],
        )


def simulate_quietly(
    day_obs: date,
    folder: Path,
    *,
    delays: Sequence[int] = DELAYS_MIN,
    n_visits: int = N_VISITS,
) -> list[Path]:
    """Simulate variants of a night by hand, by default every one, the nominal first."""
    program = [sys.executable, str(SITE / "simulate_night.py"), f"{day_obs:%Y%m%d}"]
    paths = [folder / f"{day_obs}_delay_{delay}.db" for delay in delays]
    for delay, path in zip(delays, paths, strict=True):
        arguments = [str(delay), str(n_visits), str(path)]
        subprocess.run([*program, *arguments], check=True)
    return paths


def undisturbed_nights(
    instance: Instance, driving: Mapping[date, Path], opsims: Sequence[Path]
) -> NightState:
    """Return what the cores alone leave of the same visits, in a new database.

    Parameters
    ----------
    driving
        The simulated visits that drive the AP prototype, by night, in their order.
    opsims
        The simulated visits of each night and variant.
    """
    instance.server.create_databases(("undisturbed",))
    config = L1dbResource(
        url=instance.server.url("undisturbed", "psycopg")
    ).l1db_config()
    run = NightRun(
        config=config,
        sources_file=Path(instance.environ["L1DB_SOURCES"]) / SOURCES_FILE,
        seed=1,
        n_noise=N_NOISE,
        fill=False,
    )
    n_visits = 0
    with contextlib.closing(open_store(config)) as store:
        store.create_schema()
        for day_obs, path in driving.items():
            visits = read_visits_table(path)
            visit_ids = night_visit_ids(visits, day_obs).tolist()
            sequence = NightSequence(night=day_obs, visitseq_uuid=path.name)
            done = run.run(store, visits, visit_ids, sequence=sequence)
            n_visits += len(list(done))
        return NightState(
            visits_sha256=sorted(visits_sha256(path).hex() for path in opsims),
            science_digest=dict(store.science_digest()),
            n_visits=n_visits,
        )
