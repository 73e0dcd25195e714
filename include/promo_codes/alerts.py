"""The alerts of a pool: `ledger.promo_code_alert` is written here alone. Source: TU-03, TU-05."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from include.promo_codes.shortage import Due
from include.warehouse.sql_files import statement_beside
from include.warehouse.transactions import values_hidden

_NEXT_UNSENT = statement_beside(__file__, "next_unsent_alert.sql")
_MARK_SENT = sa.text("UPDATE ledger.promo_code_alert SET sent_at = :sent_at WHERE id = :id")
_OPEN = sa.text(
    """
    SELECT kind, sent_at IS NOT NULL AS is_sent
    FROM ledger.promo_code_alert
    WHERE pool_system_id = :pool AND recovered_at IS NULL
    """
)
_RAISE = sa.text(
    """
    INSERT INTO ledger.promo_code_alert (pool_system_id, kind, raised_at, available, level, runs_out_at)
    VALUES (:pool, :kind, :now, :available, :level, :runs_out_at)
    ON CONFLICT (pool_system_id, kind) WHERE recovered_at IS NULL DO NOTHING
    """
)
_CLOSE = sa.text(
    """
    UPDATE ledger.promo_code_alert
    SET recovered_at = :now
    WHERE pool_system_id = :pool AND kind = ANY(:kinds) AND recovered_at IS NULL
    """
)


@dataclass(frozen=True)
class Alert:
    """One row of `ledger.promo_code_alert`, with its pool's name and what decides on the cure.

    Args:
        fill_method: of the pool; None before its first code.
        format_available: codes that the pool's format can still give.
    """

    id: int
    pool: str
    pool_name: str
    kind: str
    raised_at: datetime
    available: int
    level: int | None
    runs_out_at: datetime | None
    fill_method: str | None = None
    format: str | None = None
    format_available: int | None = None


def send_alerts(engine: Engine, system_id: str, send: Callable[[Alert], bool], clock: Callable[[], datetime]) -> int:
    """Send the open alerts of a pool that were not sent yet; return how many could not be sent.

    An alert is locked while its mail is sent: another sender passes over it. One that `send` refuses stays for the next
    time.

    Args:
        send: returns whether the mail has been taken; raises nothing.
    """
    unsent, after = 0, 0
    while True:
        with values_hidden(), engine.begin() as connection:
            row = connection.execute(_NEXT_UNSENT, {"pool": system_id, "after": after}).mappings().one_or_none()
            if row is None:
                return unsent
            alert = Alert(**row)
            after = alert.id
            if send(alert):
                connection.execute(_MARK_SENT, {"id": alert.id, "sent_at": clock()})
            else:
                unsent += 1


def open_alerts(connection: Connection, system_id: str) -> dict[str, bool]:
    """Return the alerts that are open, by kind, and whether each was sent."""
    return {row.kind: row.is_sent for row in connection.execute(_OPEN, {"pool": system_id})}


def raise_alerts(
    connection: Connection, system_id: str, available: int, due: Mapping[str, Due], now: datetime
) -> tuple[str, ...]:
    """Open the alerts that are due and not open yet; return their kinds (TU-03: once per crossing)."""
    raised = []
    for kind, alert in sorted(due.items()):
        values = {"level": alert.level, "runs_out_at": alert.runs_out_at, "available": available}
        if connection.execute(_RAISE, {"pool": system_id, "kind": kind, "now": now, **values}).rowcount:
            raised.append(kind)
    return tuple(raised)


def close_alerts(connection: Connection, system_id: str, kinds: Collection[str], now: datetime) -> tuple[str, ...]:
    """Note that the pool has recovered from these; a mail that was never sent isn't sent any more."""
    if kinds:
        connection.execute(_CLOSE, {"pool": system_id, "kinds": list(kinds), "now": now})
    return tuple(sorted(kinds))
