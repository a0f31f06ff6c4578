"""Metadata at scale: search a night, publish its index, read one simulation.

100,000 simulations (40 a day, 36 of them of simonyi, three nights each) with 3 tags,
2 files and 8 statistics each, in an embedded PostgreSQL with its defaults. With
``--peer`` the original is driven in its own virtual environment, on the same rows in
a schema of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from archive_assets.metadata.schema import create_schema
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from pipeline_runtime.postgres import EmbeddedPostgres

LIMITS_MS = {"search": 30.0, "publish": 150.0, "metadata": 5.0}
AGE_DAYS = 365
FILL = """
    INSERT INTO simulations (
        visitseq_sha256, visitseq_label, visitseq_url, telescope, first_day_obs,
        last_day_obs, creation_time, scheduler_version, config_url)
    SELECT decode(repeat('ab', 32), 'hex'), 'Simulation ' || n,
           'file:///archive/' || n || '/visits.h5',
           CASE WHEN n % 10 = 0 THEN 'auxtel' ELSE 'simonyi' END,
           day, day + 2, day + INTERVAL '15 hours' + n % 40 * INTERVAL '1 minute',
           '3.' || n % 7, 'https://example.org/config.py'
    FROM (SELECT n, {today}::date - n / 40 AS day
          FROM generate_series(0, {sims} - 1) AS n) AS numbered;
    {register};
    INSERT INTO tags SELECT visitseq_uuid, unnest(ARRAY['prenight', 'ideal', 'nominal'])
    FROM simulations;
    INSERT INTO files (visitseq_uuid, file_type, file_sha256, file_url)
    SELECT visitseq_uuid, kind, visitseq_sha256, 'file:///archive/' || kind
    FROM simulations, unnest(ARRAY['rewards', 'scheduler']) AS kind;
    INSERT INTO comments (visitseq_uuid, comment)
    SELECT visitseq_uuid, 'a comment' FROM simulations
    WHERE get_byte(uuid_send(visitseq_uuid), 0) < 64;
    INSERT INTO nightly_stats
    SELECT visitseq_uuid, first_day_obs + night, name, false, 400,
           45, 10, 20, 25, 35, 45, 55, 65, 85
    FROM simulations, generate_series(0, 1) AS night,
         unnest(ARRAY['altitude', 'azimuth', 'airmass', 'slewTime']) AS name;
    ANALYZE;
"""
REGISTER = """
    INSERT INTO visitseq_registry (
        visitseq_uuid, kind, sim_creation_day_obs, daily_id, state)
    SELECT visitseq_uuid, 'simulations', day, row_number() OVER (PARTITION BY day),
           'complete'
    FROM (SELECT visitseq_uuid, CAST(creation_time AT TIME ZONE 'UTC'
                                     - INTERVAL '12 hours' AS DATE) AS day
          FROM simulations) AS dated
"""
PEER = r"""
import io, json, sys, tempfile, time
from contextlib import redirect_stdout
from rubin_sim.sim_archive import vseqarchive as cli
from rubin_sim.sim_archive.vseqmetadata import VisitSequenceArchiveMetadata
kwargs, night, schema = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
archive = VisitSequenceArchiveMetadata(kwargs, schema)
if len(sys.argv) > 4:
    archive.create_schema_in_database()
    sys.exit()
def timed(call, repeats=3):
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)
def search():
    return archive.sims_on_nights(night, tags=["prenight"], max_simulation_age=365)
def publish():
    url = "file://" + tempfile.mkdtemp() + "/"
    options = ["--host", kwargs["host"], "--user", kwargs["user"],
               "--database", kwargs["database"], "--schema", schema]
    with redirect_stdout(io.StringIO()):
        cli.vseqarchive(options + ["make-prenight-index", night, "simonyi",
                                   "--destination", url], standalone_mode=False)
one = search()["visitseq_uuid"].iloc[0]
print(json.dumps({
    "search": timed(search),
    "publish": timed(publish, 1),
    "metadata": timed(lambda: archive.get_visitseq_metadata(one, "simulations_extra")),
}))
"""


def timed_ms(call: Callable[[], object], repeats: int = 30) -> float:
    """Return the lower quartile of the wall times of a call, after one to warm up.

    It tells of the work where a median tells of whatever else the machine does.
    """
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.quantiles(times, n=4)[0]


def fill(dsn: str, schema: str, sims: int, today: date) -> None:
    """Put the rows in a schema; triggers are left out, for speed alone."""
    statements = sql.SQL(FILL).format(
        today=str(today),
        sims=sims,
        register=sql.SQL(REGISTER if schema == "vsmd" else "SELECT 1"),
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            sql.SQL("SET search_path = {}").format(sql.Identifier(schema))
        )
        for statement in statements.as_string(connection).split(";"):
            connection.execute(statement.encode())


def ours(archive: VisitSequenceArchiveMetadata, night: date) -> dict[str, float]:
    """Return our times in milliseconds."""
    from archive_assets.prenightindex import write_prenight_index  # noqa: PLC0415 - heavy

    def search() -> object:
        return archive.sims_on_nights(
            night, tags=["prenight"], max_simulation_age=AGE_DAYS
        )

    found = archive.sims_on_nights(
        night, tags=["prenight"], max_simulation_age=AGE_DAYS
    )
    one: UUID = found["visitseq_uuid"].iloc[0]
    criteria = SearchCriteria(day_obs=night, telescope="simonyi", tags=["prenight"])
    print(f"# {len(found)} simulations cover {night}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "search": timed_ms(search),
            "search_any_kind": timed_ms(lambda: archive.search(criteria)),
            "publish": timed_ms(
                lambda: write_prenight_index(archive, night, "simonyi", folder)
            ),
            "metadata": timed_ms(
                lambda: archive.get_visitseq_metadata(one, "simulations_extra"), 50
            ),
        }


def peer(
    python: Path, server: EmbeddedPostgres, sims: int, night: date, today: date
) -> dict[str, float]:
    """Return the original's times in milliseconds, on rows of its own schema."""
    kwargs = {
        "database": "bench",
        "host": str(server.socket_folder),
        "user": "postgres",
        "port": "5432",
    }
    call: list[str | Path] = [
        python,
        "-c",
        PEER,
        json.dumps(kwargs),
        str(night),
        "test_peer",
    ]
    subprocess.run([*call, "create"], check=True, capture_output=True)
    fill(server.dsn("bench"), "test_peer", sims, today)
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def measure(
    server: EmbeddedPostgres, sims: int, python: Path | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Fill a fresh database and return our times and the original's."""
    today = (datetime.now(UTC) - timedelta(hours=12)).date()
    night = today - timedelta(days=10)
    server.create_databases(("bench",))
    parts = conninfo_to_dict(server.dsn("bench"))
    with VisitSequenceArchiveMetadata(parts, "vsmd") as archive:
        create_schema(archive.database)
        start = time.perf_counter()
        fill(server.dsn("bench"), "vsmd", sims, today)
        print(f"# filled in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        mine = ours(archive, night)
    theirs = peer(python, server, sims, night, today) if python else {}
    return mine, theirs


def peer_python() -> Path | None:
    """Return the python that has the original, if there is one."""
    made = Path(__file__).resolve().parents[1] / ".venv-rubin-sim" / "bin" / "python"
    chosen = Path(os.environ.get("RUBIN_SIM_PYTHON") or made)
    return chosen if chosen.exists() else None


def main() -> None:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sims", type=int, default=100_000)
    parser.add_argument(
        "--peer",
        type=Path,
        default=peer_python(),
        help="python that has rubin-sim; by default $RUBIN_SIM_PYTHON, `make peers`",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        try:
            mine, theirs = measure(server, options.sims, options.peer)
        finally:
            server.stop()
    for name, value in mine.items():
        line: dict[str, object] = {
            "name": f"archive_metadata_{name}",
            "unit": "ms",
            "ours": round(value, 2),
            "limit": LIMITS_MS.get(name),
        }
        if name in theirs:
            line["peer"] = round(theirs[name], 1)
            line["ratio"] = round(theirs[name] / value, 1)
        print(json.dumps(line))


if __name__ == "__main__":
    main()
