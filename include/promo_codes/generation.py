"""Generate promo codes into a pool: history, counter, codes and the pool's settings, each once. Source: PG-01 to PG-04.

A generation is opened (a row of `ledger.promo_code_generation`, keyed by what asked for it), then run in ONE
transaction: the format's counter, the codes, the pool's settings and the row's counts commit together or not at all. So
a generation that was killed has written nothing, and to repeat one that has completed only returns what it did.

That it runs, or has failed, is committed beside that transaction, which holds the generation's lock from before: one
that is running without its lock was interrupted (objects/promo_code_generations.sql), and is settled as failed.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import psycopg2.errors
import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from include.errors import ConfigurationError, WarehouseFault, WarehouseUnavailable
from include.ledger.staging import driver
from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import FormatState, fingerprint, lock_format, read_format, write_codes, write_progress
from include.promo_codes.permutation import Numbers, Permutation
from include.runtime import Runtime
from include.warehouse.transactions import repeat_on_conflict, values_hidden

BATCH_CODES = 1 << 18
"""Codes made and written at once, to bound the memory whatever the quantity.

They stay in the order of the walk, in which they will be issued. Sorted they would be written in two thirds of the
time, and who sees one code would know how the next one begins (PG-03)."""
RARE_COLLISIONS = 0.1
"""Codes of a batch that are expected to be there already, up to which it is written as if there were none."""
LARGEST_QUANTITY = (1 << 63) - 1
NO_KEY = "There is no key to generate promo codes with: set the Connection code_key, or CODE_KEY on the command line."
INTERRUPTED = "generation.interrupted"
"""Rule of a generation that failed because whoever made its codes has gone."""

_GENERATION = sa.table(
    "promo_code_generation",
    *(sa.column(name, sa.BigInteger) for name in ("id", "requested", "generated", "added")),
    *(
        sa.column(name, sa.Text)
        for name in (
            "run_key", "pool_system_id", "format", "reason", "state", "launched_by", "refusal_rule", "refusal_message",
            "dag_id", "dag_run_id",
        )
    ),
    sa.column("auto_generate", sa.Boolean),
    *(sa.column(name, sa.DateTime(timezone=True)) for name in ("launched_at", "started_at", "finished_at")),
    schema="ledger",
)  # fmt: skip
_POOL = sa.table(
    "promo_code_pool",
    *(sa.column(name, sa.Text) for name in ("system_id", "format", "fill_method")),
    sa.column("quantity", sa.BigInteger),
    sa.column("auto_generate", sa.Boolean),
    *(sa.column(name, sa.DateTime(timezone=True)) for name in ("first_code_at", "updated_at")),
    schema="loyalty",
)
_COPY = "COPY loyalty.promo_code (code, pool_system_id, generation_id) FROM STDIN"
_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS generated_code (
    position bigint GENERATED ALWAYS AS IDENTITY,
    code text COLLATE "C" NOT NULL
) ON COMMIT DROP;
TRUNCATE pg_temp.generated_code RESTART IDENTITY;
"""
# Adds the first codes of pg_temp.generated_code that are not there yet, as many as are missing. A code that another
# transaction adds at the same time is waited for, and then skipped.
_ADD_NEW = """
WITH fresh AS MATERIALIZED (
    SELECT made.position, made.code
    FROM pg_temp.generated_code AS made
    WHERE NOT EXISTS (SELECT FROM loyalty.promo_code AS known WHERE known.code = made.code)
    ORDER BY made.position
    LIMIT %(missing)s
), added AS (
    INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id)
    SELECT fresh.code, %(pool)s, %(generation_id)s
    FROM fresh
    ORDER BY fresh.position
    ON CONFLICT ON CONSTRAINT promo_code_pkey DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added), count(*), max(fresh.position)
FROM fresh
"""
_WRITE_SKELETONS = """
INSERT INTO loyalty.promo_code_look_alike (code, skeleton) VALUES %s
ON CONFLICT ON CONSTRAINT promo_code_look_alike_pkey DO NOTHING
"""


class GenerationState(StrEnum):
    """Where a generation stands. Source: PG-04."""

    AWAITING_EXECUTION = "awaiting_execution"
    RUNNING = "running"
    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class GenerationRequest:
    """What is asked for.

    Args:
        pool: system_id.
        quantity: codes to add; saved as the pool's quantity.
        run_key: names the request; asking with the same key again is the same generation.
        launched_by: the user.
        reason: `form`, `command line`.
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


@dataclass(frozen=True)
class Added:
    """Codes written into a pool: indexes walked, and codes of them that were new."""

    generated: int
    added: int


def open_generation(runtime: Runtime, request: GenerationRequest) -> int:
    """Write a generation into the history, to be run; return its number, also when it is there already.

    Raises:
        GenerationRefused: the quantity is none. Everything else is judged when it runs, and then stands in the history.
        WarehouseUnavailable, WarehouseFault
    """
    opened = _opened(request)
    known = sa.select(_GENERATION.c.id).where(_GENERATION.c.run_key == request.run_key)
    opening = insert(_GENERATION).values(opened).on_conflict_do_nothing(index_elements=["run_key"])
    with values_hidden(), runtime.engine.begin() as connection:
        if (found := connection.scalar(known)) is None:  # looked up first: an insert would use up a number
            connection.execute(opening)
            found = connection.execute(known).scalar_one()
        return int(found)


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
        take_up(runtime.engine, making, generation_id)
        return generation_id

    return _run(runtime, begin)


def generate_anew(
    runtime: Runtime, request: GenerationRequest, *, continued: str | None = None, tell: Callable[[int], None]
) -> GenerationResult:
    """Generate codes as a generation of its own, or as one that was interrupted when it was asked for the same.

    Args:
        continued: what the keys of those begin with; None continues none.
        tell: is called with the number of the one that is continued.

    Raises:
        As `open_generation` and `run_generation`.
    """
    opened = _opened(request)
    numbers: list[int] = []  # of this generation, once it is known: an attempt that is rolled back is repeated

    def begin(making: Connection) -> int:
        if numbers:
            take_up(runtime.engine, making, numbers[0])
        elif continued is not None and (found := _take_up_interrupted(runtime.engine, making, request.pool, continued)):
            tell(found)
            numbers.append(found)
        else:
            numbers.append(open_running(runtime.engine, making, opened))
        return numbers[0]

    with values_hidden():
        settle_interrupted(runtime.engine, request.pool)
    return _run(runtime, begin)


def _opened(request: GenerationRequest) -> dict[str, object]:
    check_quantity(request.quantity)
    return {
        "run_key": request.run_key, "pool_system_id": request.pool, "format": request.format,
        "requested": request.quantity, "auto_generate": request.auto_generate, "reason": request.reason,
        "launched_by": request.launched_by, "dag_id": request.dag_id, "dag_run_id": request.dag_run_id,
    }  # fmt: skip


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
            return _end(runtime, number, GenerationState.REFUSED, refusal.rule, refusal.message)
    except Exception as error:
        if number is None:
            raise
        with suppress(Exception):  # the first error is the one to tell
            ended = end_failed(runtime, number, error)
            if ended.state is GenerationState.COMPLETED and isinstance(error, WarehouseUnavailable):
                return ended  # the connection was lost when the warehouse had committed
        raise


# -- who makes a generation's codes


def lock_additions(connection: Connection, attempt: int) -> None:
    """Begin a transaction that adds codes: beside others at first, alone when one of them was in its way before."""
    connection.execute(_LOCK_ADDITIONS, {"is_alone": attempt > 1})


def open_running(engine: Engine, making: Connection, opened: Mapping[str, object]) -> int:
    """Write a generation into the history as running; return its number.

    Args:
        making: the transaction of its codes.
    """
    running = {"state": GenerationState.RUNNING, "started_at": sa.func.clock_timestamp()}
    with engine.begin() as beside:
        number = int(
            beside.execute(insert(_GENERATION).values(**opened, **running).returning(_GENERATION.c.id)).scalar_one()
        )
        _lock(making, number)  # before anybody else can see it
    return number


def take_up(engine: Engine, making: Connection, generation_id: int) -> None:
    """Show a known generation as running, unless it has completed.

    Args:
        making: the transaction of its codes; waits for the one of another who makes them.
    """
    _lock(making, generation_id)
    _show_running(engine, generation_id)


def settle_interrupted(engine: Engine, pool: str | None = None) -> None:
    """Record the generations of a pool, or of all, that were interrupted as failed. Source: PG-04."""
    with engine.begin() as connection:
        connection.execute(_SETTLE, {"pool": pool})


def end_failed(runtime: Runtime, generation_id: int, error: Exception) -> GenerationResult:
    """Record that a generation has failed, unless it has completed; its transaction is over."""
    own = isinstance(error, ConfigurationError | WarehouseUnavailable | WarehouseFault)
    told = str(error) if own else type(error).__name__  # other texts may quote values
    return _end(runtime, generation_id, GenerationState.FAILED, "generation.failed", told)


_LOCK_ADDITIONS = sa.text("SELECT loyalty.lock_promo_code_additions(:is_alone)")
_LOCK = sa.text("SELECT loyalty.lock_promo_code_generation(:generation, :waits)")
_SETTLE = sa.text("SELECT loyalty.settle_promo_code_generations(:pool)")


def _lock(making: Connection, generation_id: int, *, waits: bool = True) -> bool:
    return bool(making.execute(_LOCK, {"generation": generation_id, "waits": waits}).scalar_one())


def _show_running(engine: Engine, generation_id: int) -> None:
    with engine.begin() as beside:
        beside.execute(
            sa.update(_GENERATION)
            .where(_GENERATION.c.id == generation_id, _GENERATION.c.state != GenerationState.COMPLETED)
            .values(
                state=GenerationState.RUNNING, started_at=sa.func.now(), finished_at=None, refusal_rule=None,
                refusal_message=None,
            )
        )  # fmt: skip


def _take_up_interrupted(engine: Engine, making: Connection, pool: str, run_keys: str) -> int | None:
    """Take up the newest interrupted generation that nobody else takes up, and return its number."""
    interrupted = sa.select(_GENERATION.c.id).where(
        _GENERATION.c.pool_system_id == pool,
        _GENERATION.c.run_key.startswith(run_keys, autoescape=True),
        _GENERATION.c.state == GenerationState.FAILED,
        _GENERATION.c.refusal_rule == INTERRUPTED,
    )
    for number in making.scalars(interrupted.order_by(_GENERATION.c.id.desc())).all():
        if _lock(making, number, waits=False) and making.scalar(interrupted.where(_GENERATION.c.id == number)):
            _show_running(engine, number)
            return int(number)
    return None


# -- codes


def generate_into(
    connection: Connection,
    *,
    pool: str,
    format: str,  # noqa: A002  a format's name, as everywhere
    quantity: int,
    generation_id: int,
    key: bytes,
) -> Added:
    """Add so many new codes of a format to a pool, in the caller's transaction. Source: PG-02, PG-03.

    The format stays locked until the transaction ends: others that generate from it wait and then see what is left.
    Lock the pool before, if at all, so that two of them never wait for each other.

    Args:
        pool: system_id of a pool that isn't filled by upload.
        generation_id: row of `ledger.promo_code_generation` that the codes are of.
        key: the master key.

    Raises:
        GenerationRefused: no such format, fewer codes left than wanted, or the codes so far are of another key. The
            caller must roll back.
    """
    state = lock_format(connection, format)
    format_key = state.format.key(key)
    check_format(state, quantity, format_key)
    with driver(connection).cursor() as cursor:
        walk = _Walk(cursor, state, format_key, pool, generation_id)
        walk.add(quantity)
    write_progress(
        connection,
        format,
        key_fingerprint=fingerprint(format_key),
        next_index=walk.next_index,
        generated=state.generated + walk.added,
    )
    return Added(walk.next_index - state.next_index, walk.added)


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
    """Refuse what a locked format can't give.

    Raises:
        GenerationRefused
    """
    name = state.format.name
    if state.key_fingerprint not in (None, fingerprint(format_key)):
        raise GenerationRefused(
            "generation.wrong_key",
            f"The codes of the format {name!r} were generated under another key. Bring that key back, or let the "
            f"format begin anew under this one: python -m include.cli rotate-code-key {shlex.quote(name)}",
        )
    if quantity > state.available:
        raise _too_few(name, state.available, quantity)


def _too_few(name: str, available: int, quantity: int) -> GenerationRefused:
    return GenerationRefused(
        "generation.not_enough_codes",
        f"{quantity:,} codes were asked for and the format {name!r} has {available:,} available for generation. Take "
        "fewer, or another format with a larger code space: longer codes, more characters, a higher max_codes.",
    )


def _generate_once(runtime: Runtime, connection: Connection, generation_id: int) -> GenerationResult:
    asked = _read(connection, generation_id, lock=True)
    if asked.state is GenerationState.COMPLETED:
        return asked
    if not runtime.code_key:
        raise ConfigurationError(NO_KEY)
    format_name = _save_settings(connection, generation_id, asked)
    if asked.requested > runtime.project.max_generation:
        state = lock_format(connection, format_name)
        check_format(state, asked.requested, state.format.key(runtime.code_key))  # what it can't give is said first
        check_limit(asked.requested, runtime.project.max_generation)
    made = generate_into(
        connection, pool=asked.pool, format=format_name, quantity=asked.requested, generation_id=generation_id,
        key=runtime.code_key,
    )  # fmt: skip
    return _write_end(
        connection, generation_id, state=GenerationState.COMPLETED, format=format_name, generated=made.generated,
        added=made.added,
    )  # fmt: skip


def _save_settings(connection: Connection, generation_id: int, asked: GenerationResult) -> str:
    """Put what was asked for into the pool's settings (PG-01), locking the pool, and return the name of the format."""
    locked = sa.select(_POOL).where(_POOL.c.system_id == asked.pool).with_for_update(key_share=True)
    pool = connection.execute(locked).one_or_none()
    format_name = _format_for(pool, asked.pool, asked.format)
    assert pool is not None
    lock_format(connection, format_name)  # an unknown one is refused in a sentence, not by the reference to it
    auto_generate = connection.execute(
        sa.select(_GENERATION.c.auto_generate).where(_GENERATION.c.id == generation_id)
    ).scalar_one()
    settings = {"fill_method": "generate", "format": format_name, "quantity": asked.requested}
    connection.execute(
        sa.update(_POOL)
        .where(_POOL.c.system_id == asked.pool)
        .values(
            **settings,
            auto_generate=pool.auto_generate if auto_generate is None else auto_generate,
            updated_at=sa.func.now(),
        )
    )
    return format_name


def _format_for(pool: sa.Row[Any] | None, system_id: str, format_name: str | None) -> str:
    """Return the name of the format to generate into a pool: the one that was asked for, else the pool's own.

    Raises:
        GenerationRefused: there is no such pool, or it is filled by upload, or has no format.
    """
    if pool is None:
        raise GenerationRefused("generation.unknown_pool", f"There is no promo code pool {system_id!r}.")
    if pool.fill_method == "upload" and pool.first_code_at is not None:
        raise GenerationRefused(
            "generation.upload_pool", f"The pool {system_id!r} has uploaded codes: none can be generated into it."
        )
    if not (format_name or pool.format):
        raise GenerationRefused("generation.no_format", f"The pool {system_id!r} has no format: name one.")
    return str(format_name or pool.format)


def foresee_refusal(
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
        found = connection.execute(sa.select(_POOL).where(_POOL.c.system_id == pool)).one_or_none()
        state = read_format(connection, _format_for(found, pool, format_name))
        check_quantity(quantity)
        check_format(state, quantity, state.format.key(key))
        check_limit(quantity, most)
    except GenerationRefused as refusal:
        return refusal
    return None


def _end(runtime: Runtime, generation_id: int, state: GenerationState, rule: str, message: str) -> GenerationResult:
    """Record that a generation wrote nothing, and why, unless another process has completed it meanwhile."""
    with runtime.engine.begin() as connection:
        _lock(connection, generation_id)
        found = _read(connection, generation_id, lock=True)
        if found.state is GenerationState.COMPLETED:
            return found
        return _write_end(connection, generation_id, state=state, refusal_rule=rule, refusal_message=message)


def _write_end(connection: Connection, generation_id: int, **values: object) -> GenerationResult:
    connection.execute(
        sa.update(_GENERATION)
        .where(_GENERATION.c.id == generation_id)
        .values(**values, finished_at=sa.func.clock_timestamp())
    )
    return _read(connection, generation_id)


def _read(connection: Connection, generation_id: int, *, lock: bool = False) -> GenerationResult:
    statement = sa.select(_GENERATION).where(_GENERATION.c.id == generation_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise LookupError(f"there is no generation {generation_id}")
    refusal = {"rule": row.refusal_rule, "message": row.refusal_message} if row.refusal_rule else None
    return GenerationResult(
        row.id, row.pool_system_id, row.format, GenerationState(row.state), row.requested, row.generated, row.added,
        refusal,
    )  # fmt: skip


class _Walk:
    """The walk of one generation along its format's permutation.

    Every index behind the counter has its code in the table, since codes are never deleted. So of the codes that are
    present in the format's space, as many as the counter says lie behind it, and the others somewhere ahead.
    """

    def __init__(self, cursor: Cursor, state: FormatState, key: bytes, pool: str, generation_id: int) -> None:
        self._cursor = cursor
        self._format = state.format
        self._key = key
        self._permutation: Permutation = state.format.permutation(key)
        self._values: Mapping[str, object] = {"pool": pool, "generation_id": generation_id}
        self._row_end = f"\t{_escape(pool)}\t{generation_id}\n"
        self._present = state.present
        self.next_index = state.next_index
        self.added = 0

    def add(self, quantity: int) -> None:
        """Walk on until so many new codes have been added.

        Raises:
            GenerationRefused: the end came before: meanwhile others have added codes of this space.
        """
        while (missing := quantity - self.added) > 0:
            ahead = self._permutation.size - self.next_index
            if not ahead:
                raise _too_few(self._format.name, self.added, quantity)
            taken_share = min(1.0, max(0, self._present - self.next_index) / ahead)
            batch = min(missing, BATCH_CODES, ahead)
            if batch * taken_share > RARE_COLLISIONS or not self._copy(batch):
                self._add_new(min(int(missing / max(1 - taken_share, 1e-9) * 1.1) + 100, BATCH_CODES, ahead), missing)

    def _copy(self, count: int) -> bool:
        """Add all codes of the next indexes; return False, with nothing added, when one of them is there already."""
        numbers = self._permutation.numbers(self.next_index, self.next_index + count)
        self._cursor.execute("SAVEPOINT before_batch")
        try:
            self._cursor.copy_expert(_COPY, self._lines(numbers, self._row_end))
        except psycopg2.errors.UniqueViolation:
            self._cursor.execute("ROLLBACK TO SAVEPOINT before_batch")
            return False
        self._cursor.execute("RELEASE SAVEPOINT before_batch")
        self._advance(walked=count, added=count)
        return True

    def _add_new(self, count: int, missing: int) -> None:
        """Add the codes of the next indexes that are not there yet, as many as are missing."""
        numbers = self._permutation.numbers(self.next_index, self.next_index + count)
        self._cursor.execute(_STAGE)
        self._cursor.copy_expert("COPY pg_temp.generated_code (code) FROM STDIN", self._lines(numbers, "\n"))
        self._cursor.execute(_ADD_NEW, {**self._values, "missing": missing})
        added, fresh, last_position = self._cursor.fetchone()
        self._advance(walked=last_position if fresh == missing else count, added=added)

    def _lines(self, numbers: Numbers, row_end: str) -> io.BytesIO:
        return io.BytesIO(write_codes(self._format, self._key, numbers, row_end))

    def _advance(self, *, walked: int, added: int) -> None:
        if not self._format.is_ascii:
            self._write_skeletons(self._permutation.numbers(self.next_index, self.next_index + walked))
        self.next_index += walked
        self.added += added
        self._present += added

    def _write_skeletons(self, numbers: Numbers) -> None:
        """Write what codes look like; each of them is there by now, though not all by this generation (PC-04a)."""
        from include.values.look_alikes import skeletons  # pyarrow, which no DAG needs when it is parsed

        lines = write_codes(self._format, self._key, numbers, "\n").decode().replace(r"\\", "\\").split("\n")
        codes = [code for code in lines if not code.isascii()]
        rows = list(zip(codes, skeletons(codes), strict=True))
        if rows:
            execute_values(self._cursor, _WRITE_SKELETONS, rows, page_size=1000)


def _escape(text: str) -> str:
    """Write a text as COPY's text format wants it."""
    for character, written in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(character, written)
    return text
