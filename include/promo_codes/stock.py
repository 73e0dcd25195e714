"""Promo code pools as people look at them: settings, stock, its course, history, alerts. Source: PC-06, TU-01, TU-05.

Counts and times only: no code and no customer leaves these functions (X-20). What a function counts is bounded, so
that a page with a pool of millions is as quick as any other: a `Figure` says when the real number is higher. Everything
comes from the two indexes of promo codes, of those in stock and those taken, and from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include.ledger.jobs import JobCounts
from include.ledger.outcomes import outcome_of
from include.warehouse.search import contains

POOL_LIMIT = 100_000
"""Codes of one kind that the page of one pool counts: 0.1 s."""
LIST_LIMIT = 2_000
"""The same for each pool of a list."""
CURVE_DAYS = 90
FORECAST_DAYS = 14
FORECAST_MINIMUM_DAYS = 3

_SETTINGS = """
    pool.system_id, pool.name, pool.description, pool.campaign, pool.parameter_name, pool.fill_method, pool.format,
    pool.quantity, pool.auto_generate, pool.top_up_threshold, pool.notify_below, pool.lead_hours, pool.issue_check,
    pool.assigned_validity_days, pool.processing, pool.multi_use, pool.state, pool.launched_at, pool.first_code_at,
    pool.import_job_id, pool.created_at
"""
_FIND = sa.text(f"SELECT {_SETTINGS} FROM loyalty.promo_code_pool AS pool WHERE pool.system_id = :pool")
_LIST = f"""
    SELECT {_SETTINGS}, pool.number
    FROM loyalty.promo_code_pool AS pool
    WHERE pool.system_id ILIKE :wanted OR pool.name ILIKE :wanted
    ORDER BY pool.system_id
    LIMIT :limit OFFSET :offset
"""
_IS_REUSED = "pool.multi_use AND code.is_reused AS is_reused"
_OPEN = "coalesce(least(code.issue_end, code.available_till), 'infinity')"
# What a pool's stock is, each count of at most :most + 1 codes. Codes for multiple use stay in stock when they are
# issued. Two lower bounds help where there are more: `at_least`, the last count for the signals (PG-05) less the takes
# since, whose numbers have gaps; and what the ledger has `written` into the pool, less what has gone.
_BOUNDED = f"""
    CROSS JOIN LATERAL (
        SELECT count(*) AS available,
               count(*) FILTER (WHERE code.issue_start > now()) AS scheduled,
               count(*) FILTER (WHERE code.is_reused) AS used
        FROM (
            SELECT code.issue_start, {_IS_REUSED}
            FROM loyalty.promo_code_state AS code
            WHERE code.pool_system_id = pool.system_id AND code.issued_at IS NULL AND code.used_at IS NULL
                AND {_OPEN} > now()
            LIMIT :most + 1
        ) AS code
    ) AS stock
    CROSS JOIN LATERAL (
        SELECT count(*) AS expired, count(*) FILTER (WHERE code.is_reused) AS used
        FROM (
            SELECT {_IS_REUSED}
            FROM loyalty.promo_code_state AS code
            WHERE code.pool_system_id = pool.system_id AND code.issued_at IS NULL AND code.used_at IS NULL
                AND {_OPEN} <= now()
            LIMIT :most + 1
        ) AS code
    ) AS past
    CROSS JOIN LATERAL (
        SELECT count(*) AS taken,
               count(*) FILTER (WHERE pool.multi_use AND code.closes > now()) AS reusable,
               count(code.issued_at) AS issued,
               count(*) FILTER (WHERE code.used_at IS NOT NULL OR code.is_reused) AS used,
               count(*) FILTER (WHERE code.at > :forecast_from) AS recent,
               min(code.at) AS oldest
        FROM (
            SELECT {_IS_REUSED}, code.issued_at, code.used_at, {_OPEN} AS closes,
                   coalesce(code.issued_at, code.used_at) AS at
            FROM loyalty.promo_code_state AS code
            WHERE code.pool_system_id = pool.system_id AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
            ORDER BY coalesce(code.issued_at, code.used_at) DESC
            LIMIT :most + 1
        ) AS code
    ) AS takes
    CROSS JOIN LATERAL (
        SELECT min(code.at) AS first_at
        FROM (
            SELECT coalesce(code.issued_at, code.used_at) AS at
            FROM loyalty.promo_code_state AS code
            WHERE code.pool_system_id = pool.system_id AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
            ORDER BY coalesce(code.issued_at, code.used_at)
            LIMIT 1
        ) AS code
    ) AS beginning
    LEFT JOIN LATERAL (
        SELECT greatest(0, counted.counted_available - (
                   coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', pool.number)::regclass), 0)
                   - counted.counted_at_take
               )) AS at_least,
               counted.counted_at
        FROM loyalty.promo_code_pool_stock AS counted
        WHERE counted.pool_system_id = pool.system_id
    ) AS known ON true
    CROSS JOIN LATERAL (
        SELECT (
                   SELECT coalesce(sum(generation.added), 0)
                   FROM ledger.promo_code_generation AS generation
                   WHERE generation.pool_system_id = pool.system_id AND generation.state = 'completed'
               ) + (
                   SELECT coalesce(sum(upload.inserted), 0)
                   FROM ledger.promo_code_upload AS upload
                   WHERE upload.pool_system_id = pool.system_id
               ) AS codes
    ) AS written
    LEFT JOIN LATERAL (
        SELECT generation.added AS last_added, generation.finished_at AS last_generation_at
        FROM ledger.promo_code_generation AS generation
        WHERE generation.pool_system_id = pool.system_id AND generation.state = 'completed'
        ORDER BY generation.id DESC
        LIMIT 1
    ) AS generated ON true
    LEFT JOIN LATERAL (
        SELECT upload.inserted AS last_inserted, job.launched_at AS last_upload_at
        FROM ledger.promo_code_upload AS upload
        JOIN ledger.import_job AS job ON job.id = upload.job_id
        WHERE upload.pool_system_id = pool.system_id
        ORDER BY upload.job_id DESC
        LIMIT 1
    ) AS uploaded ON true
"""
_COUNTS = """
    written.codes AS written, stock.available + takes.reusable AS available, stock.available AS in_stock,
    stock.scheduled, past.expired, takes.taken, takes.reusable, takes.issued,
    stock.used + past.used + takes.used AS used, takes.recent, takes.oldest, beginning.first_at, known.at_least,
    known.counted_at, generated.last_added, generated.last_generation_at, uploaded.last_inserted,
    uploaded.last_upload_at
"""
_LIST_WITH_STOCK = sa.text(f"SELECT pool.*, {_COUNTS} FROM ({_LIST}) AS pool {_BOUNDED} ORDER BY pool.system_id")
_FIND_STOCK = sa.text(
    f"""
    SELECT {_SETTINGS}, {_COUNTS}
    FROM loyalty.promo_code_pool AS pool {_BOUNDED}
    WHERE pool.system_id = :pool
    """
)


@dataclass(frozen=True)
class PromoPool:
    """A pool's settings; the names are those of `loyalty.promo_code_pool`."""

    system_id: str
    name: str
    description: str | None
    campaign: str | None
    parameter_name: str | None
    fill_method: str | None
    format: str | None
    quantity: int | None
    auto_generate: bool
    top_up_threshold: int | None
    notify_below: int | None
    lead_hours: int | None
    issue_check: bool
    assigned_validity_days: int | None
    processing: str
    multi_use: bool
    state: str
    launched_at: datetime | None
    first_code_at: datetime | None
    import_job_id: int | None
    created_at: datetime

    @property
    def threshold(self) -> int | None:
        """The level of the stock: top_up_threshold, else notify_below."""
        return self.notify_below if self.top_up_threshold is None else self.top_up_threshold

    @property
    def takes_uploads(self) -> bool:
        """False for a pool that is filled by generation (PC-05)."""
        return self.fill_method != "generate"

    @property
    def takes_generations(self) -> bool:
        """False once codes have been uploaded (PC-05 the other way round)."""
        return not (self.fill_method == "upload" and self.first_code_at is not None)


@dataclass(frozen=True)
class Figure:
    """A count, exact or "so many at least"."""

    value: int
    is_exact: bool = True

    def __str__(self) -> str:
        """Return it as it is shown."""
        if self.is_exact:
            return f"{self.value:,}"
        return f"{self.value:,} or more" if self.value else "not counted"


@dataclass(frozen=True)
class PoolStock:
    """A pool's codes by what has become of them, and how fast they go; as `loyalty.promo_code_stock` defines it.

    Args:
        available: issuable now or scheduled to become so; in a pool for multiple use issued ones too.
        scheduled: those of them whose issue window has not opened.
        issued, used: at any time.
        expired: neither issued nor used in their time.
        daily: mean codes that left the stock a day, of the last 14 days; None under 3 days of history (TU-05).
        runs_out_at: at that rate; None without one, or more than a century ahead. Not before then, when `available` is
            no exact figure.
        counted_at: when `available` was counted; None: just now.
    """

    available: Figure
    scheduled: Figure
    issued: Figure
    used: Figure
    expired: Figure
    daily: float | None
    runs_out_at: datetime | None
    counted_at: datetime | None = None


@dataclass(frozen=True)
class PoolWithStock:
    """A pool, its stock, and when it last got codes."""

    pool: PromoPool
    stock: PoolStock
    last_added: int | None
    last_generation_at: datetime | None
    last_inserted: int | None
    last_upload_at: datetime | None


@dataclass(frozen=True)
class Day:
    """A day of a pool: what it had when the day ended, and what came and went (UTC)."""

    on: date
    stock: int
    uploaded: int = 0
    generated: int = 0
    taken: int = 0
    expired: int = 0


@dataclass(frozen=True)
class HistoryEntry:
    """An upload or a generation, by the number of its task. Source: PC-06.

    Args:
        kind: `upload`, `generation`.
        generated: indexes of the permutation that were walked.
        added: codes that the pool got.
        told: why a generation was made, or the name of an uploaded file.
    """

    kind: str
    number: int
    state: str
    launched_at: datetime
    launched_by: str
    requested: int | None
    generated: int | None
    added: int | None
    updated: int | None
    unchanged: int | None
    rejected: int | None
    told: str
    refusal: str | None
    finished_at: datetime | None
    dag_id: str | None
    dag_run_id: str | None

    @property
    def outcome(self) -> str:
        """What became of it: the state, what an upload's rows came to, and whether a format gave all that was asked."""
        if self.kind == "upload":
            rejected = self.rejected or 0
            read = (self.added or 0) + (self.updated or 0) + (self.unchanged or 0) + rejected
            return outcome_of(self.state, JobCounts(read=read, rejected=rejected))
        is_short = self.state == "completed" and (self.added or 0) < (self.requested or 0)
        return "partly_generated" if is_short else self.state


@dataclass(frozen=True)
class Launch:
    """An import that was to launch one pool; `reason`: why it didn't."""

    job: int
    state: str
    launched_at: datetime
    launched_by: str
    dag_run_id: str | None
    finished_at: datetime | None
    reason: str | None


@dataclass(frozen=True)
class PoolAlert:
    """An alert of a pool (TU-03)."""

    kind: str
    raised_at: datetime
    available: int
    level: int | None
    runs_out_at: datetime | None
    sent_at: datetime | None
    recovered_at: datetime | None


def list_pools(
    connection: Connection, now: datetime, *, wanted: str = "", limit: int, offset: int = 0
) -> list[PoolWithStock]:
    """Return pools with their stock, by system id.

    Args:
        wanted: part of the name or system id, in any letter case.
    """
    values = {"wanted": contains(wanted), "limit": limit, "offset": offset}
    return [_with_stock(row, now, LIST_LIMIT) for row in _count(connection, _LIST_WITH_STOCK, now, LIST_LIMIT, values)]


def find_pool(connection: Connection, system_id: str) -> PromoPool | None:
    """Return a pool's settings, or None when there is no such pool."""
    if "\0" in system_id:  # which no text of PostgreSQL holds
        return None
    row = connection.execute(_FIND, {"pool": system_id}).one_or_none()
    return _pool(row) if row else None


def read_stock(connection: Connection, pool: PromoPool, now: datetime) -> PoolStock:
    """Return what a pool has, counted now up to `POOL_LIMIT` codes of a kind."""
    (row,) = _count(connection, _FIND_STOCK, now, POOL_LIMIT, {"pool": pool.system_id})
    return _with_stock(row, now, POOL_LIMIT).stock


def _count(
    connection: Connection, statement: sa.TextClause, now: datetime, most: int, values: dict[str, object]
) -> Iterable[sa.Row[Any]]:
    _look_by_index(connection)
    forecast_from = now - timedelta(days=FORECAST_DAYS)
    return connection.execute(statement, {**values, "most": most, "forecast_from": forecast_from}).all()


def _look_by_index(connection: Connection) -> None:
    """Keep the planner from reading all codes of all pools to find the first few of one."""
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    connection.exec_driver_sql("SET LOCAL jit = off")


def _pool(row: sa.Row[Any]) -> PromoPool:
    return PromoPool(**{name: getattr(row, name) for name in PromoPool.__dataclass_fields__})


def _with_stock(row: sa.Row[Any], now: datetime, most: int) -> PoolWithStock:
    pool = _pool(row)
    all_taken = row.taken <= most
    figures = {
        "scheduled": _figure(row.scheduled, is_exact=row.in_stock <= most),
        "issued": _figure(row.issued, is_exact=all_taken),
        "used": _figure(
            row.used, is_exact=all_taken and not (pool.multi_use and max(row.in_stock, row.expired) > most)
        ),
        "expired": _figure(row.expired, is_exact=row.expired <= most),
    }
    available, counted_at = _available(row, most)
    daily = _daily(row, now, most)
    stock = PoolStock(
        available=available,
        daily=daily,
        runs_out_at=None if pool.multi_use else _run_out(available.value, daily, now),
        counted_at=counted_at,
        **figures,
    )
    return PoolWithStock(pool, stock, row.last_added, row.last_generation_at, row.last_inserted, row.last_upload_at)


def _available(row: sa.Row[Any], most: int) -> tuple[Figure, datetime | None]:
    """Return what a pool has, and when that was counted, if not now."""
    if row.in_stock <= most and (row.taken <= most or not row.multi_use):
        return Figure(row.available), None
    bounds: list[tuple[int, datetime | None]] = [(row.available - 1, None)]
    if row.taken <= most and row.expired <= most:
        bounds.append((int(row.written) - row.expired - (row.taken - row.reusable), None))
    if row.at_least is not None:
        bounds.append((row.at_least, row.counted_at))
    value, counted_at = max(bounds, key=lambda bound: bound[0])
    return Figure(value, is_exact=False), counted_at


def _figure(counted: int, *, is_exact: bool) -> Figure:
    return Figure(counted if is_exact else max(0, counted - 1), is_exact)


def _daily(row: sa.Row[Any], now: datetime, most: int) -> float | None:
    """Return the mean of the last 14 days; of as many takes as were counted when there are more of them (TU-05)."""
    days = (now - row.first_at).total_seconds() / 86400 if row.first_at is not None else 0.0
    if days < FORECAST_MINIMUM_DAYS:
        return None
    if row.recent > most:
        days = (now - row.oldest).total_seconds() / 86400
    return float(row.recent / max(min(days, FORECAST_DAYS), 1 / 86400))


def _run_out(available: int, daily: float | None, now: datetime) -> datetime | None:
    if not daily or available / daily > 36500:
        return None
    return now + timedelta(days=available / daily)


# -- the course of the stock

# What left the stock on each day, the newest :most codes of it; and from when on that is all.
_TAKEN = sa.text(
    """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS codes, sum(count(*)) OVER () AS counted,
           min(min(at)) OVER () AS oldest
    FROM (
        SELECT coalesce(code.issued_at, code.used_at) AS at
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = :pool AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
            AND coalesce(code.issued_at, code.used_at) >= :since
        ORDER BY coalesce(code.issued_at, code.used_at) DESC
        LIMIT :most
    ) AS take
    GROUP BY 1
    """
)
_EXPIRED = sa.text(
    f"""
    SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS codes, sum(count(*)) OVER () AS counted,
           min(min(at)) OVER () AS oldest
    FROM (
        SELECT {_OPEN} AS at
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = :pool AND code.issued_at IS NULL AND code.used_at IS NULL
            AND {_OPEN} >= :since AND {_OPEN} <= now()
        ORDER BY {_OPEN} DESC
        LIMIT :most
    ) AS code
    GROUP BY 1
    """
)
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


def read_course(connection: Connection, pool: PromoPool, available: int, now: datetime) -> list[Day]:
    """Return the last 90 days of a pool, the oldest first; today is the last one.

    The stock of each day is reckoned backwards from what is available now. A younger pool begins with the day before
    its first one. When more than `POOL_LIMIT` codes were taken, or have expired, in that time, the course begins where
    they are all counted.
    """
    _look_by_index(connection)
    today = now.astimezone(UTC).date()
    since = today - timedelta(days=CURVE_DAYS - 1)
    values = {"pool": pool.system_id, "since": datetime(since.year, since.month, since.day, tzinfo=UTC)}
    taken, taken_from = _days(connection, _TAKEN, {**values, "most": POOL_LIMIT})
    expired, expired_from = _days(connection, _EXPIRED, {**values, "most": POOL_LIMIT})
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
    cut = "most" in values and bool(rows) and rows[0].counted >= POOL_LIMIT
    complete_from = rows[0].oldest.astimezone(UTC).date() + timedelta(days=1) if cut else None
    return {row.day: int(row.codes) for row in rows}, complete_from


# -- history

# An upload has a row for each pool that it gave codes to; one that was refused, or goes on, is of the pool that its
# settings name.
_HISTORY = sa.text(
    """
    SELECT *
    FROM (
        (
            SELECT 'generation' AS kind, generation.id AS number,
                   CASE generation.state
                       WHEN 'running' THEN loyalty.promo_code_generation_state(generation.id, generation.state)
                       ELSE generation.state
                   END AS state,
                   generation.launched_at, generation.launched_by, generation.requested, generation.generated,
                   generation.added, NULL::bigint AS updated, NULL::bigint AS unchanged, NULL::bigint AS rejected,
                   generation.reason AS told, generation.refusal_message AS refusal, generation.finished_at,
                   generation.dag_id, generation.dag_run_id
            FROM ledger.promo_code_generation AS generation
            WHERE :with_generations AND generation.pool_system_id = :pool
            ORDER BY generation.id DESC
            LIMIT :limit + :offset
        )
        UNION ALL
        (
            SELECT 'upload', job.id, job.state, job.launched_at, job.launched_by, NULL, NULL,
                   upload.inserted, upload.updated, upload.unchanged, upload.rejected, job.file_name,
                   job.refusal_message, job.finished_at, job.dag_id, job.dag_run_id
            FROM ledger.promo_code_upload AS upload
            JOIN ledger.import_job AS job ON job.id = upload.job_id
            WHERE :with_uploads AND upload.pool_system_id = :pool
            ORDER BY upload.job_id DESC
            LIMIT :limit + :offset
        )
        UNION ALL
        (
            SELECT 'upload', job.id, job.state, job.launched_at, job.launched_by, NULL, NULL,
                   NULL, NULL, NULL, NULL, job.file_name, job.refusal_message, job.finished_at, job.dag_id,
                   job.dag_run_id
            FROM ledger.import_job AS job
            WHERE :with_uploads AND job.import_type = 'promo_codes' AND NOT job.is_dry_run AND job.loaded_at IS NULL
                AND job.settings ->> 'pool' = :pool
                AND NOT EXISTS (SELECT FROM ledger.promo_code_upload AS upload WHERE upload.job_id = job.id)
            ORDER BY job.id DESC
            LIMIT :limit + :offset
        )
    ) AS entry
    ORDER BY launched_at DESC, kind, number DESC
    LIMIT :limit OFFSET :offset
    """
)
_LAUNCHES = sa.text(
    """
    SELECT job, state, launched_at, launched_by, dag_run_id, finished_at, reason
    FROM ledger.promo_code_pool_launch
    WHERE starts_with(dag_run_id, :run_ids)
    ORDER BY job DESC
    LIMIT :limit
    """
)
_ALERTS = sa.text(
    """
    SELECT kind, raised_at, available, level, runs_out_at, sent_at, recovered_at
    FROM ledger.promo_code_alert
    WHERE pool_system_id = :pool
    ORDER BY recovered_at IS NOT NULL, id DESC
    LIMIT :limit
    """
)


def read_history(
    connection: Connection,
    system_id: str,
    *,
    limit: int,
    offset: int = 0,
    with_uploads: bool = True,
    with_generations: bool = True,
) -> list[HistoryEntry]:
    """Return a pool's uploads and generations, the newest first. Source: PC-06."""
    values = {
        "pool": system_id, "limit": limit, "offset": offset, "with_uploads": with_uploads,
        "with_generations": with_generations,
    }  # fmt: skip
    return [HistoryEntry(**row._asdict()) for row in connection.execute(_HISTORY, values)]


def read_launches(connection: Connection, run_ids: str, *, limit: int = 5) -> list[Launch]:
    """Return the imports that were to launch a pool, the newest first.

    Args:
        run_ids: what the ids of their runs begin with.
    """
    found = connection.execute(_LAUNCHES, {"run_ids": run_ids, "limit": limit})
    return [Launch(**row._asdict()) for row in found]


def read_alerts(connection: Connection, system_id: str, *, limit: int = 10) -> list[PoolAlert]:
    """Return a pool's alerts: those that stand, then the newest of those that are over."""
    found = connection.execute(_ALERTS, {"pool": system_id, "limit": limit})
    return [PoolAlert(**row._asdict()) for row in found]
