"""What users of the original depend on, a claim for each row of its checklist."""

import inspect
import json
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest

from archive_assets import prenightindex, prototype, vseqarchive
from archive_assets.cli.vseqarchive import main
from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.settings import connection_settings
from archive_assets.vseqmetadata import (
    VSARCHIVE_PGDATABASE,
    VSARCHIVE_PGHOST,
    VSARCHIVE_PGPORT,
    VSARCHIVE_PGSCHEMA,
    VSARCHIVE_PGUSER,
    VisitSequenceArchiveMetadata,
)
from pipeline_runtime.errors import EnvironmentValueError

Archive = VisitSequenceArchiveMetadata
PACKAGE = "archive_assets"
RECORDED = Path(__file__).parent
SIGNATURES: dict[str, list[list[Any]]] = json.loads(
    (RECORDED / "signatures.json").read_text()
)
NAMES: dict[str, list[str]] = json.loads((RECORDED / "names.json").read_text())
COMMANDS = {
    name.removeprefix("command "): words
    for name, words in SIGNATURES.items()
    if name.startswith("command ")
}
FUNCTIONS = {
    name: words for name, words in SIGNATURES.items() if not name.startswith("command ")
}
RETIRED = {
    f"prototype.{name}"
    for name in NAMES["prototype"]
    if getattr(prototype, name).__doc__.startswith("Raise RetiredError")
}

# Row 1: names, types, defaults and order of columns

STATISTICS = [
    (name, "double precision", True)
    for name in ("mean", "std", "min", "p05", "q1", "median", "q3", "p95", "max")
]
COMMON = [
    ("visitseq_uuid", "uuid", False),
    ("visitseq_sha256", "bytea", False),
    ("visitseq_label", "text", False),
    ("visitseq_url", "text", True),
    ("telescope", "text", False),
    ("first_day_obs", "date", True),
    ("last_day_obs", "date", True),
    ("creation_time", "timestamp with time zone", True),
]
COLUMNS = {
    "visitseq": COMMON,
    "simulations": [
        *COMMON,
        ("scheduler_version", "text", True),
        ("config_url", "text", True),
        ("conda_env_sha256", "bytea", True),
        ("parent_visitseq_uuid", "uuid", True),
        ("sim_runner_kwargs", "jsonb", True),
        ("parent_last_day_obs", "date", True),
    ],
    "completed": [*COMMON, ("query", "text", True)],
    "mixedvisitseq": [
        *COMMON,
        ("last_early_day_obs", "date", True),
        ("first_late_day_obs", "date", True),
        ("early_parent_uuid", "uuid", True),
        ("late_parent_uuid", "uuid", True),
    ],
    "tags": [("visitseq_uuid", "uuid", True), ("tag", "text", False)],
    "comments": [
        ("visitseq_uuid", "uuid", True),
        ("comment_time", "timestamp with time zone", True),
        ("author", "text", True),
        ("comment", "text", False),
    ],
    "nightly_stats": [
        ("visitseq_uuid", "uuid", False),
        ("day_obs", "date", False),
        ("value_name", "text", False),
        ("accumulated", "boolean", False),
        ("count", "integer", True),
        *STATISTICS,
    ],
    "simulations_extra": [
        (name, kind, True)
        for name, kind in (
            ("sim_creation_day_obs", "date"), ("daily_id", "bigint"),
            ("visitseq_uuid", "uuid"), ("visitseq_label", "text"),
            ("visitseq_url", "text"), ("telescope", "text"),
            ("first_day_obs", "date"), ("last_day_obs", "date"),
            ("creation_time", "timestamp with time zone"),
            ("scheduler_version", "text"), ("config_url", "text"),
            ("sim_runner_kwargs", "jsonb"), ("conda_env_sha256", "bytea"),
            ("parent_visitseq_uuid", "uuid"), ("parent_last_day_obs", "date"),
            ("tags", "jsonb"), ("comments", "jsonb"), ("files", "jsonb"),
        )
    ],
    "conda_packages": [
        ("conda_env_hash", "bytea", True),
        *(
            (name, "text", True)
            for name in (
                "package_name", "channel", "package_version", "base_url", "platform",
                "dist_name", "build_number", "build_string",
            )
        ),
    ],
}  # fmt: skip


@pytest.mark.postgresql
@pytest.mark.parametrize("table", COLUMNS)
def test_a_relation_has_the_columns_of_the_original(
    vsarch: Archive, table: str
) -> None:
    rows = vsarch.query(
        "SELECT column_name::text, data_type::text, is_nullable = 'YES' "
        "FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND table_name = %s ORDER BY ordinal_position",
        (table,),
    )

    assert list(rows) == COLUMNS[table]


@pytest.mark.postgresql
@pytest.mark.parametrize("table", ["files", "conda_env"])
def test_columns_of_ours_come_after_those_of_the_original(
    vsarch: Archive, table: str
) -> None:
    theirs = {
        "files": ["visitseq_uuid", "file_type", "file_sha256", "file_url"],
        "conda_env": ["conda_env_hash", "conda_env"],
    }[table]
    rows = vsarch.query(
        "SELECT column_name::text, column_default IS NOT NULL OR is_nullable = 'YES' "
        "FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND table_name = %s ORDER BY ordinal_position",
        (table,),
    )

    names = [row[0] for row in rows]  # type: ignore[index]
    assert names[: len(theirs)] == theirs
    assert all(row[1] for row in rows[len(theirs) :])  # type: ignore[index]


# Row 2: environment and defaults


def test_the_defaults_are_those_of_the_original() -> None:
    settings = connection_settings({}, None, {})

    assert settings.connect["dbname"] == VSARCHIVE_PGDATABASE == "opsim_log"
    assert settings.connect["host"] == VSARCHIVE_PGHOST
    assert VSARCHIVE_PGHOST == "usdf-maf-visit-seq-archive-tx-ro.sdf.slac.stanford.edu"
    assert settings.connect["user"] == VSARCHIVE_PGUSER == "reader"
    assert settings.schema == VSARCHIVE_PGSCHEMA == "vsmd"
    assert VSARCHIVE_PGPORT is None
    assert "port" not in settings.connect


def test_an_argument_comes_before_the_environment_and_that_before_the_default() -> None:
    environ = {
        "VSARCHIVE_PGDATABASE": "d", "VSARCHIVE_PGHOST": "h", "VSARCHIVE_PGUSER": "u",
        "VSARCHIVE_PGPORT": "77", "VSARCHIVE_PGSCHEMA": "s",
    }  # fmt: skip

    from_environment = connection_settings({"host": None}, None, environ)
    from_arguments = connection_settings(
        {"database": "D", "host": "H", "user": "U", "port": 5}, "S", environ
    )

    assert from_environment.place == "d at h:77, schema s"
    assert from_arguments.place == "D at H:5, schema S"
    with pytest.raises(InvalidValueError, match="port must be a number"):
        connection_settings({"port": "x"}, None, {})
    with pytest.raises(EnvironmentValueError, match="must be seconds"):
        connection_settings({}, None, {"VSARCHIVE_CONNECT_TIMEOUT_S": "soon"})


# Row 3: the commands


def test_there_are_the_18_commands_of_the_original() -> None:
    assert len(COMMANDS) == 18


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_the_same_words_in_the_same_order(name: str) -> None:
    command = main.get_command(None, name)  # type: ignore[arg-type]

    assert command is not None
    mine = [[p.name, p.param_type_name, p.required] for p in command.params]
    arguments = [word for word in COMMANDS[name] if word[1] == "argument"]
    options = {word[0] for word in COMMANDS[name] if word[1] == "option"}
    assert [word for word in mine if word[1] == "argument"] == arguments
    assert options <= {word[0] for word in mine}


# Row 4: places (and test_prenightindex, test_archive)


def test_a_sequence_lies_under_telescope_day_and_uuid(tmp_path: Path) -> None:
    uuid = UUID(int=5)
    created = datetime(2026, 12, 1, 11, tzinfo=UTC)

    place = vseqarchive.construct_base_resource_path(
        tmp_path.as_uri(), "simonyi", created, uuid
    )

    assert place.geturl() == f"{tmp_path.as_uri()}/simonyi/2026-11-30/{uuid}/"


def test_the_urls_are_those_of_the_original() -> None:
    bucket = "s3://rubin:rubin-scheduler-prenight/opsim"
    assert f"{bucket}/vseq/" == vseqarchive.ARCHIVE_URL
    path = prenightindex.prenight_index_path("2026-01-09", "auxtel", f"{bucket}/x")
    assert path.geturl() == (
        f"{bucket}/x/auxtel/2026/1/auxtel_prenights_for_2026-01-09.json"
    )


# Row 5: Python names and arguments


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - RETIRED))
def test_a_function_takes_the_same_arguments_in_the_same_order(name: str) -> None:
    home, function = name.split(".")
    owner = Archive if home == Archive.__name__ else import_module(f"{PACKAGE}.{home}")
    mine = list(inspect.signature(getattr(owner, function)).parameters.values())
    names = [parameter.name for parameter in mine]

    for place, (parameter, kind, default) in enumerate(FUNCTIONS[name]):
        if "VAR" in kind:
            assert str(mine[place].kind) == kind
            continue
        assert parameter in names
        assert names.index(parameter) == place
        if default is not None:
            assert _same_default(mine[place].default, default), parameter


def _same_default(mine: object, theirs: str) -> bool:
    """Tell whether defaults mean the same: ours cannot be changed by a caller."""
    if mine is None and theirs == repr(prenightindex.PRENIGHT_INDEX_URL):
        return True  # None asks the environment first
    return repr(mine) == theirs or {repr(mine), theirs} <= {"[]", "{}", "()", "None"}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_has_the_public_names_of_the_original(module: str) -> None:
    mine = import_module(f"{PACKAGE}.{module}")
    package = import_module(PACKAGE)

    assert [name for name in NAMES[module] if not hasattr(mine, name)] == []
    if module != "prototype":  # which the original's package leaves out, too
        for name in NAMES[module]:
            assert getattr(package, name) is getattr(mine, name)


def test_the_commands_are_objects_of_their_module() -> None:
    for name, words in COMMANDS.items():
        command = getattr(vseqarchive, name.replace("-", "_"))
        assert [p.name for p in command.params][: len(words)] == [w[0] for w in words]


# Row 6: hashes (and metadata/test_schema.py, tests/visit_tables)


@pytest.mark.postgresql
def test_an_old_hash_is_kept_and_called_opaque(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = vsarch.record_simulation_metadata(visits, "x")
    vsarch.query(
        "INSERT INTO simulations (visitseq_sha256, visitseq_label, telescope) "
        "VALUES (sha256('theirs'), 'theirs', 'simonyi')",
        commit=True,
        return_result=False,
    )

    rows = vsarch.query("SELECT DISTINCT hash_algorithm FROM visitseq_registry")

    assert len(rows) == 2
    assert ("rubin_sim-records",) in rows
    assert vsarch.describe(uuid)["hash_algorithm"] != "rubin_sim-records"


# Row 7 is in test_vseqmetadata (daily_id and session time zones); row 8 in
# test_importing and the tests of the prototype archive
