"""``vseqarchive``: record, archive, find, compare and look after visit sequences."""

import importlib
from typing import Any

import click
from typing_extensions import override

from archive_assets.cli.vseqarchive_connection import ArchiveAddress
from pipeline_runtime.edge import EdgeGroup

__all__ = ["command_named", "main"]

_MODULES = {
    "record": (
        "record-visitseq-metadata", "get-visitseq-metadata", "set-visitseq-url",
        "get-visitseq-url", "update-visitseq-metadata", "record-conda-env",
    ),
    "annotate": ("is-tagged", "tag", "untag", "comment", "get-comments"),
    "files": (
        "archive-file", "get-file", "add-nightly-stats", "query-nightly-stats",
        "import-proto", "export-proto", "make-prenight-index", "add",
    ),
    "find": ("search", "show", "nightly", "find", "compare"),
    "integrity": ("verify", "delete", "restore", "gc", "move", "doctor"),
    "admin": ("schema", "roles"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def command_named(name: str) -> click.Command | None:
    """Return a command by its name or that of its function; None if there is none."""
    name = name.replace("_", "-")
    if name not in _HOME:
        return None
    module = importlib.import_module(f"archive_assets.cli.vseqarchive_{_HOME[name]}")
    command: click.Command = getattr(module, name.replace("-", "_"))
    return command


class _LazyGroup(EdgeGroup):
    """A group whose commands are imported when they are named."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_HOME)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_named(cmd_name) if cmd_name in _HOME else None


@click.group(cls=_LazyGroup)
@click.option("--database", help="Metadata database; also $VSARCHIVE_PGDATABASE.")
@click.option("--host", help="Its host or socket folder; also $VSARCHIVE_PGHOST.")
@click.option("--port", type=int, help="Its port; also $VSARCHIVE_PGPORT.")
@click.option("--user", help="Database user; also $VSARCHIVE_PGUSER.")
@click.option("--schema", help="Schema of the archive; also $VSARCHIVE_PGSCHEMA.")
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Keep visit sequences: their visits, files and metadata.

    A password is left to libpq (~/.pgpass). Exit codes: 0 done; 1 refused or failed,
    with one line on standard error, and nothing changed; 2 wrong usage; 3 a check
    (verify, doctor, schema current) found something.
    """
    context.obj = ArchiveAddress(**options)


if __name__ == "__main__":
    main(prog_name="vseqarchive")
