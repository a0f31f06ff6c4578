"""The bake-off: the same visits through several schemas and backends, side by side."""
