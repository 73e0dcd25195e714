"""The ledger of imports: one job is one import of one file, from pick-up to report. Source: X-10, X-14."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, insert

from include.declaration.settings import ImportSettings
from include.errors import FileRefused, ImporterError
from include.ledger.outcomes import outcome_of
from include.ledger.records import (
    InspectionRecord,
    Review,
    RuleCount,
    SettingsSources,
    Tallies,
    evidence_from_json,
)

UNKNOWN_TYPE = "unknown"
"""Type of a job whose file belongs to no import type (X-01)."""
IMPORT_DAGS = "import_"
"""What the names of the DAGs begin with that import a type; the type follows."""
PICK_UP = "pick_up_files"
"""The DAG that lists the landing area and refuses what belongs to no type."""

METADATA = sa.MetaData(schema="ledger")

JOB = sa.Table(
    "import_job",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    *(
        sa.Column(name, sa.Text)
        for name in (
            "run_key", "import_type", "action", "state", "launched_by", "dag_id", "dag_run_id", "source_url",
            "source_version", "file_name", "sha256", "fingerprint", "work_url", "archive_url", "refusal_rule",
            "refusal_message", "rejected_file_url", "not_found_file_url", "dropped_values_file_url", "summary_file_url",
            "evidence_file_url",
        )
    ),
    *(sa.Column(name, JSONB) for name in ("parameters", "settings", "inspection", "mapping", "warnings")),
    *(
        sa.Column(name, sa.BigInteger)
        for name in (
            "size_bytes", "duplicate_of", "rows_read", "rows_inserted", "rows_updated", "rows_unchanged",
            "rows_not_found", "rows_rejected",
        )
    ),
    *(
        sa.Column(name, sa.DateTime(timezone=True))
        for name in ("launched_at", "arrived_at", "loaded_at", "finished_at")
    ),
    sa.Column("is_dry_run", sa.Boolean),
)  # fmt: skip
CHUNK = sa.Table(
    "import_chunk",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("byte_start", "byte_end", "first_line", "rows_read", "rows_staged", "rows_rejected")
    ),
    sa.Column("evidence", JSONB),
)
REJECT = sa.Table(
    "reject",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
    sa.Column("chunk_number", sa.Integer),
    sa.Column("byte_offset", sa.BigInteger),
    sa.Column("byte_length", sa.BigInteger),
    sa.Column("rules", sa.Text),
    sa.Column("reasons", sa.Text),
    sa.Column("origin_job_id", sa.BigInteger),
    sa.Column("origin_line", sa.BigInteger),
    sa.Column("fixed_by_job_id", sa.BigInteger),
)
NOT_FOUND = sa.Table(
    "not_found",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
)
DROPPED_VALUE = sa.Table(
    "dropped_value",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("chunk_number", sa.Integer),
    *(sa.Column(name, sa.Text) for name in ("value", "rules", "reasons")),
)
JOB_RULE = sa.Table(
    "job_rule",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("severity", sa.Text, primary_key=True),
    sa.Column("rows", sa.BigInteger),
    sa.Column("first_lines", sa.ARRAY(sa.BigInteger)),
)
REVIEW = sa.Table(
    "import_review",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("asked_at", "answers_until", "answered_at")),
    *(sa.Column(name, sa.Text) for name in ("form_sha256", "answered_by", "answer", "problem")),
    *(sa.Column(name, JSONB) for name in ("reasons", "counts", "mapping")),
)
PARENT = sa.Table(
    "import_job_parent",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("parent_job_id", sa.BigInteger, primary_key=True),
)


_FILE_NAME: sa.ColumnElement[str] = sa.literal_column("'/[^/]*$'")  # as the index of folders has it


def dag_of(import_type: str) -> str:
    """Return the DAG that imports a type, or has refused files of none."""
    return PICK_UP if import_type == UNKNOWN_TYPE else f"{IMPORT_DAGS}{import_type}"


class State(StrEnum):
    """How far a job is. Source: X-10."""

    AWAITING_EXECUTION = "awaiting_execution"
    RUNNING = "running"
    AWAITING_REVIEW = "awaiting_review"
    COMPLETED = "completed"
    COMPLETED_WITH_REJECTS = "completed_with_rejects"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_completed(self) -> bool:
        """True when the file went all the way, with or without rejects."""
        return self in (State.COMPLETED, State.COMPLETED_WITH_REJECTS)


@dataclass(frozen=True)
class JobCounts:
    """Rows by outcome; read = the sum of the others for every completed job."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    not_found: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class Job:
    """One row of `ledger.import_job`."""

    id: int
    run_key: str
    import_type: str
    action: str | None
    state: State
    launched_at: datetime
    launched_by: str
    dag_id: str | None
    dag_run_id: str | None
    source_url: str
    source_version: str
    file_name: str
    arrived_at: datetime
    size_bytes: int | None
    sha256: str | None
    fingerprint: str | None
    parameters: SettingsSources
    settings: dict[str, Any]
    inspection: InspectionRecord | None
    mapping: dict[str, Any] | None
    is_dry_run: bool
    duplicate_of: int | None
    work_url: str | None
    archive_url: str | None
    rows_read: int | None
    rows_inserted: int | None
    rows_updated: int | None
    rows_unchanged: int | None
    rows_not_found: int | None
    rows_rejected: int | None
    warnings: list[dict[str, Any]]
    refusal_rule: str | None
    refusal_message: str | None
    rejected_file_url: str | None
    not_found_file_url: str | None
    dropped_values_file_url: str | None
    summary_file_url: str | None
    evidence_file_url: str | None
    loaded_at: datetime | None
    finished_at: datetime | None

    @property
    def is_loaded(self) -> bool:
        """True once the load transaction has committed: from then on only reports are made again (X-14)."""
        return self.loaded_at is not None

    @property
    def common_settings(self) -> ImportSettings:
        """The settings that every import has (X-11); those of its type alone are read with the type's own model."""
        return ImportSettings.from_stored(self.settings)

    @property
    def review(self) -> Review | None:
        """Who decides about the load; None when the load looks itself (X-18)."""
        return self.inspection.review if self.inspection is not None else None

    @property
    def has_review(self) -> bool:
        """True when a person, or limits that were set, decide about the load; else the load looks itself (X-18)."""
        return self.review is not None

    @property
    def is_approved(self) -> bool:
        """False until a person, or the limits that call for one, have let it be loaded (X-06)."""
        return self.review is None or self.review.is_approved

    @property
    def refusal(self) -> FileRefused | None:
        """Why the file as a whole was refused; None when it was not."""
        if self.state is not State.REFUSED:
            return None
        return FileRefused(self.refusal_rule or "", self.refusal_message or "")

    @property
    def outcome(self) -> str:
        """What became of the file: the state, and for a completed job what its rows came to."""
        return outcome_of(self.state, self.counts)

    @property
    def counts(self) -> JobCounts:
        """The outcome counts, 0 where nothing was counted."""
        return JobCounts(
            self.rows_read or 0, self.rows_inserted or 0, self.rows_updated or 0, self.rows_unchanged or 0,
            self.rows_not_found or 0, self.rows_rejected or 0,
        )  # fmt: skip


@dataclass(frozen=True)
class JobResult:
    """What a job shows the world: no cell values, safe for logs and XCom (X-20).

    Args:
        has_approved_rejects: see `are_rejects_approved`.
    """

    job: int
    type: str
    file: str
    state: str
    rows: JobCounts
    warnings: list[dict[str, Any]] = field(default_factory=list)
    rejected_file: str | None = None
    not_found_file: str | None = None
    dropped_values_file: str | None = None
    summary_file: str | None = None
    reason: dict[str, str] | None = None
    duplicate_of: int | None = None
    rules: list[RuleCount] = field(default_factory=list)
    rejects_open: int = 0
    rejects_fixed: int = 0
    is_dry_run: bool = False
    has_approved_rejects: bool = False

    @property
    def outcome(self) -> str:
        """What became of the file: the state, and for a completed job what its rows came to."""
        return outcome_of(self.state, self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"outcome": self.outcome}


class FileTaken(ImporterError):
    """Another job has this very file in hand (X-14)."""


@dataclass(frozen=True)
class Claim:
    """One arrival of one file, as it is claimed in the ledger."""

    run_key: str
    import_type: str
    source_url: str
    source_version: str
    file_name: str
    arrived_at: datetime
    launched_by: str
    parameters: SettingsSources = field(default_factory=SettingsSources)
    dag_id: str | None = None
    dag_run_id: str | None = None
    size_bytes: int | None = None

    def renamed(self, **changes: Any) -> Self:
        """Return a copy with other values."""
        return replace(self, **changes)


def _job(row: sa.Row[Any]) -> Job:
    values = row._asdict()
    inspection = values["inspection"]
    record = None if inspection is None else InspectionRecord.from_json(inspection)
    sources = SettingsSources.from_json(values["parameters"])
    return Job(**{**values, "state": State(values["state"]), "inspection": record, "parameters": sources})


_COLUMNS = [JOB.c[name] for name in Job.__dataclass_fields__]


def find(connection: Connection, run_key: str) -> Job | None:
    """Return the job that this run asked for, if there is one."""
    row = connection.execute(sa.select(*_COLUMNS).where(JOB.c.run_key == run_key)).one_or_none()
    return _job(row) if row else None


def get(connection: Connection, job_id: int, *, lock: str | None = None) -> Job:
    """Return one job.

    Args:
        lock: "update" to own the job until the transaction ends, "share" to keep it from being loaded meanwhile.

    Raises:
        LookupError: there is no such job.
    """
    query = sa.select(*_COLUMNS).where(JOB.c.id == job_id)
    if lock is not None:
        query = query.with_for_update(read=lock == "share")
    row = connection.execute(query).one_or_none()
    if row is None:
        raise LookupError(f"there is no job {job_id}")
    return _job(row)


def claim(connection: Connection, arrival: Claim, *, now: datetime) -> Job:
    """Open the job of an arrival, or return the one that this run already opened.

    The unique row is the claim (X-14): a rename is none, since on S3 it is copy + delete and every racer "wins".

    Raises:
        FileTaken: another job that has not finished holds the same version of the file.
    """
    statement = (
        insert(JOB)
        .values(
            run_key=arrival.run_key, import_type=arrival.import_type, state=State.AWAITING_EXECUTION, launched_at=now,
            launched_by=arrival.launched_by, dag_id=arrival.dag_id, dag_run_id=arrival.dag_run_id,
            source_url=arrival.source_url, source_version=arrival.source_version, file_name=arrival.file_name,
            arrived_at=arrival.arrived_at, size_bytes=arrival.size_bytes, parameters=arrival.parameters.to_json(),
            is_dry_run=False,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    connection.execute(statement)
    job = find(connection, arrival.run_key)
    if job is None:
        other = connection.execute(
            sa.select(JOB.c.id, JOB.c.dag_run_id).where(
                JOB.c.source_url == arrival.source_url,
                JOB.c.source_version == arrival.source_version,
                JOB.c.finished_at.is_(None),
            )
        ).first()
        holder = f"job {other.id} ({other.dag_run_id or 'command line'})" if other else "another job"
        raise FileTaken(f"{arrival.file_name} is already being imported by {holder}")
    return job


def update(connection: Connection, job_id: int, **values: Any) -> None:
    """Set columns of one job."""
    connection.execute(sa.update(JOB).where(JOB.c.id == job_id).values(**values))


def refuse(connection: Connection, job_id: int, refusal: FileRefused, **columns: Any) -> None:
    """Record that the file as a whole was refused; its rows, if any were staged, count for nothing.

    Args:
        columns: further ones: what was found out about the file before (X-10).
    """
    update(
        connection, job_id, state=State.REFUSED, refusal_rule=refusal.rule, refusal_message=refusal.message, **columns
    )  # fmt: skip


def forget_rows(connection: Connection, job_id: int) -> None:
    """Delete what an attempt that loaded nothing has written about the job's rows."""
    for table in (CHUNK, REJECT, NOT_FOUND, DROPPED_VALUE, JOB_RULE):
        connection.execute(sa.delete(table).where(table.c.job_id == job_id))


def latest_attempt(connection: Connection, prefix: str) -> tuple[int, Job | None]:
    """Return how many jobs ended whose run key begins so, and the newest one that can still be resumed.

    The command line names its runs by file version and arrival number: a killed or failed import of the same file is
    taken up again, a finished one makes a new arrival.
    """
    rows = connection.execute(
        sa.select(*_COLUMNS).where(JOB.c.run_key.startswith(prefix, autoescape=True)).order_by(JOB.c.id)
    ).all()
    attempts = [_job(row) for row in rows]
    resumable = [job for job in attempts if job.finished_at is None or job.state is State.FAILED]
    return len(attempts), resumable[-1] if resumable else None


def find_original(
    connection: Connection, job: Job, fingerprint: str, *, edits: bool, editing: Mapping[str, object]
) -> int | None:
    """Return the earlier job that this one repeats (X-13), or None when it must be imported.

    It counts only when it completed without rejects, was no dry run, and nothing of what it loaded may have been
    changed since: no later job of the type has loaded that edits.

    Args:
        edits: this job changes existing rows; then a later job of any kind counts.
        editing: settings with which a job changes existing rows, and the values that they have then.
    """
    earlier = connection.execute(
        sa.select(JOB.c.id, JOB.c.loaded_at)
        .where(
            JOB.c.fingerprint == fingerprint,
            JOB.c.import_type == job.import_type,
            JOB.c.id != job.id,
            JOB.c.state == State.COMPLETED,
            JOB.c.loaded_at.is_not(None),  # which a dry run never is
        )
        .order_by(JOB.c.loaded_at.desc())
        .limit(1)
    ).first()
    if earlier is None:
        return None
    later = sa.and_(JOB.c.import_type == job.import_type, JOB.c.loaded_at > earlier.loaded_at)
    if not edits:
        later = sa.and_(
            later, sa.or_(sa.false(), *(JOB.c.settings[name].astext == value for name, value in editing.items()))
        )
    has_changed = connection.execute(sa.select(sa.exists().where(later))).scalar_one()
    return None if has_changed else int(earlier.id)


def chunks(connection: Connection, job_id: int) -> Sequence[sa.Row[Any]]:
    """Return the chunk plan in file order, without the chunks' evidence."""
    columns = [column for column in CHUNK.c if column is not CHUNK.c.evidence]
    return connection.execute(sa.select(*columns).where(CHUNK.c.job_id == job_id).order_by(CHUNK.c.number)).all()


def evidence(connection: Connection, job_id: int) -> Iterator[Tallies]:
    """Yield each chunk's counts by rule and severity, in file order; a few chunks are held at a time."""
    query = sa.select(CHUNK.c.evidence).where(CHUNK.c.job_id == job_id, CHUNK.c.evidence.is_not(None))
    rows = connection.execute(query.order_by(CHUNK.c.number), execution_options={"yield_per": 16}).scalars()
    yield from map(evidence_from_json, rows)


def common_sentences(connection: Connection, job_id: int) -> dict[str, dict[str, int]]:
    """Return what is wrong with most of the rows that break each rule: rule → sentence → rows, most rows first."""
    rows = connection.execute(_COMMON_SENTENCES, {"job": job_id})
    counted: dict[str, dict[str, int]] = {}
    for key, sentences in rows:
        total = counted.setdefault(key.split(" ")[0], {})
        for sentence, count in sentences.items():
            total[sentence] = total.get(sentence, 0) + count
    return {
        rule: dict(sorted(total.items(), key=lambda counted_sentence: -counted_sentence[1]))
        for rule, total in counted.items()
    }


def forget_sentences(connection: Connection, job_id: int) -> None:
    """Leave of each chunk's evidence what holds no value: counts, lines, shares (X-20)."""
    connection.execute(_FORGET_SENTENCES, {"job": job_id})


_FORGET_SENTENCES = sa.text(
    """
    UPDATE ledger.import_chunk AS chunk
    SET evidence = (SELECT jsonb_object_agg(entry.key, entry.value || '{"sentences": {}}')
                    FROM jsonb_each(chunk.evidence) AS entry (key, value))
    WHERE chunk.job_id = :job AND chunk.evidence <> '{}'
    """
)
_COMMON_SENTENCES = sa.text(
    """
    SELECT entry.key, entry.value -> 'sentences'
    FROM ledger.import_chunk AS chunk, jsonb_each(chunk.evidence) AS entry (key, value)
    WHERE chunk.job_id = :job AND entry.value -> 'sentences' <> '{}'
    ORDER BY chunk.number
    """
)


def rule_counts(connection: Connection, job_id: int) -> list[RuleCount]:
    """Return how many rows each rule rejected or warned about, most frequent first."""
    rows = connection.execute(
        sa.select(JOB_RULE.c.rule, JOB_RULE.c.severity, JOB_RULE.c.rows, JOB_RULE.c.first_lines)
        .where(JOB_RULE.c.job_id == job_id)
        .order_by(JOB_RULE.c.rows.desc(), JOB_RULE.c.rule)
    )
    return [RuleCount(**row._asdict()) for row in rows]


def parents(connection: Connection, job_id: int) -> list[int]:
    """Return the jobs whose rejected-rows file this job's file was made from (X-09)."""
    return list(
        connection.execute(
            sa.select(PARENT.c.parent_job_id).where(PARENT.c.job_id == job_id).order_by(PARENT.c.parent_job_id)
        ).scalars()
    )


def link_parents(connection: Connection, job_id: int, parent_ids: Iterable[int]) -> None:
    """Remember the jobs that a corrected file comes from."""
    for parent in parent_ids:
        connection.execute(insert(PARENT).values(job_id=job_id, parent_job_id=parent).on_conflict_do_nothing())


def reviews(connection: Connection, job_id: int) -> Sequence[sa.Row[Any]]:
    """Return the questions that a person was asked about a job, and the answers, oldest first (X-06).

    A cleared run may put the first question after that of the load, which has the highest number.
    """
    query = sa.select(REVIEW).where(REVIEW.c.job_id == job_id).order_by(REVIEW.c.asked_at, REVIEW.c.number)
    return connection.execute(query).all()


def are_rejects_approved(asked: Sequence[sa.Row[Any]], rejected: int | None) -> bool:
    """Say whether a person has launched a load of which as many rejects were shown as it has come to (X-06).

    Args:
        asked: what `reviews` gave.
    """
    launched = [row for row in asked if row.answer == "launch" and row.problem is None]
    is_shown = bool(launched) and launched[-1].mapping is None and launched[-1].counts is not None
    return is_shown and bool(rejected) and (rejected or 0) <= launched[-1].counts["rejected"]


def last_good_header(connection: Connection, job: Job, place: str) -> list[str] | None:
    """Return the header of the last file of the same type that was loaded from the same folder; None without one.

    Args:
        place: URL of a file in that folder.
    """
    folder = sa.func.md5(sa.func.regexp_replace(JOB.c.source_url, _FILE_NAME, ""))
    here = sa.func.md5(sa.func.regexp_replace(sa.literal(place), _FILE_NAME, ""))
    query = (
        sa.select(JOB.c.inspection["header"])
        .where(JOB.c.import_type == job.import_type, folder == here, JOB.c.loaded_at.is_not(None), JOB.c.id != job.id)
        .order_by(JOB.c.loaded_at.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def result(connection: Connection, job_id: int) -> JobResult:
    """Return everything that people are shown about a job."""
    job = get(connection, job_id)
    fixed, total = connection.execute(
        sa.select(
            sa.func.count().filter(REJECT.c.fixed_by_job_id.is_not(None)), sa.func.count()
        ).where(REJECT.c.job_id == job_id)
    ).one()  # fmt: skip
    return JobResult(
        job=job.id,
        type=job.import_type,
        file=job.file_name,
        state=str(job.state),
        rows=job.counts,
        warnings=job.warnings,
        rejected_file=job.rejected_file_url,
        not_found_file=job.not_found_file_url,
        dropped_values_file=job.dropped_values_file_url,
        summary_file=job.summary_file_url,
        reason={"rule": job.refusal_rule, "message": job.refusal_message or ""} if job.refusal_rule else None,
        duplicate_of=job.duplicate_of,
        rules=rule_counts(connection, job_id),
        rejects_open=total - fixed,
        rejects_fixed=fixed,
        is_dry_run=job.is_dry_run,
        has_approved_rejects=are_rejects_approved(reviews(connection, job_id), job.rows_rejected),
    )


def history(connection: Connection, *, limit: int = 50, import_type: str | None = None) -> list[Job]:
    """Return the newest jobs first."""
    query = sa.select(*_COLUMNS).order_by(JOB.c.id.desc()).limit(limit)
    if import_type:
        query = query.where(JOB.c.import_type == import_type)
    return [_job(row) for row in connection.execute(query)]
