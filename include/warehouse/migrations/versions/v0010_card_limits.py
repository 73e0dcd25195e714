"""The highest value that a card of a gift card pool may have. Source: X-18."""

from alembic import op

from include.warehouse.migrations import run_sql

revision = "0010"
down_revision = "0009"

# Locked like every other parameter of a pool: the trigger `refuse_change` refuses any update (GP-03).
MAX_CARD_VALUE = """
ALTER TABLE loyalty.gift_card_pool
    ADD COLUMN max_card_value numeric(18,2),
    ADD CONSTRAINT gift_card_pool_max_card_value_check CHECK (
        max_card_value > 0 AND max_card_value < 'NaN' AND (card_value IS NULL OR card_value <= max_card_value));
"""


def upgrade() -> None:
    """Add `max_card_value` to gift card pools; NULL, as all have it first, means the project's limit."""
    run_sql(op.get_bind(), MAX_CARD_VALUE)
