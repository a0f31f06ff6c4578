"""Stores to test: a folder, a folder that plays remote, and a real S3 server.

The S3 server is OpenStack Swift with its S3 API, which checks keys, checksums and
conditions. It runs from a virtual environment of its own, whose path is in
``SWIFT_VENV`` (see requirements-swift.txt); or give the URL of another server in
``S3_TEST_ENDPOINT_URL`` with the usual AWS variables.
"""

import os
import pwd
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from archive_assets.objects.datastore import DataStore

RINGS = ("account", "container", "object")
# one process for all rings: swift-ring-builder takes 2 s for each of 9 steps
MAKE_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *pairs = sys.argv[1:]
for pair in pairs:
    ring, port = pair.split("=")
    builder = RingBuilder(4, 1, 1)
    disk = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port),
            "device": "disk", "weight": 1.0}
    builder.add_dev(disk)
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{ring}.ring.gz")
"""
FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    "healthcheck": "",
    "proxy-logging": "",
    "cache": "memcache_servers = 127.0.0.1:{cache}\nuse = egg:swift#memcache",
    "listing_formats": "",
    "bulk": "",
    "tempurl": "",
    "s3api": "s3_acl = false\ndns_compliant_bucket_names = no\nlocation = us-east-1",
    "tempauth": "user_test_tester = testing .admin .reseller_admin",
    "copy": "",
    "slo": "",
    "dlo": "",
    "versioned_writes": "allow_object_versioning = true",
    "symlink": "",
}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until all are chosen."""
    with ExitStack() as stack:
        held = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class SwiftServer:
    """Four processes on the loopback interface, with one disk that is a folder."""

    access_key = "test:tester"
    secret_key = "testing"

    def __init__(self, environment: Path, folder: Path) -> None:
        self._bin = environment / "bin"
        self._folder = folder
        *rings, self._proxy, self._cache = free_ports(len(RINGS) + 2)
        self._ports = dict(zip(RINGS, rings, strict=True))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{self._proxy}"

    def _default(self, port: int) -> str:
        account = pwd.getpwuid(os.getuid()).pw_name
        return (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\n"
            f"swift_dir = {self._folder}\nuser = {account}\nlog_address = /dev/null\n"
        )

    def _configure(self) -> None:
        (self._folder / "devices" / "disk").mkdir(parents=True)
        pairs = [f"{ring}={port}" for ring, port in self._ports.items()]
        subprocess.run(
            [self._bin / "python", "-c", MAKE_RINGS, self._folder, *pairs],
            check=True,
            timeout=120,
        )
        (self._folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        for ring, port in self._ports.items():
            (self._folder / f"{ring}.conf").write_text(
                f"{self._default(port)}devices = {self._folder}/devices\n"
                "mount_check = false\nfallocate_reserve = 0\n"
                f"[pipeline:main]\npipeline = {ring}-server\n"
                f"[app:{ring}-server]\nuse = egg:swift#{ring}\n"
                f"[{ring}-replicator]\n"
            )
        order = " ".join([*FILTERS, "proxy-logging", "proxy-server"])
        filters = "".join(
            f"[filter:{name}]\n"
            + (text if "use =" in text else f"use = egg:swift#{name}\n{text}")
            + "\n"
            for name, text in FILTERS.items()
        ).format(cache=self._cache)
        (self._folder / "proxy.conf").write_text(
            f"{self._default(self._proxy)}[pipeline:main]\npipeline = {order}\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
            "allow_account_management = true\n"
            + filters.replace("egg:swift#proxy-logging", "egg:swift#proxy_logging")
        )

    def start(self) -> None:
        self._configure()
        for name in (*RINGS, "proxy"):
            with (self._folder / f"{name}.log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen(
                        [
                            self._bin / f"swift-{name}-server",
                            self._folder / f"{name}.conf",
                            "-v",
                        ],
                        stdout=log,
                        stderr=log,
                    )
                )
        client = self.client()
        for _ in range(300):
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                time.sleep(0.1)
            else:
                return
        logs = {path.name: path.read_text() for path in self._folder.glob("*.log")}
        message = f"Swift did not start: {logs}"
        raise RuntimeError(message)

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:  # it holds nothing that is needed
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def s3_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, str]]:
    """Environment variables that lead to an S3 server."""
    if url := os.environ.get("S3_TEST_ENDPOINT_URL"):
        yield {"S3_ENDPOINT_URL": url}
        return
    if not (environment := os.environ.get("SWIFT_VENV")):
        pytest.skip("neither S3_TEST_ENDPOINT_URL nor SWIFT_VENV is set")
    server = SwiftServer(Path(environment), tmp_path_factory.mktemp("swift"))
    try:
        server.start()
        yield {
            "S3_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


@pytest.fixture
def s3_bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket; the environment leads to its server."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{secrets.token_hex(6)}"
    boto3.client("s3", endpoint_url=s3_environment["S3_ENDPOINT_URL"]).create_bucket(
        Bucket=bucket
    )
    return f"s3://{bucket}"


@pytest.fixture(
    params=["file", "remote-test", pytest.param("s3", marks=pytest.mark.s3)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> DataStore:
    """An empty store of each kind; the folder of the first has an awkward name."""
    if request.param == "s3":
        return DataStore(request.getfixturevalue("s3_bucket") + "/opsim/vseq/")
    folder = tmp_path / "a störe" / request.param
    folder.mkdir(parents=True)
    if request.param == "file":
        return DataStore(folder)
    return DataStore(f"remote-test://{folder.as_uri().removeprefix('file://')}/")
