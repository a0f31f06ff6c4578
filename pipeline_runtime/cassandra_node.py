"""How a node of Apache Cassandra is configured and started: for tests and trials.

One JVM on an address of loopback, with settings that make it start in seconds. What a
node acknowledges is on its disk, as with the SQL databases.
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PORT", "NodeSettings", "command_line"]

PORT = 9042
_STORAGE_PORT = 7000

_YAML = """\
cluster_name: {name}
num_tokens: 1
initial_token: {token}
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seed}"
endpoint_snitch: SimpleSnitch
listen_address: {address}
rpc_address: {address}
storage_port: {storage_port}
native_transport_port: {port}
start_native_transport: true
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
data_file_directories: ["{folder}/data"]
commitlog_directory: "{folder}/commitlog"
hints_directory: "{folder}/hints"
saved_caches_directory: "{folder}/saved_caches"
cdc_raw_directory: "{folder}/cdc_raw"
commitlog_sync: group
commitlog_sync_group_window: 1ms
commitlog_segment_size: 32MiB
memtable:
  configurations:
    default: {{class_name: TrieMemtable}}
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
memtable_allocation_type: offheap_objects
file_cache_size: 64MiB
key_cache_size: 8MiB
concurrent_compactors: 1
compaction_throughput: 0MiB/s
sstable: {{selected_format: bti}}
storage_compatibility_mode: NONE
read_request_timeout: 10s
write_request_timeout: 10s
range_request_timeout: 30s
request_timeout: 10s
cas_contention_timeout: 5s
paxos_variant: v2
auto_snapshot: false
"""

_LOGBACK = """\
<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>{log}</file>
    <append>false</append>
    <encoder><pattern>%d %-5level %logger{{0}} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
"""

# what Cassandra 5.0 needs of the modules of Java 17
_EXPORTS = (
    "java.base/java.lang.ref", "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server", "java.sql/java.sql",
    "jdk.attach/sun.tools.attach", "jdk.unsupported/sun.misc",
)  # fmt: skip
_OPENS = (
    "java.base/java.io", "java.base/java.lang", "java.base/java.lang.module",
    "java.base/java.lang.reflect", "java.base/java.nio", "java.base/java.util",
    "java.base/jdk.internal.loader", "java.base/jdk.internal.math",
    "java.base/jdk.internal.module", "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect", "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch", "jdk.management/com.sun.management.internal",
)  # fmt: skip
_OF_A_DATA_CENTRE = {
    "cassandra.ring_delay_ms": "1000",
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.superuser_setup_delay_ms": "-1",
    "cassandra.consistent.rangemovement": "false",
    "cassandra.shutdown_announce_in_ms": "0",
}
"""Waits that make sense among many machines only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Where a node lies and who it is among the others."""

    folder: Path
    address: str
    seed: str
    place: int
    """Zero-based, among ``n_nodes``: the tokens divide the ring evenly."""
    n_nodes: int

    def write(self) -> None:
        """Write the configuration into the folder's ``conf``."""
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        token = -(2**63) + 2**64 // self.n_nodes * self.place
        text = _YAML.format(
            name=f"l1db-{self.seed}", token=token, seed=self.seed,
            address=self.address, port=PORT, storage_port=_STORAGE_PORT,
            folder=self.folder,
        )  # fmt: skip
        (conf / "cassandra.yaml").write_text(text)
        log = _LOGBACK.format(log=self.folder / "system.log")
        (conf / "logback.xml").write_text(log)


def command_line(folder: Path, jars: Path, heap: str) -> list[str]:
    """Return the command that runs the node of a folder, its configuration written.

    The compiler C2 costs more processor time in a short life than it saves.
    """
    conf = folder / "conf"
    agent = next(jars.glob("jamm-*.jar"))
    return [
        "java", f"-javaagent:{agent}", f"-Xms{heap}", f"-Xmx{heap}", "-Xss512k",
        "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1",
        "-XX:MaxDirectMemorySize=512M", "-XX:+ExitOnOutOfMemoryError",
        "-XX:ActiveProcessorCount=2", f"-XX:ErrorFile={folder}/hs_err.log",
        "-Djava.net.preferIPv4Stack=true", "-Djdk.attach.allowAttachSelf=true",
        "-Dcassandra-foreground=yes", "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dcassandra.config={(conf / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra.storagedir={folder}",
        f"-Dlogback.configurationFile={conf / 'logback.xml'}",
        f"-Djava.io.tmpdir={folder}", f"-Djna.tmpdir={folder}",
        *(f"-D{name}={value}" for name, value in _OF_A_DATA_CENTRE.items()),
        *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
        *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
        "-cp", f"{conf}:{jars}/*", "org.apache.cassandra.service.CassandraDaemon",
    ]  # fmt: skip
