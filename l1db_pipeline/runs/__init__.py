"""Many visits in order: resumed, divided into tiles, of an archived night.

One visit is in `l1db_pipeline.visit`. Start at `loop`.
"""
