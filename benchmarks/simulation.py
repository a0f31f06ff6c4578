"""A night of visits: against rubin_scheduler's own sim_runner, and two at a time.

``night_cpu``: one nominal night of pairs and greedy visits through `simulate`, and the
same night with the same scheduler by a program that only calls ``sim_runner``; CPU
seconds of all processes with start-up, the least of two runs each, in turns. Exits
with 1 if the visits differ. ``two_at_once``: two variants in turns and at the same
time, archived in an embedded PostgreSQL; ``parent_memory`` is the peak of the process
that waits for them and archives.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pandas as pd

from archive_assets.metadata.schema import create_schema
from archive_assets.simulation.site_data.synthesize import synthesize_site_data
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from pipeline_runtime.postgres import EmbeddedPostgres
from visit_tables.opsim.frame import read_opsim

NIGHT = date(2026, 1, 1)

SYNTHESIS = """
import sys
from datetime import date
from pathlib import Path
from archive_assets.simulation.site_data.synthesize import synthesize_site_data
synthesize_site_data(Path(sys.argv[1]), date(2026, 1, 1))
"""

OURS = """
import sys
from datetime import date
from pathlib import Path
from archive_assets.simulation import *
result = simulate(SimulationRequest(
    first_day_obs=date(2026, 1, 1), n_nights=1, telescope=Telescope.SIMONYI,
    variant=Variant(name="nominal", label="Nominal"),
    site_data=Path(sys.argv[1]), work_folder=Path(sys.argv[2]),
))
result.opsim_path.rename(sys.argv[3])
"""

PEER = """
import sys
from astropy.utils import iers
iers.conf.auto_download = False
iers.conf.iers_degraded_accuracy = "warn"
iers.conf.auto_max_age = None
from rubin_scheduler.scheduler import sim_runner
from rubin_scheduler.scheduler.detailers import RotspUpdateDetailer
from rubin_scheduler.scheduler.example import (
    get_ideal_model_observatory, simple_greedy_survey, simple_pairs_survey)
from rubin_scheduler.scheduler.schedulers import BaseQueueManager, CoreScheduler
from rubin_scheduler.site_models import Almanac
kwargs = dict(nside=32, survey_start=60846.5)
observatory = get_ideal_model_observatory(
    nside=32, dayobs="2026-01-01", survey_start=60846.5, fwhm_500=0.6)
surveys = [
    [simple_pairs_survey(bandname=a, bandname2=b, **kwargs)
     for a, b in (("g", "r"), ("r", "i"), ("i", "z"))],
    [simple_greedy_survey(bandname=band, **kwargs) for band in "griz"]]
queue = BaseQueueManager(detailers=[RotspUpdateDetailer()])
scheduler = CoreScheduler(
    surveys, nside=32, queue_manager=queue, survey_start_mjd=60846.5)
nights = Almanac().sunsets
(row,) = nights[(nights["sunset"] > 61041.5) & (nights["sunset"] < 61042.5)]
start = row["sun_n12_setting"]
sim_runner(observatory, scheduler, sim_start_mjd=start,
           sim_duration=row["sunrise"] - start, filename=sys.argv[3], verbose=False)
"""

NIGHT_RUN = """
import sys, time
from datetime import UTC, date, datetime
from pathlib import Path
from archive_assets.objects.datastore import DataStore
from archive_assets.nights.keeper import ArchiveKeeper
from archive_assets.simulation import Telescope
from archive_assets.simulation.night import plan_night, run_night
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
site_data, work, n_at_once = sys.argv[1:]
plan = plan_night(
    date(2026, 1, 1), Telescope.SIMONYI, names=("nominal_noreward", "anom101_seconds"),
    n_nights=1, site_data=Path(site_data), work_folder=Path(work),
    n_at_once=int(n_at_once))
with VisitSequenceArchiveMetadata() as vsarch:
    keeper = ArchiveKeeper(
        vsarch=vsarch, store=DataStore((Path(work) / "archive").as_uri()),
        started=datetime.now(UTC), index_url=(Path(work) / "index").as_uri())
    begin = time.monotonic()
    outcomes = run_night(plan, keeper)
    wall_s = time.monotonic() - begin
assert all(outcome.error is None for outcome in outcomes)
# not ru_maxrss: it counts the process from which this one was started
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(wall_s, int(peak[0].split()[1]) * 1024 / 1e6)
"""


def tell(name: str, unit: str, ours: float, **more: float) -> None:
    """Print one figure as a JSON line."""
    rounded = {key: round(value, 3) for key, value in more.items()}
    print(json.dumps({"name": name, "unit": unit, "ours": round(ours, 3), **rounded}))


def cpu_s(program: str, *arguments: object, **environ: str) -> float:
    """Return the CPU seconds of a program and all that it waits for."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a program of the benchmark ended with {status}")
    return usage.ru_utime + usage.ru_stime


def synthesis(folder: Path) -> None:
    """Print what the site data of a night cost."""
    spent = cpu_s(SYNTHESIS, folder / "synthesis")
    tell("simulation_synthesis_cpu", "s", spent, limit=15)


def one_night(folder: Path, site_data: Path) -> bool:
    """Print what a nominal night costs; return whether its visits are the peer's."""
    spent: dict[str, list[float]] = {"ours": [], "peer": []}
    for k in range(2):
        for who, program in (("ours", OURS), ("peer", PEER)):
            opsim = folder / f"{who}{k}.db"
            seconds = cpu_s(
                program, site_data, folder / "work", opsim,
                RUBIN_SIM_DATA_DIR=str(site_data),
            )  # fmt: skip
            spent[who].append(seconds)
    ours, peer = min(spent["ours"]), min(spent["peer"])
    tell("simulation_night_cpu", "s", ours, peer=peer, ratio=ours / peer, limit=1.3)
    visits, theirs = (read_opsim(folder / f"{who}1.db") for who in spent)
    try:
        pd.testing.assert_frame_equal(visits, theirs)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    tell("simulation_night_visits", "visits", len(visits), peer=len(theirs))
    return True


def two_at_once(folder: Path, site_data: Path) -> None:
    """Print what running two variants at the same time gains, and the parent's peak."""
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    try:
        server.create_databases(("archive",))
        environ = {
            "VSARCHIVE_PGHOST": str(server.socket_folder),
            "VSARCHIVE_PGPORT": "5432",
            "VSARCHIVE_PGUSER": "postgres",
            "VSARCHIVE_PGDATABASE": "archive",
            "VSARCHIVE_PGSCHEMA": "vsmd",
        }
        os.environ.update(environ)
        with VisitSequenceArchiveMetadata() as vsarch:
            create_schema(vsarch.database)
        found = {}
        for n_at_once in (1, 2):
            arguments = (site_data, folder / f"night{n_at_once}", n_at_once)
            done = subprocess.run(
                [sys.executable, "-c", NIGHT_RUN, *map(str, arguments)],
                check=True,
                capture_output=True,
                text=True,
            )
            found[n_at_once] = [float(word) for word in done.stdout.split()]
    finally:
        server.stop()
    (in_turns_s, _), (together_s, peak_mb) = found[1], found[2]
    tell(
        "simulation_two_at_once_wall", "s", together_s,
        in_turns=in_turns_s, gain=in_turns_s / together_s,
    )  # fmt: skip
    tell("simulation_parent_memory", "MB", peak_mb, limit=300)


def main() -> int:
    """Print every figure."""
    folder = Path(tempfile.mkdtemp(prefix="bench-simulation-"))
    folder.chmod(0o755)
    start = time.monotonic()
    try:
        synthesis(folder)
        site_data = folder / "site"
        synthesize_site_data(site_data, NIGHT)
        is_same = one_night(folder, site_data)
        two_at_once(folder, site_data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"took {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
