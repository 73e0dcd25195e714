"""What the command line does with promo codes. Source: PG-01 to PG-04, PC-06."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from include.errors import ConfigurationError
from include.promo_codes import formats, generation
from include.promo_codes.ledger import GenerationRequest, GenerationResult
from include.runtime import Runtime
from include.warehouse.transactions import values_hidden

REASON = "command line"
_POOLS = sa.text(
    """
    SELECT pool_system_id AS pool, state, fill_method, format, available, scheduled, issued, used, expired, threshold,
           round(daily_consumption, 1) AS daily, runs_out_at
    FROM loyalty.promo_code_stock
    ORDER BY pool_system_id
    """
)
_HISTORY = sa.text(
    """
    SELECT kind, number, state, launched_at, launched_by, requested, added, updated, unchanged, rejected, reason
    FROM loyalty.promo_code_pool_history
    WHERE pool_system_id = :pool
    ORDER BY launched_at, kind, number
    """
)


def generate(
    runtime: Runtime,
    *,
    pool: str,
    quantity: int,
    format_name: str | None,
    auto_generate: bool | None,
    is_new: bool,
    user: str,
    report: Callable[[int], None],
) -> GenerationResult:
    """Generate codes as one command: a generation of its own, or one of the same command that was interrupted.

    Args:
        is_new: leave interrupted ones alone.
        report: is called with the number of the one that is continued.

    Raises:
        GenerationRefused: the quantity is none.
        ConfigurationError, WarehouseUnavailable, WarehouseFault
    """
    asked = json.dumps([pool, quantity, format_name, auto_generate], ensure_ascii=False)
    same = f"{REASON} {asked} "
    request = GenerationRequest(
        pool, quantity, f"{same}{uuid.uuid4()}", f"command line ({user})", REASON, format_name, auto_generate
    )
    return generation.generate_or_continue(runtime, request, continued=None if is_new else same, report=report)


def generation_text(result: GenerationResult) -> str:
    """Say how a generation ended."""
    line = f"{result.pool}: {result.state} (generation {result.id})"
    if result.refusal:
        return f"{line}\n  {result.refusal['message']} [{result.refusal['rule']}]"
    return f"{line}\n  {result.added:,} codes of the format {result.format} added, {result.generated:,} generated"


def formats_table(runtime: Runtime) -> str:
    """Return a table of the formats: what each can give, has given, and how safe its codes are from guessing."""
    with values_hidden(), runtime.engine.connect() as connection:
        stocks = formats.list_formats(connection)
    rows = [
        (stock.name, f"{stock.capacity:,}", f"{stock.generated:,}", f"{stock.present:,}", f"{stock.available:,}",
         f"1 in {1 / stock.guess_probability:,.0f}" if stock.guess_probability else "none")
        for stock in stocks
    ]  # fmt: skip
    return table(("format", "capacity", "generated", "present", "available", "one guess hits"), rows, {0})


def pools_table(runtime: Runtime) -> str:
    """Return a table of the pools and their stock."""
    with values_hidden(), runtime.engine.connect() as connection:
        return _query_table(connection, _POOLS, {}, texts=("pool", "state", "fill_method", "format"))


def history_table(runtime: Runtime, pool: str) -> str:
    """Return a table of a pool's uploads and generations, the oldest first. Source: PC-06.

    Raises:
        LookupError: there is no such pool.
    """
    with values_hidden(), runtime.engine.connect() as connection:
        query = sa.text("SELECT 1 FROM loyalty.promo_code_pool WHERE system_id = :pool")
        if connection.execute(query, {"pool": pool}).first() is None:
            raise LookupError(f"There is no promo code pool {pool!r}.")
        return _query_table(connection, _HISTORY, {"pool": pool}, texts=("kind", "state", "launched_by", "reason"))


def rotate_keys(runtime: Runtime, names: Sequence[str]) -> dict[str, bool]:
    """Let formats begin again under the key that is given now, all or none of them. Source: PG-03.

    Args:
        names: none means all formats.

    Returns:
        Format → whether its codes so far were of another key; the others were left as they are.

    Raises:
        GenerationRefused: there is no such format.
        ConfigurationError: there is no key.
    """
    if not runtime.code_key:
        raise ConfigurationError("There is no key to rotate to: set CODE_KEY.")
    with values_hidden(), runtime.engine.begin() as connection:
        chosen = names or formats.format_names(connection)
        return {name: formats.rotate_key(connection, name, runtime.code_key) for name in sorted(set(chosen))}


def _query_table(
    connection: Connection, statement: sa.TextClause, values: Mapping[str, object], texts: Sequence[str]
) -> str:
    result = connection.execute(statement, values)
    names = list(result.keys())
    rows = [[_cell(value) for value in row] for row in result]
    return table([name.replace("_", " ") for name in names], rows, {names.index(name) for name in texts})


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return value if isinstance(value, str) else f"{value:,}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int]) -> str:
    """Lay out a table; columns that are not `texts` are numbers and flush right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position in texts else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (headings, *rows)
    )
