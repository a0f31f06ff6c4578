"""Some nodes of Apache Cassandra on loopback, for tests and trials; no root, no ports.

Each home folder has addresses of its own, 127.a.b.1 and so on, so that two checkouts
on one machine never meet on the usual ports. Everybody on the machine can connect to
them: no data of a survey belong there.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline_runtime.cassandra_jars import CassandraError, fetch_jars
from pipeline_runtime.cassandra_node import PORT, NodeSettings, command_line
from pipeline_runtime.private_places import check_owner, make_private

__all__ = ["MOST_NODES", "Node", "TrialCassandra"]

MOST_NODES = 9
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0
_HEAP = {1: "512M"}
_HEAP_OF_SEVERAL = "400M"
_OPTIONS_FRAME = bytes([4, 0, 0, 1, 5, 0, 0, 0, 0])  # CQL: OPTIONS
_SUPPORTED = 6


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its folder and its address."""

    number: int
    folder: Path
    address: str

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def process(self) -> psutil.Process | None:
        """Return the process of the pid file, if it is a node over this folder."""
        mark = f"-Dcassandra.storagedir={self.folder}"
        try:
            process = psutil.Process(int(self._pid_file.read_text()))
            is_it = mark in process.cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None

    def answers(self) -> bool:
        """Tell whether clients can connect."""
        try:
            with socket.create_connection((self.address, PORT), timeout=2) as link:
                link.sendall(_OPTIONS_FRAME)
                return link.recv(5)[4:] == bytes([_SUPPORTED])
        except OSError:
            return False

    def launch(self, jars: Path, heap: str) -> None:
        """Start the process; it answers some seconds later."""
        with (self.folder / "out.log").open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command_line(self.folder, jars, heap),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.folder,
            )
        self._pid_file.write_text(str(process.pid))

    def wait(self, deadline: float) -> None:
        """Wait until it answers.

        Raises
        ------
        CassandraError
            If it ends before, or does not in time; with the last error of its log.
        """
        grace = time.monotonic() + 2  # until the child is Java, not a copy of us
        while not self.answers():
            now = time.monotonic()
            if now > deadline or (self.process() is None and now > grace):
                self.end(signal.SIGKILL)
                raise CassandraError(
                    f"node {self.number} of Cassandra at {self.address} did not start: "
                    f"{self._last_error()}; its logs are in {self.folder}"
                )
            time.sleep(0.1)

    def end(self, number: signal.Signals) -> None:
        """Signal the process, and wait until it is gone."""
        process = self.process()
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(_STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(_STOP_TIMEOUT_S)
        self._pid_file.unlink(missing_ok=True)

    def _last_error(self) -> str:
        lines: list[str] = []
        for path in (self.folder / "out.log", self.folder / "system.log"):
            if path.is_file():
                lines += path.read_text(errors="replace").splitlines()[-300:]
        errors = [line for line in lines if "ERROR" in line or "Error" in line]
        return (errors or lines or ["it wrote no log"])[-1].strip()[:300]


@dataclass(frozen=True, slots=True)
class TrialCassandra:
    """The nodes of one home folder.

    Parameters
    ----------
    home
        Their folder; made at the first `start`.
    """

    home: Path

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that were made; none before the first start."""
        try:
            n_nodes = int((self.home / "n_nodes").read_text())
        except (FileNotFoundError, ValueError):
            return ()
        return self._nodes(n_nodes)

    def _nodes(self, n_nodes: int) -> tuple[Node, ...]:
        digest = hashlib.sha256(os.fsencode(self.home.resolve())).digest()
        net = f"127.{1 + digest[0] % 254}.{digest[1]}"
        return tuple(
            Node(n, self.home.resolve() / f"node{n}", f"{net}.{n}")
            for n in range(1, n_nodes + 1)
        )

    @property
    def hosts(self) -> str:
        """The addresses, as ``CASSANDRA_HOSTS`` has them."""
        return ",".join(node.address for node in self.nodes)

    def is_running(self) -> bool:
        """Tell whether there are nodes, and all answer."""
        nodes = self.nodes
        return bool(nodes) and all(node.answers() for node in nodes)

    def start(self, n_nodes: int = 0) -> None:
        """Start the nodes that do not run, and wait for each; make them if need be.

        Parameters
        ----------
        n_nodes
            How many; 0 for those that there are, or one.

        Raises
        ------
        CassandraError
            If they cannot be fetched or started, or another number was made before.
        """
        with self._locked():
            fetch_jars(self.home / "jars")
            made = len(self.nodes)
            if n_nodes and made and n_nodes != made:
                raise CassandraError(
                    f"{self.home} has {made} nodes, {n_nodes} are asked for: ask for "
                    f"{made}, or remove them with l1db-services cassandra stop --wipe"
                )
            n_nodes = n_nodes or made or 1
            (self.home / "n_nodes").write_text(str(n_nodes))
            nodes = self._nodes(n_nodes)
            for place, node in enumerate(nodes):
                if node.process() is None:
                    NodeSettings(
                        folder=node.folder, address=node.address,
                        seed=nodes[0].address, place=place, n_nodes=n_nodes,
                    ).write()  # fmt: skip
                    heap = _HEAP.get(n_nodes, _HEAP_OF_SEVERAL)
                    node.launch(self.home.resolve() / "jars", heap)
                # one after the other: two that join at once confuse the ring
                node.wait(time.monotonic() + _START_TIMEOUT_S)

    def stop(self, *, wipe: bool = False) -> None:
        """Stop the nodes; with ``wipe`` remove their data too. The jars stay."""
        if not self.home.is_dir():
            return
        with self._locked():
            for node in self.nodes:
                node.end(signal.SIGTERM)
                if wipe:
                    shutil.rmtree(node.folder, ignore_errors=True)
            if wipe:
                (self.home / "n_nodes").unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the home folder, so that two starts at once do one start."""
        make_private(self.home.parent)
        make_private(self.home)
        check_owner(self.home, os.geteuid())
        with (self.home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
