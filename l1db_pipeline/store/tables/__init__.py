"""The store's tables: objects, current objects, history, and the bytes of chunks.

How an engine is spoken to is in `l1db_pipeline.store.backends`. Start at `layout`.
"""
