"""The file of a SQLite database: missing, or one that this user cannot write."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from contracts.l1db_sky import field, key, records

from l1db_pipeline.cli.l1db import main
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import (
    DatabaseMissingError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
)
from l1db_pipeline.store.open import open_store
from l1db_pipeline.store.upkeep.migrate import current_revision

IDS = [1, 2, 3]
NOBODY = 65534


@contextmanager
def _plain_user() -> Iterator[None]:
    """Act without the rights of root, who may write any file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def config() -> Iterator[L1dbConfig]:
    """A database of one visit, in a folder that every user can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    config = L1dbConfig(url=f"sqlite:///{folder}/l1 100%.db")
    with closing(open_store(config)) as store:
        store.create_schema()
        store.store_visit(key(1), records(1, IDS))
    yield config
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _file(config: L1dbConfig) -> Path:
    return Path(config.url.removeprefix("sqlite:///"))


@pytest.mark.parametrize(
    "command",
    [
        "last-visit", "row-counts", "sizes", "verify", "digest", "timings",
        "light-curve 7", "cone-search 10 20 3", "explain 10 20", "merge-nightly",
        "compact", "rebuild", "migrate",
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", [".", "missing"])
def test_a_command_on_a_missing_file_leaves_nothing_behind(
    tmp_path: Path, command: str, folder: str
) -> None:
    settings = tmp_path / "l1db.cfg"
    settings.write_text(f"[database]\nurl = sqlite:///{tmp_path}/{folder}/l1.db\n")

    result = CliRunner().invoke(main, [*command.split(), "-c", str(settings)])

    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "l1.db; correct the url, or create the database with" in result.output
    assert list(tmp_path.iterdir()) == [settings]


def test_a_write_to_a_missing_file_leaves_nothing_behind(tmp_path: Path) -> None:
    config = L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db")

    with closing(open_store(config)) as store:
        with pytest.raises(DatabaseMissingError):
            store.store_visit(key(1), records(1, IDS))
        with pytest.raises(DatabaseMissingError):
            store.put_setting("a", "b")
    with pytest.raises(DatabaseMissingError):
        open_store(config.url)
    with pytest.raises(DatabaseMissingError):
        current_revision(config)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_made_after_the_store_was_opened_is_found(
    tmp_path: Path,
) -> None:
    config = L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db")

    with closing(open_store(config)) as reader:
        with closing(open_store(config)) as writer:
            writer.create_schema()
        assert reader.last_visit() is None


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o555), (0o666, 0o555), (0o444, 0o777)]
)
def test_a_file_that_cannot_be_written_is_read_and_left_as_it_is(
    config: L1dbConfig, journal: str, file_mode: int, folder_mode: int
) -> None:
    file = _file(config)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    content = file.read_bytes()
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)

    with _plain_user(), closing(open_store(config)) as store:
        assert len(store.read_objects(field())) == len(IDS)
        assert store.verify() == []
        assert store.row_counts()["DiaSource"] == len(IDS)
        with pytest.raises(DatabaseReadOnlyError, match="nothing was stored: allow"):
            store.store_visit(key(2), records(2, IDS))
        assert len(store.read_objects(field())) == len(IDS)

    assert file.read_bytes() == content
    with closing(open_store(config)) as store:
        assert store.verify() == []
        assert store.store_visit(key(9), records(9, IDS)) is StoreOutcome.STORED


def test_a_closed_folder_whose_wal_holds_visits_is_not_read_without_them(
    config: L1dbConfig,
) -> None:
    file = _file(config)
    with closing(open_store(config)) as writer:
        writer.store_visit(key(2), records(2, IDS))
        saved = [(Path(f"{file}{end}"), Path(f"{file}{end}").read_bytes())
                 for end in ("", "-wal")]  # fmt: skip
    for path, content in saved:  # as a writer that was killed leaves them
        path.write_bytes(content)
        path.chmod(0o444)
    file.parent.chmod(0o555)

    with (
        _plain_user(),
        pytest.raises((DatabaseReadOnlyError, DatabaseUnavailableError)),
    ):
        open_store(config)


def test_a_file_that_others_write_meanwhile_is_not_read_on(config: L1dbConfig) -> None:
    file = _file(config)
    file.chmod(0o444)
    file.parent.chmod(0o555)

    with _plain_user():
        reader = open_store(config)
        assert len(reader.read_objects(field())) == len(IDS)
    file.parent.chmod(0o755)
    file.chmod(0o644)
    with closing(open_store(config)) as writer:
        writer.store_visit(key(2), records(2, [4, 5]))

    with closing(reader), pytest.raises(DatabaseUnavailableError, match="since it was"):
        reader.read_objects(field())
