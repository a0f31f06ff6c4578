"""Files of visits by the names of earlier versions: what `visit_tables` holds now.

Doors for callers who imported ``archive_assets.visits``; no module of ours does.
"""
