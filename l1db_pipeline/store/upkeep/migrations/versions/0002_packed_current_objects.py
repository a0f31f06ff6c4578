"""Current objects in chunks, where history is packed and DiaObjectLast was a table.

The chunks are made from the versions once the tables are there: `migrate` does it, and
until it has, `UNFINISHED` in the settings keeps the store from opening.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from l1db_pipeline.schema.version import UNFINISHED

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of chunks; drop DiaObjectLast, and the key of the versions."""
    if not _is_packed_last():
        return
    options = op.get_context().opts
    names, schema = options["table_prefix"], options["namespace"]
    blob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    time = sa.TIMESTAMP().with_variant(sa.Integer(), "sqlite")
    time = time.with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    columns: Mapping[str, Mapping[str, sa.types.TypeEngine[Any]]] = {
        "L1ObjectHome": {"diaObjectId": wide, "pixel": sa.Integer()},
        "L1Strays": {"pixel": sa.Integer(), "homePixel": sa.Integer()},
        "L1PackedDiaObjectLast": {
            "pixel": sa.Integer(), "lastTime": time, "nRows": sa.Integer(), "data": blob
        },
    }  # fmt: skip
    for name, of_table in columns.items():
        keys = list(of_table) if name == "L1Strays" else list(of_table)[:1]
        op.create_table(
            names + name,
            *(sa.Column(n, kind, nullable=False) for n, kind in of_table.items()),
            sa.PrimaryKeyConstraint(*keys, name=f"PK_{names}{name}"),
            schema=schema,
            mysql_engine="InnoDB",
        )
    if op.get_bind().dialect.name == "postgresql":
        _as_on_postgresql(names, schema)
    op.drop_table(names + "DiaObjectLast", schema=schema)
    op.execute(_settings().insert().values(name=UNFINISHED, value=revision))


def downgrade() -> None:
    """Refuse, if there are chunks: DiaObjectLast is not made from them."""
    if _is_packed_last():
        raise NotImplementedError("chunks of current objects do not become rows again")


def _as_on_postgresql(prefix: str, schema: str | None) -> None:
    quote = op.get_bind().dialect.identifier_preparer.quote
    where = f"{quote(schema)}." if schema else ""
    chunks = where + quote(f"{prefix}L1PackedDiaObjectLast")
    op.execute(f"ALTER TABLE {chunks} ALTER COLUMN data SET STORAGE EXTERNAL")
    op.drop_constraint(f"PK_{prefix}DiaObject", f"{prefix}DiaObject", schema=schema)


def _settings() -> Any:
    options = op.get_context().opts
    return sa.table(
        options["table_prefix"] + "L1Settings",
        sa.column("name", sa.String()),
        sa.column("value", sa.Text()),
        schema=options["namespace"],
    )


def _is_packed_last() -> bool:
    options, bind = op.get_context().opts, op.get_bind()
    name = options["table_prefix"] + "L1Settings"
    if not sa.inspect(bind).has_table(name, schema=options["namespace"]):
        return False
    settings = _settings()
    rows = bind.execute(sa.select(settings.c.name, settings.c.value)).all()
    wanted = {"l1.history": "packed", "l1.dia_object_index": "last_object_table"}
    return wanted.items() <= {str(n): str(v) for n, v in rows}.items()
