"""Play courses of the store's protocol: interleaved processes, faults, kills.

A course is made from its number, so any can be played again. The first that breaks a
promise of the store is made as small as it can be, and printed.

    python scripts/prove.py                              1,000 courses in memory
    python scripts/prove.py --courses 100000 --seed 7    others, and more
    python scripts/prove.py --backend sqlite-packed
    python scripts/prove.py --planted two_snapshots      is this fault found?
"""

import argparse
import json
import multiprocessing
import resource
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from protocol.planted import PLANTED
from protocol.trial import BACKENDS, broken_promise, course_of, smallest


def _fails(backend: str, planted: str | None, seed: int) -> int | None:
    with PLANTED[planted]() if planted else nullcontext():
        return seed if broken_promise(backend, course_of(backend, seed)) else None


def main() -> int:
    """Play courses; print one JSON line, and the smallest course that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--courses", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first")
    parser.add_argument("--backend", choices=list(BACKENDS), default="memory")
    parser.add_argument("--planted", choices=list(PLANTED), help="plant a fault first")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    numbers = range(args.seed, args.seed + args.courses)
    job = partial(_fails, args.backend, args.planted)
    with multiprocessing.get_context("fork").Pool(args.processes) as pool:
        failed = next((n for n in pool.imap(job, numbers, 16) if n is not None), None)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "backend": args.backend,
        "courses": args.courses if failed is None else failed - args.seed + 1,
        "first": args.seed,
        "failed": failed,
        "cpu_s": round(children.ru_utime + children.ru_stime, 1),
    }
    print(json.dumps(figures), flush=True)
    if failed is None:
        return 0
    with PLANTED[args.planted]() if args.planted else nullcontext():
        course = smallest(args.backend, course_of(args.backend, failed))
        print(course, broken_promise(args.backend, course), sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
