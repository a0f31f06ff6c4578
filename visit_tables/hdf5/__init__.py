"""Visits tables in HDF5: pandas' table layout, without pickles.

SQLite is in `visit_tables.opsim`. Start at `read` and `write`.
"""
