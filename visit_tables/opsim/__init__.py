"""Visits tables in opsim SQLite files.

HDF5 is in `visit_tables.hdf5`. Start at `frame`.
"""
