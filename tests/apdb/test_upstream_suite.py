"""Upstream's own tests, unmodified, over `L1Apdb`: each class is one configuration."""

import secrets
import unittest
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lsst.dax.apdb import Apdb, ApdbUpdateRecord, ReplicaChunk
from lsst.dax.apdb.apdbSchema import ApdbTables
from lsst.dax.apdb.pixelization import Pixelization
from lsst.dax.apdb.tests import ApdbSchemaUpdateTest, ApdbTest
from typing_extensions import override

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.config import L1ApdbConfig
from l1db_pipeline.apdb.registration import register

register()
pytestmark = [
    # upstream's own calls of pandas, which version 4 will take no more
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    pytest.mark.filterwarnings("ignore:Starting with pandas version 4"),
]
DATA = Path(__file__).with_name("data")


class OnSqlite:
    """Makes each instance in a file of its own."""

    options: ClassVar[dict[str, Any]] = {}
    enable_replica: bool = False

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def make_instance(self, **kwargs: Any) -> L1ApdbConfig:
        return L1Apdb.init_database(
            **{**self.at_a_new_place(), **self.asked(), **kwargs}
        )

    def asked(self) -> dict[str, Any]:
        files = {
            "schema_file": str(DATA / "apdb.yaml"),
            "ss_schema_file": str(DATA / "sso.yaml"),
        }
        return {**files, "enable_replica": self.enable_replica, **self.options}

    def at_a_new_place(self) -> dict[str, Any]:
        return {"db_url": f"sqlite:///{self.tmp_path}/{secrets.token_hex(4)}.db"}


class OnPostgres(OnSqlite):
    """Makes each instance in a PostgreSQL schema of its own."""

    @pytest.fixture(autouse=True)
    def server(self, shared_database_url: str) -> None:
        self.url = shared_database_url

    @override
    def at_a_new_place(self) -> dict[str, Any]:
        return {"db_url": self.url, "namespace": f"apdb_{secrets.token_hex(6)}"}


class Suite(ApdbTest):
    """What upstream asks of a class that takes its tests."""

    @override
    def getDiaObjects_table(self) -> ApdbTables:
        return ApdbTables.DiaObjectLast

    @override
    def pixelization(self, config: Any) -> Pixelization:
        return Pixelization("htm", 8, 64)

    @override
    def store_update_records(
        self, apdb: Apdb, records: list[ApdbUpdateRecord], chunk: ReplicaChunk
    ) -> None:
        assert isinstance(apdb, L1Apdb)
        apdb.store_update_records(records, chunk)

    @override
    def _count_after_reset_dedup(self, count_before: int) -> int:
        return count_before


class TestSqlitePackedWithReplica(OnSqlite, Suite, unittest.TestCase):
    enable_replica = True
    meta_row_count = 4


@pytest.mark.weekly
class TestSqliteRowsBaseline(OnSqlite, Suite, unittest.TestCase):
    options: ClassVar[dict[str, Any]] = {
        "history": "rows",
        "dia_object_index": "baseline",
    }

    @override
    def getDiaObjects_table(self) -> ApdbTables:
        return ApdbTables.DiaObject


@pytest.mark.postgresql
class TestPostgresPackedWithReplica(OnPostgres, Suite, unittest.TestCase):
    enable_replica = True
    meta_row_count = 4


class TestSqliteSchemaUpdate(OnSqlite, ApdbSchemaUpdateTest, unittest.TestCase):
    pass


@pytest.mark.postgresql
class TestPostgresSchemaUpdate(OnPostgres, ApdbSchemaUpdateTest, unittest.TestCase):
    pass


@pytest.mark.weekly
class TestSqlitePacked(OnSqlite, Suite, unittest.TestCase):
    pass


@pytest.mark.weekly
class TestSqliteRows(OnSqlite, Suite, unittest.TestCase):
    options: ClassVar[dict[str, Any]] = {"history": "rows"}


@pytest.mark.weekly
class TestSqlitePackedBaselineWithReplica(TestSqlitePackedWithReplica):
    options: ClassVar[dict[str, Any]] = {"dia_object_index": "baseline"}

    @override
    def getDiaObjects_table(self) -> ApdbTables:
        return ApdbTables.DiaObject


@pytest.mark.weekly
@pytest.mark.postgresql
class TestPostgresPacked(OnPostgres, Suite, unittest.TestCase):
    pass


@pytest.mark.weekly
@pytest.mark.postgresql
class TestPostgresRowsWithReplica(TestPostgresPackedWithReplica):
    options: ClassVar[dict[str, Any]] = {"history": "rows"}


@pytest.mark.weekly
@pytest.mark.postgresql
class TestPostgresRowsBaseline(OnPostgres, TestSqliteRowsBaseline):
    pass
