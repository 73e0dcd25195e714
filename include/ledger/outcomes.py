"""What became of a file, in one word: its state, and for a completed job what its rows came to. Source: X-10.

The ledger's `completed_with_rejects` covers 3 rows of 3,000,000 and all of 5,000 alike; pages, notes, mails, run
colours and JSON distinguish them by this.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import ColumnElement

MOST = 2
"""Mostly rejected: rejected rows times this are more than the rows read."""
_COMPLETED = ("completed", "completed_with_rejects")


class Outcome(StrEnum):
    """What the rows of a completed job came to."""

    LOADED = "loaded"
    SOME_REJECTED = "some_rejected"
    MOSTLY_REJECTED = "mostly_rejected"
    NOTHING_LOADED = "nothing_loaded"
    NOBODY_FOUND = "nobody_found"
    EMPTY = "empty"


ALARMING = (Outcome.MOSTLY_REJECTED, Outcome.NOTHING_LOADED)
"""Turn a run red, unless it was a dry run or a person has approved the load with as many rejects."""


_REHEARSED = {
    Outcome.LOADED: "would load",
    Outcome.SOME_REJECTED: "would reject some",
    Outcome.MOSTLY_REJECTED: "would reject most",
    Outcome.NOTHING_LOADED: "would load nothing",
}


class Counts(Protocol):
    """Rows by what became of them, such as `jobs.JobCounts`."""

    @property
    def read(self) -> int:
        """All rows of the file."""

    @property
    def not_found(self) -> int:
        """Rows about something that is not there (CU-01)."""

    @property
    def rejected(self) -> int:
        """Rows that broke a rule."""


def outcome_of(state: str, rows: Counts) -> str:
    """Return the outcome of a completed job, and the state of any other.

    A row is loaded when it was inserted or updated, or is in the warehouse already as the file has it (`unchanged`).
    """
    if state not in _COMPLETED:
        return str(state)
    if rows.read == 0:
        return Outcome.EMPTY
    if rows.read == rows.rejected + rows.not_found:
        return Outcome.NOTHING_LOADED if rows.rejected else Outcome.NOBODY_FOUND
    if rows.rejected == 0:
        return Outcome.LOADED
    return Outcome.MOSTLY_REJECTED if MOST * rows.rejected > rows.read else Outcome.SOME_REJECTED


def has_outcome(job: sa.Table, wanted: str) -> ColumnElement[bool]:
    """Return the same as a condition on `ledger.import_job`; a state of the ledger means any of its outcomes."""
    read, rejected = job.c.rows_read, job.c.rows_rejected
    is_loaded = read > rejected + job.c.rows_not_found
    is_most = MOST * rejected > read
    # The state first: the index of the list has it, and fewer jobs are left to be looked at.
    conditions = {
        Outcome.LOADED: (_COMPLETED[:1], is_loaded),
        Outcome.SOME_REJECTED: (_COMPLETED[1:], is_loaded & ~is_most),
        Outcome.MOSTLY_REJECTED: (_COMPLETED[1:], is_loaded & is_most),
        Outcome.NOTHING_LOADED: (_COMPLETED[1:], ~is_loaded),
        Outcome.NOBODY_FOUND: (_COMPLETED[:1], (read > 0) & ~is_loaded),
        Outcome.EMPTY: (_COMPLETED[:1], read == 0),
    }
    if wanted not in conditions:
        return job.c.state == wanted
    states, condition = conditions[Outcome(wanted)]
    return sa.and_(job.c.state.in_(states), condition)


def in_words(outcome: str, *, is_dry_run: bool) -> str:
    """Return an outcome in words, such as `some rejected`; a dry run has loaded nothing (X-19)."""
    words = outcome.replace("_", " ")
    return _REHEARSED.get(Outcome(outcome), words) if is_dry_run and outcome in list(Outcome) else words


def summarise(state: str, rows: Counts, *, is_dry_run: bool) -> str:
    """Say what became of a file in figures, such as `2,949 of 3,000 rows loaded, 51 rejected`."""
    outcome = outcome_of(state, rows)
    if outcome == Outcome.EMPTY:
        return "the file has no rows"
    if outcome not in list(Outcome):
        return outcome.replace("_", " ")
    others = {"rejected": rows.rejected, "not found": rows.not_found}
    lost = [f"{count:,} {name}" for name, count in others.items() if count]
    if outcome == Outcome.NOTHING_LOADED:
        return f"nothing {'would load' if is_dry_run else 'loaded'} of {counted(rows.read)}: {', '.join(lost)}"
    if outcome == Outcome.NOBODY_FOUND:
        return f"nothing {'would be edited' if is_dry_run else 'edited'} of {counted(rows.read)}: {', '.join(lost)}"
    loaded = rows.read - rows.rejected - rows.not_found
    share = f"{loaded:,} of {counted(rows.read)}" if lost else counted(loaded)
    return ", ".join([f"{share} {'would load' if is_dry_run else 'loaded'}", *lost])


def counted(number: int, what: str = "row") -> str:
    """Return a number of things in words, such as `1 row` or `2,000 rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
