"""One habit for every command: options, last lines, misspelt words, completion."""

import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from pipeline_runtime.edge import EdgeCommand, EdgeGroup
from pipeline_runtime.printing import FORMATS

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())[
    "project"
]["scripts"]
READS = {  # these print what is stored, and change nothing
    "activity", "check", "compare", "compare-completed", "cone-search",
    "current", "digest", "doctor",
    "env", "explain", "find", "get-comments", "get-visitseq-metadata",
    "get-visitseq-url", "is-tagged",
    "last-visit", "light-curve", "log2csv", "log2cvs", "nightly", "parse_cat",
    "partitions",
    "query-nightly-stats", "row-counts", "search", "show", "sizes", "status", "timings",
    "variants", "verify",
}  # fmt: skip
SPEAKS_OTHERWISE = {
    "alarm", "archive_sim", "compile_sim_archive_metadata_resource", "export-proto",
    "l1db-compare", "record-conda-env",
}  # fmt: skip

# `l1db apdb` passes these on to upstream's apdb-cli, whose argparse has the words
OF_UPSTREAM = {
    ("l1db", "apdb", name)
    for name in ("list-index", "metadata", "metrics", "replication")
}


def _program(name: str) -> click.Command:
    module, _, function = SCRIPTS[name].partition(":")
    command: click.Command = getattr(importlib.import_module(module), function)
    return command


def _leaves(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with what is typed for it."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _leaves(inner, (*words, name))


LEAVES = dict(
    leaf for name in sorted(SCRIPTS) for leaf in _leaves(_program(name), (name,))
)


def _ours() -> list[tuple[tuple[str, ...], click.Command]]:
    assert LEAVES.keys() >= OF_UPSTREAM
    return [item for item in LEAVES.items() if item[0] not in OF_UPSTREAM]


def test_there_are_commands_of_every_program() -> None:
    assert {words[0] for words in LEAVES} == set(SCRIPTS)
    assert len(LEAVES) > 60


def test_every_command_has_the_common_edge() -> None:
    others = [w for w, leaf in LEAVES.items() if not isinstance(leaf, EdgeCommand)]
    groups = [name for name in SCRIPTS if isinstance(_program(name), click.Group)]

    assert others == []
    assert all(isinstance(_program(name), EdgeGroup) for name in groups)


def test_every_command_takes_h_and_quiet_and_explains_each_option() -> None:
    for words, leaf in _ours():
        help_text = CliRunner().invoke(leaf, ["-h"]).output
        options = [
            one
            for one in leaf.get_params(click.Context(leaf))
            if isinstance(one, click.Option)
        ]

        assert help_text.startswith("Usage: "), words
        assert "--quiet" in help_text, words
        assert [one.name for one in options if not one.help] == [], words


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_program_tells_its_version(name: str) -> None:
    done = CliRunner().invoke(_program(name), ["--version"], prog_name=name)

    assert done.exit_code == 0
    assert done.output == f"{name} (l1db-pipeline 0.1.0)\n"


def test_what_prints_in_formats_has_the_same_ones_and_json_as_alias() -> None:
    with_format = 0
    for words, leaf in LEAVES.items():
        options = {opt: one for one in leaf.params for opt in one.opts}
        if "--json" in options:
            assert "--format" in options, words
        if "--format" in options:
            with_format += 1
            kind = options["--format"].type
            assert isinstance(kind, click.Choice), words
            assert set(FORMATS) <= set(kind.choices), words
            assert "--json" in options, words

    assert with_format >= 15


def test_a_night_is_day_obs_and_a_configuration_is_c() -> None:
    for words, leaf in LEAVES.items():
        options = {opt for one in leaf.params for opt in one.opts}
        assert not options & {"--night", "--date", "--dayobs"}, words
        assert ("-c" in options) == ("--config" in options), words


def test_what_changes_something_ends_with_what_was_done() -> None:
    silent = {
        words
        for words, leaf in _ours()
        if not _names_of(leaf) & {"finish", "finish_original", "make_tables"}
    }
    last = {words[-1] for words in silent}

    assert last - READS - SPEAKS_OTHERWISE == set()


def _names_of(command: click.Command) -> set[str]:
    """Return the names that the function of a command uses, past its decorators."""
    assert command.callback is not None
    return set(inspect.unwrap(command.callback).__code__.co_names)


def test_quiet_leaves_out_the_last_line(tmp_path: Path) -> None:
    words = ["-n", "0.001", "--seed", "1", str(tmp_path / "s.npy")]

    loud = CliRunner().invoke(_program("gen_sources"), words)
    quiet = CliRunner().invoke(_program("gen_sources"), [*words, "--quiet"])

    assert "next: ap_proto" in loud.stderr
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_json_and_another_format_exclude_each_other() -> None:
    words = ["variants", "--json", "--format", "csv"]

    done = CliRunner().invoke(_program("prenight"), words)

    assert done.exit_code == 2
    assert "give --json or --format csv, not both" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["l1db", "row-count"],
        ["l1db", "row-counts", "-c", "typo.cfg"],
        ["l1db", "row-counts", "-c", "l1db.cfg"],
        ["l1db-report", "-o", "out", "-c", "typo.cfg"],
        ["ap_proto", "-c", "l1db.cfg", "typo.npy"],
        ["vseqarchive", "serach"],
        ["vseqarchive", "show", "typo"],
        ["vseqarchive", "add", "typo.db", "label"],
        ["vseqarchive", "verify", "--archive-base", "typo"],
        ["vseqarchive", "gc", "--archive-base", "file:///no/such/typo"],
        ["vseqarchive", "move", "typo", "typo2"],
        ["prenight", "variants", "--file", "typo.yaml"],
        ["prenight", "run", "--archive-base", "no/such/typo"],
        ["l1db-services", "begin"],
    ],
    ids=" ".join,
)
def test_a_misspelt_word_ends_with_2_and_leaves_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "l1db.cfg").write_text("[database]\nurl = sqlite:///typo.db\n")

    done = CliRunner().invoke(_program(words[0]), words[1:])

    assert done.exit_code == 2, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["l1db.cfg"]


@pytest.mark.parametrize(
    ("name", "typed", "incomplete", "wanted"),
    [
        ("vseqarchive", [], "sea", "search"),
        ("vseqarchive", ["search"], "--day", "--day-obs"),
        ("vseqarchive", ["schema"], "up", "upgrade"),
        ("l1db", ["row-counts", "--format"], "cs", "csv"),
        ("prenight", ["site-data"], "syn", "synthesize"),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    name: str, typed: list[str], incomplete: str, wanted: str
) -> None:
    complete = ShellComplete(_program(name), {}, name, "_COMPLETE")

    found = [item.value for item in complete.get_completions(typed, incomplete)]

    assert wanted in found


def test_commands_that_print_a_word_load_no_data_frames() -> None:
    uuid = "00000000-0000-0000-0000-000000000000"
    program = (
        "import sys\n"
        "from archive_assets.cli.vseqarchive import main\n"
        f"for words in [['is-tagged', {uuid!r}, 'x'], ['get-visitseq-url', {uuid!r}],"
        f" ['get-comments', {uuid!r}], ['show', {uuid!r}], ['search'],"
        " ['find', '--day-obs', '2026-01-01']]:\n"
        "    try:\n"
        "        main(words)\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 1, words\n"
        "print(sorted({'pandas', 'numpy', 'lsst.resources', 'astropy'}"
        " & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"VSARCHIVE_PGHOST": "127.0.0.1", "VSARCHIVE_PGPORT": "1"},
        cwd=ROOT,
        check=True,
    )

    assert done.stdout == "[]\n", done.stderr
    assert done.stderr.count("Error: cannot work with the database") == 6
