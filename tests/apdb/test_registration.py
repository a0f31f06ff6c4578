import ast
import inspect
from pathlib import Path

import pytest
from click.testing import CliRunner
from lsst.dax.apdb import Apdb, factory, version
from lsst.dax.apdb import apdb as of_apdb
from lsst.dax.apdb.sql import ApdbSql

from l1db_pipeline.apdb import registration
from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.registration import ApdbVersionError, register
from l1db_pipeline.cli.l1db import main

register()
SMALL = Path(__file__).with_name("data") / "apdb.yaml"
PACKAGE = Path(registration.__file__).parents[1]


@pytest.fixture
def unregistered(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Upstream as it is before the first call of `register`; undone afterwards."""
    originals = inspect.getclosurevars(factory.make_apdb).nonlocals["found"]
    for name, modules in registration._HOLDERS.items():
        for module in modules:
            monkeypatch.setattr(module, name, originals[name])
    return monkeypatch


def test_registering_again_changes_nothing() -> None:
    before = factory.make_apdb

    register()

    assert factory.make_apdb is before


def test_another_version_is_refused_in_a_line(
    unregistered: pytest.MonkeyPatch,
) -> None:
    unregistered.setattr(version, "__version__", "99.2030.1")

    with pytest.raises(ApdbVersionError, match=r"99\.2030\.1 .* is not the known 30\."):
        register()


def test_changed_functions_are_refused(unregistered: pytest.MonkeyPatch) -> None:
    unregistered.setattr(factory, "make_apdb", lambda _config: None)

    with pytest.raises(ApdbVersionError, match="factory"):
        register()


def test_functions_that_another_replaced_are_refused(
    unregistered: pytest.MonkeyPatch,
) -> None:
    unregistered.setattr(of_apdb, "make_apdb", print)

    with pytest.raises(ApdbVersionError, match="make_apdb was replaced"):
        register()


def test_upstream_still_makes_its_own(tmp_path: Path) -> None:
    config = ApdbSql.init_database(
        f"sqlite:///{tmp_path}/sql.db", schema_file=str(SMALL), ss_schema_file=""
    )

    assert isinstance(Apdb.from_config(config), ApdbSql)


def test_the_command_makes_what_a_client_opens(tmp_path: Path) -> None:
    config = str(tmp_path / "apdb.yaml")
    made = ["apdb", "init", f"sqlite:///{tmp_path}/l1.db", config, "--schema-file"]
    runner = CliRunner()

    result = runner.invoke(
        main, [*made, str(SMALL), "--ss-schema-file", "", "--history", "rows"]
    )

    assert result.exit_code == 0, result.output
    opened = Apdb.from_uri(config)
    assert isinstance(opened, L1Apdb)
    assert opened.getConfig().one_store_per_image
    shown = runner.invoke(main, ["apdb", "metadata", "get", config, "version:schema"])
    assert shown.output == "0.1.1\n"


def test_nothing_else_of_the_package_needs_the_extra() -> None:
    offenders = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "apdb"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and str(node.module).startswith(("lsst.dax", "felis", "l1db_pipeline.apdb"))
    ]

    # the command imports it when it runs
    assert set(offenders) == {"cli/apdb.py"}
