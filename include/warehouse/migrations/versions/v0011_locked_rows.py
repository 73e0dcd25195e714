"""The lock of gift cards compares whole rows, so that a new column is locked as well."""

from alembic import op

from include.warehouse.migrations import run_function_files

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the function's file again."""
    run_function_files(op.get_bind(), "gift_card_changes")
