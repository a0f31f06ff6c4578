"""The first layout: what create_l1_schema made when revisions began.

Databases begin here; tables themselves are made by ``L1Store.create_schema``, which
writes the newest revision at once.
"""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: the tables of this revision are those of a new database."""


def downgrade() -> None:
    """Refuse: there is nothing before."""
    raise NotImplementedError("0001 is the first revision")
