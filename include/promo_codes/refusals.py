"""Why a generation is refused: pure checks of a request against a pool and a format. Source: PG-01 to PG-03, PP-02."""

from __future__ import annotations

import shlex

from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import FormatState, fingerprint
from include.promo_codes.shortage import Pool

LARGEST_QUANTITY = (1 << 63) - 1


def check_quantity(quantity: int) -> None:
    """Refuse to generate no codes, or more than any counter holds.

    Raises:
        GenerationRefused
    """
    if not 1 <= quantity <= LARGEST_QUANTITY:
        raise GenerationRefused("generation.quantity", f"{quantity:,} codes can't be generated.")


def check_limit(quantity: int, most: int) -> None:
    """Refuse to generate more codes at once than the project settings allow. Source: PP-02.

    Args:
        most: `max_generation` of the project settings.

    Raises:
        GenerationRefused
    """
    if quantity > most:
        raise GenerationRefused(
            "generation.over_limit",
            f"{quantity:,} codes were asked for, more than the project's max_generation = {most:,} allows at once. "
            "Take fewer, and generate again.",
        )


def check_format(state: FormatState, quantity: int, format_key: bytes) -> None:
    """Refuse what a format can't give.

    Raises:
        GenerationRefused
    """
    name = state.format.name
    if state.key_fingerprint not in (None, fingerprint(format_key)):
        raise GenerationRefused(
            "generation.wrong_key",
            f"The codes of the format {name!r} were generated under another key. Bring that key back, or let the "
            f"format begin again under this one: python -m include.cli rotate-code-key {shlex.quote(name)}",
        )
    if quantity > state.available:
        raise too_few_codes(name, state.available, quantity)


def too_few_codes(name: str, available: int, quantity: int) -> GenerationRefused:
    """Return the refusal of more codes than a format has left."""
    return GenerationRefused(
        "generation.not_enough_codes",
        f"{quantity:,} codes were asked for and the format {name!r} has {available:,} available for generation. Take "
        "fewer, or another format with a larger code space: longer codes, more characters, a higher max_codes.",
    )


def format_for(pool: Pool, requested: str | None) -> str:
    """Return the name of the format to generate into a pool: the one that was asked for, else the pool's own.

    Raises:
        GenerationRefused: the pool is filled by upload, or has no format.
    """
    if pool.fill_method == "upload" and pool.first_code_at is not None:
        raise GenerationRefused(
            "generation.upload_pool", f"The pool {pool.system_id!r} has uploaded codes: none can be generated into it."
        )
    name = requested or pool.format
    if not name:
        raise GenerationRefused("generation.no_format", f"The pool {pool.system_id!r} has no format: name one.")
    return name
