"""Generate promo codes into a pool: history, counter, codes and the pool's settings, each once. Source: PG-01 to PG-04.

A generation is opened in the history (ledger.py), keyed by what asked for it, then run in ONE transaction: the format's
counter, the codes (walk.py), the pool's settings and the counts in the history commit together or not at all. So a
generation that was killed has written nothing, and to repeat one that has completed only returns what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy import Connection

from include.errors import ConfigurationError, WarehouseUnavailable
from include.promo_codes import ledger
from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import lock_format, read_format
from include.promo_codes.ledger import GenerationRequest, GenerationResult, GenerationState
from include.promo_codes.levels import read_pool
from include.promo_codes.refusals import check_format, check_limit, check_quantity, format_for
from include.promo_codes.shortage import Pool
from include.promo_codes.walk import generate_into, lock_additions
from include.runtime import Runtime
from include.warehouse.transactions import repeat_on_conflict, values_hidden

NO_KEY = "There is no key to generate promo codes with: set the Connection code_key, or CODE_KEY on the command line."

_SAVE_SETTINGS = sa.text(
    """
    UPDATE loyalty.promo_code_pool
    SET fill_method = 'generate', format = :format, quantity = :quantity, auto_generate = :auto_generate,
        updated_at = now()
    WHERE system_id = :pool
    """
)


def open_generation(runtime: Runtime, request: GenerationRequest) -> int:
    """Write a generation into the history, to be run; return its number, also when it is there already.

    Raises:
        GenerationRefused: the quantity is none. All else is judged when it runs, and is then in the history.
        WarehouseUnavailable, WarehouseFault
    """
    check_quantity(request.quantity)
    with values_hidden(), runtime.engine.begin() as connection:
        return ledger.open_waiting(connection, request)


def run_generation(runtime: Runtime, generation_id: int) -> GenerationResult:
    """Generate the codes of an opened generation, once.

    A refusal is recorded and returned; nothing else is written then. A generation that was refused, has failed or was
    killed may be run again; one that has completed is left as it is, also when two processes run it at once.

    Raises:
        ConfigurationError: there is no key.
        LookupError: there is no such generation.
        WarehouseUnavailable, WarehouseFault: recorded as well, if the warehouse still answers.
    """

    def begin(making: Connection) -> int:
        ledger.take_up(runtime.engine, making, generation_id)
        return generation_id

    return _run(runtime, begin)


def generate_or_continue(
    runtime: Runtime, request: GenerationRequest, *, continued: str | None = None, report: Callable[[int], None]
) -> GenerationResult:
    """Generate codes as a generation of its own, or as one that was interrupted when it was asked for the same.

    Args:
        continued: what the keys of those begin with; None continues none.
        report: is called with the number of the one that is continued.

    Raises:
        As `open_generation` and `run_generation`.
    """
    check_quantity(request.quantity)
    numbers: list[int] = []  # of this generation, once it has one: an attempt that is rolled back is repeated

    def begin(making: Connection) -> int:
        if numbers:
            ledger.take_up(runtime.engine, making, numbers[0])
            return numbers[0]
        number = None
        if continued is not None:
            number = ledger.take_up_interrupted(runtime.engine, making, request.pool, continued)
        if number is not None:
            report(number)
        else:
            number = ledger.open_running(runtime.engine, making, request)
        numbers.append(number)
        return number

    with values_hidden():
        ledger.settle_interrupted(runtime.engine, request.pool)
    return _run(runtime, begin)


def _run(runtime: Runtime, begin: Callable[[Connection], int]) -> GenerationResult:
    """Generate codes in one transaction, which `begin` makes that of a generation whose number it returns."""
    number: int | None = None

    def run(attempt: int) -> GenerationResult:
        nonlocal number
        with values_hidden(), runtime.engine.begin() as connection:
            lock_additions(connection, attempt)
            number = begin(connection)
            return _generate_once(runtime, connection, number)

    try:
        return repeat_on_conflict(run)
    except GenerationRefused as refusal:
        if number is None:
            raise
        with values_hidden():
            return ledger.refuse_afterwards(runtime.engine, number, refusal)
    except Exception as error:
        if number is None:
            raise
        with suppress(Exception):  # the first error is the one to report
            ended = ledger.fail_afterwards(runtime.engine, number, error)
            if ended.state is GenerationState.COMPLETED and isinstance(error, WarehouseUnavailable):
                return ended  # the connection was lost when the warehouse had committed
        raise


def _generate_once(runtime: Runtime, connection: Connection, generation_id: int) -> GenerationResult:
    requested = ledger.read(connection, generation_id, lock=True)
    if requested.state is GenerationState.COMPLETED:
        return requested
    if not runtime.code_key:
        raise ConfigurationError(NO_KEY)
    format_name = _save_settings(connection, requested)
    if requested.requested > runtime.project.max_generation:
        state = lock_format(connection, format_name)
        check_format(state, requested.requested, state.format.key(runtime.code_key))  # what it can't give is said first
        check_limit(requested.requested, runtime.project.max_generation)
    codes = generate_into(
        connection,
        pool=requested.pool,
        format=format_name,
        quantity=requested.requested,
        generation_id=generation_id,
        key=runtime.code_key,
    )
    return ledger.complete(
        connection, generation_id, format_name=format_name, generated=codes.generated, added=codes.added
    )


def _save_settings(connection: Connection, requested: GenerationResult) -> str:
    """Put what was asked for into the pool's settings (PG-01), locking the pool, and return the name of the format."""
    pool = _read_pool(connection, requested.pool, lock=True)
    format_name = format_for(pool, requested.format)
    lock_format(connection, format_name)  # an unknown one is refused in a sentence, not by the reference to it
    auto_generate = ledger.requested_auto_generate(connection, requested.id)
    settings = {
        "pool": requested.pool,
        "format": format_name,
        "quantity": requested.requested,
        "auto_generate": pool.auto_generate if auto_generate is None else auto_generate,
    }
    connection.execute(_SAVE_SETTINGS, settings)
    return format_name


def _read_pool(connection: Connection, system_id: str, *, lock: bool = False) -> Pool:
    try:
        return read_pool(connection, system_id, lock=lock)
    except LookupError:
        raise GenerationRefused("generation.unknown_pool", f"There is no promo code pool {system_id!r}.") from None


def predict_refusal(
    connection: Connection, *, pool: str, quantity: int, format_name: str | None, key: bytes | None, most: int
) -> GenerationRefused | None:
    """Say why a generation would be refused if it ran now, or None. Nothing is locked: it is judged when it runs.

    Args:
        pool: system_id.
        key: the master key.
        most: `max_generation` of the project settings.

    Raises:
        ConfigurationError: there is no key.
    """
    if not key:
        raise ConfigurationError(NO_KEY)
    try:
        state = read_format(connection, format_for(_read_pool(connection, pool), format_name))
        check_quantity(quantity)
        check_format(state, quantity, state.format.key(key))
        check_limit(quantity, most)
    except GenerationRefused as refusal:
        return refusal
    return None
