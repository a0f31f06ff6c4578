"""A database of the test's own, empty, on each of two backends."""

from pathlib import Path

import pytest

from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> L1dbConfig:
    url = (
        f"sqlite:///{tmp_path}/l1.db"
        if request.param == "sqlite"
        else request.getfixturevalue("database_url")
    )
    return L1dbConfig(url=url, dia_object_index=ObjectIndex.LAST_OBJECT_TABLE)
