"""Where the metadata database is: arguments, then ``VSARCHIVE_*``, then defaults."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from typing_extensions import override

from archive_assets.errors import InvalidValueError
from pipeline_runtime.environment import is_set, seconds_of, text_of
from pipeline_runtime.urls import check_connection_word

__all__ = [
    "VSARCHIVE_PGDATABASE",
    "VSARCHIVE_PGHOST",
    "VSARCHIVE_PGPORT",
    "VSARCHIVE_PGSCHEMA",
    "VSARCHIVE_PGUSER",
    "ConnectionSettings",
    "SettableConstants",
    "connection_settings",
]

VSARCHIVE_PGDATABASE = "opsim_log"
VSARCHIVE_PGHOST = "usdf-maf-visit-seq-archive-tx-ro.sdf.slac.stanford.edu"
VSARCHIVE_PGUSER = "reader"
VSARCHIVE_PGSCHEMA = "vsmd"
VSARCHIVE_PGPORT: int | None = None
"""None leaves the port to libpq: ``PGPORT``, else 5432."""


_WORDS = {
    "host": "the host (--host, VSARCHIVE_PGHOST)",
    "dbname": "the database (--database, VSARCHIVE_PGDATABASE)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """All that is needed to open the metadata database.

    Attributes
    ----------
    connect
        Keyword arguments of `psycopg.connect`; passwords are left to libpq.
    schema
        Schema that holds the tables.
    statement_timeout_s
        Maximum time of one statement; 0 means no limit.
    """

    connect: Mapping[str, object] = field(repr=False)
    schema: str
    statement_timeout_s: float

    @property
    def place(self) -> str:
        """Database, host and schema in words, for messages; never a password."""
        host = self.connect.get("host", "localhost")
        port = self.connect.get("port")
        where = f"{host}:{port}" if port else f"{host}"
        return f"{self.connect['dbname']} at {where}, schema {self.schema}"


def connection_settings(
    arguments: Mapping[str, object] | None = None,
    schema: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ConnectionSettings:
    """Return the settings; an argument that is None counts as not given.

    Parameters
    ----------
    arguments
        As for `psycopg.connect`; ``database`` is the original's word for
        ``dbname``. ``statement_timeout_s`` is ours.
    schema
        Schema; else ``VSARCHIVE_PGSCHEMA``, else ``vsmd``.
    environ
        Environment; the process's own by default.

    Raises
    ------
    InvalidValueError
        If a port or time-out is not a number, or the schema's name is empty.
    CredentialsError
        If the host or the database is a URL or a whole connection string.
    """
    environ = os.environ if environ is None else environ
    connect = {k: v for k, v in (arguments or {}).items() if v is not None}
    if "database" in connect:
        connect["dbname"] = connect.pop("database")
    for name, variable, default in (
        ("dbname", "VSARCHIVE_PGDATABASE", VSARCHIVE_PGDATABASE),
        ("host", "VSARCHIVE_PGHOST", VSARCHIVE_PGHOST),
        ("user", "VSARCHIVE_PGUSER", VSARCHIVE_PGUSER),
        ("port", "VSARCHIVE_PGPORT", VSARCHIVE_PGPORT),
    ):
        value = connect.get(name) or environ.get(variable, "").strip() or default
        if value is not None:
            connect[name] = value
    for name in ("host", "dbname"):
        check_connection_word(connect[name], _WORDS[name])
    connect.setdefault(
        "connect_timeout",
        int(seconds_of("VSARCHIVE_CONNECT_TIMEOUT_S", environ)),
    )
    statement_timeout_s = connect.pop("statement_timeout_s", None)
    if statement_timeout_s is None:
        statement_timeout_s = seconds_of("VSARCHIVE_STATEMENT_TIMEOUT_S", environ)
    if "port" in connect and not str(connect["port"]).isdigit():
        raise InvalidValueError(f"the port must be a number, not {connect['port']!r}")
    if schema is None:
        schema = (
            text_of("VSARCHIVE_PGSCHEMA", environ)
            if is_set("VSARCHIVE_PGSCHEMA", environ)
            else VSARCHIVE_PGSCHEMA
        )
    if not schema or "\0" in schema:
        raise InvalidValueError(f"unusable schema name {schema!r}")
    return ConnectionSettings(
        connect=connect,
        schema=schema,
        statement_timeout_s=float(str(statement_timeout_s)),
    )


class SettableConstants(ModuleType):
    """A module whose ``VSARCHIVE_PG*`` programs set, as they did in the original's.

    What is set there is set here, and so followed by connections made later.
    """

    @override
    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("VSARCHIVE_PG"):
            globals()[name] = value
        super().__setattr__(name, value)
