"""Stores of every backend and option combination, empty."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from contracts.l1db_options import Options, combinations
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from l1db_pipeline.config import L1dbConfig
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_store

MakeConfig = Callable[[Options], L1dbConfig]


@pytest.fixture(scope="session")
def contract_url(postgres_dsn: str) -> Iterator[str]:
    """URL of one PostgreSQL database; each store has a namespace of its own in it."""
    name = f"contract_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    parts = conninfo_to_dict(postgres_dsn)
    yield URL.create(
        "postgresql+psycopg",
        username=str(parts["user"]),
        database=name,
        query={"host": str(parts["host"]), "port": str(parts.get("port", 5432))},
    ).render_as_string(hide_password=False)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def make_config(request: pytest.FixtureRequest, tmp_path: Path) -> MakeConfig:
    """Return the configuration of an empty place for a store."""

    def make(options: Options) -> L1dbConfig:
        if options.backend == "postgresql":
            url = request.getfixturevalue("contract_url")
            return options.config(url, namespace=f"n{secrets.token_hex(6)}")
        return options.config(f"sqlite:///{tmp_path / secrets.token_hex(4)}.db")

    return make


@pytest.fixture(params=combinations(), ids=str)
def options(request: pytest.FixtureRequest) -> Options:
    """One combination of backend and options."""
    chosen: Options = request.param
    return chosen


@pytest.fixture
def store(options: Options, make_config: MakeConfig) -> Iterator[L1Store]:
    """An empty store of the combination, schema made."""
    with ExitStack() as stack:
        opened = open_store(make_config(options))
        stack.callback(opened.close)
        opened.create_schema()
        yield opened
