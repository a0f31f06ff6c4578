"""Stores of every backend and option combination, empty."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import psycopg
import pytest
from contracts.l1db_options import Options, combinations, empty_store
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.sql_store import SqlL1Store


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


@pytest.fixture(scope="session")
def open_stores(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[Options], SqlL1Store]]:
    """Open each combination once; making its tables is the costly part of a test."""
    with ExitStack() as stack:

        @cache
        def opened(options: Options) -> SqlL1Store:
            if options.backend == "postgresql":
                url = request.getfixturevalue("contract_url")
                config = options.config(url, namespace=f"n{secrets.token_hex(6)}")
            else:
                folder = tmp_path_factory.mktemp("sqlite")
                config = options.config(f"sqlite:///{folder / 'l1.db'}")
            store = open_store(config)
            stack.callback(store.close)
            store.create_schema()
            return store

        yield opened


@pytest.fixture(params=combinations(), ids=str)
def options(request: pytest.FixtureRequest) -> Options:
    """One combination of backend and options."""
    chosen: Options = request.param
    return chosen


@pytest.fixture
def store(options: Options, open_stores: Callable[[Options], SqlL1Store]) -> SqlL1Store:
    """An empty store of the combination."""
    opened = open_stores(options)
    empty_store(opened)
    return opened
