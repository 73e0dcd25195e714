"""The ledger as people look at it: pages by key, filters, what belongs to a job. Source: X-08, X-09, X-10, X-20."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from include.ledger import history
from include.ledger.history import JobFilter
from include.ledger.jobs import State
from include.ledger.outcomes import Outcome

pytestmark = pytest.mark.integration

TYPES = ("gift_cards", "customers")
ALL = JobFilter(TYPES)
JOBS = 23
FILL = """
INSERT INTO ledger.import_job (
    run_key, import_type, state, launched_at, launched_by, source_url, source_version, file_name, arrived_at
)
SELECT
    'dag/run ' || number, (ARRAY['gift_cards', 'customers', 'promo_codes'])[1 + number % 3],
    (ARRAY['completed', 'refused', 'running', 'failed'])[1 + number % 4],
    timestamptz '2026-01-01' + number * interval '6 hours', 'a test', 'file ' || number, '1',
    (ARRAY['Карта', 'card_', 'card%'])[1 + number % 3] || number || '.csv', now()
FROM generate_series(1, :jobs) AS number
"""

WIDEN = """
UPDATE ledger.import_job
SET settings = jsonb_build_object('wide', (SELECT string_agg(md5(n::text || id), '') FROM generate_series(1, 40) AS n))
"""


@pytest.fixture
def ledger(warehouse_of_module) -> Iterator[Connection]:
    """Jobs 1 to 23 of three types, of which two are looked at; rolled back after the test."""
    with warehouse_of_module.owner.connect() as connection, connection.begin() as transaction:
        connection.execute(sa.text("ALTER TABLE ledger.import_job ALTER COLUMN id RESTART"))
        connection.execute(sa.text(FILL), {"jobs": JOBS})
        yield connection
        transaction.rollback()


def ids(page: history.JobPage) -> list[int]:
    return [job.id for job in page.jobs]


def expected() -> list[int]:
    return [number for number in range(JOBS, 0, -1) if number % 3 != 2]


def test_turning_the_pages_shows_every_job_once_newest_first(ledger: Connection) -> None:
    page = history.page_of_jobs(ledger, ALL, size=4)
    pages = [page]
    while page.before is not None:
        page = history.page_of_jobs(ledger, ALL, before=page.before, size=4)
        pages.append(page)
    assert [job for page in pages for job in ids(page)] == expected()
    assert [len(page.jobs) for page in pages] == [4, 4, 4, 3]
    assert pages[0].after is None

    back = [pages[-1]]
    while back[-1].after is not None:
        back.append(history.page_of_jobs(ledger, ALL, after=back[-1].after, size=4))
    assert [ids(page) for page in reversed(back)] == [ids(page) for page in pages]


def test_a_page_is_as_long_as_there_are_jobs(ledger: Connection) -> None:
    exact = history.page_of_jobs(ledger, ALL, size=len(expected()))
    assert ids(exact) == expected()
    assert (exact.before, exact.after) == (None, None)
    assert history.page_of_jobs(ledger, ALL, before=1) == history.JobPage([], None, None)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (JobFilter(()), lambda number: False),
        (JobFilter(("customers",)), lambda number: number % 3 == 1),
        (JobFilter(TYPES, states=("refused",)), lambda number: number % 3 != 2 and number % 4 == 1),
        (JobFilter(TYPES, states=("refused", "failed")), lambda number: number % 3 != 2 and number % 2 == 1),
        (JobFilter(TYPES, states=("cancelled",)), lambda number: False),
        (JobFilter(TYPES, name_part="CARD"), lambda number: number % 3 == 1),
        (JobFilter(TYPES, name_part="кАРТ"), lambda number: number % 3 == 0),
        (JobFilter(("promo_codes",), name_part="d%"), lambda number: number % 3 == 2),
        (JobFilter(TYPES, name_part="%"), lambda number: False),
        (JobFilter(TYPES, name_part="_"), lambda number: number % 3 == 1),
        (
            JobFilter(TYPES, since=datetime(2026, 1, 2, tzinfo=UTC), until=datetime(2026, 1, 3, tzinfo=UTC)),
            lambda number: number % 3 != 2 and 4 <= number < 8,
        ),
    ],
)
def test_a_filter_finds_just_what_fits(ledger: Connection, wanted: JobFilter, matches) -> None:
    """Letters of a name are compared without case, and mean themselves."""
    fitting = [number for number in range(JOBS, 0, -1) if matches(number)]
    assert ids(history.page_of_jobs(ledger, wanted)) == fitting


EVERY_MIX = """
INSERT INTO ledger.import_job (
    run_key, import_type, state, launched_at, launched_by, source_url, source_version, file_name, arrived_at,
    rows_read, rows_inserted, rows_updated, rows_unchanged, rows_not_found, rows_rejected
)
SELECT
    'dag/mix ' || row_number() OVER (), 'gift_cards',
    CASE WHEN rejected > 0 THEN 'completed_with_rejects' ELSE 'completed' END, now(),
    'a test', 'mix ' || row_number() OVER (), '1', 'mix.csv', now(),
    loaded + not_found + rejected, loaded, 0, 0, not_found, rejected
FROM generate_series(0, 4) AS loaded, generate_series(0, 4) AS not_found, generate_series(0, 4) AS rejected
"""


def test_x10_the_list_finds_jobs_by_the_outcome_that_it_shows(ledger: Connection) -> None:
    """The condition in the database and the word on the page are the same, for every mix of rows."""
    ledger.execute(sa.text(EVERY_MIX))
    mixes = JobFilter(TYPES, name_part="mix.csv")
    by_outcome: dict[str, list[int]] = {}
    for job in history.page_of_jobs(ledger, mixes, size=200).jobs:
        by_outcome.setdefault(job.outcome, []).append(job.id)
    assert set(by_outcome) == set(Outcome)
    assert sum(map(len, by_outcome.values())) == 125
    for outcome, jobs in by_outcome.items():
        page = history.page_of_jobs(ledger, replace(mixes, states=(outcome,)), size=200)
        assert ids(page) == jobs, outcome


def test_the_pages_of_a_filter_are_found_in_one_index(warehouse) -> None:
    with warehouse.owner.begin() as connection:
        connection.execute(sa.text(FILL), {"jobs": 5_000})
        connection.exec_driver_sql(WIDEN)
    with warehouse.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM FULL ANALYZE ledger.import_job"))
        connection.execute(sa.text("VACUUM ledger.import_job"))
    with warehouse.pages.connect() as connection:
        asked = []
        sa.event.listen(
            connection, "before_cursor_execute", lambda _, __, sql, parameters, *___: asked.append((sql, parameters))
        )
        for wanted in (ALL, JobFilter(TYPES, states=("cancelled",)), JobFilter(TYPES, name_part="nowhere")):
            history.page_of_jobs(connection, wanted)
        for sql, parameters in [
            query for query in asked if "FROM ledger.import_job" in query[0] and "LIMIT" in query[0]
        ]:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {sql}", parameters).scalars())
            assert "Index Only Scan Backward using import_job_list_idx" in plan
        assert len(asked) >= 3


def test_a_run_finds_its_job(ledger: Connection) -> None:
    assert history.find_by_run(ledger, "dag", "run 7") == 7
    assert history.find_by_run(ledger, "dag", "run 99") is None


REJECTS = """
INSERT INTO ledger.reject (job_id, line, chunk_number, byte_offset, byte_length, rules, reasons, fixed_by_job_id)
SELECT 3, number * 2, 1, 0, 1, 'balance.negative card_number.required', 'a value', CASE WHEN number <= 4 THEN 6 END
FROM generate_series(1, 10) AS number;
INSERT INTO ledger.import_job_parent VALUES (6, 3), (9, 3), (3, 1);
UPDATE ledger.import_job SET duplicate_of = 3 WHERE id IN (12, 13);
INSERT INTO ledger.import_chunk (
    job_id, number, byte_start, byte_end, first_line, rows_read, rows_staged, rows_rejected
) VALUES (3, 1, 100, 200, 2, 20, 18, 4), (3, 2, 200, 260, 22, NULL, NULL, NULL);
"""


def test_a_job_is_shown_with_its_progress_and_its_relations(ledger: Connection) -> None:
    """Source: X-09: open and fixed rows; while it runs, what has been read so far."""
    ledger.exec_driver_sql(REJECTS)
    details = history.details(ledger, 3)
    assert (details.rejects, details.fixed) == (4, 4)  # the ledger's rows of a running job may be ahead of its chunks
    assert details.progress == history.Progress(2, 1, 20, 4, 160, 100)
    assert (details.progress.rows_read, details.progress.rows_rejected) == (20, 4)
    assert [job.id for job in details.parents] == [1]
    assert [(job.id, job.fixed) for job in details.repairs] == [(9, 0), (6, 4)]
    assert [job.id for job in details.repeats] == [13, 12]
    assert details.original is None
    original = history.details(ledger, 13).original
    assert original is not None
    assert (original.id, original.state) == (3, State.FAILED)
    ledger.exec_driver_sql("UPDATE ledger.import_job SET rows_read = 30, rows_rejected = 10 WHERE id = 3")
    details = history.details(ledger, 3)
    assert (details.rejects, details.fixed, details.job.counts.read) == (10, 4, 30)


def test_there_is_no_job_of_another_number(ledger: Connection) -> None:
    with pytest.raises(LookupError):
        history.details(ledger, 99)


def test_rejected_rows_are_paged_by_line(ledger: Connection) -> None:
    ledger.exec_driver_sql(REJECTS)
    page = history.page_of_rejects(ledger, 3, size=4)
    assert [row.line for row in page.rows] == [2, 4, 6, 8]
    assert page.rows[0].rules == ["balance.negative", "card_number.required"]
    assert page.rows[0].fixed_by_job_id == 6
    assert page.after == 8
    page = history.page_of_rejects(ledger, 3, after=12, size=4)
    assert ([row.line for row in page.rows], page.after) == ([14, 16, 18, 20], None)
    page = history.page_of_rejects(ledger, 3, lines=[4, 5, 20])
    assert [row.line for row in page.rows] == [4, 20]
    assert history.page_of_rejects(ledger, 3, lines=[]) == history.RejectPage([], None)
