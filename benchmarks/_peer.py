"""Runs saved visits on lsst-dax-apdb; started by `_driver.run_peer` in the peer's venv.

Arguments: database URL, folder of the visits, PostgreSQL data folder or nothing. The
last line printed is the costs as JSON. Catalogs are made outside the timing; columns
that the peer requires and ours lack are zero, or random where ours fills all.
"""

# ruff: noqa: ANN001, ANN202
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import lsst.sdm.schemas
import numpy as np
import pandas as pd
import yaml
from astropy.time import Time
from lsst.dax.apdb import Apdb
from lsst.dax.apdb.sql import ApdbSql
from lsst.sphgeom import Angle, Circle, UnitVector3d

warnings.filterwarnings("ignore")
TICKS = os.sysconf("SC_CLK_TCK")
DTYPES = {
    "long": np.int64, "int": np.int32, "short": np.int16, "byte": np.int8,
    "float": np.float32, "double": np.float64, "boolean": np.bool_,
}  # fmt: skip
SET_BY_PEER = {"pixelId", "validityStartMjdTai", "validityEndMjdTai"}


def schema():
    """Return the peer's columns by table."""
    path = Path(lsst.sdm.schemas.__file__).with_name("apdb.yaml")
    tables = yaml.safe_load(path.read_text())["tables"]
    return {table["name"]: table["columns"] for table in tables}


def frame(columns, given, n_rows, fill, rng):
    """Return a data frame with the given columns, required ones, or all."""
    data = dict(given)
    for column in columns:
        name = column["name"]
        if name in data or name in SET_BY_PEER:
            continue
        if not fill and column.get("nullable", True):
            continue
        dtype = DTYPES.get(column["datatype"])
        if dtype is None:
            data[name] = np.full(n_rows, "r" if fill else "")
        elif not fill:
            data[name] = np.zeros(n_rows, dtype)
        elif dtype is np.bool_:
            data[name] = rng.random(n_rows) < 0.5
        elif np.issubdtype(dtype, np.integer):
            data[name] = rng.integers(0, 100, n_rows).astype(dtype)
        else:
            data[name] = rng.random(n_rows).astype(dtype)
    return pd.DataFrame(data)


def catalogs(path, tables):
    """Return centre, time and the peer's three catalogs of a visit."""
    raw = np.load(path)
    time_tai = Time(str(raw["time"]), format="isot", scale="utc").tai
    mjd, visit = float(time_tai.mjd), int(path.stem)
    rng, fill = np.random.default_rng(visit), bool(raw["fill"])
    ids, ra, dec = (raw[f"object.{n}"] for n in ("diaObjectId", "ra", "decl"))
    objects = frame(
        tables["DiaObject"],
        {
            "diaObjectId": ids, "ra": ra, "dec": dec,
            "nDiaSources": np.ones(len(ids), np.int32),
        },
        len(ids), fill, rng,
    )  # fmt: skip
    for column in tables["DiaObjectLast"]:
        if column["name"] not in objects and column["name"] not in SET_BY_PEER:
            objects[column["name"]] = np.zeros(len(ids), DTYPES[column["datatype"]])
    n_sources = len(raw["source.diaSourceId"])
    stamped = {
        "visit": np.full(n_sources, visit),
        "detector": np.zeros(n_sources, np.int16),
        "midpointMjdTai": np.full(n_sources, mjd),
        "timeProcessedMjdTai": np.full(n_sources, mjd),
    }
    sources = frame(
        tables["DiaSource"],
        {
            **stamped,
            "diaSourceId": raw["source.diaSourceId"],
            "diaObjectId": raw["source.diaObjectId"],
            "ra": raw["source.ra"], "dec": raw["source.decl"],
        },
        n_sources, fill, rng,
    )  # fmt: skip
    forced_ids = raw["forced.diaObjectId"]
    n_forced = len(forced_ids)
    forced = frame(
        tables["DiaForcedSource"],
        {
            **{name: column[:1].repeat(n_forced) for name, column in stamped.items()},
            "diaForcedSourceId": visit * 2**20 + np.arange(n_forced),
            "diaObjectId": forced_ids,
            "ra": ra[:n_forced], "dec": dec[:n_forced],
        },
        n_forced, fill, rng,
    )  # fmt: skip
    return raw["centre"], time_tai, objects, sources, forced


def server_cpu(pid):
    """Return CPU seconds of the server and its children, ended ones included."""
    if not pid:
        return 0.0

    def times(process, n_fields):
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[11 : 11 + n_fields]))

    total = times(pid, 4)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            total += times(int(child), 2)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS


def main(url, folder, data):
    """Run every visit."""
    pid = int((Path(data) / "postmaster.pid").read_text().split("\n")[0]) if data else 0
    config = ApdbSql.init_database(
        db_url=url,
        dia_object_index="last_object_table",
        read_sources_months=12,
        read_forced_sources_months=12,
    )
    apdb, tables = Apdb.from_config(config), schema()
    costs = {"client_s": [], "server_s": [], "wall_s": [], "steps": [], "rows_read": []}
    for path in sorted(Path(folder).glob("*.npz")):
        centre, when, objects, sources, forced = catalogs(path, tables)
        region = Circle(UnitVector3d(*centre), Angle.fromDegrees(1.75))
        server, client, wall = server_cpu(pid), time.process_time(), time.perf_counter()
        steps = {}
        start = time.perf_counter()

        def lap(name, steps=steps):
            nonlocal start
            steps[name] = time.perf_counter() - start
            start = time.perf_counter()

        found = apdb.getDiaObjects(region)
        lap("read objects")
        # the exact trim is numpy's, not the peer's row by row: outside of the database
        inside = region.contains(
            np.radians(found["ra"].to_numpy(np.float64)),
            np.radians(found["dec"].to_numpy(np.float64)),
        )
        ids = found["diaObjectId"].to_numpy()[inside].tolist()
        n_rows = len(ids)
        start = time.perf_counter()
        if ids:
            n_rows += len(apdb.getDiaSources(region, ids, when))
            lap("read sources")
            n_rows += len(apdb.getDiaForcedSources(region, ids, when))
            lap("read forced sources")
        apdb.store(when, objects, sources, forced)
        lap("store")
        costs["wall_s"].append(time.perf_counter() - wall)
        costs["client_s"].append(time.process_time() - client)
        costs["server_s"].append(server_cpu(pid) - server)
        costs["rows_read"].append(n_rows)
        costs["steps"].append(steps)
    costs["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(costs))


if __name__ == "__main__":
    main(*sys.argv[1:4])
