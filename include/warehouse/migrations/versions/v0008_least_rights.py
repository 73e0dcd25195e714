"""Functions that run with their owner's rights and a search path of their own; who may call them: rights.py (X-22)."""

from alembic import op

from include.warehouse.migrations import run_function_files, run_sql

revision = "0008"
down_revision = "0007"

FUNCTION_FILES = (
    "refuse_change",
    "gift_card_expiry",
    "gift_card_pool_guards",
    "gift_card_references",
    "gift_card_changes",
    "sell_gift_card",
    "redeem_gift_card",
    "block_gift_card",
    "gift_card_views",
    "promo_code_format_use",
    "promo_code_pool_guards",
    "promo_code_references",
    "promo_code_levels",
    "promo_code_signals",
    "promo_code_generations",
    "issue_promo_code",
    "mark_promo_code_issued",
    "activate_promo_code",
    "promo_code_views",
    "references",
    "customer_guards",
    "customer_custom_fields",
    "customer_views",
)

# Its place is taken by the one that counts a format by its name.
DROP_OF_ANY_SPACE = "DROP FUNCTION IF EXISTS loyalty.count_issuable_promo_codes(loyalty.promo_code_format)"


def upgrade() -> None:
    """Replace every function, and the triggers that the shared files of revision 0003 set on points of contact."""
    connection = op.get_bind()
    run_function_files(connection, *FUNCTION_FILES)
    run_sql(connection, DROP_OF_ANY_SPACE)
    run_sql(connection, "CALL loyalty.guard_references()")
    run_sql(connection, "DROP FUNCTION loyalty.refuse_point_of_contact_in_use()")
