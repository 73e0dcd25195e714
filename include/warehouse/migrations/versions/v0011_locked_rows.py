"""Locks of gift cards and promo codes that compare whole rows, so that a new column is locked as well."""

from alembic import op

from include.warehouse.migrations import run_function_files

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the files of these functions again."""
    run_function_files(op.get_bind(), "gift_card_changes", "promo_code_references")
