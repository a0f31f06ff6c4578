"""Cells of the sky, whose versions tell a store that what it has read is stale."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IDENTITY = "l1.database"
_LEVEL = "l1.cell_level"
_CLAIM = """
CREATE OR REPLACE FUNCTION {function} (mine bigint, cells bigint[], versions bigint[])
RETURNS void LANGUAGE plpgsql AS $claim$
DECLARE
  n_locked bigint;
  moved text;
BEGIN
  -- rows locked FOR UPDATE come in their newest committed state, also after a wait
  WITH held AS MATERIALIZED (
    SELECT c.cell, c."visitId", s.seen <> -1 AND c.version <> s.seen
      AND NOT (c."visitId" = mine AND c.since <= s.seen) AS is_stale
    FROM unnest(cells, versions) AS s (cell, seen) JOIN {table} c ON c.cell = s.cell
    ORDER BY c.cell FOR UPDATE OF c)
  SELECT count(*), string_agg(cell || ' ' || "visitId", ',') FILTER (WHERE is_stale)
    INTO n_locked, moved FROM held;
  IF moved IS NOT NULL THEN
    RAISE EXCEPTION 'stale read' USING ERRCODE = 'L1001', DETAIL = moved;
  END IF;
  IF n_locked <> cardinality(cells) THEN
    RAISE EXCEPTION '% cells have no row to lock', cardinality(cells) - n_locked;
  END IF;
  UPDATE {table} SET version = version + 1, "visitId" = mine,
    since = CASE WHEN "visitId" = mine THEN since ELSE version END
    WHERE cell = ANY(cells);
END $claim$
"""


def upgrade() -> None:
    """Make the table, on PostgreSQL the function, and give the database a name."""
    options, bind = op.get_context().opts, op.get_bind()
    prefix, schema = options["table_prefix"], options["namespace"]
    name = f"{prefix}L1Cell"
    wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        *(
            sa.Column(column, wide, nullable=False, autoincrement=False)
            for column in ("cell", "version", "visitId", "since")
        ),
        sa.PrimaryKeyConstraint("cell", name=f"PK_{name}"),
        schema=schema,
        mysql_engine="InnoDB",
        postgresql_with={"fillfactor": 40},
        if_not_exists=True,  # of a migration that was cut off
    )
    if bind.dialect.name == "postgresql":
        quote = bind.dialect.identifier_preparer.quote
        where = f"{quote(schema)}." if schema else ""
        function, table = where + quote(f"{name}_claim"), where + quote(name)
        bind.exec_driver_sql(
            _CLAIM.replace("%", "%%").format(function=function, table=table)
        )
    settings = sa.table(
        f"{prefix}L1Settings",
        sa.column("name", sa.String()),
        sa.column("value", sa.Text()),
        schema=schema,
    )
    for setting, value in ((_IDENTITY, secrets.token_hex(16)), (_LEVEL, "8")):
        named = sa.select(settings.c.name).where(settings.c.name == setting)
        if bind.scalar(named) is None:
            op.execute(sa.insert(settings).values(name=setting, value=value))


def downgrade() -> None:
    """Drop them again: nothing else knows of them."""
    options, bind = op.get_context().opts, op.get_bind()
    prefix, schema = options["table_prefix"], options["namespace"]
    name = f"{prefix}L1Cell"
    op.drop_table(name, schema=schema, if_exists=True)
    if bind.dialect.name == "postgresql":
        quote = bind.dialect.identifier_preparer.quote
        where = f"{quote(schema)}." if schema else ""
        op.execute(f"DROP FUNCTION {where}{quote(f'{name}_claim')}")
    settings = sa.table(
        f"{prefix}L1Settings", sa.column("name", sa.String()), schema=schema
    )
    op.execute(sa.delete(settings).where(settings.c.name.in_([_IDENTITY, _LEVEL])))
