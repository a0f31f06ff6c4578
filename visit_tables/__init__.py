"""A visits table and its files: opsim SQLite, ``visits.h5``, ``rewards.h5``.

The night of a visit, the content hash and nightly statistics are here; where a table
is archived or observed is not. Start at `columns`.
"""
