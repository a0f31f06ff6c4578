"""Revisions of the layout, one file a change; run by `upkeep.migrate`.

To add one: write ``versions/NNNN_what.py`` (``down_revision`` names the one before),
change the layout, and set ``SCHEMA_REVISION`` in `l1db_pipeline.schema.version`.
In it, ``op.get_context().opts`` has ``table_prefix`` and ``namespace``.
"""
