"""``parse_cat``: the L1 tables in the SQL text of `cat`."""

from pathlib import Path

import click

from l1db_pipeline.cli.edge import plain_errors
from pipeline_runtime.edge import EdgeCommand, InputFile

__all__ = ["main"]


@click.command(cls=EdgeCommand)
@click.option(
    "--yaml", "as_yaml", is_flag=True,
    help="Print the tables as Felis YAML, with units, descriptions, keys and indexes.",
)  # fmt: skip
@click.argument("file", type=InputFile())
@plain_errors
def main(as_yaml: bool, file: Path) -> None:
    """Print the L1 tables that FILE creates, the SQL text of the cat package.

    Without --yaml it prints Column(...) source text, the list of all columns and
    that of the columns that are NOT NULL, as the original program does.
    Nothing in FILE is executed.

    \b
    Example:
      parse_cat --yaml cat/sql/baselineSchema.sql > schema.yaml
    """  # noqa: D301  # click wants the control character
    from l1db_pipeline.schema.cat import as_schema, as_source, read_cat

    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    tables = read_cat(str(file), lines)
    if not as_yaml:
        for table in tables:
            click.echo("\n".join(as_source(table)))
        return

    import yaml

    from l1db_pipeline.schema.felis import dump_felis

    content = dump_felis(as_schema(str(file), tables))
    click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), nl=False)


if __name__ == "__main__":
    main()
