"""Run by alembic for each command: `upkeep.migrate` has set it all up."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    version_table_schema=attributes["namespace"] or None,
    table_prefix=attributes["table_prefix"],
    namespace=attributes["namespace"] or None,
    target_metadata=None,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
