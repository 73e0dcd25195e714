"""The review of an import: a person approves it, corrects its mapping, or rejects it. Source: X-05, X-06, X-10.

After the rows are judged and before they are loaded, `ask` decides whether a person is to be asked, and what; `record`
writes the question to the ledger once it has been put, `answer` what came back. All of them may be repeated at any
point: a question that is put is not put again, an answer that is recorded is not asked for again (X-14). The load
itself is rehearsed for the form, so that its counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from include.columns.mapping import ColumnMapping, How, map_columns, match_columns, override_key
from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.errors import FileRefused, Reason, ReviewNeeded
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, DROPPED_VALUE, JOB_RULE, NOT_FOUND, REJECT, REVIEW, Job, JobCounts, State
from include.ledger.records import InspectionRecord, Review
from include.review.decision import (
    Answer,
    Asked,
    Chosen,
    Decision,
    Turn,
    after_launch,
    after_question,
    asked_of,
    without_launch,
)
from include.review.form import (
    Facts,
    Form,
    build_form,
    offered_fields,
    read_choices,
)
from include.review.preview import PreviewRow, hidden_fields, judged_rows
from include.runtime import Runtime
from include.stages import inspection, loading
from include.stages.validation import judge_of
from include.stages.verdict import odd_columns, skipped_columns

ALLOWED_BY = {
    "review.setting": ("review", "false"),
    "review.header_change": ("review_header_change", "false"),
    "review.columns": ("review_columns", "false"),
    "review.reject_share": ("review_reject_share", "1"),
    "review.mapping_slip": ("review_reject_share", "1"),
    "review.changed_share": ("review_changed_share", "1"),
}
"""Reason → the setting, and its value, with which a person has the command line load the file all the same."""
_WITHOUT_DOUBT = ("review.setting", "review.header_change")
"""Reasons that say nothing against what the columns are read as."""


@dataclass(frozen=True)
class Question:
    """A question that is to be put.

    Args:
        reasons: why.
        counts: of the rehearsal; None when there was none.
    """

    number: int
    form: Form
    reasons: Sequence[Reason]
    counts: JobCounts | None


@dataclass(frozen=True)
class Step:
    """What the task with one of the questions does now.

    Args:
        turn: put the question (ASK), wait for its answer (WAIT), leave it to the next task (PASS), go on to the load
            (LOAD) or to the end without one (STOP).
        until: when the wait ends; for a question that is to be put, if it begins now.
    """

    turn: Turn
    question: Question | None = None
    until: datetime | None = None


def ask(runtime: Runtime, job_id: int, number: int) -> Step:
    """Decide whether the `number`-th question of a job is to be put now.

    Raises:
        FileRefused, SuiteError, WarehouseUnavailable, WarehouseFault
    """
    while True:
        with stage(runtime, job_id) as (connection, job):
            step = _settled_step(job, _asked(connection, job), number)
        if step is not None:
            return step
        question = _question(runtime, job, number)
        with stage(runtime, job_id) as (connection, job):
            asked = _asked(connection, job)
            step = _settled_step(job, asked, number)
            if step is None:
                sha256, reasons = (question.form.sha256, question.reasons) if question else (None, ())
                decision = after_question(asked, sha256, reasons, number, since=_review(job).answered)
                step = _carry_out(runtime, connection, job, decision, number, question)
        if step is not None:
            return step


def record(runtime: Runtime, job_id: int, question: Question) -> datetime:
    """Write a question that has been put to the ledger; return until when an answer is waited for."""
    with stage(runtime, job_id) as (connection, job):
        now = runtime.clock()
        statement = insert(REVIEW).values(
            job_id=job_id, number=question.number, asked_at=now, answers_until=now, form_sha256=question.form.sha256,
            reasons=[reason.to_json() for reason in question.reasons],
            counts=asdict(question.counts) if question.counts else None,
        )  # fmt: skip
        connection.execute(statement.on_conflict_do_nothing())
        return _await(runtime, connection, job, question.number)


def answer(runtime: Runtime, job_id: int, number: int, reply: Answer) -> Step:
    """Take an answer: launch as it is, launch with another mapping, or end the job as cancelled.

    With another mapping all is judged again, and asked about if it speaks for that: what a person has approved is what
    was shown (X-06). A mapping that can't be used is written down with the reason; the next question follows.

    Raises:
        FileRefused, SuiteError, WarehouseUnavailable, WarehouseFault
    """
    with stage(runtime, job_id) as (connection, job):
        asked = _asked(connection, job)
        put = next((row for row in asked if row.number == number), None)
        if job.state is not State.AWAITING_REVIEW or put is None or put.answer is not None:
            return _settled_step(job, asked, number) or Step(Turn.PASS)
        if ended := without_launch(reply, put.answers_until):
            word, decision = ended
            columns = {}
        else:
            chosen = _chosen_mapping(runtime, connection, job, reply)
            word, decision = "launch", after_launch(chosen, number)
            columns = {"mapping": chosen.overrides, "problem": chosen.problem}
        _write(
            connection, job_id, number, answered_at=reply.answered_at, answered_by=reply.user, answer=word, **columns
        )  # fmt: skip
        step = _carry_out(runtime, connection, job, decision, number)
    return step or ask(runtime, job_id, number)


def call_for_review(runtime: Runtime, job_id: int) -> None:
    """Let a job be reviewed whose load was given up with `ReviewNeeded`; the rehearsal for the form says why.

    The question is that of the task which loads: those before it are over.
    """
    with stage(runtime, job_id) as (connection, job):
        if job.inspection is None or job.has_review or job.state is not State.RUNNING:
            return
        record = replace(job.inspection, review=Review(is_of_load=True))
        jobs.update(connection, job_id, inspection=record.to_json())


def is_asked_by_load(runtime: Runtime, job_id: int) -> bool:
    """Say whether a job's load has called for a review that isn't decided yet."""
    with runtime.engine.connect() as connection:
        job = jobs.get(connection, job_id)
    is_open = job.state in (State.RUNNING, State.AWAITING_REVIEW) and not job.is_approved
    return is_open and job.review is not None and job.review.is_of_load


def refuse_after_load(runtime: Runtime, job_id: int, needed: ReviewNeeded) -> NoReturn:
    """Refuse a file whose load was given up, where nobody can be asked.

    Raises:
        FileRefused: with the reasons and what to do.
    """
    with stage(runtime, job_id) as (_, job):
        raise _unasked(job, needed.reasons)


def refuse_unasked(runtime: Runtime, job_id: int, *, has_rows: bool) -> None:
    """Refuse a file that a person is to look at, where nobody can be asked: on the command line.

    Args:
        has_rows: the rows have been judged, so the limits on them are looked at as well: it may be loaded then.

    Raises:
        FileRefused: with the reasons and what to do.
    """
    with stage(runtime, job_id) as (_, job):
        reasons = _reasons_before_rows(job)
    if has_rows and not reasons:
        reasons = _reasons_of_rows(runtime, job, loading.rehearse(runtime, job_id))
    if has_rows and not reasons:
        with stage(runtime, job_id) as (connection, job):
            jobs.update(connection, job_id, inspection=_reviewed(job, is_approved=True))
    if reasons:
        with stage(runtime, job_id):
            raise _unasked(job, reasons)


def _unasked(job: Job, reasons: Sequence[Reason]) -> FileRefused:
    """Return the refusal of a file that nobody can be asked about; it names the settings that allow the load.

    None where one of the reasons has no setting, or the folder locks it (X-21): the others alone would not do.
    """
    why = " ".join(reason.message for reason in reasons)
    locked = job.common_settings.locked
    allowing = dict.fromkeys(ALLOWED_BY.get(reason.rule) for reason in reasons)
    settings = [
        f"--set {setting[0]}={setting[1]}" for setting in allowing if setting is not None and setting[0] not in locked
    ]
    ways = ["correct the file" if "mapping" in locked else "correct the file or its mapping"]
    if len(settings) == len(allowing):
        ways.append(f"import the file as it is with {' and '.join(settings)}")
    ways.append("drop it into the landing area, where Airflow asks")
    return FileRefused(
        "file.review", f"{why} The command line can't ask a person: look at the preview, then {', or '.join(ways)}."
    )


def _await(runtime: Runtime, connection: Connection, job: Job, number: int) -> datetime:
    """Let a job wait for the answer to a question; return until when."""
    until = _answers_until(runtime, job)
    _write(connection, job.id, number, answers_until=until)
    jobs.update(connection, job.id, state=State.AWAITING_REVIEW)
    return until


def _answers_until(runtime: Runtime, job: Job) -> datetime:
    return runtime.clock() + timedelta(hours=job.common_settings.review_hours)


def _asked(connection: Connection, job: Job) -> list[Asked]:
    """Return the questions that have been put, oldest first."""
    return [asked_of(row) for row in jobs.reviews(connection, job.id)]


def _settled_step(job: Job, asked: Sequence[Asked], number: int) -> Step | None:
    """Return what follows from the ledger alone; None when the file must be looked at first."""
    if job.is_loaded or job.state.is_completed:
        return Step(Turn.LOAD)
    if job.state in (State.REFUSED, State.CANCELLED, State.DUPLICATE):
        return Step(Turn.STOP)
    if job.state is State.AWAITING_REVIEW:
        last = asked[-1]
        return Step(Turn.WAIT, until=last.answers_until) if last.number == number else Step(Turn.PASS)
    return Step(Turn.LOAD) if job.is_approved else None


def _carry_out(
    runtime: Runtime,
    connection: Connection,
    job: Job,
    decision: Decision,
    number: int,
    question: Question | None = None,
) -> Step | None:
    """Write a decision to the ledger; return the step, None when the file is to be looked at again first.

    Args:
        number: of the task's question.
        question: the one that the decision may be to put.
    """
    if decision.superseded is not None:
        _write(connection, job.id, decision.superseded, answered_at=runtime.clock(), answer="superseded")
    if decision.cancelled is not None:
        staging.drop_tables(connection, job.id)
    if decision.read_again is not None:
        _read_again(runtime, connection, job, *decision.read_again)
    elif changes := _changes(job, decision):
        jobs.update(connection, job.id, **changes)
    if decision.turn is Turn.ASK:
        return Step(Turn.ASK, question, _answers_until(runtime, job))
    if decision.turn is Turn.WAIT:
        return Step(Turn.WAIT, until=_await(runtime, connection, job, number))
    return None if decision.turn is None else Step(decision.turn)


def _changes(job: Job, decision: Decision) -> dict[str, Any]:
    """Return what a decision changes of a job that keeps its mapping: columns of `ledger.import_job`.

    A header of which no column is recognised may be data: it is forgotten with the cancelled file (X-20).
    """
    if decision.cancelled is not None:
        rule, message = decision.cancelled
        ended = {"state": State.CANCELLED, "refusal_rule": rule, "refusal_message": message}
        may_be_data = job.review is not None and (job.review.unusable or job.review.is_header_unsure)
        return ended | ({"inspection": None, "mapping": None} if may_be_data else {})
    if decision.is_approved:
        return {"state": State.RUNNING, "inspection": _reviewed(job, is_approved=True)}
    if decision.unusable is not None:
        problem, columns = decision.unusable.problem, decision.unusable.columns
        return {"state": State.RUNNING, "inspection": _reviewed(job, problem=problem, chosen=columns)}
    return {}


# -- what is asked


def _question(runtime: Runtime, job: Job, number: int) -> Question | None:
    """Look at the file, rehearse its load, and return what to ask; None when nothing speaks for asking."""
    import_type, mapping = runtime.import_types.of(job.import_type), ColumnMapping.from_json(job.mapping or {})
    review = _review(job)
    reasons = _reasons_before_rows(job)
    rows: list[PreviewRow] = []
    rehearsal = None
    if review.unusable is None:
        rows = _first_rows(runtime, job, is_doubtful=_is_doubtful(reasons))
        rehearsal = loading.rehearse(runtime, job.id, [row.line for row in rows])
        if of_rows := _reasons_of_rows(runtime, job, rehearsal):
            reasons += of_rows
            rows = _first_rows(runtime, job, is_doubtful=True)
        rows = [_with_load_rules(row, rehearsal.rejected.get(row.line, ())) for row in rows]
    if not reasons:
        return None
    facts = Facts(
        reasons=[reason.message for reason in reasons],
        counts=rehearsal.counts if rehearsal else None,
        rules=rehearsal.rules if rehearsal else None,
        refusal=rehearsal.refusal.message if rehearsal and rehearsal.refusal else None,
        change=review.change,
        rows=rows,
    )
    fields = _offered(runtime, import_type, job, mapping)
    form = build_form(job, import_type.label, mapping, fields, facts, _selected(review, mapping, fields))
    return Question(number, form, reasons, facts.counts)


def _review(job: Job) -> Review:
    if job.review is None:
        raise LookupError(f"job {job.id} has nothing to review")
    return job.review


def _inspection(job: Job) -> InspectionRecord:
    if job.inspection is None:
        raise LookupError(f"job {job.id} has not been inspected")
    return job.inspection


def _reasons_before_rows(job: Job) -> list[Reason]:
    review = job.review
    if review is None:
        return []
    reasons: list[Reason] = []
    if review.problem:
        message = f"The last answer could not be used: {review.problem}"
        reasons.append(Reason("review.problem", message))
    reasons += review.reasons
    if review.unusable and not review.problem:
        reasons.append(Reason("review.mapping", review.unusable))
    return reasons


def _reasons_of_rows(runtime: Runtime, job: Job, rehearsal: loading.Rehearsal) -> list[Reason]:
    """Return which limits the rehearsal exceeds."""
    return loading.exceeded_limits(runtime, job, rehearsal.counts, rehearsal.counted)


def _is_doubtful(reasons: Sequence[Reason]) -> bool:
    """Say whether a column may hold another field's values, by why a person is asked."""
    return any(reason.rule not in _WITHOUT_DOUBT for reason in reasons)


def _first_rows(runtime: Runtime, job: Job, *, is_doubtful: bool) -> list[PreviewRow]:
    with stage(runtime, job.id) as (connection, job):
        fields = runtime.import_types.of(job.import_type).all_fields(runtime.project)
        mapping = ColumnMapping.from_json(job.mapping or {"columns": []})
        hidden = hidden_fields(fields, mapping, is_doubtful=is_doubtful)
        judge = judge_of(runtime, connection, job, hidden=hidden, masks_private=True)
        text = inspection.text_of(runtime, connection, job)
    with text.place.open_parts() as stream:
        return judged_rows(judge, stream, text.chunks, is_doubtful=is_doubtful)


def _with_load_rules(row: PreviewRow, rules: Sequence[str]) -> PreviewRow:
    """Name the rules by which only the load rejects a row; its sentences would quote values."""
    if row.reasons or not rules:
        return row
    return PreviewRow(row.line, row.values, f"by {', '.join(rules)}", row.dropped)


def _offered(runtime: Runtime, import_type: ImportType, job: Job, mapping: ColumnMapping) -> list[Field]:
    """Return the fields that a person may choose a column for: none where the folder locks the mapping (X-21)."""
    if "mapping" in job.common_settings.locked:
        return []
    fields = import_type.all_fields(runtime.project)
    return offered_fields(fields, mapping, job.settings)


def _selected(review: Review, mapping: ColumnMapping, fields: Sequence[Field]) -> dict[str, int | None]:
    """Return what the dropdowns show first: what was chosen in an answer that couldn't be used, else the mapping."""
    now = _indexes(mapping, [field.name for field in fields])
    return now | {name: index for name, index in (review.chosen or {}).items() if name in now}


def _indexes(mapping: ColumnMapping, fields: Sequence[str]) -> dict[str, int | None]:
    """Return field → index of its column; of several columns on one field the first."""
    indexes: dict[str, int | None] = dict.fromkeys(fields)
    for column in reversed(mapping.columns):
        if column.field in indexes:
            indexes[column.field] = column.index
    return indexes


# -- what was answered


def _chosen_mapping(runtime: Runtime, connection: Connection, job: Job, reply: Answer) -> Chosen:
    """Read an answer."""
    import_type, mapping = runtime.import_types.of(job.import_type), ColumnMapping.from_json(job.mapping or {})
    review = _review(job)
    fields = _offered(runtime, import_type, job, mapping)
    selected = _selected(review, mapping, fields)
    chosen = read_choices(reply.columns, mapping, selected)
    if isinstance(chosen, str):
        return Chosen(selected, problem=chosen)
    if chosen == _indexes(mapping, list(chosen)) and review.unusable is None:
        return Chosen(chosen)
    labels = {field.name: field.label for field in fields}
    by_column: dict[int, list[str]] = {}
    for name, index in chosen.items():
        if index is not None:
            by_column.setdefault(index, []).append(labels[name])
    twice = [
        f"{' and '.join(names)} are read from column {index + 1}." for index, names in by_column.items() if names[1:]
    ]
    if twice:
        return Chosen(chosen, problem=" ".join(twice))
    overrides = _overrides(runtime, import_type, mapping, chosen)
    try:
        _map(runtime, connection, job, overrides)
    except FileRefused as refusal:
        return Chosen(chosen, problem=refusal.message)
    return Chosen(chosen, overrides)


def _overrides(
    runtime: Runtime, import_type: ImportType, mapping: ColumnMapping, chosen: Mapping[str, int | None]
) -> dict[str, str | None]:
    """Return the setting `mapping` under which the columns are read as chosen. Fields not offered stay as they are."""
    wanted = {column.index: column.field for column in mapping.columns if column.field not in chosen}
    wanted |= {index: name for name, index in chosen.items() if index is not None}
    automatic = match_columns(
        [column.header for column in mapping.columns], import_type.all_fields(runtime.project), {}
    ).columns
    return {
        override_key(mapping.columns, column.index): wanted.get(column.index)
        for column in automatic
        if column.how is not How.IGNORED
        and column.field != wanted.get(column.index)
        and not (mapping.columns[column.index].needs and wanted.get(column.index) is None)  # its setting is off anyway
    }


def _map(runtime: Runtime, connection: Connection, job: Job, overrides: Mapping[str, str | None]) -> ColumnMapping:
    """Map the columns of a job's file by the setting `mapping`.

    Raises:
        FileRefused: they can't be imported so.
    """
    import_type, before = runtime.import_types.of(job.import_type), ColumnMapping.from_json(job.mapping or {})
    chosen = import_type.settings.from_stored(job.settings)
    header = [column.header for column in before.columns]
    fields = import_type.all_fields(runtime.project)
    mapping = map_columns(header, fields, overrides, import_type, chosen.model_dump())
    if import_type.extras.check_file is not None:
        import_type.extras.check_file(connection, chosen, mapping.field_indexes)
    return mapping


def _read_again(
    runtime: Runtime, connection: Connection, job: Job, overrides: Mapping[str, str | None], number: int
) -> None:
    """Give a job the mapping of an answer: its columns are looked at again, and no chunk is staged any more.

    Args:
        number: of the question that was answered.
    """
    import_type, before = runtime.import_types.of(job.import_type), ColumnMapping.from_json(job.mapping or {})
    mapping = _map(runtime, connection, job, overrides)
    chosen = import_type.settings.from_stored(job.settings)
    chosen = chosen.model_copy(
        update={"mapping": dict(overrides), "given_by": {**chosen.given_by, "mapping": "review"}}
    )
    record = _inspection(job)
    outdated = skipped_columns(before, import_type, runtime.project)
    warnings = [
        *skipped_columns(mapping, import_type, runtime.project),
        *(warning for warning in record.warnings if warning not in outdated),
    ]
    text = inspection.text_of(runtime, connection, job)
    oddities = inspection.describe_oddities(runtime, connection, import_type, chosen, mapping, text)
    review = _review(job)
    record = replace(
        record,
        warnings=tuple(warnings),
        review=Review(
            odd_columns(oddities),
            is_of_load=review.is_of_load,
            is_approved=review.is_approved,
            answered=number,
            is_header_unsure=bool(review.unusable or review.is_header_unsure),
        ),
    )
    staging.drop_tables(connection, job.id)
    for table in (REJECT, NOT_FOUND, DROPPED_VALUE, JOB_RULE):
        connection.execute(sa.delete(table).where(table.c.job_id == job.id))
    connection.execute(
        sa.update(CHUNK)
        .where(CHUNK.c.job_id == job.id)
        .values(rows_read=None, rows_staged=None, rows_rejected=None, evidence=None)
    )
    jobs.update(
        connection, job.id, state=State.RUNNING, mapping=mapping.to_json(), settings=chosen.model_dump(mode="json"),
        inspection=record.to_json(), warnings=[warning.to_json() for warning in warnings],
        fingerprint=inspection.fingerprint(runtime.import_types, job.import_type, job.sha256 or "", chosen),
    )  # fmt: skip


def _reviewed(job: Job, **values: Any) -> dict[str, Any]:
    """Return the inspection with what the review of this attempt has come to; opened again, the job forgets it."""
    return replace(_inspection(job), review=replace(_review(job), **values)).to_json()


def _write(connection: Connection, job_id: int, number: int, **values: Any) -> None:
    connection.execute(sa.update(REVIEW).where(REVIEW.c.job_id == job_id, REVIEW.c.number == number).values(**values))
