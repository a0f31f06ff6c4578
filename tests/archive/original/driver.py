# ruff: noqa: ANN001, ANN003, ANN201, T201 - a program of another interpreter
"""Run inside the original's virtual environment: fill, read or extend an archive.

It runs in another interpreter, whose types are not checked here. Each line of its
input is ``[STEP, CONFIG]`` in JSON, each line of its output the result; one process
takes all steps, because the original's imports take longer than they.
"""

import inspect
import io
import json
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from uuid import UUID

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from astropy.time import Time  # noqa: E402
from rubin_sim.sim_archive import (  # noqa: E402
    make_snapshot,
    prenight,
    prenightindex,
    prototype,
    sim_archive,
    util,
    vseqarchive,
    vseqmetadata,
)
from rubin_sim.sim_archive.vseqmetadata import (  # noqa: E402
    VisitSequenceArchiveMetadata,
)


def visits(n: int = 5, shift: float = 0.0) -> pd.DataFrame:
    mjds = 61375.6 + shift + np.linspace(0, 1.2, n)
    return pd.DataFrame(
        {
            "observationStartMJD": mjds,
            "fieldRA": np.linspace(0, 90, n),
            "fieldDec": -30.0,
            "band": ["r"] * n,
            "altitude": np.linspace(40, 80, n),
            "azimuth": 90.0,
            "target_name": ["somewhere"] * n,
        }
    )


def add_simulation(archive, config, label, **more):
    frame = visits()
    uuid = archive.record_simulation_metadata(
        frame, label, first_day_obs="2026-12-01", last_day_obs=20261202, **more
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "visits.h5"
        frame.to_hdf(path, key="observations")
        vseqarchive.add_file(archive, uuid, path, "visits", config["store"])
        notes = Path(folder) / "notes.txt"
        notes.write_text(label)
        vseqarchive.add_file(archive, uuid, notes, "notes", config["store"])
    archive.tag(uuid, "prenight", "ideal")
    archive.comment(uuid, "by the original", author="them")
    stats = vseqarchive.compute_nightly_stats(frame)
    archive.insert_nightly_stats(uuid, stats)
    return str(uuid)


def fill(archive, config):
    archive.create_schema_in_database()
    env = json.dumps([{"name": "numpy", "version": "2.0"}])
    env_hash = b"e" * 32
    archive.record_conda_env(env_hash, env)
    completed = archive.record_completed_metadata(
        visits(), "completed", query="SELECT 1", first_day_obs=20250620
    )
    first = add_simulation(
        archive, config, "first", creation_time=Time("2026-11-20T15:00:00"),
        scheduler_version="3.0", config_url="https://example.org/c.py",
        conda_env_sha256=env_hash, parent_visitseq_uuid=completed,
        sim_runner_kwargs={"nside": 32, "odd": {1}},
    )  # fmt: skip
    second = add_simulation(
        archive, config, "second", creation_time=Time("2026-11-20T14:00:00")
    )
    mixed = archive.record_mixed_metadata(
        visits(), "mixed", "2026-11-30", "2026-12-01", completed, UUID(first)
    )
    return {
        "completed": str(completed), "first": first, "second": second,
        "mixed": str(mixed), "index": publish(config),
    }  # fmt: skip


def publish(config):
    options = ["--schema", config["schema"]]
    for name in ("database", "host", "user"):
        options += [f"--{name}", config["connect"][name]]
    words = ["make-prenight-index", "2026-12-01", "simonyi"]
    out = io.StringIO()
    with redirect_stdout(out):
        vseqarchive.vseqarchive(
            [*options, *words, "--destination", config["index"]], standalone_mode=False
        )
    return out.getvalue().strip()


def read(archive, config):
    uuid = UUID(config["uuid"])
    row = archive.get_visitseq_metadata(uuid, "simulations_extra")
    found = archive.sims_on_nights(
        "2026-12-01", "2026-12-02", tags=("prenight",), max_simulation_age=4000
    )
    stats = archive.sims_on_night_with_stats(
        "2026-12-01", tags=("prenight",), max_simulation_age=4000
    ).set_index("visitseq_uuid")
    index = prenightindex.get_prenight_index_from_bucket(
        "2026-12-01", "simonyi", config["index"]
    )
    loaded = vseqarchive.get_visits(archive.get_visitseq_url(uuid))
    return {
        "columns": list(row.index),
        "label": row["visitseq_label"],
        "tags": row["tags"],
        "comments": list(row["comments"].values()),
        "files": row["files"],
        "kwargs": row["sim_runner_kwargs"],
        "daily_id": int(row["daily_id"]),
        "by_daily_id": str(
            archive.get_sim_uuid(row["sim_creation_day_obs"], row["daily_id"])
        ),
        "found": sorted(map(str, found["visitseq_uuid"])),
        "stats": stats.loc[uuid, "stats"],
        "index": sorted(map(str, index.index)),
        "index_columns": list(index.columns),
        "index_time": str(index.loc[str(uuid), "creation_time"]),
        "visits": loaded.to_dict("list"),
        "dtypes": {name: str(dtype) for name, dtype in loaded.dtypes.items()},
        "n_comments": len(archive.get_comments(uuid)),
        "n_stats": len(archive.query_nightly_stats(uuid)),
        "sha256": {
            name: archive.get_file_sha256(uuid, name).hex() for name in row["files"]
        },
        "base": archive.get_visitseq_metadata(uuid)["visitseq_label"],
    }


def extend(archive, config):
    uuid = UUID(config["uuid"])
    archive.tag(uuid, "by_the_original")
    archive.comment(uuid, "again")
    archive.update_visitseq_metadata(uuid, "config_url", "https://example.org/new")
    return {"third": add_simulation(archive, config, "third"), "index": publish(config)}


def default_of(parameter):
    is_required = parameter.default is inspect.Parameter.empty
    return None if is_required else repr(parameter.default)


def signatures(archive, config):
    del archive, config
    found = {}
    for owner in (VisitSequenceArchiveMetadata, make_snapshot, prenight, prenightindex,
                  prototype, sim_archive, vseqarchive, util):  # fmt: skip
        for name, value in vars(owner).items():
            home = owner.__module__ if inspect.isclass(owner) else owner.__name__
            is_own = getattr(value, "__module__", "") == home
            if inspect.isfunction(value) and is_own and not name.startswith("_"):
                found[f"{owner.__name__.split('.')[-1]}.{name}"] = [
                    [p.name, str(p.kind), default_of(p)]
                    for p in inspect.signature(value).parameters.values()
                ]
    for name, command in vseqarchive.vseqarchive.commands.items():
        found[f"command {name}"] = [
            [p.name, p.param_type_name, p.required] for p in command.params
        ]
    return found


def names(archive, config):
    del archive, config
    modules = (make_snapshot, prenight, prenightindex, prototype, sim_archive,
               vseqarchive, vseqmetadata)  # fmt: skip
    return {module.__name__.split(".")[-1]: module.__all__ for module in modules}


def run(step, config):
    archive = VisitSequenceArchiveMetadata(config["connect"], config["schema"])
    try:
        with redirect_stdout(io.StringIO()):
            return globals()[step](archive, config)
    finally:
        # it loses connections within transactions, whose locks stop an upgrade
        archive.pg_pool.closeall()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line)), default=str), flush=True)
