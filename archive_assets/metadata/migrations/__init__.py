"""Alembic migrations of the metadata schema, for `archive_assets.metadata.schema`."""
