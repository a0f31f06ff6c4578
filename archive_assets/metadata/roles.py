"""Create the roles of the archive and give them their rights."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Connection, text

from archive_assets.metadata.database import MetadataDatabase, raw_connection

__all__ = ["OWNER", "USERS", "create_roles", "missing_rights"]

OWNER = "rubin"
USERS = {"reader": "readers", "writer": "writers", "tester": "testers"}
"""Login roles and the group each belongs to; passwords are set by hand."""

_TESTERS_SCHEMA = "test"


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights of a group on tables; no table means all of the schema."""

    rights: str
    group: str
    tables: Sequence[str] = ()


_GRANTS = (
    Grant("SELECT", "readers"),
    Grant("SELECT", "writers"),
    Grant("INSERT, UPDATE", "writers", (
        "visitseq", "simulations", "completed", "mixedvisitseq", "tags", "comments",
        "files", "conda_env", "nightly_stats", "maf_metrics", "maf_summary_metrics",
        "maf_metric_sets", "maf_healpix_stats", "visitseq_registry",
    )),
    Grant("DELETE", "writers", ("tags",)),
)  # fmt: skip
_TEST_GRANTS = (Grant("SELECT, INSERT, UPDATE, DELETE", "testers"),)


def create_roles(database: MetadataDatabase) -> list[str]:
    """Create the roles that are missing, and grant what each needs.

    The schema and all in it go to the owner ``rubin``. A schema named ``test`` is
    for testers, who may change everything there; any other for readers and writers.
    Running it again changes nothing.

    Returns
    -------
    created
        The roles that were missing.

    Raises
    ------
    ArchivePermissionError
        If the user may not create roles.
    """
    schema = database.settings.schema
    grants = _TEST_GRANTS if schema == _TESTERS_SCHEMA else _GRANTS
    with database.transaction() as connection:
        created = _create_missing(connection)
        _take_over(connection, schema)
        for grant in grants:
            _apply(connection, schema, grant)
    return created


def missing_rights(connection: Connection, user: str) -> list[str]:
    """Return what the current user lacks to do the work of a role, in words."""
    group = USERS[user]
    lacking = []
    for grant in _GRANTS:
        if grant.group != group:
            continue
        for table in grant.tables or ("visitseq", "simulations_extra"):
            may = connection.execute(
                text("SELECT has_table_privilege(:table, :rights)"),
                {"table": table, "rights": grant.rights},
            ).scalar()
            if not may:
                lacking.append(f"{grant.rights} on {table}")
    return lacking


def _create_missing(connection: Connection) -> list[str]:
    present = {
        row[0] for row in connection.execute(text("SELECT rolname FROM pg_roles"))
    }
    created = []
    for name in (OWNER, *USERS.values()):
        if name not in present:
            _run(connection, sql.SQL("CREATE ROLE {} NOLOGIN"), name)
            created.append(name)
    for name, group in USERS.items():
        if name not in present:
            _run(connection, sql.SQL("CREATE ROLE {} LOGIN"), name)
            created.append(name)
        _run(connection, sql.SQL("GRANT {} TO {}"), group, name)
    return created


def _take_over(connection: Connection, schema: str) -> None:
    user = connection.execute(text("SELECT current_user")).scalar_one()
    _run(connection, sql.SQL("GRANT {} TO {}"), OWNER, str(user))
    _run(connection, sql.SQL("ALTER SCHEMA {} OWNER TO {}"), schema, OWNER)
    relations = connection.execute(
        text(
            "SELECT relname, relkind FROM pg_class "
            "WHERE relnamespace = to_regnamespace(quote_ident(:schema)) "
            "AND relkind IN ('r', 'v')"
        ),
        {"schema": schema},
    )
    for name, kind in relations.all():
        word = sql.SQL("VIEW") if kind in {"v", b"v"} else sql.SQL("TABLE")
        statement = sql.SQL("ALTER {} {}.{} OWNER TO {}").format(
            word, sql.Identifier(schema), sql.Identifier(name), sql.Identifier(OWNER)
        )
        _execute(connection, statement)
    for function in ("register_visitseq", "forget_visits_hash", "unregister_visitseq"):
        statement = sql.SQL("ALTER FUNCTION {}.{}() OWNER TO {}").format(
            sql.Identifier(schema), sql.Identifier(function), sql.Identifier(OWNER)
        )
        _execute(connection, statement)


def _apply(connection: Connection, schema: str, grant: Grant) -> None:
    group = sql.Identifier(grant.group)
    space = sql.Identifier(schema)
    _execute(connection, sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(space, group))
    tables: sql.Composable = sql.SQL("ALL TABLES IN SCHEMA {}").format(space)
    if grant.tables:
        tables = sql.SQL(", ").join(
            sql.Identifier(schema, table) for table in grant.tables
        )
    statement = sql.SQL("GRANT {} ON {} TO {}").format(
        sql.SQL(grant.rights),
        tables,
        group,
    )
    _execute(connection, statement)


def _run(connection: Connection, template: sql.SQL, *names: str) -> None:
    _execute(connection, template.format(*(sql.Identifier(name) for name in names)))


def _execute(connection: Connection, statement: sql.Composable) -> None:
    raw_connection(connection).execute(statement.as_string().encode())
