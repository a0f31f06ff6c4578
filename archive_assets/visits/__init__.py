"""Visits tables: opsim SQLite, HDF5, content hash, nightly statistics."""
