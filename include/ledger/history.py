"""The ledger as people look at it: pages of jobs, and everything about one job. Source: X-08, X-09, X-10.

Every query is bounded, whatever the ledger holds: pages go by key, never by number, and nothing counts all jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from include.ledger import jobs
from include.ledger.jobs import CHUNK, JOB, PARENT, REJECT, Job, JobCounts, State
from include.ledger.outcomes import has_outcome, outcome_of
from include.ledger.records import RuleCount

JOBS_PER_PAGE = 50
REJECTS_PER_PAGE = 50
MOST_LINKED = 50
"""Jobs that are named as repairs or as repeats of one."""
WAITING = (State.AWAITING_REVIEW, State.FAILED)
"""States of jobs that don't go on by themselves; others do until they have ended, with reports and files put away."""
SECONDS_TO_MOVE = 2
SECONDS_TO_ANSWER = 10
"""After how long a page looks again: at a job that moves, and at one that a person is asked about."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are looked for.

    Args:
        import_types: one of these; none finds nothing.
        states: one of these states or outcomes; none means any.
        name_part: is in the file's name, in any letter case; "" means any.
        since, until: launched in this time; the end is not part of it.
    """

    import_types: Sequence[str]
    states: Sequence[str] = ()
    name_part: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class ListedJob:
    """What a list says of a job."""

    id: int
    launched_at: datetime
    import_type: str
    action: str | None
    launched_by: str
    file_name: str
    state: State
    is_dry_run: bool
    finished_at: datetime | None
    rows_read: int | None
    rows_inserted: int | None
    rows_updated: int | None
    rows_unchanged: int | None
    rows_not_found: int | None
    rows_rejected: int | None

    @property
    def outcome(self) -> str:
        """What became of the file: the state, and for a completed job what its rows came to."""
        return _outcome(self)


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first.

    Args:
        before: the older ones begin before this job; None when there are none.
        after: the newer ones begin after this job; None when there are none.
    """

    jobs: list[ListedJob]
    before: int | None
    after: int | None

    @property
    def looks_again_after(self) -> int | None:
        """After how many seconds it may look otherwise; None when nothing of it changes any more."""
        pauses = [pause for job in self.jobs if (pause := seconds_to_next_look(job)) is not None]
        return min(pauses, default=None)


@dataclass(frozen=True)
class Progress:
    """How far a job has come.

    Args:
        chunks: planned.
        chunks_done: judged and staged.
        rows_read, rows_rejected: of the chunks that are done.
        bytes_done: of the text, by the chunks that are done.
    """

    chunks: int
    chunks_done: int
    rows_read: int
    rows_rejected: int
    bytes_planned: int
    bytes_done: int


@dataclass(frozen=True)
class LinkedJob:
    """A job that another one names: its parent, its repair, its repeat.

    Args:
        fixed: rejects of the job in question that this one has fixed.
    """

    id: int
    import_type: str
    file_name: str
    state: State
    launched_at: datetime
    is_dry_run: bool
    rows_read: int | None
    rows_not_found: int | None
    rows_rejected: int | None
    fixed: int = 0

    @property
    def outcome(self) -> str:
        """What became of the file: the state, and for a completed job what its rows came to."""
        return _outcome(self)


@dataclass(frozen=True)
class Rejected:
    """A rejected row without the sentences, which may quote its values (X-20).

    Args:
        rules: ids, in the order of the sentences.
    """

    line: int
    rules: list[str]
    fixed_by_job_id: int | None


@dataclass(frozen=True)
class RejectPage:
    """Some rejected rows, by line.

    Args:
        after: the next ones begin after this line; None when there are none.
    """

    rows: list[Rejected]
    after: int | None


@dataclass(frozen=True)
class JobDetails:
    """A job with everything that belongs to it.

    Args:
        rules: rows by rule and severity, most frequent first.
        rejects: rejected rows so far.
        fixed: of them, those that later jobs have loaded.
        parents: jobs that this one repairs.
        repairs: jobs that repair this one, newest first.
        original: the job that this one repeats.
        repeats: jobs that were found to repeat this one, newest first.
    """

    job: Job
    progress: Progress
    rules: list[RuleCount]
    rejects: int
    fixed: int
    parents: list[LinkedJob] = field(default_factory=list)
    repairs: list[LinkedJob] = field(default_factory=list)
    original: LinkedJob | None = None
    repeats: list[LinkedJob] = field(default_factory=list)

    @property
    def is_moving(self) -> bool:
        """True while the job changes by itself."""
        return is_moving(self.job)


def _outcome(job: ListedJob | LinkedJob) -> str:
    rows = JobCounts(read=job.rows_read or 0, not_found=job.rows_not_found or 0, rejected=job.rows_rejected or 0)
    return outcome_of(job.state, rows)


def is_moving(job: Job | ListedJob) -> bool:
    """Say whether a job changes by itself."""
    return job.finished_at is None and job.state not in WAITING


def seconds_to_next_look(job: Job | ListedJob) -> int | None:
    """Return after how long a page that shows a job looks again; None when it doesn't change any more."""
    if is_moving(job):
        return SECONDS_TO_MOVE
    return SECONDS_TO_ANSWER if job.state is State.AWAITING_REVIEW and job.finished_at is None else None


_LISTED = [JOB.c[name] for name in ListedJob.__dataclass_fields__]
_LINKED = [JOB.c[name] for name in LinkedJob.__dataclass_fields__ if name != "fixed"]


def page_of_jobs(
    connection: Connection,
    wanted: JobFilter,
    *,
    before: int | None = None,
    after: int | None = None,
    size: int = JOBS_PER_PAGE,
) -> JobPage:
    """Return the newest jobs, or those next to a job on the page before.

    The job numbers of a page are found in one index (`import_job_list_idx`), whatever is asked for; only then are the
    rows themselves read, which settings and mappings make wide.

    Args:
        before: jobs older than this one.
        after: jobs newer than this one, the nearest; wins over `before`.
    """
    conditions = _conditions(wanted)
    if after is not None:
        conditions.append(JOB.c.id > after)
        order = JOB.c.id.asc()
    else:
        if before is not None:
            conditions.append(JOB.c.id < before)
        order = JOB.c.id.desc()
    # The states are compared as what the index holds; a join would tempt the planner to read the rows first.
    job_ids = list(connection.execute(sa.select(JOB.c.id).where(*conditions).order_by(order).limit(size + 1)).scalars())
    has_more, ids = len(job_ids) > size, sorted(job_ids[:size], reverse=True)
    rows = connection.execute(sa.select(*_LISTED).where(JOB.c.id.in_(ids)).order_by(JOB.c.id.desc()))
    listed = [ListedJob(**{**row._asdict(), "state": State(row.state)}) for row in rows]
    if not listed:
        return JobPage([], None, None)
    has_older, has_newer = (True, has_more) if after is not None else (has_more, before is not None)
    return JobPage(listed, listed[-1].id if has_older else None, listed[0].id if has_newer else None)


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [JOB.c.import_type.in_(wanted.import_types)]
    if wanted.states:
        conditions.append(sa.or_(*(has_outcome(JOB, state) for state in wanted.states)))
    if wanted.name_part:
        lowered = [sa.func.lower(text.collate("pg_c_utf8")) for text in (JOB.c.file_name, sa.literal(wanted.name_part))]
        conditions.append(sa.func.strpos(*lowered) > 0)
    if wanted.since is not None:
        conditions.append(JOB.c.launched_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(JOB.c.launched_at < wanted.until)
    return conditions


def find_by_run(connection: Connection, dag_id: str, run_id: str) -> int | None:
    """Return the job that a DAG run has opened; None when it has none, such as a run whose file another one had."""
    job_id = connection.execute(sa.select(JOB.c.id).where(JOB.c.run_key == f"{dag_id}/{run_id}")).scalar_one_or_none()
    return None if job_id is None else int(job_id)


def details(connection: Connection, job_id: int) -> JobDetails:
    """Return a job with all that belongs to it.

    Raises:
        LookupError: there is no such job.
    """
    job = jobs.get(connection, job_id)
    progress = _progress(connection, job_id)
    fixed_by = _fixed_by(connection, job_id)
    children = sa.select(PARENT.c.job_id).where(PARENT.c.parent_job_id == job_id)
    repairing = sa.or_(JOB.c.id.in_(children), JOB.c.id.in_(list(fixed_by)))
    return JobDetails(
        job=job,
        progress=progress,
        rules=jobs.rule_counts(connection, job_id),
        rejects=progress.rows_rejected if job.rows_rejected is None else job.rows_rejected,
        fixed=sum(fixed_by.values()),
        parents=_linked(connection, JOB.c.id.in_(jobs.parents(connection, job_id)[-MOST_LINKED:])),
        repairs=_linked(connection, repairing, fixed_by),
        original=next(iter(_linked(connection, JOB.c.id == job.duplicate_of)), None) if job.duplicate_of else None,
        repeats=_linked(connection, JOB.c.duplicate_of == job_id),
    )


def page_of_rejects(
    connection: Connection,
    job_id: int,
    *,
    after: int = 0,
    lines: Sequence[int] | None = None,
    size: int = REJECTS_PER_PAGE,
) -> RejectPage:
    """Return rejected rows by line, without their sentences.

    Args:
        after: rows below this line.
        lines: only these, such as the first ones of a rule; None means any.
    """
    query = (
        sa.select(REJECT.c.line, REJECT.c.rules, REJECT.c.fixed_by_job_id)
        .where(REJECT.c.job_id == job_id, REJECT.c.line > after)
        .order_by(REJECT.c.line)
        .limit(size + 1)
    )
    if lines is not None:
        query = query.where(REJECT.c.line.in_(lines))
    rejects = [Rejected(row.line, row.rules.split(), row.fixed_by_job_id) for row in connection.execute(query)]
    rows = rejects[:size]
    return RejectPage(rows, rows[-1].line if len(rejects) > size else None)


def _progress(connection: Connection, job_id: int) -> Progress:
    is_done = CHUNK.c.rows_staged.is_not(None)
    length = CHUNK.c.byte_end - CHUNK.c.byte_start

    def total(value: ColumnElement[Any]) -> ColumnElement[Any]:
        return sa.cast(sa.func.coalesce(sa.func.sum(value), 0), sa.BigInteger)

    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count().filter(is_done),
            total(CHUNK.c.rows_read),
            total(CHUNK.c.rows_rejected),
            total(length),
            sa.cast(sa.func.coalesce(sa.func.sum(length).filter(is_done), 0), sa.BigInteger),
        ).where(CHUNK.c.job_id == job_id)
    ).one()
    return Progress(*map(int, row))


def _fixed_by(connection: Connection, job_id: int) -> dict[int, int]:
    """Return how many rejects of a job each later one has fixed."""
    rows = connection.execute(
        sa.select(REJECT.c.fixed_by_job_id, sa.func.count())
        .where(REJECT.c.job_id == job_id, REJECT.c.fixed_by_job_id.is_not(None))
        .group_by(REJECT.c.fixed_by_job_id)
    )
    return {int(by): int(fixed) for by, fixed in rows}


def _linked(
    connection: Connection, condition: ColumnElement[bool], fixed_by: dict[int, int] | None = None
) -> list[LinkedJob]:
    rows = connection.execute(sa.select(*_LINKED).where(condition).order_by(JOB.c.id.desc()).limit(MOST_LINKED))
    return [
        LinkedJob(**{**row._asdict(), "state": State(row.state)}, fixed=(fixed_by or {}).get(row.id, 0)) for row in rows
    ]
