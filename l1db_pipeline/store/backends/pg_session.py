"""How a session of PostgreSQL is opened: its name, settings and limits of time."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from pipeline_runtime.environment import seconds_of
from pipeline_runtime.postgres_session import (
    CLIENT_ENCODING,
    OWN_SCHEMA,
    SESSION_SETTINGS,
)

__all__ = ["connect", "connection_options", "session_settings", "unit_name"]

_PLANS = {
    # every statement of ours has an index to use; parallel workers and compiled
    # plans cost more CPU than they save on statements of some 10 ms
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "client_min_messages": "error",
}
_RESTART_S = 10.0
_PAUSE_S = 0.2


def connection_options(url: str) -> dict[str, Any]:
    """Return what psycopg connects with."""
    parts = make_url(url)
    options: dict[str, Any] = parts.translate_connect_args(
        username="user", database="dbname"
    )
    options["application_name"] = _program()
    options |= {name: str(value) for name, value in parts.query.items()}
    options["client_encoding"] = CLIENT_ENCODING
    return options


def session_settings(namespace: str) -> dict[str, str]:
    """Return what statements rely on, each value as SQL has it.

    Raises
    ------
    EnvironmentValueError
        If a limit of time is none.
    """
    path = sql.Identifier(namespace).as_string() if namespace else OWN_SCHEMA
    found = {name: f"'{value}'" for name, value in SESSION_SETTINGS.items()}
    for setting, variable in (
        ("lock_timeout", "L1DB_LOCK_TIMEOUT_S"),
        ("statement_timeout", "L1DB_STATEMENT_TIMEOUT_S"),
    ):
        found[setting] = str(round(seconds_of(variable) * 1000))
    return {**found, **_PLANS, "search_path": path}


def connect(options: Mapping[str, Any]) -> psycopg.Connection:
    """Connect; wait a while for a server that says that it starts."""
    deadline = time.monotonic() + _RESTART_S
    while True:
        try:
            return psycopg.connect(**options, autocommit=True)
        except psycopg.OperationalError as error:
            is_starting = "starting up" in str(error) or "recovery" in str(error)
            if not is_starting or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def unit_name(options: Mapping[str, Any], unit: str) -> str:
    """Return the statement that names a transaction for `pg_stat_activity`."""
    name = sql.Literal(f"{options['application_name']} {unit}").as_string()
    return f"SET LOCAL application_name = {name}"


def _program() -> str:
    """Return the name of the command that runs."""
    program = Path(sys.argv[0])
    return program.parent.name if program.stem == "__main__" else program.stem
