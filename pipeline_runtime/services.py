"""The project's own services, and the environment that each part of it reads."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline_runtime.cassandra import TrialCassandra
from pipeline_runtime.environment import check_environment, text_of
from pipeline_runtime.postgres import EmbeddedPostgres, ServicesError
from pipeline_runtime.postgres_session import open_session
from pipeline_runtime.private_places import make_private
from pipeline_runtime.shipped import shipped_file

__all__ = [
    "DATABASES",
    "embedded_server",
    "environment",
    "home_folder",
    "start_services",
    "trial_cassandra",
]

DATABASES = ("dagster", "l1db", "archive")
_MOVED = re.compile(r"module: *(archive_assets\.defs\.(\w+))")
_NOW = "pipeline_runtime.dagster.workarounds"
_NEW_NAMES = {"storage": "event_log"}
# SHA-256 of dagster.yaml as versions shipped it that kept no digest beside the copy
_EARLIER_INSTANCES = {
    "116b87443c0a2a1e98d5fc20464d7f8fcb90102a97aa6a04c6f8d84ffd2c67b6",
    "2686849d61cc2098c8a66fdcc62f0f43370d6e39206f487592b6b41710ea81c7",
    "38d1caffaacd71a173226819591363476b4f3774076bf02b6dee7578095addb2",
    "407bc4f5eac1e18bf548861f9b6607efa27a4dd6273aadf1a0b6e035eadba754",
    "7c99c4da78d6af9077a7c723902a52066935cb27e084808bcbba883ad93bc3bd",
    "7fb3487c9b85a9d17187d8713b5138585cad39c5f64d7368485f585000de32bb",
    "8bf1bad1f4e3ab1e637a6b69932ca482bc5f6213a135723971ddfa2b493e3f49",
    "b4355599784aff725759e978c60beb20c7097935df855b75a99e0d945a5b9574",
}


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the project's services and data.

    ``$L1DB_HOME`` if set; else ``.l1db`` in the checkout, or in the user's home
    folder for a package that was installed as a wheel.
    """
    if chosen := text_of("L1DB_HOME", environ):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[1]
    root = checkout if (checkout / "pyproject.toml").is_file() else Path.home()
    return root / ".l1db"


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what each part of the project reads from the environment.

    A variable that is set already is kept: it replaces the embedded default with
    the user's own server or store.

    Raises
    ------
    EnvironmentValueError
        If any variable of the product has a value that cannot be used.
    """
    check_environment(environ)
    home = home_folder(environ)
    server = embedded_server(environ)
    defaults = {
        "L1DB_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_COMPUTE_LOGS": str(home / "dagster" / "compute_logs"),
        # a slow answer of a code server is not a failure
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
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
    return {
        name: environ.get(name, "").strip() or value for name, value in defaults.items()
    }


def embedded_server(environ: Mapping[str, str] = os.environ) -> EmbeddedPostgres:
    """Return the server under the project's home folder, started or not."""
    return EmbeddedPostgres(home_folder(environ) / "postgres")


def trial_cassandra(environ: Mapping[str, str] = os.environ) -> TrialCassandra:
    """Return the nodes of Cassandra under the project's home folder, started or not."""
    return TrialCassandra(home_folder(environ) / "cassandra")


def start_services(environ: Mapping[str, str] = os.environ) -> EmbeddedPostgres:
    """Start the embedded server, create its databases and Dagster's folder.

    Raises
    ------
    ServicesError
        As `EmbeddedPostgres.start`.
    EnvironmentValueError
        As `environment`.
    """
    known = environment(environ)
    server = embedded_server(environ)
    _close_default_home(server.data.parent)
    server.start()
    server.create_databases(DATABASES)
    _set_up_databases(server)
    _make_dagster_home(Path(known["DAGSTER_HOME"]))
    make_private(Path(known["DAGSTER_COMPUTE_LOGS"]))
    return server


def _close_default_home(home: Path) -> None:
    """Close a ``.l1db`` of ours that an earlier version left open to others."""
    if home.name == ".l1db" and home.is_dir() and home.stat().st_uid == os.geteuid():
        home.chmod(0o700)


def _set_up_databases(server: EmbeddedPostgres) -> None:
    """Let Dagster's events reach the disk a moment later; keep the log quiet.

    Dagster commits every event: 1,000 visits would wait for 1,000 disk flushes. A
    crash of the machine may lose its last events, never its consistency, and the
    ledgers of the other databases hold the truth.

    In the L1 database nearly every line of the log would be "request for BRIN range
    summarization ... was not recorded", 3.7 kB a visit: autovacuum comes to those
    ranges anyway. Its errors reach the client who made them.
    """
    with open_session(server.dsn()) as connection:
        connection.execute("ALTER DATABASE dagster SET synchronous_commit = off")
        connection.execute("ALTER DATABASE l1db SET log_min_messages = fatal")


def _make_dagster_home(folder: Path) -> None:
    """Make Dagster's folder with the default instance, unless it has one.

    Raises
    ------
    ServicesError
        If it has a changed copy of an earlier version's, which names what moved.
    """
    make_private(folder)
    found, shipped = folder / "dagster.yaml", shipped_file("dagster.yaml")
    copied = folder / ".dagster.yaml.sha256"
    if not found.exists() or _is_unchanged(found, copied):
        shutil.copyfile(shipped, found)
        copied.write_text(_digest(found))
    elif moved := _MOVED.search(found.read_text()):
        raise ServicesError(
            f"{found} names the module {moved[1]}, which moved: write "
            f"{_NOW}.{_NEW_NAMES.get(moved[2], moved[2])}, or remove the file to get "
            "the default one"
        )


def _is_unchanged(found: Path, copied: Path) -> bool:
    """Tell whether a file is as some version of ours copied it."""
    known = {*_EARLIER_INSTANCES, copied.read_text() if copied.exists() else ""}
    return _digest(found) in known


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
