"""The original's class on each backend."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from l1db.original_records import Open

from l1db_pipeline.l1db import L1db


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("database", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def open_l1db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open one database, made at the first call, with options of the INI file."""
    url = (
        f"sqlite:///{tmp_path}/l1.db"
        if request.param == "sqlite"
        else request.getfixturevalue(f"{request.param}_url")
    )
    prefix = f"p{secrets.token_hex(4)}_" if request.param == "mariadb" else ""
    opened = []

    def open_it(**options: object) -> L1db:
        options = {"prefix": prefix, **options}
        file = tmp_path / "l1db.cfg"
        lines = "\n".join(f"{name} = {value}" for name, value in options.items())
        file.write_text(f"[database]\nurl = {url}\n[l1db]\n{lines}\n")
        opened.append(L1db(str(file)))
        opened[-1].makeSchema()
        return opened[-1]

    yield open_it
    for database in opened:
        database.close()
