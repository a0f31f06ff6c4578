"""Every command ends with one line on standard error, whatever happens."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pipeline_runtime.edge import EdgeCommand, EdgeGroup, InputFile, one_line

_COMMANDS = sorted(
    entry
    for entry in importlib.metadata.entry_points(group="console_scripts")
    if entry.value.startswith(("archive_assets", "l1db_pipeline", "pipeline_runtime"))
)


def _command(error: Exception) -> click.Command:
    @click.command(cls=EdgeCommand)
    def main() -> None:
        click.echo("so far")
        raise error

    return main


def _failure(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("entry", _COMMANDS, ids=lambda entry: entry.name)
def test_every_command_of_the_product_has_the_edge(
    entry: importlib.metadata.EntryPoint,
) -> None:
    assert isinstance(entry.load(), EdgeCommand | EdgeGroup)


def test_an_error_that_nobody_expected_is_one_line_with_its_place() -> None:
    result = CliRunner().invoke(_command(ZeroDivisionError("two\nlines\x1b[31m")))

    line = _failure(result)

    assert "test_edge.py, line " in line
    assert line.endswith(r"ZeroDivisionError: two lines\x1b[31m")


def test_an_error_of_a_file_names_the_file() -> None:
    error = PermissionError(13, "Permission denied", "/some/file")

    line = _failure(CliRunner().invoke(_command(error)))

    assert line == "Error: /some/file: Permission denied"


def test_an_error_shows_its_traceback_in_development_mode(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import click\nfrom pipeline_runtime.edge import EdgeCommand\n"
        "@click.command(cls=EdgeCommand)\ndef main(): 1 / 0\nmain()\n"
    )

    done = [
        subprocess.run(
            [sys.executable, *options, str(program)],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path.cwd()), "PYTHONDEVMODE": ""},
        )
        for options in ([], ["-X", "dev"])
    ]  # fmt: skip

    assert [one.returncode for one in done] == [1, 1]
    assert ["Traceback" in one.stderr for one in done] == [False, True]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "words",
    [
        ["-m", "archive_assets.cli.vseqarchive", "--help"],
        ["-m", "l1db_pipeline.cli.l1db", "--help"],
        ["-m", "pipeline_runtime.cli", "env"],
        ["-m", "archive_assets.cli.prenight", "variants"],
    ],
)
def test_a_full_disk_under_standard_output_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONDEVMODE": ""},
        )  # fmt: skip

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: standard output: No space left on device")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m pipeline_runtime.cli env | true"

    done = subprocess.run(command, shell=True, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_letters_that_the_terminal_lacks_are_escaped() -> None:
    program = (
        "import click\nfrom pipeline_runtime.edge import EdgeCommand\n"
        "@click.command(cls=EdgeCommand)\n"
        "def main(): click.echo('\\u2603 caf\\xe9')\n"
        "main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, b"\\u2603 caf\xe9\n")


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_an_input_file_is_a_regular_file(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "it"
    os.mkfifo(place) if kind == "fifo" else place.symlink_to("/dev/zero")

    @click.command(cls=EdgeCommand)
    @click.argument("file", type=InputFile())
    def main(file: Path) -> None:
        file.read_bytes()

    result = CliRunner().invoke(main, [str(place)])

    assert result.exit_code == 2
    assert "is not a regular file" in result.stderr


def test_one_line_holds_no_control_character_and_ends() -> None:
    found = one_line("a\r\nb\x1b]0;title\x07 \udce9" + "x" * 5000)

    assert found.startswith(r"a b\x1b]0;title\x07 \udce9x")
    assert (found.isprintable(), len(found)) == (True, 2000)
