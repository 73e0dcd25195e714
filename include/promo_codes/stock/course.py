"""The course of a pool's stock, day by day (UTC). Source: TU-01."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from include.promo_codes.stock import figures
from include.promo_codes.stock.pools import PromoPool
from include.warehouse.sql_files import statement_beside

CURVE_DAYS = 90
_TAKEN = statement_beside(__file__, "taken_by_day.sql")
_EXPIRED = statement_beside(__file__, "expired_by_day.sql")
_GENERATED = sa.text(
    """
    SELECT (finished_at AT TIME ZONE 'UTC')::date AS day, sum(added) AS codes
    FROM ledger.promo_code_generation
    WHERE pool_system_id = :pool AND state = 'completed' AND finished_at >= :since
    GROUP BY 1
    """
)
_UPLOADED = sa.text(
    """
    SELECT (coalesce(job.loaded_at, job.launched_at) AT TIME ZONE 'UTC')::date AS day, sum(upload.inserted) AS codes
    FROM ledger.promo_code_upload AS upload
    JOIN ledger.import_job AS job ON job.id = upload.job_id
    WHERE upload.pool_system_id = :pool AND coalesce(job.loaded_at, job.launched_at) >= :since
    GROUP BY 1
    """
)


@dataclass(frozen=True)
class Day:
    """A day of a pool: what it had when the day ended, and what came and went (UTC)."""

    on: date
    stock: int
    uploaded: int = 0
    generated: int = 0
    taken: int = 0
    expired: int = 0


def read_course(connection: Connection, pool: PromoPool, available: int, now: datetime) -> list[Day]:
    """Return the last 90 days of a pool, the oldest first; today is the last one.

    The stock of each day is computed backwards from what is available now. A younger pool begins with the day before
    its first one. When more than `figures.POOL_LIMIT` codes were taken, or have expired, in that time, the course
    begins where they are all counted.
    """
    figures.look_by_index(connection)
    today = now.astimezone(UTC).date()
    since = today - timedelta(days=CURVE_DAYS - 1)
    values = {"pool": pool.system_id, "since": datetime(since.year, since.month, since.day, tzinfo=UTC)}
    taken, taken_from = _days(connection, _TAKEN, {**values, "most": figures.POOL_LIMIT})
    expired, expired_from = _days(connection, _EXPIRED, {**values, "most": figures.POOL_LIMIT})
    generated, uploaded = (_days(connection, statement, values)[0] for statement in (_GENERATED, _UPLOADED))
    first = min([pool.created_at.astimezone(UTC).date(), *taken, *expired, *generated, *uploaded])
    begin = min(max(since, first - timedelta(days=1), *filter(None, (taken_from, expired_from))), today)
    days: list[Day] = []
    stock = available
    for back in range((today - begin).days + 1):
        on = today - timedelta(days=back)
        day = Day(on, stock, uploaded.get(on, 0), generated.get(on, 0), taken.get(on, 0), expired.get(on, 0))
        days.append(day)
        gone = day.expired + (0 if pool.multi_use else day.taken)
        stock = max(0, stock + gone - day.generated - day.uploaded)
    return days[::-1]


def _days(
    connection: Connection, statement: sa.TextClause, values: dict[str, object]
) -> tuple[dict[date, int], date | None]:
    """Return the codes of each day, and, when not all were counted, the first day of which all were."""
    rows = connection.execute(statement, values).all()
    cut = "most" in values and bool(rows) and rows[0].counted >= figures.POOL_LIMIT
    complete_from = rows[0].oldest.astimezone(UTC).date() + timedelta(days=1) if cut else None
    return {row.day: int(row.codes) for row in rows}, complete_from
