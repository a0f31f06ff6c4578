"""A throw-away PostgreSQL server for the tests of the archive's callers."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

from pipeline_runtime.postgres import EmbeddedPostgres

__all__ = ["LocalOnlyPostgresql"]


class LocalOnlyPostgresql:
    """A server with a database ``test`` that only this account reaches, by a socket."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="vsmd-")
        self._server = EmbeddedPostgres(Path(self._folder.name) / "data")
        self._server.start()
        self._server.create_databases(["test"])

    def psycopg2_dsn(self) -> dict[str, str]:
        """Return the arguments of a connection: port, host, user, database."""
        parts = conninfo_to_dict(self._server.dsn("test"))
        named = {key: str(value) for key, value in parts.items()}
        named["database"] = named.pop("dbname")
        return named

    dsn = psycopg2_dsn

    def url(self) -> str:
        """Return the URL of the database."""
        return self._server.url("test", "postgresql")

    def stop(self) -> None:
        """Stop the server and remove its data; may be repeated."""
        if Path(self._folder.name).exists():
            self._server.stop()
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
