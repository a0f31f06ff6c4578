"""Configurations to compare without a plan: backends by name, index modes, history."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from l1db_pipeline.comparison.plan import Candidate, PlanError
from l1db_pipeline.schema.config import History, ObjectIndex
from pipeline_runtime.environment import text_of
from pipeline_runtime.postgres import EmbeddedPostgres
from pipeline_runtime.services import embedded_server

__all__ = ["MARIADB_VARIABLE", "all_candidates", "databases_of"]

MARIADB_VARIABLE = "L1DB_MARIADB_URL"
_POSTGRESQL, _SQLITE, _MARIADB = "postgresql", "sqlite", "mariadb"
_SHORT = {_POSTGRESQL: "pg", "mysql": _MARIADB}
_INDEX_NAMES = {
    ObjectIndex.BASELINE: "baseline",
    ObjectIndex.HTM20_ID_IOV: "htm20",
    ObjectIndex.LAST_OBJECT_TABLE: "last",
}


def all_candidates(
    databases: Mapping[str, str],
    indexes: Sequence[ObjectIndex],
    histories: Sequence[History],
) -> tuple[Candidate, ...]:
    """Return a configuration for each database, index mode and history layout.

    Parameters
    ----------
    databases
        Names to URLs, as in a plan.
    indexes, histories
        Of the configurations; each once.
    """
    return tuple(
        Candidate(
            name=f"{database}-{_INDEX_NAMES[index]}-{history.value}",
            database=database,
            options={
                "dia_object_index": index.value,
                "object_last_replace": "1",
                "history": history.value,
            },
        )
        for database, index, history in product(
            databases, dict.fromkeys(indexes), dict.fromkeys(histories)
        )
    )


@contextmanager
def databases_of(
    backends: Sequence[str], environ: Mapping[str, str] = os.environ
) -> Iterator[dict[str, str]]:
    """Yield the databases of some backends, as in a plan.

    Parameters
    ----------
    backends
        ``sqlite``; ``postgresql``, which is that of ``L1DB_URL`` or, where that is not
        set, the project's own server, started for the while; ``mariadb``, that of
        ``L1DB_MARIADB_URL``; or a URL.

    Raises
    ------
    PlanError
        If one is none of these, or its variable is not set.
    ServicesError
        If the project's own server cannot be started.
    """
    found: dict[str, str] = {}
    with ExitStack() as stack:
        for backend in dict.fromkeys(backends):
            url = _url(backend, environ, stack)
            try:
                kind = make_url(url).get_backend_name()
            except (ArgumentError, ValueError):
                raise PlanError(
                    f"unknown backend {backend!r}: use {_SQLITE}, {_POSTGRESQL}, "
                    f"{_MARIADB} or a database URL"
                ) from None
            name = short = _SHORT.get(kind, kind)
            number = 1
            while name in found:
                number += 1
                name = f"{short}{number}"
            found[name] = url
        yield found


def _url(backend: str, environ: Mapping[str, str], stack: ExitStack) -> str:
    if backend == _SQLITE:
        return "sqlite:///{folder}/{name}.db"
    if backend == _MARIADB:
        if url := environ.get(MARIADB_VARIABLE):
            return url
        raise PlanError(
            f"backend mariadb needs {MARIADB_VARIABLE}, such as "
            "mysql+pymysql://user@host/database"
        )
    if backend == _POSTGRESQL:
        return text_of("L1DB_URL", environ) or _own_server(environ, stack)
    return backend


def _own_server(environ: Mapping[str, str], stack: ExitStack) -> str:
    """Return a URL of the project's own server; end it later if it was not running."""
    server: EmbeddedPostgres = embedded_server(environ)
    if not server.is_running():
        stack.callback(server.stop)
    server.start()
    server.create_databases(("l1db",))
    return server.url("l1db", "psycopg")
