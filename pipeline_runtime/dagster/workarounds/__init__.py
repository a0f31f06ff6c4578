"""What needs names that Dagster keeps private, each with the issue that explains it.

No other module imports from ``dagster._…``.
"""
