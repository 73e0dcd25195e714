"""Fill a pool, as one generation in the transaction of its top-up. Source: TU-02."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from include.promo_codes import ledger
from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import lock_format
from include.promo_codes.ledger import GenerationRequest
from include.promo_codes.refusals import check_format
from include.promo_codes.shortage import Pool
from include.promo_codes.walk import Added, generate_into

LAUNCHED_BY = "top-up"
ATTEMPTS = 5
"""How often to begin again when uploads take the last codes of a format's space meanwhile."""


@dataclass
class Filling:
    """An attempt to fill a pool, and how it went.

    Args:
        engine: for what is committed beside the transaction of the codes.
        dag_id, dag_run_id: of the run that asked.
        generation_id: of the generation, once it is shown as running.
        is_exhausted: the format could not give all that was wanted.
        refusal: why no codes could be generated: the rule and a sentence.
    """

    engine: Engine
    key: bytes | None
    dag_id: str | None = None
    dag_run_id: str | None = None
    generation_id: int | None = None
    requested: int = 0
    added: int = 0
    is_exhausted: bool = False
    refusal: tuple[str, str] | None = None

    def fill(self, connection: Connection, pool: Pool, wanted: int, reason: str) -> None:
        """Generate what is wanted, or what the format has left of it (TU-02), and write it into the history."""
        self.requested = wanted
        request = GenerationRequest(
            pool=pool.system_id,
            quantity=wanted,
            run_key=f"top-up/{pool.system_id}/{uuid.uuid4()}",
            launched_by=LAUNCHED_BY,
            reason=reason,
            format=pool.format,
            dag_id=self.dag_id,
            dag_run_id=self.dag_run_id,
        )
        try:
            self._generate(connection, pool, request)
        except GenerationRefused as refusal:
            self.refusal = (refusal.rule, refusal.message)
            if self.generation_id is None:
                ledger.note_refusal(connection, request, refusal)
            else:
                ledger.refuse(connection, self.generation_id, refusal)

    def _generate(self, connection: Connection, pool: Pool, request: GenerationRequest) -> None:
        if pool.format is None:
            raise GenerationRefused("generation.no_format", f"The pool {pool.system_id!r} has no format.")
        if not self.key:
            raise GenerationRefused("generation.no_key", "There is no key to generate promo codes with.")
        codes = Added(0, 0)
        attempts = ATTEMPTS
        while (quantity := min(request.quantity, (state := lock_format(connection, pool.format)).available)) > 0:
            if self.generation_id is None:
                check_format(state, quantity, state.format.key(self.key))  # one that is refused already isn't begun
                self.generation_id = ledger.open_running(self.engine, connection, request)
            try:
                with connection.begin_nested():
                    codes = generate_into(
                        connection,
                        pool=pool.system_id,
                        format=pool.format,
                        quantity=quantity,
                        generation_id=self.generation_id,
                        key=self.key,
                    )
            except GenerationRefused as refusal:
                attempts -= 1
                if refusal.rule != "generation.not_enough_codes" or not attempts:
                    raise
                continue
            break
        self.added = codes.added
        self.is_exhausted = self.added < request.quantity
        if self.generation_id is not None:
            ledger.complete(
                connection,
                self.generation_id,
                format_name=pool.format,
                generated=codes.generated,
                added=codes.added,
            )
