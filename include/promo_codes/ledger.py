"""The history of generations: the one module that writes `ledger.promo_code_generation`. Source: PG-03, PG-04.

A generation is opened, run, and then completed, refused or failed. That it runs is committed beside the transaction of
its codes, which holds the generation's lock from before (objects/promo_code_generations.sql): one that runs without
its lock was interrupted, and is settled as failed. How it ended commits with its codes, or after they were rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from include.errors import ConfigurationError, WarehouseFault, WarehouseUnavailable
from include.promo_codes.errors import GenerationRefused
from include.warehouse.sql_files import statement_beside

INTERRUPTED = "generation.interrupted"
"""Rule of a generation that failed because the process that made its codes has gone."""


class GenerationState(StrEnum):
    """The state of a generation. Source: PG-04."""

    AWAITING_EXECUTION = "awaiting_execution"
    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class GenerationRequest:
    """What a person or the top-up asks for.

    Args:
        pool: system_id.
        quantity: codes to add; a generation that a person asks for saves it as the pool's quantity.
        run_key: names the request; asking with the same key again is the same generation.
        launched_by: the user, or `top-up`.
        reason: `form`, `command line`, or why the pool is topped up.
        format: None takes the pool's own; another one becomes the pool's.
        auto_generate: None leaves the pool's setting as it is.
    """

    pool: str
    quantity: int
    run_key: str
    launched_by: str
    reason: str
    format: str | None = None
    auto_generate: bool | None = None
    dag_id: str | None = None
    dag_run_id: str | None = None


@dataclass(frozen=True)
class GenerationResult:
    """What became of a generation; no codes, safe for logs and XCom (X-20).

    Args:
        generated: indexes of the permutation that were walked; at least `added`.
        added: codes of them that were new; all that were requested, or None.
        refusal: `rule` and `message`, of a generation that was refused or has failed.
    """

    id: int
    pool: str
    format: str | None
    state: GenerationState
    requested: int
    generated: int | None = None
    added: int | None = None
    refusal: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return asdict(self) | {"state": str(self.state)}


_OPEN = statement_beside(__file__, "open_generation.sql")
_NOTE_REFUSAL = statement_beside(__file__, "note_refusal.sql")
_FIND = sa.text("SELECT id FROM ledger.promo_code_generation WHERE run_key = :run_key")
_READ = sa.text(
    """
    SELECT id, pool_system_id, format, state, requested, generated, added, refusal_rule, refusal_message
    FROM ledger.promo_code_generation
    WHERE id = :id
    """
)
_LOCK_ROW = sa.text("SELECT id FROM ledger.promo_code_generation WHERE id = :id FOR UPDATE")
_REQUESTED_AUTO_GENERATE = sa.text("SELECT auto_generate FROM ledger.promo_code_generation WHERE id = :id")
_SHOW_RUNNING = sa.text(
    """
    UPDATE ledger.promo_code_generation
    SET state = 'running', started_at = now(), finished_at = NULL, refusal_rule = NULL, refusal_message = NULL
    WHERE id = :id AND state <> 'completed'
    """
)
_COMPLETE = sa.text(
    """
    UPDATE ledger.promo_code_generation
    SET state = 'completed', format = :format, generated = :generated, added = :added, finished_at = clock_timestamp()
    WHERE id = :id
    """
)
_END_WITHOUT_CODES = sa.text(
    """
    UPDATE ledger.promo_code_generation
    SET state = :state, refusal_rule = :rule, refusal_message = :message, finished_at = clock_timestamp()
    WHERE id = :id
    """
)
_INTERRUPTED = sa.text(
    """
    SELECT id
    FROM ledger.promo_code_generation
    WHERE pool_system_id = :pool AND starts_with(run_key, :run_keys) AND state = 'failed' AND refusal_rule = :rule
    ORDER BY id DESC
    """
)
_LOCK = sa.text("SELECT loyalty.lock_promo_code_generation(:generation, :waits)")
_SETTLE = sa.text("SELECT loyalty.settle_promo_code_generations(:pool)")


# -- opened and running


def open_waiting(connection: Connection, request: GenerationRequest) -> int:
    """Write a generation that awaits execution; return its number, also when it is there already."""
    key = {"run_key": request.run_key}
    number = connection.scalar(_FIND, key)  # looked up first: an insert would use up a number
    if number is None:
        connection.execute(_OPEN, _opening(request, GenerationState.AWAITING_EXECUTION))
        number = connection.execute(_FIND, key).scalar_one()
    return int(number)


def open_running(engine: Engine, making: Connection, request: GenerationRequest) -> int:
    """Write a generation that runs; return its number.

    Args:
        making: the transaction of its codes.
    """
    with engine.begin() as beside:
        number = int(beside.execute(_OPEN, _opening(request, GenerationState.RUNNING)).scalar_one())
        _lock(making, number)  # before any other session can see it
    return number


def take_up(engine: Engine, making: Connection, generation_id: int) -> None:
    """Show an opened generation as running, unless it has completed.

    Args:
        making: the transaction of its codes; waits for the one of another process that makes them.
    """
    _lock(making, generation_id)
    _show_running(engine, generation_id)


def take_up_interrupted(engine: Engine, making: Connection, pool: str, run_keys: str) -> int | None:
    """Take up a pool's newest interrupted generation that no other process takes up, and return its number.

    Args:
        making: the transaction of its codes.
        run_keys: what the keys of those generations begin with.
    """
    values = {"pool": pool, "run_keys": run_keys, "rule": INTERRUPTED}
    for number in making.scalars(_INTERRUPTED, values).all():
        if _lock(making, number, waits=False) and number in making.scalars(_INTERRUPTED, values).all():
            _show_running(engine, number)
            return int(number)
    return None


def settle_interrupted(engine: Engine, pool: str | None = None) -> None:
    """Record the generations of a pool, or of all, that were interrupted as failed. Source: PG-04."""
    with engine.begin() as connection:
        connection.execute(_SETTLE, {"pool": pool})


def read(connection: Connection, generation_id: int, *, lock: bool = False) -> GenerationResult:
    """Return a generation; locked, no other transaction can end it before this one is over.

    Raises:
        LookupError: there is no such generation.
    """
    if lock:
        connection.execute(_LOCK_ROW, {"id": generation_id})
    row = connection.execute(_READ, {"id": generation_id}).one_or_none()
    if row is None:
        raise LookupError(f"there is no generation {generation_id}")
    refusal = {"rule": row.refusal_rule, "message": row.refusal_message} if row.refusal_rule else None
    return GenerationResult(
        id=row.id,
        pool=row.pool_system_id,
        format=row.format,
        state=GenerationState(row.state),
        requested=row.requested,
        generated=row.generated,
        added=row.added,
        refusal=refusal,
    )


def requested_auto_generate(connection: Connection, generation_id: int) -> bool | None:
    """Return the value for the pool's auto_generate that was asked for; None leaves it as it is."""
    value: bool | None = connection.execute(_REQUESTED_AUTO_GENERATE, {"id": generation_id}).scalar_one()
    return value


# -- ended


def complete(
    making: Connection, generation_id: int, *, format_name: str | None, generated: int, added: int
) -> GenerationResult:
    """Record that a generation's codes are written.

    Args:
        making: the transaction of its codes.
    """
    values = {"id": generation_id, "format": format_name, "generated": generated, "added": added}
    making.execute(_COMPLETE, values)
    return read(making, generation_id)


def refuse(making: Connection, generation_id: int, refusal: GenerationRefused) -> GenerationResult:
    """Record that a running generation was refused, in the transaction that holds its lock."""
    return _end_without_codes(making, generation_id, GenerationState.REFUSED, refusal.rule, refusal.message)


def note_refusal(connection: Connection, request: GenerationRequest, refusal: GenerationRefused) -> None:
    """Write a generation that was refused before it ran, unless the pool's latest one is the same refusal."""
    opening = _opening(request, GenerationState.REFUSED)
    connection.execute(_NOTE_REFUSAL, {**opening, "refusal_rule": refusal.rule, "refusal_message": refusal.message})


def refuse_afterwards(engine: Engine, generation_id: int, refusal: GenerationRefused) -> GenerationResult:
    """Record that a generation was refused, unless it has completed; its transaction is over."""
    return _end_afterwards(engine, generation_id, GenerationState.REFUSED, refusal.rule, refusal.message)


def fail_afterwards(engine: Engine, generation_id: int, error: Exception) -> GenerationResult:
    """Record that a generation has failed, unless it has completed; its transaction is over."""
    is_own = isinstance(error, ConfigurationError | WarehouseUnavailable | WarehouseFault)
    message = str(error) if is_own else type(error).__name__  # other texts may quote values
    return _end_afterwards(engine, generation_id, GenerationState.FAILED, "generation.failed", message)


def _end_afterwards(
    engine: Engine, generation_id: int, state: GenerationState, rule: str, message: str
) -> GenerationResult:
    with engine.begin() as connection:
        _lock(connection, generation_id)
        generation = read(connection, generation_id, lock=True)
        if generation.state is GenerationState.COMPLETED:
            return generation
        return _end_without_codes(connection, generation_id, state, rule, message)


def _end_without_codes(
    connection: Connection, generation_id: int, state: GenerationState, rule: str, message: str
) -> GenerationResult:
    values = {"id": generation_id, "state": state.value, "rule": rule, "message": message}
    connection.execute(_END_WITHOUT_CODES, values)
    return read(connection, generation_id)


def _opening(request: GenerationRequest, state: GenerationState) -> Mapping[str, object]:
    return {
        "run_key": request.run_key,
        "pool": request.pool,
        "format": request.format,
        "requested": request.quantity,
        "auto_generate": request.auto_generate,
        "reason": request.reason,
        "state": state.value,
        "launched_by": request.launched_by,
        "dag_id": request.dag_id,
        "dag_run_id": request.dag_run_id,
    }


def _lock(making: Connection, generation_id: int, *, waits: bool = True) -> bool:
    return bool(making.execute(_LOCK, {"generation": generation_id, "waits": waits}).scalar_one())


def _show_running(engine: Engine, generation_id: int) -> None:
    with engine.begin() as beside:
        beside.execute(_SHOW_RUNNING, {"id": generation_id})
