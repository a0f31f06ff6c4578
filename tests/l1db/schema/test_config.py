from pathlib import Path

import pytest

from l1db_pipeline.errors import ConfigError
from l1db_pipeline.schema.config import (
    History,
    L1dbConfig,
    ObjectIndex,
    SourceSelect,
)
from pipeline_runtime.urls import safe_url

URL = "postgresql+psycopg://reader:s3cr3t@host:5432/l1db"


def _ini(tmp_path: Path, options: str = "", database: str = f"url = {URL}") -> Path:
    file = tmp_path / "l1db.cfg"
    file.write_text(f"[database]\n{database}\n[l1db]\n{options}\n")
    return file


def test_defaults_are_those_of_the_prototype(tmp_path: Path) -> None:
    file = tmp_path / "l1db.cfg"
    file.write_text(f"[database]\nurl = {URL}\n")

    config = L1dbConfig.from_ini(file)

    assert config.url == URL
    assert config.dia_object_index is ObjectIndex.BASELINE
    assert not config.dia_object_nightly
    assert not config.object_last_replace
    assert config.read_sources_months == 0
    assert config.read_forced_sources_months == 0
    assert not config.read_full_objects
    assert config.source_select is SourceSelect.BY_FOV
    assert config.htm_max_ranges == 64


def test_every_option_is_read(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").touch()
    config = L1dbConfig.from_ini(
        _ini(
            tmp_path,
            """dia_object_index = last_object_table
dia_object_nightly = 1
object_last_replace = 1
read_sources_months = 12
read_forced_sources_months = 6
read_full_objects = 1
source_select = by-oid
history = rows
htm_max_ranges = 128
history_pixel_level = 6
cell_level = 10
schema_file = other.yaml
column_map = maps/other.yaml
prefix = run_
namespace = l1""",
        )
    )

    assert config == L1dbConfig(
        url=URL,
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        dia_object_nightly=True,
        object_last_replace=True,
        read_sources_months=12,
        read_forced_sources_months=6,
        read_full_objects=True,
        source_select=SourceSelect.BY_OID,
        history=History.ROWS,
        htm_max_ranges=128,
        history_pixel_level=6,
        cell_level=10,
        schema_file=str(tmp_path / "other.yaml"),
        column_map=str(tmp_path / "maps" / "other.yaml"),
        prefix="run_",
        namespace="l1",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "dia_object_index = htm",
            "dia_object_index = htm is not one of: baseline, htm20_id_iov, last_",
        ),
        ("source_select = by_oid", "is not one of: by-fov, by-oid"),
        ("history = blobs", "is not one of: rows, packed"),
        ("dia_object_nightly = yes", "dia_object_nightly = yes is not one of: 0, 1"),
        ("object_last_replace = 2", "object_last_replace = 2 is not one of: 0, 1"),
        ("read_full_objects =", "read_full_objects =  is not one of: 0, 1"),
        ("read_sources_months = -1", "-1 is not a whole number, 0 or more"),
        ("read_sources_months = 1.5", "1.5 is not a whole number"),
        ("read_sources_months = 99999", "99999 is not within 0..12000"),
        ("read_forced_sources_months = ²", "² is not a whole number"),
        (f"read_sources_months = {'9' * 5000}", "is too large"),
        ("htm_max_ranges = 1", "htm_max_ranges = 1 is not within 2.."),
        ("history_pixel_level = 13", "history_pixel_level = 13 is not within 0..12"),
        ("cell_level = 13", "cell_level = 13 is not within 0..12"),
        ("prefix = a-b", "prefix = 'a-b' is not a valid name"),
        ("prefix = 1st", "prefix = '1st' is not a valid name"),
        ('namespace = "x"; drop', "is not a valid name"),
        (f"prefix = {'x' * 49}", "at most 48"),
        ("column_map = map.yaml", "column_map is given without schema_file"),
        ("dia_object_indx = baseline", "unknown option dia_object_indx.*known: .*dia"),
        ("history = rows\nhistory = packed", "DuplicateOptionError"),
    ],
)
def test_bad_options_are_refused_with_the_choices(
    tmp_path: Path, options: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        L1dbConfig.from_ini(_ini(tmp_path, options))

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"lacks option url in section \[database\]"),
        ("[l1db]\nhistory = rows\n", "lacks option url"),
        ("[database]\nurl =\n", "url is empty"),
        ("[database]\nurl = x\nuser = me\n", "unknown option user.*known: url"),
        ("[DEFAULT]\nurl = x\n", r"section \[DEFAULT\]; known: \[database\], \[l1db"),
        ("[database]\nurl = x\n[l1]\n", r"unknown section \[l1\]; known: \[database\]"),
        (f"url = {URL}\n", "not an INI file: MissingSectionHeaderError"),
        (f"[database]\n{URL}\n= {URL}\n", "not an INI file: ParsingError"),
    ],
)
def test_files_that_are_no_configuration_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "l1db.cfg"
    file.write_text(text)

    with pytest.raises(ConfigError, match=message) as caught:
        L1dbConfig.from_ini(file)

    assert "s3cr3t" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none.cfg: No such file"):
        L1dbConfig.from_ini(tmp_path / "none.cfg")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l1db.cfg").write_bytes(b"\xff\xfe[database]")

    with pytest.raises(ConfigError, match="not UTF-8"):
        L1dbConfig.from_ini(tmp_path / "l1db.cfg")


def test_values_are_not_interpolated(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:100%25@host/%(home)s"

    assert L1dbConfig.from_ini(_ini(tmp_path, "", f"url = {url}")).url == url


def test_a_namespace_needs_postgresql() -> None:
    with pytest.raises(ConfigError, match=r"namespace = l1 needs PostgreSQL.*prefix"):
        L1dbConfig(url="sqlite:///l1.db", namespace="l1")


def test_text_of_a_configuration_has_no_password() -> None:
    config = L1dbConfig(url=URL)

    assert "s3cr3t" not in f"{config} {config!r}"
    assert "postgresql+psycopg://host:5432/l1db" in str(config)
    assert "source_select=by-fov" in str(config)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///run/l1.db", "sqlite:///run/l1.db"),
        ("mysql+pymysql://u:p@ss@h/d?password=p", "mysql+pymysql://h/d"),
        ("postgresql+psycopg://u:p?a/b@h/d", "postgresql+psycopg://h/d"),
        ("host=h password=p", "(not a URL)"),
        ("password=p://", "(not a URL)"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert safe_url(url) == shown
