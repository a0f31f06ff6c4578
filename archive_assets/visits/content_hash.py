"""The canonical hash of visits: a door with the names of earlier versions."""

from visit_tables.content_hash import VisitsDigest, file_sha256

__all__ = ["VisitsDigest", "file_sha256", "visits_sha256"]

visits_sha256 = file_sha256
