"""What a trip enters: files and functions of ours, and crossings between files.

``process_visit`` is the second visit of a field with 700 sources (PostgreSQL, packed);
``vseqarchive add`` archives an opsim file of 554 visits; ``vseqarchive search`` prints
all sequences. A crossing is a call, or a generator's resumption, of a function of one
file of ours that came, through libraries or not, from another file of ours. Each trip
is made once before it is counted, so that imports and statements made once do not.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
from _driver import config_of, postgres
from _workload import FIELD_OF_VIEW_DEG, START, Workload
from archive_files import archive, make_opsim
from numpy.random import SeedSequence

from archive_assets.cli.vseqarchive import main as vseqarchive
from l1db_pipeline.schema.config import History
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.dia import SimulatedSources
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit.association import Detections, detections_of
from l1db_pipeline.visit.process import Visit, VisitOptions, process_visit

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("l1db_pipeline", "archive_assets", "visit_tables", "pipeline_runtime")
OWN = tuple(f"{ROOT / package}{os.sep}" for package in PACKAGES)
FIELD = Workload(name="trip", n_fields=1, n_visits=2, n_variables=500, n_noise=200)


class Trip:
    """Counts the calls of our functions within its block."""

    def __init__(self) -> None:
        self.functions: Counter[tuple[str, str, int]] = Counter()
        self.crossings: Counter[tuple[str, str, str]] = Counter()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OWN):
            return
        self.functions[code.co_filename, code.co_qualname, code.co_firstlineno] += 1
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(OWN):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != code.co_filename:
            edge = caller.f_code.co_filename, code.co_filename, code.co_qualname
            self.crossings[edge] += 1

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def show(self, name: str, *, n_edges: int) -> None:
        """Print the counts as one JSON line, and the commonest crossings."""
        line = {
            "name": name,
            "files": len({file for file, _, _ in self.functions}),
            "functions": len(self.functions),
            "crossings": self.crossings.total(),
        }
        print(json.dumps(line), flush=True)
        for (caller, callee, function), n in self.crossings.most_common(n_edges):
            edge = [str(Path(file).relative_to(ROOT)) for file in (caller, callee)]
            print(json.dumps({"from": edge[0], "to": edge[1], function: n}))


def detections(visit_id: int) -> Detections:
    """Return 500 variables, the same in each visit, and 200 sources of noise."""
    opening = np.radians(FIELD_OF_VIEW_DEG)
    centre = FIELD.centres[0]
    variables = rand_cone_xyz(centre, opening, FIELD.n_variables, FIELD.seed)
    noise = rand_cone_xyz(
        centre, opening, FIELD.n_noise, SeedSequence((FIELD.seed, visit_id))
    )
    rows = np.arange(len(variables) + len(noise))
    rows[len(variables) :] = -1
    xyz = np.concatenate([variables, noise])
    return detections_of(SimulatedSources(xyz=xyz, catalog_rows=rows))


def visit_trip() -> Trip:
    """Count the second visit of a field."""
    schema, options = load_schema(), VisitOptions()
    with postgres() as server:
        store = open_store(config_of(server.url("postgres", "psycopg"), History.PACKED))
        store.create_schema()
        trip = Trip()
        for visit_id in range(1, FIELD.n_visits + 1):
            visit = Visit(
                visit_id=visit_id,
                time=START + timedelta(days=visit_id),
                centre=FIELD.centres[0],
                open_angle_deg=FIELD_OF_VIEW_DEG,
            )
            found = detections(visit_id)
            is_last = visit_id == FIELD.n_visits
            with trip if is_last else contextlib.nullcontext():
                process_visit(store, visit, found, options=options, schema=schema)
        store.close()
    return trip


def archive_trips() -> Iterator[tuple[str, Trip]]:
    """Count archiving a file, and a search."""
    with tempfile.TemporaryDirectory() as name, archive(Path(name)) as environment:
        folder = Path(name)
        os.environ.update(environment)
        base = ("--archive-base", (folder / "store").as_uri())
        files = [make_opsim(folder / f"{n}.db", n) for n in (300, 554)]
        adding = [["add", str(file), file.stem, *base] for file in files]
        for command, trips in (
            ("vseqarchive add", [_command(arguments) for arguments in adding]),
            ("vseqarchive search", [_command(["search"])] * 2),
        ):
            trips[0]()
            with Trip() as trip:
                trips[1]()
            yield command, trip


def _command(arguments: list[str]) -> Callable[[], None]:
    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            vseqarchive(arguments, standalone_mode=False)

    return run


def main() -> None:
    """Print the counts; with a number, so many of the commonest crossings too."""
    n_edges = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    visit_trip().show("process_visit", n_edges=n_edges)
    for name, trip in archive_trips():
        trip.show(name, n_edges=n_edges)


if __name__ == "__main__":
    main()
