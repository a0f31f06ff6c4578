"""Disk: what a folder of nights ($L1DB_HOME) holds, in all and per 1,000 AP visits.

Run it after ``make demo``, or over the folder of a site that runs nights; the services
are started if they do not run. Three parts do not grow with the visits: WAL, bounded by
``max_wal_size``, the site data and the catalog of sources.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from l1db_pipeline.store.open import open_store
from pipeline_runtime.services import environment, home_folder, start_services

FIXED = ("postgres/pg_wal", "rubin_sim_data", "sources")


def bytes_in(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def parts(home: Path, dagster_url: str, l1db_url: str) -> Iterator[tuple[str, int]]:
    """Yield each part of the folder with its bytes."""
    for folder in sorted(path for path in home.iterdir() if path.is_dir()):
        if folder.name != "postgres":
            yield folder.name, bytes_in(folder)
    yield "postgres/pg_wal", bytes_in(home / "postgres" / "pg_wal")
    for name, url in {"l1db": l1db_url, "dagster": dagster_url}.items():
        dsn = make_url(url).set(drivername="postgresql")
        text = dsn.render_as_string(hide_password=False)
        with psycopg.connect(text) as connection:
            found = connection.execute("SELECT pg_database_size(current_database())")
            yield f"postgres/{name}", int((found.fetchone() or (0,))[0])


def main() -> None:
    """Print one line a part."""
    start_services()
    names = environment()
    with open_store(names["L1DB_URL"]) as store:
        n_visits = len(store.read_visits())
    home = home_folder()
    found = parts(home, names["DAGSTER_POSTGRES_URL"], names["L1DB_URL"])
    for part, size in found:
        line = {"name": f"disk {part}", "unit": "MB", "ours": round(size / 1e6, 1)}
        if part not in FIXED:
            line["gb_per_1000_visits"] = round(size / 1e6 / max(n_visits, 1), 2)
        print(json.dumps(line | {"visits": n_visits}), flush=True)


if __name__ == "__main__":
    main()
