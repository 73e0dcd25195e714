"""The counts per rule of a load, and the warnings that follow from them. Source: X-08, X-18."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include.ledger import jobs
from include.ledger.jobs import JOB_RULE, REJECT, Job
from include.ledger.records import FIRST_LINES
from include.rules.sentences import masked_sentences, mistake_in_words
from include.rules.suites import Share
from include.runtime import Runtime
from include.stages import limits
from include.stages.judging import WRAPPED_CELLS
from include.warehouse.sql_files import statement_beside

_WRAPPED_CELLS = (
    'Cells of these rows are written as ="…", which a spreadsheet calculates: they were read as the text between the '
    "quotes. Have the export write plain text."
)
_DROPPED_BY_RULE = statement_beside(__file__, "dropped_by_rule.sql")
_RULES_OF_LOAD = statement_beside(__file__, "rules_of_load.sql")


def tally_rules(runtime: Runtime, connection: Connection, job: Job) -> None:
    """Write the counts per rule, from the chunks and from the load, and the warnings that follow from them."""
    tallies: dict[tuple[str, str], tuple[int, list[int]]] = {}
    shares: dict[tuple[str, str], tuple[Share, int]] = {}
    for evidence in jobs.evidence(connection, job.id):
        for key, tally in evidence.items():
            if tally.drops:
                continue
            rows, lines = tallies.get(key, (0, []))
            tallies[key] = (rows + tally.failed, [*lines, *tally.lines][:FIRST_LINES])
            if tally.share:
                _, evaluated = shares.get(key, (None, 0))
                shares[key] = (Share(**tally.share), evaluated + tally.evaluated)
    for key, (share, evaluated) in shares.items():  # what only the file as a whole can show
        if not share.is_exceeded(tallies[key][0], evaluated):
            del tallies[key]
    of_job = {"job_id": job.id, "lines": FIRST_LINES}
    dropped = {rule: (rows, lines) for rule, rows, lines in connection.execute(_DROPPED_BY_RULE, of_job)}
    tallies |= {(rule, "warning"): counted for rule, counted in dropped.items()}
    for rule, severity, rows, lines in connection.execute(_RULES_OF_LOAD, {"lines": FIRST_LINES}):
        tallies[rule, severity] = (rows, lines)
    counted = [
        {"job_id": job.id, "rule": rule, "severity": severity, "rows": rows, "first_lines": lines}
        for (rule, severity), (rows, lines) in tallies.items()
        if rows
    ]
    sentences = dict(masked_sentences(runtime, runtime.import_types.of(job.import_type)))
    sentences[WRAPPED_CELLS] = _WRAPPED_CELLS
    connection.execute(sa.delete(JOB_RULE).where(JOB_RULE.c.job_id == job.id))
    if counted:
        connection.execute(sa.insert(JOB_RULE), counted)
    jobs.update(
        connection,
        job.id,
        warnings=[
            *(warning.to_json() for warning in (job.inspection.warnings if job.inspection else ())),
            *_warnings(connection, job.id, counted, dropped, sentences),
        ],
    )


def _warnings(
    connection: Connection,
    job_id: int,
    counted: Sequence[Mapping[str, Any]],
    dropped: Collection[str],
    sentences: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Say what a person should know of the rows.

    Args:
        dropped: rules that cost the value alone.
        sentences: of the rules; in place of what they quote of a row they have an ellipsis.
    """
    warnings = []
    for rule in counted:
        if rule["severity"] == "warning":
            message = f"{rule['rows']:,} {'row' if rule['rows'] == 1 else 'rows'}"
            message += " loaded without this value" if rule["rule"] in dropped else ""
            message += f", first on line {rule['first_lines'][0]}"
            if rule["rule"] in sentences and rule["rule"] not in dropped:
                message += f". {sentences[rule['rule']]}"
            warnings.append({"rule": rule["rule"], "rows": rule["rows"], "message": message})
    rejected = count_rejected(connection, job_id)
    for rule in counted:
        if rule["severity"] == "critical" and limits.is_probable_slip(rule["rows"], rejected):
            share = f"{rule['rows'] / rejected:.0%} of the {rejected:,} rejected rows were rejected for this"
            message = f"{share}: {mistake_in_words(rule['rule'], sentences)}. Is the right column mapped?"
            warnings.append({"rule": "file.probable_mapping_slip", "message": message})
    return warnings


def count_rejected(connection: Connection, job_id: int) -> int:
    """Return how many rows the suite and the load have rejected."""
    return connection.execute(
        sa.select(sa.func.count()).select_from(REJECT).where(REJECT.c.job_id == job_id)
    ).scalar_one()
