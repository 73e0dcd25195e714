"""What was done with a pool: uploads, generations, launches, alerts. Source: PC-06, TU-03."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from include.ledger.jobs import JobCounts
from include.ledger.outcomes import outcome_of
from include.warehouse.sql_files import statement_beside

_HISTORY = statement_beside(__file__, "history.sql")
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


@dataclass(frozen=True)
class HistoryEntry:
    """An upload or a generation, by the number of its task. Source: PC-06.

    Args:
        kind: `upload`, `generation`.
        generated: indexes of the permutation that were walked.
        added: codes that the pool got.
        origin: the reason of a generation, or the name of an uploaded file.
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
    origin: str
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
    rows = connection.execute(_LAUNCHES, {"run_ids": run_ids, "limit": limit})
    return [Launch(**row._asdict()) for row in rows]


def read_alerts(connection: Connection, system_id: str, *, limit: int = 10) -> list[PoolAlert]:
    """Return a pool's alerts: the open ones, then the newest of those that are over."""
    rows = connection.execute(_ALERTS, {"pool": system_id, "limit": limit})
    return [PoolAlert(**row._asdict()) for row in rows]
