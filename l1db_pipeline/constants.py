"""The numbers of the simulation under the original's names: a door."""

import math

from l1db_pipeline.sky.geometry import FOV_OPEN_ANGLE_RAD as FOV_rad  # noqa: N811
from l1db_pipeline.sky.htm import HTM_LEVEL
from l1db_pipeline.sky.pixelization import MAX_HTM_RANGES as HTM_MAX_RANGES
from l1db_pipeline.sources.dia import N_FALSE_POSITIVES as N_FALSE_PER_VISIT
from l1db_pipeline.sources.dia import N_TRANSIENTS as N_TRANS_PER_VISIT

__all__ = [
    "HTM_LEVEL",
    "HTM_MAX_RANGES",
    "N_FALSE_PER_VISIT",
    "N_TRANS_PER_VISIT",
    "FOV_deg",
    "FOV_rad",
]

FOV_deg = math.degrees(FOV_rad)
