"""Statements that are stored in `.sql` files beside the module that runs them."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa


def statement_beside(module_file: str, name: str) -> sa.TextClause:
    """Return the statement of a file in a module's folder; `:name` is a place for a bound value.

    Args:
        module_file: `__file__` of the module.
        name: of the file, such as `history.sql`.
    """
    return sa.text(Path(module_file).with_name(name).read_text(encoding="utf-8"))
