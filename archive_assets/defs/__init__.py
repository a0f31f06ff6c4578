"""The Dagster layer of the archive; the only modules here that import dagster."""
