"""Files of visits: archive a night, its size, one night of many, millions of visits.

The visits are made up: columns of an opsim file, measured numbers with noise in all
of their digits, so they compress worse than a simulation's. Each timed step is a
program of its own, and its CPU time and peak memory are those of the whole process.
With ``--peer`` the original is driven in its own virtual environment on the same files.
"""

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from archive_metadata import peer_python
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict

from archive_assets.metadata.schema import create_schema
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from pipeline_runtime.postgres import EmbeddedPostgres
from visit_tables.content_hash import file_sha256
from visit_tables.files import opsim_to_hdf5

VISITS_OF_NIGHT = 800
SCHEMA = "vsmd_bench"
# ru_maxrss would include what the parent held when it forked
PEAK = """
with open("/proc/self/status") as status:
    print([line.split()[1] for line in status if line.startswith("VmHWM")][0])
"""
TO_HDF5 = f"""
import sys
from visit_tables.files import opsim_to_hdf5
opsim_to_hdf5(*sys.argv[1:])
{PEAK}
"""
READ = """
import sys, time
from datetime import date
from visit_tables.hdf5.read import read_visits
path, night = sys.argv[1], date.fromisoformat(sys.argv[2])
times = {"all": [], "night": []}
for _ in range(5):
    start = time.process_time()
    everything = read_visits(path)
    middle = time.process_time()
    some = read_visits(path, first_day_obs=night, last_day_obs=night)
    times["all"].append(middle - start)
    times["night"].append(time.process_time() - middle)
assert 0 < len(some) < len(everything) / 100, (len(some), len(everything))
print(min(times["all"]), min(times["night"]))
"""
PEER_TO_HDF5 = f"""
import sys, time, warnings
warnings.simplefilter("ignore")
from rubin_sim.sim_archive.util import opsimdb_to_hdf5
start = time.process_time()
opsimdb_to_hdf5(*sys.argv[1:])
print(time.process_time() - start)
{PEAK}
"""
PEER_READ = """
import sys, time
from rubin_sim.sim_archive.vseqarchive import get_visits
times = []
for _ in range(3):
    start = time.process_time()
    get_visits(sys.argv[1], "floor(observationStartMJD - 0.5) == 61100")
    times.append(time.process_time() - start)
print(min(times))
"""


def noisy_columns(first: int, n: int) -> dict[str, NDArray[np.generic]]:
    """Return visits ``first`` to ``first + n`` with the columns of an opsim file."""
    rng = np.random.default_rng(first)
    night = (np.arange(n) + first) // VISITS_OF_NIGHT
    within = (np.arange(n) + first) % VISITS_OF_NIGHT
    mjd = 61000.99 + night + within * (0.4 / VISITS_OF_NIGHT) + rng.random(n) * 1e-5
    block = np.arange(n) // 40
    kind = rng.integers(0, 5, n // 40 + 1)[block]
    airmass = 1 / np.cos(np.radians(rng.random(n) * 60))
    noisy = (
        *("rotSkyPos", "skyBrightness", "fiveSigmaDepth", "slewDistance", "altitude"),
        *("azimuth", "paraAngle", "pseudoParaAngle", "rotTelPos", "moonDistance"),
        *("solarElong", "cummTelAz"),
    )
    smooth = (
        *("moonAz", "sunAz", "sunRA", "sunDec", "moonRA"),
        *("moonDec", "moonAlt", "sunAlt", "moonPhase"),
    )
    constant = ("visitExposureTime", "visitTime", "cloud", "rotTelPos_backup",
                "cloud_extinction", "seeingFwhm500")  # fmt: skip
    notes = ["pair_33, gr, a", "pair_33, gr, b", "blob_long, ri, a", "DD:COSMOS", "y"]
    return {
        "observationId": np.arange(n) + first,
        "fieldRA": rng.random(5292)[rng.integers(0, 5292, n)] * 360 + night * 1e-3,
        "fieldDec": rng.random(5292)[rng.integers(0, 5292, n)] * 90 - night * 1e-3,
        "observationStartMJD": mjd,
        # mean sidereal time at the observatory: one that contradicts is refused
        "observationStartLST": (209.7112 + 360.98564736629 * (mjd - 51544.5)) % 360,
        "flush_by_mjd": np.floor(mjd * 200) / 200 + 0.02,
        "band": np.array(list("grizy"))[kind],
        "filter": np.array(["g_6", "r_57", "i_39", "z_20", "y_10"])[kind],
        "numExposures": np.ones(n, dtype=np.int64),
        "airmass": airmass,
        "seeingFwhmEff": 0.6 * airmass**0.6,
        "seeingFwhmGeom": 0.6 * airmass**0.6 * 0.822 + 0.052,
        "night": night,
        "slewTime": np.round(rng.random(n) * 3) * 2 + rng.random(n),
        "rotSkyPos_desired": np.full(n, np.nan),
        "target_id": np.arange(n) + first,
        "scheduler_note": np.array(notes)[kind],
        "target_name": np.array(["", "", "", "COSMOS", ""])[kind],
        "observation_reason": np.array(["pairs_33", "ddf_cosmos"])[kind % 2],
        "science_program": np.full(n, "BLOCK-407"),
        **{name: rng.random(n) * 90 for name in noisy},
        **{name: mjd * (13.1 + len(name)) % 360 for name in smooth},
        **{name: np.full(n, 30.0) for name in constant},
    }


def make_opsim(path: Path, n_visits: int) -> Path:
    """Write an opsim file of made-up visits."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        insert = ""
        for first in range(0, n_visits, 100_000):
            columns = noisy_columns(first, min(100_000, n_visits - first))
            if not insert:
                kinds = {"i": "INTEGER", "f": "REAL", "U": "TEXT"}
                named = (f"{k} {kinds[v.dtype.kind]}" for k, v in columns.items())
                connection.execute(f"CREATE TABLE observations ({', '.join(named)})")
                marks = ", ".join("?" * len(columns))
                insert = f"INSERT INTO observations VALUES ({marks})"
            rows = zip(*(v.tolist() for v in columns.values()), strict=True)
            connection.executemany(insert, rows)
        connection.commit()
    return path


def cost(command: list[str], **environment: str) -> tuple[float, list[str]]:
    """Return CPU seconds and the output of a program, in words."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime, output.split()


def show(
    name: str, unit: str, ours: float, limit: float, peer: float | None = None
) -> bool:
    """Print one figure; return whether it is within its limit."""
    line: dict[str, object] = {"name": name, "unit": unit, "ours": round(ours, 3)}
    if peer is not None:
        line |= {"peer": round(peer, 3), "ratio": round(ours / peer, 4)}
    print(json.dumps(line | {"limit": round(limit, 3)}), flush=True)
    return ours <= limit


@contextmanager
def archive(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of an empty archive in an embedded PostgreSQL."""
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    try:
        server.create_databases(("bench",))
        connect = conninfo_to_dict(server.dsn("bench"))
        with VisitSequenceArchiveMetadata(connect, SCHEMA) as vsarch:
            create_schema(vsarch.database)
        yield {
            "VSARCHIVE_PGDATABASE": "bench",
            "VSARCHIVE_PGHOST": str(server.socket_folder),
            "VSARCHIVE_PGUSER": str(connect["user"]),
            "VSARCHIVE_PGSCHEMA": SCHEMA,
        }
    finally:
        server.stop()


def one_night(folder: Path, peer: str | None) -> bool:
    """Archive 1,000 visits with all about them, as one command."""
    opsim = make_opsim(folder / "opsim.db", 1000)
    h5 = folder / "visits.h5"
    opsim_to_hdf5(opsim, h5)
    with archive(folder) as environment:
        command = [
            *(sys.executable, "-m", "archive_assets.cli.vseqarchive", "add"),
            *(str(opsim), "a night", "--archive-base", (folder / "store").as_uri()),
            *("--tag", "prenight", "--tag", "ideal", "--tag", "nominal"),
            *("--stats", "altitude,azimuth,airmass,slewTime"),
        ]
        cpu = cost(command, **environment)[0]
    theirs = None
    if peer:
        cost([peer, "-c", PEER_TO_HDF5, str(opsim), str(folder / "peer.h5")])
        theirs = (folder / "peer.h5").stat().st_size / 1e6
    is_fast = show("archive one night, CPU with start-up", "s", cpu, 1.5)
    limit = opsim.stat().st_size / 1e6
    is_small = show(
        "visits.h5 of one night", "MB", h5.stat().st_size / 1e6, limit, theirs
    )
    return is_fast and is_small


def one_of_many(folder: Path, peer: str | None) -> bool:
    """Read one night out of 200,000 visits."""
    opsim = make_opsim(folder / "many.db", 200_000)
    h5 = folder / "many.h5"
    opsim_to_hdf5(opsim, h5)
    words = cost([sys.executable, "-c", READ, str(h5), "2026-03-01"])[1]
    everything, night = map(float, words)
    theirs = None
    if peer:
        target = folder / "peer_many.h5"
        cost([peer, "-c", PEER_TO_HDF5, str(opsim), str(target)])
        theirs = float(cost([peer, "-c", PEER_READ, target.as_uri()])[1][0])
    show("read 200,000 visits, CPU", "s", everything, 10.0)
    return show("one night of 200,000 visits, CPU", "s", night, everything / 10, theirs)


def millions(folder: Path, peer: str | None, n_visits: int) -> bool:
    """Convert two million visits to HDF5."""
    opsim = make_opsim(folder / "millions.db", n_visits)
    h5 = folder / "millions.h5"
    cpu, words = cost([sys.executable, "-c", TO_HDF5, str(opsim), str(h5)])
    memory = int(words[0]) / 1024
    same = file_sha256(opsim) == file_sha256(h5)
    theirs: tuple[float, float] | tuple[None, None] = (None, None)
    if peer:
        target = str(folder / "peer_millions.h5")
        output = cost([peer, "-c", PEER_TO_HDF5, str(opsim), target])[1]
        theirs = (float(output[0]), int(output[1]) / 1024)
    size = f"{n_visits:,} visits to visits.h5"
    is_fast = show(f"{size}, CPU with start-up", "s", cpu, 15.0, theirs[0])
    is_small = show(f"{size}, peak memory", "MB", memory, 500.0, theirs[1])
    print(json.dumps({"name": f"{size}, same content", "unit": "", "ours": same}))
    return is_fast and is_small and same


def main() -> int:
    """Print the figures; exit with 1 if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    found = peer_python()
    parser.add_argument(
        "--peer",
        default=None if found is None else str(found),
        help="python that has rubin-sim; by default $RUBIN_SIM_PYTHON, `make peers`",
    )
    parser.add_argument("--visits", type=int, default=2_000_000)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = [
            one_night(folder, options.peer),
            one_of_many(folder, options.peer),
            millions(folder, options.peer, options.visits),
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
