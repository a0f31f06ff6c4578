"""Putting a visit sequence into the archive: objects and metadata as one act.

Reading it again is in `archive_assets.reading`; the night as a whole in
`archive_assets.nights`. Start at `sequence`.
"""
