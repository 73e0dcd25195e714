"""Alembic's environment: runs the revisions on the connection that `migrate` hands over, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
