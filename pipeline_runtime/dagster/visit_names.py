"""Names of the visits and what is made of them: one location makes, another reports."""

import dagster as dg

__all__ = ["MERGED_KEY", "NIGHT_TAG", "STORED_KEY", "VISITS_NAME"]

VISITS_NAME = "visits"
"""The partitions of visits, ``YYYYMMDD-NNNNN``."""

NIGHT_TAG = "l1db/night"
"""Tag of the run that a night asked for: all its visits, and no others."""

STORED_KEY = dg.AssetKey(["l1db", "write_batches"])
"""What the AP prototype stored, by visit."""

MERGED_KEY = dg.AssetKey(["l1db", "nightly_merge"])
"""By night: made once the visits of the night are stored."""
