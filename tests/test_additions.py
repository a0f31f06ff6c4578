"""A backend, an output format and a nightly picture more are one registration each."""

import importlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from archive_assets.cli import prenight
from archive_assets.simulation import night_report
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store import open as openers
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.backends.sqlite import SqliteDatabase
from pipeline_runtime import printing


def _open_scratch(config: L1dbConfig, known: Sequence[Table]) -> Database:
    url = config.url.replace("scratch:", "sqlite:")
    return SqliteDatabase(url, prefix=config.prefix, known=known)


def test_a_backend_more_is_opened_by_the_scheme_of_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(openers.OPENERS, "scratch", _open_scratch)

    config = L1dbConfig(url=f"scratch:///{tmp_path}/l1.db")

    with closing(openers.open_store(config)) as store:
        store.create_schema()
        last = store.last_visit()

    assert last is None
    assert (tmp_path / "l1.db").is_file()


def _print_count(_: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    click.echo(f"{len(rows)} rows")


def test_a_format_more_is_an_option_of_the_commands_that_print_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(printing.FORMATS, "count", _print_count)
    commands = importlib.reload(prenight)

    done = CliRunner().invoke(commands.main, ["variants", "--format", "count"])
    importlib.reload(prenight)

    assert done.output.endswith(" rows\n")


def _draw_nothing(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> Figure:
    del sequences
    figure = Figure()
    figure.suptitle(str(day_obs))
    return figure


def test_a_picture_more_is_drawn_of_every_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night_report, "PICTURES", {"title": _draw_nothing})
    visits = pd.DataFrame({"observationStartMJD": [61042.05]})
    night = datetime(2026, 1, 1, tzinfo=UTC).date()

    pictures = night_report.write_night_report(tmp_path, {"nominal": visits}, night)

    assert pictures == {"title": tmp_path / "20260101_title.png"}
    assert pictures["title"].read_bytes().startswith(b"\x89PNG")
