import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from l1db_pipeline.schema.cat import as_schema, as_source, read_cat
from l1db_pipeline.schema.felis import parse_felis
from l1db_pipeline.schema.model import Column, Datatype, Index, SchemaError

TEXT = """-- CREATE TABLE DiaSource in a comment
SET FOREIGN_KEY_CHECKS=0;

CREATE TABLE Filter
(
    filterId TINYINT NOT NULL,
) ENGINE=MyISAM;

CREATE TABLE DiaObject
    -- <descr>Objects of
    -- the sky.</descr>
(
    diaObjectId BIGINT NOT NULL,
        -- <descr>Unique id.</descr>
        -- <ucd>meta.id;src</ucd>
    ra DOUBLE NOT NULL,
        -- <descr>RA-coordinate of the center,
        -- ICRS.</descr>
        -- <unit>deg</unit>
    uPSFlux FLOAT NULL,
        -- <unit>nmgy</unit>
    uLcPeriodic BLOB NULL,
    validityStart DATETIME NOT NULL,
    name VARCHAR(12) NULL DEFAULT 'none',
    flags BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY PK_DiaObject (diaObjectId, validityStart),
    INDEX IDX_DiaObject_ra (ra),
    UNIQUE UQ_DiaObject_name (name)
) ENGINE=MyISAM;

CREATE TABLE SSObject
(
    ssObjectId BIGINT NOT NULL
) ENGINE=MyISAM;
"""
PRINTED = """
table = Table('DiaObject', self._metadata,
              Column('diaObjectId', BIGINT, nullable=False),
              Column('ra', DOUBLE, nullable=False),
              Column('uPSFlux', FLOAT, nullable=True),
              Column('uLcPeriodic', BLOB, nullable=True),
              Column('validityStart', DATETIME, nullable=False),
              Column('name', VARCHAR(12), nullable=True, default='none'),
              Column('flags', BIGINT, nullable=False, default=0),
              )
-- all columns for table DiaObject
diaObjectId ra uPSFlux uLcPeriodic validityStart name flags
-- non-nullable columns for table DiaObject
diaObjectId ra validityStart flags

table = Table('SSObject', self._metadata,
              Column('ssObjectId', BIGINT, nullable=False),
              )
-- all columns for table SSObject
ssObjectId
-- non-nullable columns for table SSObject
ssObjectId
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "l1db_pipeline.cli.parse_cat", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_source_text_is_that_of_the_original() -> None:
    tables = read_cat("cat.sql", TEXT.splitlines())

    assert "\n".join(line for table in tables for line in as_source(table)) + "\n" == (
        PRINTED
    )


def test_comments_become_units_and_descriptions() -> None:
    (objects, _) = as_schema("cat.sql", read_cat("cat.sql", TEXT.splitlines())).tables

    assert objects.description == "Objects of the sky."
    assert objects.column("ra") == Column(
        "ra", Datatype.DOUBLE, False, "deg", "RA-coordinate of the center, ICRS."
    )
    assert objects.column("name").length == 12
    assert objects.column("name").default == "none"
    assert objects.column("flags").default == 0
    assert objects.primary_key == ("diaObjectId", "validityStart")
    assert objects.indexes == (Index("IDX_DiaObject_ra", ("ra",)),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n) ENGINE=MyISAM;\n\nCREATE TABLE SS", "\nCREATE TABLE SS", "line 9 is not"),
        ("TABLE DiaObject", "TABLE Object", None),
        ("ra DOUBLE NOT NULL", "ra", "line 16: neither a column nor a key: 'ra,'"),
        ("ra DOUBLE", "ra GEOMETRY", "column ra: type GEOMETRY is not one of: BIGINT,"),
        ("DEFAULT 0", "DEFAULT x", "column flags: default x is not a number"),
        ("_ra (ra)", "_ra (dec)", "keys of DiaObject name unknown columns dec"),
    ],
)
def test_text_that_is_no_schema_is_refused_with_its_place(
    old: str, new: str, message: str | None
) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    if message is None:
        assert len(read_cat("cat.sql", text.splitlines())) == 1
        return

    with pytest.raises(SchemaError, match=message):
        as_schema("cat.sql", read_cat("cat.sql", text.splitlines()))


def test_text_without_l1_tables_is_refused() -> None:
    with pytest.raises(SchemaError, match="creates none of DiaForcedSource, DiaObject"):
        read_cat("cat.sql", ["SELECT 1;"])


def test_the_command_prints_what_the_original_prints(tmp_path: Path) -> None:
    (tmp_path / "cat.sql").write_text(TEXT)

    done = _run(str(tmp_path / "cat.sql"))

    assert (done.returncode, done.stdout, done.stderr) == (0, PRINTED, "")


def test_the_command_writes_felis(tmp_path: Path) -> None:
    (tmp_path / "cat.sql").write_text(TEXT)

    done = _run("--yaml", str(tmp_path / "cat.sql"))

    assert parse_felis("out", yaml.safe_load(done.stdout)) == as_schema(
        "cat.sql", read_cat("cat.sql", TEXT.splitlines())
    )


def test_a_broken_file_ends_the_command_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "cat.sql").write_bytes(b"\xff\0CREATE TABLE DiaObject\n")

    done = _run(str(tmp_path / "cat.sql"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "creates none of" in done.stderr


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    done = _run(str(tmp_path / "none.sql"))

    assert done.returncode == 2
    assert "none.sql' does not exist" in done.stderr
