"""A throw-away PostgreSQL server: a door with the original's names."""

from archive_assets.metadata.throw_away import LocalOnlyPostgresql

__all__ = ["LocalOnlyPostgresql"]
