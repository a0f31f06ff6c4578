"""The jars of Apache Cassandra: brought by Maven, each with a checksum that is pinned.

``cassandra_jars.sha256`` lists them, natives of other systems left out.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = ["VERSION", "CassandraError", "fetch_jars"]

VERSION = "5.0.9"
_PINNED = Path(__file__).with_name("cassandra_jars.sha256")
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
_OPTIONS = "-XX:TieredStopAtLevel=1"  # a short life: half the processor time
_PATIENCE_S = 900
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>cassandra-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""


class CassandraError(PipelineRuntimeError):
    """The nodes cannot be fetched, started or stopped."""


def fetch_jars(folder: Path) -> None:
    """Bring the jars into a folder, unless it has them.

    Raises
    ------
    CassandraError
        If Java or Maven is absent, Maven fails, or a jar is not the one pinned.
    """
    mark = folder / ".pinned"
    wanted = hashlib.sha256(_PINNED.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return
    for program, package in (("java", "a JDK 17"), ("mvn", "Apache Maven")):
        if shutil.which(program) is None:
            raise CassandraError(
                f"Cassandra needs the program {program}, which is not on the PATH: "
                f"install {package}, or set CASSANDRA_HOSTS to a cluster of yours"
            )
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _copy(fresh)
    _keep_pinned(fresh)
    (fresh / mark.name).write_text(wanted)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _copy(fresh: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="l1db-pom-") as place:
        pom = Path(place) / "pom.xml"
        pom.write_text(_POM.format(version=VERSION))
        command = ["mvn", "-B", "-q", "-f", str(pom), _PLUGIN,
                   f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments
                command, capture_output=True, text=True, timeout=_PATIENCE_S,
                check=False, env={**os.environ, "MAVEN_OPTS": _OPTIONS},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CassandraError(
                f"Maven brought no Cassandra {VERSION} within {_PATIENCE_S} s: check "
                "the network and ~/.m2/settings.xml, then run again"
            ) from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
        problem = lines[0] if lines else f"exit code {done.returncode}"
        raise CassandraError(
            f"Maven brought no Cassandra {VERSION} ({problem.strip()[:300]}): check "
            "the network and ~/.m2/settings.xml, then run again"
        )


def _keep_pinned(fresh: Path) -> None:
    """Leave the jars that are pinned, each with the checksum that is stated."""
    lines = _PINNED.read_text().splitlines()
    pinned = {name: digest for digest, name in (line.split() for line in lines)}
    for jar in fresh.glob("*.jar"):
        if jar.name not in pinned:
            jar.unlink()
    for name, digest in pinned.items():
        jar = fresh / name
        if not jar.is_file():
            raise CassandraError(
                f"Maven did not bring {name}, which {_PINNED.name} lists: a mirror has "
                "other versions; use Maven Central"
            )
        if hashlib.sha256(jar.read_bytes()).hexdigest() != digest:
            raise CassandraError(
                f"{name} is not the one that {_PINNED.name} lists (its SHA-256 "
                "differs): remove it from ~/.m2/repository and run again"
            )
