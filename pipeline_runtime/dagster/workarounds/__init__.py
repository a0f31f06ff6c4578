"""What needs names that Dagster keeps private, each with the issue that explains it.

No other module imports from ``dagster._…``. These names may change with any minor
release, hence ``dagster<1.14`` in pyproject.toml: raise that bound once the tests that
the modules name pass with the next one.
"""
