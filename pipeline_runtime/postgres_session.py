"""The settings of every connection to PostgreSQL, so that no setting of others counts.

A server, a database, a role and the ``PG*`` variables all may set how values are
written as text, and what a name or a time without a zone means. Both systems read and
write with these, whatever was set there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg

__all__ = [
    "CLIENT_ENCODING",
    "OWN_SCHEMA",
    "SESSION_SETTINGS",
    "SET_SESSION",
    "SET_TRANSACTION",
    "open_session",
]

CLIENT_ENCODING = "UTF8"
"""Passed when connecting: the driver decodes by what the server then reports."""
OWN_SCHEMA = '"$user", public'
"""The search path where no schema was named: the one that PostgreSQL comes with."""
SESSION_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "bytea_output": "hex",
        "DateStyle": "ISO, MDY",
        "extra_float_digits": "3",
        "IntervalStyle": "postgres",
        "standard_conforming_strings": "on",
        "TimeZone": "UTC",
    }
)
SET_SESSION = "; ".join(f"SET {name} = '{v}'" for name, v in SESSION_SETTINGS.items())
"""Statements for a connection of one's own."""
SET_TRANSACTION = ", ".join(
    f"set_config('{name}', '{v}', true)" for name, v in SESSION_SETTINGS.items()
)
"""What to SELECT at the start of a transaction, where a pooler may lend sessions."""


def open_session(dsn: str, **options: Any) -> psycopg.Connection:
    """Open a connection that commits each statement and has the settings.

    Parameters
    ----------
    dsn
        As for `psycopg.connect`.
    **options
        More of what it takes.
    """
    connection = psycopg.connect(
        dsn, client_encoding=CLIENT_ENCODING, autocommit=True, **options
    )
    try:
        connection.execute(f"{SET_SESSION}; SET search_path = {OWN_SCHEMA}".encode())
    except BaseException:
        connection.close()
        raise
    return connection
