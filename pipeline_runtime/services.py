"""The project's own services, and the environment that each part of it reads."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import psycopg

from pipeline_runtime.postgres import EmbeddedPostgres
from pipeline_runtime.shipped import shipped_file

__all__ = [
    "DATABASES",
    "embedded_server",
    "environment",
    "home_folder",
    "start_services",
]

DATABASES = ("dagster", "l1db", "archive")


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the project's services and data.

    ``$L1DB_HOME`` if set; else ``.l1db`` in the checkout, or in the user's home
    folder for a package that was installed as a wheel.
    """
    if chosen := environ.get("L1DB_HOME"):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[1]
    root = checkout if (checkout / "pyproject.toml").is_file() else Path.home()
    return root / ".l1db"


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what each part of the project reads from the environment.

    A variable that is set already is kept: it replaces the embedded default with
    the user's own server or store.
    """
    home = home_folder(environ)
    server = embedded_server(environ)
    defaults = {
        "L1DB_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_COMPUTE_LOGS": str(home / "dagster" / "compute_logs"),
        "DAGSTER_POSTGRES_URL": server.url("dagster", "psycopg2"),
        "L1DB_URL": server.url("l1db", "psycopg"),
        "VSARCHIVE_PGHOST": str(server.socket_folder),
        "VSARCHIVE_PGPORT": "5432",
        "VSARCHIVE_PGDATABASE": "archive",
        "VSARCHIVE_PGUSER": "postgres",
        "VSARCHIVE_PGSCHEMA": "vsmd",
        "ARCHIVE_URL": (home / "archive").as_uri() + "/",
        "PRENIGHT_INDEX_URL": (home / "prenight_index").as_uri() + "/",
        "RUBIN_SIM_DATA_DIR": str(home / "rubin_sim_data"),
        "SIMULATIONS_DIR": str(home / "simulations"),
        "L1DB_SOURCES": str(home / "sources"),
        "L1DB_REPORTS": str(home / "reports"),
    }
    return {name: environ.get(name, value) for name, value in defaults.items()}


def embedded_server(environ: Mapping[str, str] = os.environ) -> EmbeddedPostgres:
    """Return the server under the project's home folder, started or not."""
    return EmbeddedPostgres(home_folder(environ) / "postgres")


def start_services(environ: Mapping[str, str] = os.environ) -> EmbeddedPostgres:
    """Start the embedded server, create its databases and Dagster's folder.

    Raises
    ------
    ServicesError
        As `EmbeddedPostgres.start`.
    """
    server = embedded_server(environ)
    server.start()
    server.create_databases(DATABASES)
    _relax_event_log(server)
    _make_dagster_home(Path(environment(environ)["DAGSTER_HOME"]))
    return server


def _relax_event_log(server: EmbeddedPostgres) -> None:
    """Let Dagster's events reach the disk a moment later.

    It commits every event: 1,000 visits would wait for 1,000 disk flushes. A crash of
    the machine may lose its last events, never its consistency, and the ledgers of the
    other databases hold the truth.
    """
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("ALTER DATABASE dagster SET synchronous_commit = off")


def _make_dagster_home(folder: Path) -> None:
    """Make Dagster's folder with the default instance, unless it has one."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(shipped_file("dagster.yaml"), folder / "dagster.yaml")
