"""One visit: read what is known, match, measure, store.

Many visits are the business of `l1db_pipeline.runs`. Start at `process`.
"""
