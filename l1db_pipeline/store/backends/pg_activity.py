"""Who is connected to a PostgreSQL database, and who waits for whom."""

from typing import Any

import psycopg

__all__ = ["sessions_of"]

_SESSIONS = """
SELECT pid, application_name, coalesce(state, ''),
  round(extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change)), 1),
  array_to_string(pg_blocking_pids(pid), ' '),
  left(regexp_replace(coalesce(query, ''), '\\s+', ' ', 'g'), 80)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
ORDER BY coalesce(xact_start, state_change)
"""


def sessions_of(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return each other session, that of the oldest transaction first.

    Number of its server process, program and unit, state, seconds since its
    transaction began (or its last one ended), numbers of those that it waits for, and
    its last statement.
    """
    return connection.execute(_SESSIONS).fetchall()
