"""Filling pools of promo codes before they run out. Source: TU-01, TU-02, TU-04, TU-05."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from include.promo_codes import filling, generation, ledger, walk
from include.promo_codes.alerts import send_alerts
from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import CodeFormat, write_codes
from include.promo_codes.ledger import GenerationRequest
from include.promo_codes.levels import read_pool
from include.promo_codes.shortage import Pool, Stock, batches, find_shortage
from include.promo_codes.top_up import review_pools, top_up_pool
from tests.imports import CODE_KEY
from tests.integration.promo_codes import winner_of_deadlocks
from tests.integration.top_ups import (
    UPLOAD,
    add_codes,
    add_format,
    add_pool,
    alerts,
    available,
    generations,
    issue,
    issued_in_the_past,
    stock_of,
)

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(minutes=5)


@pytest.fixture
def runtime(site):
    return site.runtime


@pytest.fixture
def engine(warehouse):
    """The owner's, for what tests arrange and look at."""
    return warehouse.owner


def needs(engine, later=timedelta(0)):
    return {need.pool: need.reason for need in review_pools(engine, datetime.now(UTC) + later)}


# -- when


def pool(**changes):
    usual = Pool("p", "P", "active", False, "generate", "summer", 10, True, None, None, level=1)
    return replace(usual, **changes)


def stored_pool(engine, **changes):
    """Return a pool as the top-up reads it, with the level that the warehouse computes."""
    with engine.begin() as connection:
        return read_pool(connection, add_pool(connection, **changes))


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"top_up_threshold": 50, "notify_below": 20}, 50),
        ({"top_up_threshold": 20, "notify_below": 50}, 20),
        ({"notify_below": 20}, 20),
        ({}, 1),
    ],
)
def test_tu01_the_level_is_the_threshold_else_the_notification_level_else_the_last_code(engine, changes, level):
    lacking = stored_pool(engine, **changes)
    assert find_shortage(lacking, Stock(level), NOW) is None
    assert find_shortage(lacking, Stock(level - 1), NOW).target == level


@pytest.mark.parametrize("levels", [(0, None), (0, 50), (None, 0)])
def test_tu01_a_level_of_0_is_never_fallen_below(engine, levels):
    """Fewer than 0 are never available; the forecast may still ask for codes (TU-05)."""
    never = stored_pool(engine, top_up_threshold=levels[0], notify_below=levels[1])
    assert find_shortage(never, Stock(0), NOW) is None
    shortage = find_shortage(replace(never, lead_hours=24), stock_of(engine, 0, 10, NOW), NOW)
    assert (shortage.target, shortage.reason.split(" at ")[0]) == (11, "predicted to run out")


def test_tu01_a_pool_with_a_threshold_of_0_stays_empty(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, top_up_threshold=0)
    assert needs(runtime.engine) == {}
    assert top_up_pool(runtime, name).added == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "draft"},
        {"fill_method": "upload"},
        {"fill_method": None},
        {"auto_generate": False},
        {"multi_use": True},
    ],
)
def test_tu01_only_active_single_use_pools_that_generate_by_themselves_are_topped_up(changes):
    assert find_shortage(pool(), Stock(0), NOW) is not None
    assert find_shortage(pool(**changes), Stock(0), NOW) is None


@pytest.mark.parametrize(
    ("there", "level", "codes"),
    [(9, 10, 10), (0, 10, 10), (0, 11, 20), (0, 1000, 1000), (995, 1001, 10), (0, 1, 10)],
)
def test_tu01_the_pools_quantity_is_added_as_often_as_the_threshold_takes(there, level, codes):
    lacking = pool(level=level)
    assert batches(lacking, Stock(there), find_shortage(lacking, Stock(there), NOW)) == codes


def test_tu01_scheduled_codes_count_as_available_and_expired_ones_do_not(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5, top_up_threshold=5)
    assert top_up_pool(runtime, name).added == 5
    with engine.begin() as connection:
        connection.execute(text("UPDATE loyalty.promo_code SET issue_start = now() + interval '30 days'"))
    assert (needs(runtime.engine), top_up_pool(runtime, name).added) == ({}, 0)
    with engine.begin() as connection:
        connection.execute(
            text(
                """
                UPDATE loyalty.promo_code
                SET issue_start = NULL, issue_end = now()
                WHERE code = (SELECT min(code) FROM loyalty.promo_code)
                """
            )
        )
    done = top_up_pool(runtime, name)
    assert (done.added, done.reason) == (5, "4 available, below 5")


# -- what


def test_tu01_a_pool_is_filled_when_its_last_code_is_gone_and_not_before(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=3)
    assert needs(runtime.engine) == {name: "no code is available"}
    first = top_up_pool(runtime, name)
    assert (first.added, first.requested, first.available) == (3, 3, 3)
    with engine.begin() as connection:
        assert issue(connection, name, 2) == ["issued"] * 2
    assert needs(runtime.engine) == {}
    assert top_up_pool(runtime, name).added == 0
    with engine.begin() as connection:
        assert issue(connection, name, 2) == ["issued", "no_available_codes"]
    assert needs(runtime.engine) == {name: "no code is available"}
    assert top_up_pool(runtime, name).added == 3
    with engine.begin() as connection:
        assert issue(connection, name) == ["issued"]


def test_tu01_a_pool_below_its_threshold_is_filled_to_it(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=4, top_up_threshold=10)
    assert top_up_pool(runtime, name).available == 12
    with engine.begin() as connection:
        issue(connection, name, 2)
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        issue(connection, name)
    assert needs(runtime.engine) == {name: "9 available, below 10"}
    assert top_up_pool(runtime, name).available == 13


def test_tu04_the_reason_is_in_the_history_of_the_pool(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=4, top_up_threshold=3)
    top_up_pool(runtime, name, dag_id="top_up_promo_pools", dag_run_id="run 1")
    with engine.begin() as connection:
        issue(connection, name, 2)
    top_up_pool(runtime, name)
    with engine.connect() as connection:
        rows = generations(connection, name)
        assert [(row["state"], row["requested"], row["added"], row["reason"], row["launched_by"]) for row in rows] == [
            ("completed", 4, 4, "no code is available", "top-up"),
            ("completed", 4, 4, "2 available, below 3", "top-up"),
        ]
        assert (rows[0]["dag_id"], rows[0]["dag_run_id"]) == ("top_up_promo_pools", "run 1")
        assert rows[0]["started_at"] <= rows[0]["finished_at"]
        of_codes = connection.execute(
            text("SELECT generation_id, count(*) FROM loyalty.promo_code GROUP BY 1 ORDER BY 1")
        )
        assert of_codes.all() == [(rows[0]["id"], 4), (rows[1]["id"], 4)]


def test_a_pool_that_needs_nothing_is_not_named_by_the_review(engine, runtime):
    with engine.begin() as connection:
        add_pool(connection, "uploads", **UPLOAD)
        add_pool(connection, "draft", state="draft")
        add_pool(connection, "by_hand", auto_generate=False)
        add_pool(connection, "multi", multi_use=True)
    assert needs(runtime.engine) == {}
    for name in ("uploads", "draft", "by_hand", "multi"):
        assert top_up_pool(runtime, name).added == 0


def test_a_review_counts_pools_that_signal_and_leaves_settled_ones_alone(engine, runtime):
    """A pool without a fresh count signals at each issue: the review must give every active pool one."""
    with engine.begin() as connection:
        add_pool(connection, "uploads", **UPLOAD)
        add_codes(connection, "uploads", 5)
    counted = "SELECT counted_available, counted_at FROM loyalty.promo_code_pool_stock"
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        ((available_then, counted_at),) = connection.execute(text(counted)).all()
        assert available_then == 5
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        assert connection.execute(text(counted)).one().counted_at == counted_at
        connection.execute(text("UPDATE loyalty.promo_code_pool_stock SET valid_until = now() + interval '5 minutes'"))
    assert needs(runtime.engine) == {}
    with engine.connect() as connection:
        assert connection.execute(text(counted)).one().counted_at > counted_at


def test_tu01_a_take_that_is_not_committed_yet_counts_as_gone(engine, runtime):
    """Its own signal may have come before: nothing would report the last code again."""
    with engine.begin() as connection:
        name = add_pool(connection, quantity=2)
    top_up_pool(runtime, name)
    with engine.connect() as first, engine.connect() as second:
        issue(first, name)
        issue(second, name)
        second.commit()
        assert needs(runtime.engine) == {name: "no code is available"}
        assert top_up_pool(runtime, name).added == 2
        first.commit()


# -- the end of a format


def test_tu02_what_is_left_of_a_format_is_added_and_its_end_reported(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, format=add_format(connection), quantity=12)
    assert top_up_pool(runtime, name).raised == ()
    with engine.begin() as connection:
        issue(connection, name, 12)
    done = top_up_pool(runtime, name)
    assert (done.requested, done.added, done.available, done.raised) == (12, 4, 4, ("format_exhausted",))
    with engine.begin() as connection:
        assert [(row["requested"], row["added"]) for row in generations(connection, name)] == [(12, 12), (12, 4)]
        issue(connection, name, 4)
        assert alerts(connection, name) == [("format_exhausted", False, False)]
    send_alerts(runtime.engine, name, lambda alert: True, lambda: NOW)
    assert needs(runtime.engine) == {}  # nothing can be added, and the users know
    done = top_up_pool(runtime, name)
    assert (done.added, done.raised, done.recovered) == (0, (), ())
    with engine.begin() as connection:
        assert len(generations(connection, name)) == 2
        assert alerts(connection, name) == [("format_exhausted", True, False)]


def test_tu02_another_format_ends_the_alert(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, format=add_format(connection, max_codes=5), quantity=12)
    assert top_up_pool(runtime, name).raised == ("format_exhausted",)
    send_alerts(runtime.engine, name, lambda alert: True, lambda: NOW)
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        connection.execute(text("UPDATE loyalty.promo_code_pool SET format = 'summer'"))
    assert needs(runtime.engine) == {name: "format_exhausted is over"}
    done = top_up_pool(runtime, name)
    assert (done.added, done.recovered, done.available) == (0, ("format_exhausted",), 5)
    with engine.begin() as connection:
        issue(connection, name, 5)
    assert top_up_pool(runtime, name).added == 12


def test_tu02_a_format_that_uploads_have_filled_gives_only_what_is_free(engine, runtime):
    with engine.begin() as connection:
        add_format(connection)
        add_pool(connection, "uploads", **UPLOAD)
        add_codes(connection, "uploads", 1)
        connection.execute(
            text(
                """
                INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id)
                SELECT 'T-' || a || b || c || d, 'uploads', (SELECT max(id) FROM ledger.import_job)
                FROM unnest('{A,B}'::text[]) AS a, unnest('{A,B}'::text[]) AS b, unnest('{A,B}'::text[]) AS c,
                    unnest('{A,B}'::text[]) AS d
                LIMIT 13
                """
            )
        )
        name = add_pool(connection, format="tiny", quantity=5)
    done = top_up_pool(runtime, name)
    assert (done.requested, done.added, done.raised) == (5, 3, ("format_exhausted",))


def test_two_pools_that_share_a_format_share_its_end(engine, runtime):
    """Source: TU-02, PG-02."""
    with engine.begin() as connection:
        add_format(connection)
        for name in ("a", "b"):
            add_pool(connection, name, format="tiny", quantity=10)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda name: top_up_pool(runtime, name), ("a", "b")))
    assert sorted(result.added for result in done) == [6, 10]
    assert sorted(result.raised for result in done) == [(), ("format_exhausted",)]


# -- side by side


def test_tu02_two_top_ups_at_once_make_one_batch(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=50, top_up_threshold=40)
    start = threading.Barrier(4)

    def run(_):
        start.wait(10)
        return top_up_pool(runtime, name)

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(run, range(4)))
    assert sorted(result.added for result in done) == [0, 0, 0, 50]
    with engine.connect() as connection:
        assert available(connection, name) == 50
        assert len(generations(connection, name)) == 1


def test_tu02_a_top_up_waits_for_one_that_is_not_committed_and_then_adds_nothing(engine, runtime, monkeypatch):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)
    has_filled, may_commit = threading.Event(), threading.Event()
    generate = filling.generate_into

    def generate_slowly(*arguments, **named):
        added = generate(*arguments, **named)
        has_filled.set()
        assert may_commit.wait(20)
        return added

    monkeypatch.setattr(filling, "generate_into", generate_slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(top_up_pool, runtime, name)
        assert has_filled.wait(10)
        assert needs(runtime.engine) == {}  # another top-up is at it; its commit signals the pool
        second = threads.submit(top_up_pool, runtime, name)
        with pytest.raises(TimeoutError):
            second.result(0.5)
        may_commit.set()
        assert (first.result(20).added, second.result(20).added) == (5, 0)


def test_a_top_up_waits_for_a_generation_that_a_user_has_started_and_then_adds_nothing(engine, runtime, monkeypatch):
    """Source: TU-02, PG-01: the form's codes and settings count."""
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)
    asked = GenerationRequest(name, quantity=8, run_key="form 1", launched_by="somebody", reason="form")
    number = generation.open_generation(runtime, asked)
    has_filled, may_commit = threading.Event(), threading.Event()
    generate = generation.generate_into

    def generate_slowly(*arguments, **named):
        added = generate(*arguments, **named)
        has_filled.set()
        assert may_commit.wait(20)
        return added

    monkeypatch.setattr(generation, "generate_into", generate_slowly)
    with ThreadPoolExecutor(2) as threads:
        form = threads.submit(generation.run_generation, runtime, number)
        assert has_filled.wait(10)
        waiting = threads.submit(top_up_pool, runtime, name)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        may_commit.set()
        assert (form.result(20).added, waiting.result(20).added) == (8, 0)


def test_codes_are_handed_out_while_a_top_up_goes_on(engine, runtime, monkeypatch):
    """Source: PG-05: a top-up locks the pool, and nobody who takes codes may wait for it."""
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5, top_up_threshold=5)
    top_up_pool(runtime, name)
    with engine.begin() as connection:
        issue(connection, name)
    generate = filling.generate_into
    results = []

    def generate_and_issue(*arguments, **named):
        added = generate(*arguments, **named)
        with engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            results.extend(issue(other, name, 5))
        return added

    monkeypatch.setattr(filling, "generate_into", generate_and_issue)
    assert top_up_pool(runtime, name).added == 5
    assert results == ["issued"] * 4 + ["no_available_codes"]
    with engine.begin() as connection:
        assert available(connection, name) == 5


def history(connection, pool):
    """Return the states of the pool's generations as the history shows them, oldest first."""
    shown = "SELECT state FROM loyalty.promo_code_pool_history WHERE pool_system_id = :pool ORDER BY number"
    return connection.execute(text(shown), {"pool": pool}).scalars().all()


def test_pg04_a_top_up_is_shown_as_running_before_its_codes_are_made(engine, runtime, monkeypatch):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)
    generate, seen = filling.generate_into, []

    def look_and_generate(*arguments, **named):
        with engine.begin() as other:
            seen.extend((row["state"], row["reason"], row["requested"]) for row in generations(other, name))
            seen.extend(history(other, name))
        ledger.settle_interrupted(runtime.engine)  # settling leaves it alone
        return generate(*arguments, **named)

    monkeypatch.setattr(filling, "generate_into", look_and_generate)
    assert top_up_pool(runtime, name).added == 5
    assert seen == [("running", "no code is available", 5), "running"]
    with engine.connect() as connection:
        assert [(row["state"], row["added"]) for row in generations(connection, name)] == [("completed", 5)]


def test_pg04_a_top_up_whose_process_is_gone_is_shown_as_failed_settled_and_made_good_once(
    engine, runtime, monkeypatch
):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)

    def die(*_, **__):
        raise KeyboardInterrupt  # which nothing records, as if the process had been killed

    with monkeypatch.context() as patched:
        patched.setattr(filling, "generate_into", die)
        with pytest.raises(KeyboardInterrupt):
            top_up_pool(runtime, name)
    with engine.connect() as connection:
        assert [row["state"] for row in generations(connection, name)] == ["running"]
        assert history(connection, name) == ["failed"]
    assert needs(runtime.engine) == {name: "no code is available"}
    with engine.connect() as connection:
        ((state, rule, is_over),) = [
            (row["state"], row["refusal_rule"], row["finished_at"] is not None) for row in generations(connection, name)
        ]
        assert (state, rule, is_over) == ("failed", "generation.interrupted", True)
    assert [top_up_pool(runtime, name).added for _ in range(2)] == [5, 0]
    with engine.connect() as connection:
        assert history(connection, name) == ["failed", "completed"]
        assert available(connection, name) == 5


def test_pg04_a_top_up_settles_its_pools_interrupted_generations_of_any_kind(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)
    asked = GenerationRequest(name, quantity=8, run_key="form 1", launched_by="somebody", reason="form")
    number = generation.open_generation(runtime, asked)
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger.promo_code_generation SET state = 'running'"))
    assert top_up_pool(runtime, name).added == 5
    with engine.connect() as connection:
        assert history(connection, name) == ["failed", "completed"]
    assert generation.run_generation(runtime, number).added == 8  # its own repetition still adds it, once
    with engine.connect() as connection:
        assert history(connection, name) == ["completed", "completed"]


def test_a_top_up_that_a_deadlock_ends_is_repeated_and_adds_once(warehouse, engine, runtime, monkeypatch):
    """Source: PG-03, TU-02: an upload beside it adds codes of the same space in another order."""
    with engine.begin() as connection:
        name = add_pool(connection, format=add_format(connection), quantity=14)
        add_pool(connection, "uploads", **UPLOAD)
    tiny = CodeFormat("tiny", "AB", 6, "T-")
    key = tiny.key(CODE_KEY)
    first, *_, last = write_codes(tiny, key, tiny.permutation(key).numbers(0, 5), "\n").decode().split()
    add = text("INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES (:code, 'uploads', 1)")
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    monkeypatch.setattr(walk, "BATCH_CODES", 1)
    with ThreadPoolExecutor(1) as threads, winner_of_deadlocks(warehouse) as connection:
        connection.execute(add, {"code": last})
        running = threads.submit(top_up_pool, runtime, name)
        while not connection.execute(text(waiting)).all():
            assert not running.done()
        connection.execute(add, {"code": first})  # returns when PostgreSQL has ended the top-up's transaction
        connection.commit()
        assert running.result(30).added == 14
    with engine.connect() as connection:
        assert [(row["state"], row["added"]) for row in generations(connection, name)] == [
            ("failed", None),
            ("completed", 14),
        ]
        assert available(connection, name) == 14


def test_tu02_codes_that_uploads_take_in_the_midst_of_a_top_up_end_it(engine, runtime, monkeypatch):
    with engine.begin() as connection:
        name = add_pool(connection, format=add_format(connection), quantity=12)
        add_pool(connection, "uploads", **UPLOAD)
    uploaded = text(
        """
        INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id)
        SELECT 'T-' || a || b || c || d, 'uploads', 1
        FROM unnest('{A,B}'::text[]) AS a, unnest('{A,B}'::text[]) AS b, unnest('{A,B}'::text[]) AS c,
            unnest('{A,B}'::text[]) AS d
        """
    )
    generate = filling.generate_into

    def be_overtaken(*arguments, **named):
        with engine.begin() as other:
            other.execute(uploaded)
        return generate(*arguments, **named)

    monkeypatch.setattr(filling, "generate_into", be_overtaken)
    done = top_up_pool(runtime, name)
    assert (done.added, done.raised, done.refusal) == (0, ("format_exhausted",), None)
    with engine.connect() as connection:
        assert [(row["state"], row["added"]) for row in generations(connection, name)] == [("completed", 0)]


def test_a_top_up_that_is_refused_again_and_again_in_its_midst_is_one_refused_generation(engine, runtime, monkeypatch):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)

    def refuse(*_, **__):
        raise GenerationRefused("generation.not_enough_codes", "Others were faster.")

    monkeypatch.setattr(filling, "generate_into", refuse)
    assert top_up_pool(runtime, name).refusal == ("generation.not_enough_codes", "Others were faster.")
    with engine.connect() as connection:
        assert [(row["state"], row["refusal_message"]) for row in generations(connection, name)] == [
            ("refused", "Others were faster.")
        ]


def test_a_top_up_that_fails_half_way_leaves_no_code_and_the_next_one_adds_once(engine, runtime, monkeypatch):
    """Source: PG-03, PG-04."""
    with engine.begin() as connection:
        name = add_pool(connection, quantity=5)
    generate = filling.generate_into

    def generate_and_fail(*arguments, **named):
        generate(*arguments, **named)
        raise ConnectionError("no")

    monkeypatch.setattr(filling, "generate_into", generate_and_fail)
    with pytest.raises(ConnectionError):
        top_up_pool(runtime, name)
    with engine.connect() as connection:
        assert available(connection, name) == 0
        ((state, message),) = [(row["state"], row["refusal_message"]) for row in generations(connection, name)]
        assert (state, message) == ("failed", "ConnectionError")
    monkeypatch.undo()
    assert top_up_pool(runtime, name).added == 5
    with engine.connect() as connection:
        assert available(connection, name) == 5
        assert [row["state"] for row in generations(connection, name)] == ["failed", "completed"]


# -- what can't be


@pytest.mark.parametrize(
    ("changes", "key", "rule"),
    [
        ({"format": None}, b"key", "generation.no_format"),
        ({}, None, "generation.no_key"),
        ({}, b"another key", "generation.wrong_key"),
    ],
)
def test_a_refusal_is_reported_recorded_once_and_alerts_are_judged_anyway(engine, runtime, changes, key, rule):
    """Source: TU-03, PG-03, PG-04."""
    with engine.begin() as connection:
        add_pool(connection, "first")
        name = add_pool(connection, notify_below=3, **changes)
    top_up_pool(runtime, "first")  # under the runtime's own key
    other = replace(runtime, code_key=key)
    done = top_up_pool(other, name)
    assert done.refusal[0] == rule
    assert (done.added, done.raised) == (0, ("low_stock",))
    top_up_pool(other, name)
    with engine.connect() as connection:
        ((state, recorded),) = [(row["state"], row["refusal_rule"]) for row in generations(connection, name)]
        assert (state, recorded) == ("refused", rule)
    assert name in needs(runtime.engine)  # until it is fixed


@pytest.fixture
def limited(runtime, tmp_path):
    """The runtime of a project that generates at most 25 codes at once."""
    project = tmp_path / "project.yaml"
    project.write_text(f"{runtime.project_file.read_text(encoding='utf-8')}\nmax_generation: 25\n")
    return replace(runtime, project_file=project)


@pytest.mark.parametrize(
    ("quantity", "threshold", "parts"),
    [
        (10, 61, [20, 20, 20, 10]),
        (25, 50, [25, 25]),
        (7, 20, [21]),
        (999_999_999_999_999_999, 60, [25, 25, 25]),
        (999_999_999_999_999_999, None, [25]),
    ],
)
def test_pp02_no_transaction_of_a_top_up_adds_more_codes_than_the_project_allows(
    engine, limited, quantity, threshold, parts
):
    """TU-01: batches are repeated until the threshold is met; pools of former days may have any quantity."""
    with engine.begin() as connection:
        name = add_pool(connection, quantity=quantity, top_up_threshold=threshold, notify_below=threshold)
    done = top_up_pool(limited, name)
    assert (done.added, done.requested, done.available, done.raised) == (sum(parts), sum(parts), sum(parts), ())
    with engine.begin() as connection:
        rows = connection.execute(
            text("SELECT requested, added, state FROM ledger.promo_code_generation ORDER BY id")
        ).all()
    assert [tuple(row) for row in rows] == [(part, part, "completed") for part in parts]
    assert needs(engine) == {}


def test_pp02_a_format_that_is_exhausted_within_several_transactions_says_so_once(engine, limited):
    with engine.begin() as connection:
        add_format(connection, alphabet="ABC", prefix="T-", length=5)  # 27 codes
        name = add_pool(connection, format="tiny", quantity=10, top_up_threshold=50)
    done = top_up_pool(limited, name)
    assert (done.added, done.raised) == (27, ("format_exhausted",))


def test_an_unknown_pool_is_named(runtime):
    with pytest.raises(LookupError, match="no_such_pool"):
        top_up_pool(runtime, "no_such_pool")


# -- forecast


@pytest.mark.parametrize(
    ("there", "daily", "lead_hours", "is_near"),
    [(20, 10, 48, True), (21, 10, 48, False), (0, 10, 1, True), (9, None, 999, False)],
)
def test_tu05_a_pool_whose_run_out_falls_within_its_lead_is_topped_up(engine, there, daily, lead_hours, is_near):
    shortage = find_shortage(pool(lead_hours=lead_hours), stock_of(engine, there, daily, NOW), NOW)
    assert ("predicted" in shortage.reason if shortage else False) is is_near


def test_tu05_the_batches_reach_beyond_the_lead(engine):
    lacking, stock = pool(lead_hours=72, quantity=7), stock_of(engine, 10, 20, NOW)
    shortage = find_shortage(lacking, stock, NOW)
    assert shortage.reason == "predicted to run out at 2026-03-02 00:00 UTC, within 72 hours"
    codes = batches(lacking, stock, shortage)
    assert codes == 56  # 60 go in 72 hours: 61 reach further, and 10 are there
    assert find_shortage(lacking, stock_of(engine, 10 + codes, 20, NOW), NOW) is None


def test_tu05_a_forecast_so_far_away_that_no_date_has_it_is_none(engine):
    assert stock_of(engine, 10**12, 0.07, NOW).run_out_within(100, NOW) is None


def test_tu05_a_pool_is_topped_up_before_it_runs_out_by_the_issues_of_the_last_days(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, quantity=10, lead_hours=30, top_up_threshold=75)
    assert top_up_pool(runtime, name).available == 80
    with engine.begin() as connection:
        connection.execute(text("UPDATE loyalty.promo_code_pool SET top_up_threshold = NULL"))
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        issued_in_the_past(connection, name, days=5, daily=15)
    assert needs(runtime.engine) == {}  # a forecast is looked at every few minutes
    reason = needs(runtime.engine, TICK)[name]
    assert reason.startswith("predicted to run out at ")
    assert reason.endswith("within 30 hours")
    done = top_up_pool(runtime, name)
    assert (done.added, done.available) == (20, 25)  # 15 go a day, so 18.75 within the lead, and 5 were left
    assert needs(runtime.engine, TICK) == {}


def test_tu05_without_three_days_of_history_nothing_is_predicted(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, lead_hours=2400)
    top_up_pool(runtime, name)
    with engine.begin() as connection:
        issue(connection, name, 9)
    assert needs(runtime.engine, TICK) == {}


def test_reviews_and_top_ups_side_by_side_never_stop_each_other(engine, runtime):
    """No deadlock: a lock that a review holds while it counts could be one that a top-up wants for its count."""
    names = ["a", "b"]
    with engine.begin() as connection:
        for name in names:
            add_pool(connection, name, quantity=3, top_up_threshold=3)

    def drain_and_fill(name):
        for _ in range(15):
            with engine.begin() as connection:
                issue(connection, name, 2)
            top_up_pool(runtime, name)

    def review(_):
        for _ in range(15):
            needs(runtime.engine)

    with ThreadPoolExecutor(5) as threads:
        running = [threads.submit(drain_and_fill, name) for name in names]
        running += [threads.submit(review, number) for number in range(3)]
        for future in running:
            future.result(60)
    with engine.connect() as connection:
        assert all(available(connection, name) >= 3 for name in names)
