"""Level and forecast of a promo code pool in one place; signals and views call it. Source: TU-01, TU-05."""

from alembic import op

from include.warehouse.migrations import run_function_files

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the functions, and put those that call them in their former place."""
    run_function_files(op.get_bind(), "promo_code_levels", "promo_code_signals", "promo_code_views")
