"""gen_sources -H -1 (21.4 million sources) against numpy making and saving the same.

Both run as programs of their own on this machine, one after the other; CPU and wall
seconds include start-up. ``limit`` of the time ratio is 1.5, of memory 2,000 MB.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = """
import sys
import numpy as np
points = np.random.default_rng(1).normal(size=(21438735, 3))
points /= np.linalg.norm(points, axis=1)[:, np.newaxis]
np.absolute(points[:, 2], out=points[:, 2])
np.negative(points[:, 2], out=points[:, 2])
np.save(sys.argv[1], points)
"""


def cost(command: list[str]) -> dict[str, float]:
    """Return wall and CPU seconds and peak megabytes of a program."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with status {status}")
    return {
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1e3,
    }


def main() -> None:
    """Print wall, CPU and memory, ours and numpy's."""
    with tempfile.TemporaryDirectory() as folder:
        ours_path, peer_path = Path(folder, "ours.npy"), Path(folder, "peer.npy")
        peer = cost([sys.executable, "-c", PEER, str(peer_path)])
        same_size = peer_path.stat().st_size
        peer_path.unlink()
        program = [sys.executable, "-m", "l1db_pipeline.cli.gen_sources"]
        ours = cost([*program, "-H", "-1", "--seed", "1", str(ours_path)])
        if ours_path.stat().st_size != same_size:
            raise SystemExit("the files differ in size")
    for name, unit, limit in (
        ("wall", "s", 1.5 * peer["wall"]),
        ("cpu", "s", 1.5 * peer["cpu"]),
        ("memory", "MB", 2000),
    ):
        figure = {
            "name": f"gen_sources_{name}",
            "unit": unit,
            "ours": round(ours[name], 3),
            "peer": round(peer[name], 3),
            "limit": round(limit, 3),
            "ratio": round(ours[name] / peer[name], 3),
        }
        print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
