"""Runs the migrations of the key table on the connection it is handed; opens none itself."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True, render_as_batch=False)
with context.begin_transaction():
    context.run_migrations()
