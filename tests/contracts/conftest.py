"""Stores of every backend and option combination, empty."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from contracts.l1db_options import Options, combinations, empty_store

from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.open import open_sql_store, open_store


@pytest.fixture(scope="session")
def open_stores(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[Options], L1Store]]:
    """Open each combination once; making its tables is the costly part of a test."""
    with ExitStack() as stack:

        @cache
        def opened(options: Options) -> L1Store:
            if options.backend == "cassandra":
                url = request.getfixturevalue("cassandra_url")
                store = stack.enter_context(open_store(options.config(url)))
                store.create_schema()
                return store
            if options.backend == "memory":
                return MemoryL1Store(options.config("memory:"))
            if options.backend == "postgresql":
                url = request.getfixturevalue("shared_database_url")
                config = options.config(url, namespace=f"n{secrets.token_hex(6)}")
            elif options.backend == "mariadb":
                url = request.getfixturevalue("mariadb_url")
                config = options.config(url, prefix=f"p{secrets.token_hex(4)}_")
            else:
                folder = tmp_path_factory.mktemp("sqlite")
                config = options.config(f"sqlite:///{folder / 'l1.db'}")
            store = open_sql_store(config)
            stack.callback(store.close)
            store.create_schema()
            return store

        yield opened


_MARKS = {
    "cassandra": pytest.mark.cassandra,
    "mariadb": pytest.mark.mariadb,
    "postgresql": pytest.mark.postgresql,
}


@pytest.fixture(
    params=[
        pytest.param(options, id=str(options), marks=_MARKS.get(options.backend, ()))
        for options in combinations()
    ]
)
def options(request: pytest.FixtureRequest) -> Options:
    """One combination of backend and options."""
    chosen: Options = request.param
    return chosen


@pytest.fixture
def store(options: Options, open_stores: Callable[[Options], L1Store]) -> L1Store:
    """An empty store of the combination."""
    opened = open_stores(options)
    empty_store(opened)
    return opened
