"""What of the landing area is not imported: files of no type's folder, entries that can't be.

Source: X-01, X-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from include.arrivals.landing import Request, take_file
from include.arrivals.listing import IGNORED, Arrival, Unusable
from include.errors import FileRefused
from include.ledger import jobs
from include.ledger.jobs import JOB, PICK_UP, UNKNOWN_TYPE, Job, State
from include.runtime import Runtime
from include.warehouse.transactions import values_hidden

_UNUSABLE_KEY = f"{PICK_UP}/unusable|"
"""What the run keys of such entries begin with."""
_WAITED_FOR = "|waited for"
"""Ends the key of an entry that files wait for."""
_MOST_RECORDED = 1000
"""Entries at once: the others come with the next tick."""


def refuse_arrival(runtime: Runtime, arrival: Arrival, *, run_key: str, launched_by: str = "file drop") -> int:
    """Take a file that no import type wants, and refuse it: it must not stay there unnoticed (X-01).

    Returns:
        The job; `write_report` and `close_job` end it like any other.
    """
    names = ", ".join(runtime.import_types)
    request = Request(UNKNOWN_TYPE, arrival.url, run_key, launched_by)
    job_id = take_file(runtime, request).job_id
    place = "at the top of the landing area" if arrival.folder == "." else f'in "{arrival.folder}"'
    with values_hidden(), runtime.engine.begin() as connection:
        jobs.refuse(
            connection,
            job_id,
            FileRefused(
                "file.unknown_type",
                f"This file was {place}, which is not the folder of any import type. Put it into one of: {names}.",
            ),
        )
    return job_id


def record_unusable(runtime: Runtime, entries: Sequence[Unusable]) -> list[Unusable]:
    """Write entries of the landing area that can't be imported into the history, each once (X-01, X-12).

    One that a file comes to wait for later is written once more, with that file's name (X-11).
    They stay where they are: nothing is opened, moved or removed. Those that are ignored on purpose are no fault of
    any user's: they are cancelled, not refused.

    Returns:
        The entries that are new there, of very many the first thousand.
    """
    now = runtime.clock()
    keys = {_run_key(entry): entry for entry in entries}
    if not keys:
        return []
    sought = {*keys, *(f"{key}{_WAITED_FOR}" for key in keys)}
    with values_hidden(), runtime.engine.begin() as connection:
        there = sa.select(JOB.c.run_key).where(JOB.c.run_key == sa.any_(sa.cast(list(sought), sa.ARRAY(sa.Text))))
        recorded = set(connection.execute(there).scalars())
        fresh = [key for key in keys if not recorded & {key, f"{key}{_WAITED_FOR}"}][:_MOST_RECORDED]
        if fresh:
            rows = [_refused_row(key, keys[key], now) for key in fresh]
            connection.execute(insert(JOB).on_conflict_do_nothing(), rows)
    return [keys[key] for key in fresh]


def is_left_in_place(job: Job) -> bool:
    """Say whether a job is for an entry of the landing area that was never taken."""
    return job.run_key.startswith(_UNUSABLE_KEY)


def _run_key(entry: Unusable) -> str:
    key = f"{_UNUSABLE_KEY}{entry.rule}|{entry.version}|{entry.url}"
    return f"{key}{_WAITED_FOR}" if entry.is_waited_for else key


def _refused_row(run_key: str, entry: Unusable, now: datetime) -> dict[str, Any]:
    return {
        "run_key": run_key, "import_type": entry.import_type or UNKNOWN_TYPE,
        "state": State.CANCELLED if entry.rule == IGNORED else State.REFUSED,
        "launched_at": now, "launched_by": PICK_UP, "source_url": entry.url,
        "source_version": entry.version, "file_name": entry.file_name, "arrived_at": now, "parameters": {},
        "is_dry_run": False, "refusal_rule": entry.rule, "refusal_message": f"{entry.file_name} {entry.reason}.",
        "finished_at": now,
    }  # fmt: skip
