"""Which cluster and keyspace a URL names, and how they are to be used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from typing_extensions import override

from l1db_pipeline.errors import ConfigError
from pipeline_runtime.environment import text_of
from pipeline_runtime.urls import safe_url

__all__ = ["ClusterPlace"]

_PORT = 9042
_MOST_LETTERS = 48  # of a keyspace's name
_EXAMPLE = "cassandra://host1,host2,host3/keyspace?rf=3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlace:
    """What a URL such as ``cassandra://host1,host2,host3/keyspace?rf=3`` says."""

    hosts: tuple[str, ...]
    port: int
    keyspace: str
    user: str
    password: str
    rf: int | None = None
    """Replicas of each row, in a keyspace that is made; 3 if not given."""
    dc: str = ""
    """Data centre of the replicas; by default that of the first node."""
    ca: str = ""
    """File of the authority that signed the nodes' certificates: TLS is used."""
    timeout_s: float = 10.0
    """Maximum wait for the answer to one request."""
    lease_s: float = 10.0
    """So long a part of a visit that another writer has claimed is left to it."""
    merge_age_s: float = 600.0
    """Visits stored later are not merged; no read may last longer."""

    @classmethod
    def of(cls, url: str) -> "ClusterPlace":
        """Return what a URL says.

        Raises
        ------
        ConfigError
            If it lacks a keyspace, has a wrong option or value, or names no host and
            there are none of `CASSANDRA_HOSTS`.
        """
        shown = safe_url(url)
        try:
            parts = make_url(url)
        except (ArgumentError, ValueError):
            raise ConfigError(f"{shown} is not a URL such as {_EXAMPLE}") from None
        keyspace = parts.database or ""
        is_name = keyspace.replace("_", "").isalnum() and keyspace.isascii()
        if not is_name or len(keyspace) > _MOST_LETTERS or keyspace != keyspace.lower():
            raise ConfigError(
                f"{shown} has no valid keyspace ({keyspace!r}): use small letters, "
                f"digits and _, at most {_MOST_LETTERS}, as in {_EXAMPLE}"
            )
        hosts = tuple(h.strip() for h in (parts.host or _usual_hosts()).split(","))
        if not all(hosts):
            raise ConfigError(
                f"{shown} names no host: give some, as in {_EXAMPLE}, set "
                "CASSANDRA_HOSTS, or run l1db-services cassandra start"
            )
        return cls(
            hosts=hosts,
            port=parts.port or _PORT,
            keyspace=keyspace,
            user=parts.username or "",
            password=parts.password or "",
            **_options(shown, parts.query),
        )

    @override
    def __str__(self) -> str:
        """Return it without credentials."""
        return f"cassandra://{','.join(self.hosts)}/{self.keyspace}"


def _usual_hosts() -> str:
    chosen = text_of("CASSANDRA_HOSTS")
    if chosen:
        return chosen
    from pipeline_runtime.services import trial_cassandra  # noqa: PLC0415 - only for trials

    return trial_cassandra().hosts


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


_OPTIONS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "rf": (_whole, "a whole number, at least 1"),
    "dc": (str, "a name"),
    "ca": (str, "a file"),
    "timeout_s": (_seconds, "seconds"),
    "lease_s": (_seconds, "seconds"),
    "merge_age_s": (_seconds, "seconds"),
}


def _options(shown: str, query: Mapping[str, str | tuple[str, ...]]) -> dict[str, Any]:
    found = {}
    for name, text in query.items():
        if name not in _OPTIONS or not isinstance(text, str):
            raise ConfigError(
                f"{shown} has an unknown or repeated option {name}; known: "
                + ", ".join(_OPTIONS)
            )
        parse, expected = _OPTIONS[name]
        try:
            found[name] = parse(text)
        except ValueError:
            raise ConfigError(f"{shown}: {name} = {text} is not {expected}") from None
    return found
