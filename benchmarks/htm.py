"""HTM level-20 ids of 10 million random points against sphgeom one by one.

Exits with 1 if a single id differs. ``ours`` and ``peer`` are CPU microseconds a
point; sphgeom's is taken in the same run.
"""

import json
import sys
import time

import numpy as np
from lsst.sphgeom import HtmPixelization, UnitVector3d

from l1db_pipeline.sky.htm import htm_index
from l1db_pipeline.sources.generators import sphere_blocks

N_POINTS = 10_000_000


def main() -> int:
    """Print the cost a point and the number of ids that differ."""
    index = HtmPixelization(20).index
    ours_s = peer_s = 0.0
    n_different = 0
    for xyz in sphere_blocks(N_POINTS, seed=11, block=100_000):
        start = time.process_time()
        ours = htm_index(xyz)
        middle = time.process_time()
        peer = [index(UnitVector3d(x, y, z)) for x, y, z in xyz.tolist()]
        peer_s += time.process_time() - middle
        ours_s += middle - start
        n_different += int(np.count_nonzero(ours != peer))
    figures = {
        "name": "htm20_per_point",
        "unit": "us",
        "ours": round(ours_s / N_POINTS * 1e6, 4),
        "peer": round(peer_s / N_POINTS * 1e6, 4),
        "ratio": round(peer_s / ours_s, 2),
    }
    print(json.dumps(figures))
    print(json.dumps({"name": "htm20_different", "unit": "ids", "ours": n_different}))
    return int(n_different > 0)


if __name__ == "__main__":
    sys.exit(main())
