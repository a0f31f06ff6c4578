"""The Dagster layer of the L1 database; the only modules here that import dagster."""

import archive_assets.defs  # noqa: F401 - sets the warnings of the whole layer
