"""Simulations and statistics that several tests record."""

from datetime import date, timedelta
from uuid import UUID

import pandas as pd
from psycopg import sql

from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

Archive = VisitSequenceArchiveMetadata
SHA = bytes(range(32))


def add(archive: Archive, visits: pd.DataFrame, **details: object) -> UUID:
    kwargs = {
        "label": "a night",
        "first_day_obs": "2026-12-01",
        "last_day_obs": 20261203,
        **details,
    }
    return archive.record_simulation_metadata(visits, **kwargs)  # type: ignore[arg-type]


def count(archive: Archive, table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    return int(archive.query(query)[0][0])  # type: ignore[index]


def statistics(
    nights: int = 3, *, accumulated: bool = False, mean: float = 1.5
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day_obs": [date(2026, 12, 1) + timedelta(days=n) for n in range(nights)],
            "value_name": "altitude",
            "count": 2.0,
            "mean": mean,
            "std": [float("nan")] * nights,
            "accumulated": accumulated,
        }
    )
