"""One night, end to end: simulated, archived, indexed, and run through AP.

Run by ``make demo``. Everything it makes lies under $L1DB_HOME; run again, it finds
the night done and adds nothing twice. Exit code 0: done; 1: a step failed, its log is
named; 2: wrong arguments.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from dagster import DagsterInstance
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy import table as sql_table
from sqlalchemy.exc import SQLAlchemyError

from l1db_pipeline.survey.visits_table import read_visits_table
from pipeline_runtime.errors import PipelineRuntimeError
from pipeline_runtime.services import environment, home_folder, start_services
from pipeline_runtime.urls import safe_url

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_NIGHT = "2026-10-10"
DEFAULT_VISITS = 100
SIMULATION_OP = "visit_simulations__simonyi_nominal_noreward"
SHOWN = re.compile(
    r" - (STEP_START|STEP_SUCCESS|STEP_FAILURE|STEP_UP_FOR_RETRY) - (.*)"
    r"|dagster - (?:INFO|WARNING) - \S+ - \S+ - \S+ - (.*)"
)


def parse_arguments() -> argparse.Namespace:
    """Return the checked command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--day-obs", default="", help="night, YYYY-MM-DD")
    parser.add_argument(
        "--visits", default=str(DEFAULT_VISITS), help="how many of its visits, or all"
    )
    parser.add_argument("--opsim", default="", help="opsim SQLite file instead")
    arguments = parser.parse_args()
    if arguments.visits != "all" and not arguments.visits.isdecimal():
        parser.error(f"VISITS={arguments.visits!r} is neither a number nor 'all'")
    if arguments.day_obs:
        try:
            date.fromisoformat(arguments.day_obs)
        except ValueError:
            parser.error(f"DAY_OBS={arguments.day_obs!r} is not YYYY-MM-DD")
    return arguments


class Runner:
    """Runs Dagster jobs, showing their steps and keeping their whole log."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs

    def job(
        self, location: str, job: str, tags: dict[str, str], config: object = None
    ) -> None:
        """Run a job through ``dagster job execute``; `SystemExit` if it fails."""
        command = [sys.executable, "-m", "dagster", "job", "execute"]
        command += ["-m", f"{location}.definitions", "-j", job]
        command += ["--tags", json.dumps(tags)]
        if config:
            chosen = self.logs / f"{job}.yaml"
            chosen.write_text(json.dumps(config))  # JSON is YAML
            command += ["-c", str(chosen)]
        log = self.logs / f"{job}.log"
        print(f"\n== {job} ({location}); whole log: {log}", flush=True)
        start = time.monotonic()
        with (
            log.open("w") as whole,
            subprocess.Popen(  # noqa: S603 - our own command
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            for line in process.stdout or ():
                whole.write(line)
                if found := SHOWN.search(line):
                    text = found.group(2) or found.group(3)
                    print(f"  {time.monotonic() - start:6.1f} s  {text}", flush=True)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        print(
            f"  {time.monotonic() - start:6.1f} s  CPU "
            f"{usage.ru_utime + usage.ru_stime:.1f} s, "
            f"peak memory {usage.ru_maxrss / 1024:.0f} MB"
        )
        if process.returncode:
            tail = log.read_text(errors="replace").splitlines()[-15:]
            sys.exit("\n".join([*tail, f"Error: job {job} failed, see {log}"]))


def night_of(opsim: str) -> str:
    """Return the first night of an opsim file, YYYY-MM-DD."""
    visits = read_visits_table(opsim)
    if not len(visits):
        sys.exit(f"Error: {opsim} has no visits: give a file with some, or --day-obs")
    first = int(visits.visit_ids[0]) // 100_000
    return date.fromisoformat(str(first)).isoformat()


def run_jobs(runner: Runner, night: str, opsim: str, wanted: str) -> tuple[int, int]:
    """Run the night's jobs; return its visits, and how many AP processed."""
    partition = {"dagster/partition": night}
    simulation = {"n_nights": 1, "opsim_file": opsim}
    config = {"ops": {SIMULATION_OP: {"config": simulation}}}
    runner.job("archive_assets", "nominal_night", partition, config)
    runner.job("l1db_pipeline", "night_visits", partition)
    with DagsterInstance.get() as instance:
        prefix = night.replace("-", "") + "-"
        keys = sorted(key for key in instance.get_dynamic_partitions("visits")
                      if key.startswith(prefix))  # fmt: skip
    chosen = keys if wanted == "all" else keys[: int(wanted)]
    if chosen:
        visits = {
            "dagster/asset_partition_range_start": chosen[0],
            "dagster/asset_partition_range_end": chosen[-1],
        }
        runner.job("l1db_pipeline", "ap_prototype", visits)
        runner.job("l1db_pipeline", "timing_report", {})
    return len(keys), len(chosen)


def state(environ: Mapping[str, str]) -> dict[str, int]:
    """Return what the archive and the L1 database hold."""
    counts = {}
    with suppress(SQLAlchemyError), closing_engine(environ["L1DB_URL"]) as connection:
        for table in ("L1DbProtoVisits", "DiaObject", "DiaSource", "DiaForcedSource"):
            query = select(func.count()).select_from(sql_table(table))
            counts[table] = connection.execute(query).scalar_one()
    return counts


@contextmanager
def closing_engine(url: str) -> Iterator[Connection]:
    """Open a connection of an engine of its own."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def summary(night: str, made: dict[str, int], visits: tuple[int, int]) -> list[str]:
    """Return the lines that end the demo."""
    environ = os.environ
    rows = ", ".join(f"{count:,} {table}" for table, count in made.items())
    done = f"{visits[0]} visits simulated and archived, {visits[1]} run through AP"
    return [
        f"night            {night}: {done}",
        f"archived visits  {environ['ARCHIVE_URL']}",
        f"pre-night index  {environ['PRENIGHT_INDEX_URL']}",
        f"L1 database      {safe_url(environ['L1DB_URL'])} ({rows})",
        f"report           {environ['L1DB_REPORTS']}/l1db/index.html",
        "web UI           make ui, then http://localhost:3000",
    ]


def main() -> int:
    """Run the night and print the summary."""
    arguments = parse_arguments()
    start = time.monotonic()
    try:
        opsim = str(Path(arguments.opsim).resolve()) if arguments.opsim else ""
        night = arguments.day_obs or (night_of(opsim) if opsim else DEFAULT_NIGHT)
        server = start_services()
    except PipelineRuntimeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    # one process a job: each further one would load the definitions
    os.environ.update({"DAGSTER_EXECUTOR": "in_process"} | environment())
    print(f"PostgreSQL runs in {server.data}; night {night}")
    before = state(os.environ)
    visits = run_jobs(Runner(home_folder() / "logs"), night, opsim, arguments.visits)
    after = state(os.environ)
    print(f"\nDone in {time.monotonic() - start:.0f} s")
    if before == after:
        print("The night was done already: nothing was added.")
    print("\n".join(summary(night, after, visits)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
