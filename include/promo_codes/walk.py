"""Write the codes of a generation: a walk along the permutation of its format. Source: PG-02, PG-03, PC-04a."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy import Connection

from include.ledger.staging import driver
from include.promo_codes.formats import FormatState, fingerprint, lock_format, write_codes, write_progress
from include.promo_codes.permutation import Numbers, Permutation
from include.promo_codes.refusals import check_format, too_few_codes
from include.warehouse.sql_files import statement_beside

BATCH_CODES = 1 << 18
"""Codes made and written at once, to bound the memory whatever the quantity.

They stay in the order of the walk, in which they will be issued. Sorted they would be written in two thirds of the
time, and who sees one code would know how the next one begins (PG-03)."""
RARE_COLLISIONS = 0.1
"""Codes of a batch that are expected to be there already, up to which it is written as if there were none."""

SKELETONS_AT_ONCE = 1000

_COPY = "COPY loyalty.promo_code (code, pool_system_id, generation_id) FROM STDIN"
_COPY_TO_STAGE = "COPY pg_temp.generated_code (code) FROM STDIN"
_STAGE = sa.text(
    """
    CREATE TEMP TABLE IF NOT EXISTS generated_code (
        position bigint GENERATED ALWAYS AS IDENTITY,
        code text COLLATE "C" NOT NULL
    ) ON COMMIT DROP
    """
)
_EMPTY_STAGE = sa.text("TRUNCATE pg_temp.generated_code RESTART IDENTITY")
_ADD_NEW = statement_beside(__file__, "add_new_codes.sql")
_WRITE_SKELETONS = sa.text(
    """
    INSERT INTO loyalty.promo_code_look_alike (code, skeleton)
    SELECT code, skeleton
    FROM unnest(CAST(:codes AS text[]), CAST(:skeletons AS text[])) AS look_alike (code, skeleton)
    ON CONFLICT ON CONSTRAINT promo_code_look_alike_pkey DO NOTHING
    """
)
_LOCK_ADDITIONS = sa.text("SELECT loyalty.lock_promo_code_additions(:is_alone)")


@dataclass(frozen=True)
class Added:
    """Codes written into a pool: indexes walked, and codes of them that were new."""

    generated: int
    added: int


def lock_additions(connection: Connection, attempt: int) -> None:
    """Begin a transaction that adds codes: beside others at first, alone when one of them was in its way before."""
    connection.execute(_LOCK_ADDITIONS, {"is_alone": attempt > 1})


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
    walk = Walk(connection, state, format_key, pool, generation_id)
    walk.add(quantity)
    write_progress(
        connection,
        format,
        key_fingerprint=fingerprint(format_key),
        next_index=walk.next_index,
        generated=state.generated + walk.added,
    )
    return Added(walk.next_index - state.next_index, walk.added)


class Walk:
    """The walk of one generation along its format's permutation.

    Every index behind the counter has its code in the table, since codes are never deleted. So of the codes that are
    present in the format's space, as many as the counter says are behind it, and the others somewhere ahead.
    """

    def __init__(self, connection: Connection, state: FormatState, key: bytes, pool: str, generation_id: int) -> None:
        self._connection = connection
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
                raise too_few_codes(self._format.name, self.added, quantity)
            taken_share = min(1.0, max(0, self._present - self.next_index) / ahead)
            batch = min(missing, BATCH_CODES, ahead)
            if batch * taken_share > RARE_COLLISIONS or not self._copy(batch):
                self._add_new(min(int(missing / max(1 - taken_share, 1e-9) * 1.1) + 100, BATCH_CODES, ahead), missing)

    def _copy(self, count: int) -> bool:
        """Add all codes of the next indexes; return False, with nothing added, when one of them is there already."""
        numbers = self._permutation.numbers(self.next_index, self.next_index + count)
        self._connection.exec_driver_sql("SAVEPOINT before_batch")
        try:
            self._write(_COPY, numbers, self._row_end)
        except psycopg2.errors.UniqueViolation:
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_batch")
            return False
        self._connection.exec_driver_sql("RELEASE SAVEPOINT before_batch")
        self._advance(walked=count, added=count)
        return True

    def _add_new(self, count: int, missing: int) -> None:
        """Add the codes of the next indexes that are not there yet, as many as are missing."""
        numbers = self._permutation.numbers(self.next_index, self.next_index + count)
        self._connection.execute(_STAGE)
        self._connection.execute(_EMPTY_STAGE)
        self._write(_COPY_TO_STAGE, numbers, "\n")
        written = self._connection.execute(_ADD_NEW, {**self._values, "missing": missing}).one()
        walked = written.last_position if written.fresh == missing else count
        self._advance(walked=walked, added=written.added)

    def _write(self, copy: str, numbers: Numbers, row_end: str) -> None:
        with driver(self._connection).cursor() as cursor:
            cursor.copy_expert(copy, io.BytesIO(write_codes(self._format, self._key, numbers, row_end)))

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
        for start in range(0, len(codes), SKELETONS_AT_ONCE):
            part = codes[start : start + SKELETONS_AT_ONCE]
            self._connection.execute(_WRITE_SKELETONS, {"codes": part, "skeletons": list(skeletons(part))})


def _escape(text: str) -> str:
    """Write a text as COPY's text format wants it."""
    for character, written in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(character, written)
    return text
