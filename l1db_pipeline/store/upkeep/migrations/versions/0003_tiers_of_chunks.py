"""Chunks in tiers: packed history keeps its chunks, current objects get new ones.

Homes and strays of current objects are those of coarser pixels. They and the chunks are
made from the versions once the tables are there: `migrate` does it, and until it has,
`UNFINISHED` in the settings keeps the store from opening.

Each statement may be the last that a database without transactions for DDL has kept, so
each looks first at what is there: the step can be run again from anywhere in it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from l1db_pipeline.schema.version import UNFINISHED

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TOP_TIER = 99
_TILE_LENGTH = 40
_APPENDED = ("DiaObject", "DiaSource", "DiaForcedSource", "L1ObjectHome")


def upgrade() -> None:
    """Give chunks a tier; begin those of current objects again."""
    settings = _settings()
    if settings.get("l1.history") == "packed":
        for name in ("L1PackedDiaSource", "L1PackedDiaForcedSource"):
            _add_tier(name)
        if settings.get("l1.dia_object_index") == "last_object_table":
            if UNFINISHED not in settings:
                insert = sa.insert(_settings_table())
                op.execute(insert.values(name=UNFINISHED, value=revision))
            _begin_current()
    if op.get_bind().dialect.name == "postgresql":
        for name in _APPENDED:
            if _has(name):
                # their pages are logged once, not again by each vacuum of inserts
                op.execute(
                    f"ALTER TABLE {_quoted(name)} "
                    "SET (autovacuum_vacuum_insert_threshold = -1)"
                )


def downgrade() -> None:
    """Refuse, if there are chunks: an older package cannot read those of today."""
    if _settings().get("l1.history") == "packed":
        raise NotImplementedError("packed chunks do not return to their first format")


def _add_tier(name: str) -> None:
    table, schema = _prefix() + name, _schema()
    if not _has(name, "tier"):
        tier = sa.Column("tier", sa.Integer(), nullable=False, server_default="0")
        op.add_column(table, tier, schema=schema)
    chunks = sa.table(table, sa.column("tile"), sa.column("tier"), schema=schema)
    is_month = chunks.c.tile.startswith("@")
    op.execute(sa.update(chunks).where(is_month).values(tier=_TOP_TIER))
    if op.get_bind().dialect.name != "sqlite":  # which keeps to no length
        op.alter_column(table, "tile", type_=_tile(), existing_nullable=False,
                        schema=schema)  # fmt: skip


def _begin_current() -> None:
    names, schema = _prefix(), _schema()
    blob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    time = sa.TIMESTAMP().with_variant(sa.Integer(), "sqlite")
    time = time.with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    chunks = {
        "pixel": sa.Integer(), "visitId": wide, "tile": _tile(), "firstTime": time,
        "lastTime": time, "tier": sa.Integer(), "nRows": sa.Integer(), "data": blob,
    }  # fmt: skip
    for name in ("L1ObjectHome", "L1Strays"):
        op.execute(sa.delete(sa.table(names + name, schema=schema)))
    if _has("L1PackedDiaObjectLast") and not _has("L1PackedDiaObjectLast", "tier"):
        op.drop_table(names + "L1PackedDiaObjectLast", schema=schema)
    for name, columns, keys in (
        ("L1PackedDiaObjectLast", chunks, ("pixel", "visitId", "tile")),
        ("L1PixelLock", {"pixel": sa.Integer()}, ("pixel",)),
    ):
        op.create_table(
            names + name,
            *(sa.Column(n, kind, nullable=False, autoincrement=False)
              for n, kind in columns.items()),
            sa.PrimaryKeyConstraint(*keys, name=f"PK_{names}{name}"),
            schema=schema,
            mysql_engine="InnoDB",
            if_not_exists=True,
        )  # fmt: skip
    if op.get_bind().dialect.name == "postgresql":
        table = _quoted("L1PackedDiaObjectLast")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTERNAL")


def _tile() -> sa.types.TypeEngine[Any]:
    kept = mysql.VARCHAR(
        _TILE_LENGTH, charset="utf8mb4", collation="utf8mb4_nopad_bin"
    )
    return sa.String(_TILE_LENGTH).with_variant(kept, "mysql", "mariadb")


def _prefix() -> str:
    return str(op.get_context().opts["table_prefix"])


def _schema() -> str | None:
    schema: str | None = op.get_context().opts["namespace"]
    return schema


def _quoted(name: str) -> str:
    table = sa.table(_prefix() + name, schema=_schema())
    return op.get_bind().dialect.identifier_preparer.format_table(table)


def _has(name: str, column: str = "") -> bool:
    inspector = sa.inspect(op.get_bind())
    if not column:
        return inspector.has_table(_prefix() + name, schema=_schema())
    found = inspector.get_columns(_prefix() + name, schema=_schema())
    return any(described["name"] == column for described in found)


def _settings_table() -> Any:
    return sa.table(
        _prefix() + "L1Settings",
        sa.column("name", sa.String()),
        sa.column("value", sa.Text()),
        schema=_schema(),
    )


def _settings() -> dict[str, str]:
    if not _has("L1Settings"):
        return {}
    table = _settings_table()
    rows = op.get_bind().execute(sa.select(table.c.name, table.c.value)).all()
    return {str(name): str(value) for name, value in rows}
