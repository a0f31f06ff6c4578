"""The Dagster layer of the L1 database; the only modules here that import dagster."""
