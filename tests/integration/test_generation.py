"""Generating promo codes into pools. Source: PG-01, PG-02, PG-03, PG-04."""

from __future__ import annotations

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg2
import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError, WarehouseConflict, WarehouseUnavailable
from include.promo_codes import generation, ledger, walk
from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import CodeFormat, rotate_key, write_codes
from include.promo_codes.generation import open_generation, run_generation
from include.promo_codes.ledger import GenerationRequest, GenerationResult, GenerationState
from include.promo_codes.walk import Added, Walk, generate_into
from tests.imports import CODE_KEY
from tests.integration.promo_codes import Shop, make_shop, winner_of_deadlocks

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration

TINY = ["".join(characters) for characters in itertools.product("ABC", repeat=4)]
OTHER_KEY = b"another master key"


@pytest.fixture
def shop(warehouse: Warehouse) -> Shop:
    """A warehouse with the format `tiny`, 81 codes of ABC, and the pools `pool` and `other`."""
    shop = make_shop(warehouse)
    shop.add_format()
    shop.add_pool("pool", format="tiny")
    shop.add_pool("other", format="tiny")
    return shop


def pool_row(shop: Shop, pool: str = "pool") -> tuple:
    query = "SELECT fill_method, format, quantity, auto_generate FROM loyalty.promo_code_pool WHERE system_id = :pool"
    return shop.query(query, pool=pool)[0]


def nothing_written(shop: Shop) -> bool:
    return (shop.codes(), shop.format_row()) == ([], (0, 0)) and pool_row(shop) == (None, "tiny", None, False)


# -- PP-02: how many at once


def test_pp02_more_codes_than_the_project_allows_at_once_are_refused_and_are_in_the_history(shop: Shop, tmp_path: Path):
    project = tmp_path / "project.yaml"
    project.write_text(f"{shop.runtime.project_file.read_text(encoding='utf-8')}\nmax_generation: 20\n")
    strict = replace(shop, runtime=replace(shop.runtime, project_file=project))
    result = strict.generate("pool", 21)
    assert (result.state, result.refusal["rule"]) == ("refused", "generation.over_limit")
    assert "21 codes were asked for, more than the project's max_generation = 20" in result.refusal["message"]
    assert nothing_written(shop)
    assert strict.generate("pool", 20).state == "completed"
    with shop.runtime.engine.connect() as connection:
        foreseen = [
            generation.predict_refusal(
                connection, pool="pool", quantity=quantity, format_name=None, key=CODE_KEY, most=20
            )
            for quantity in (20, 21)
        ]
    assert foreseen[0] is None
    assert foreseen[1].rule == "generation.over_limit"


# -- PG-01: the form, saved with the codes


def test_pg01_the_form_is_saved_on_the_pool_with_the_codes(shop: Shop):
    result = shop.generate("pool", 10, format="summer", auto_generate=True)
    assert (result.state, result.format, result.requested, result.added) == ("completed", "summer", 10, 10)
    assert pool_row(shop) == ("generate", "summer", 10, True)
    assert all(re.fullmatch("S-[A-HJ-NP-Z2-9]{8}", code) for code in shop.codes("pool"))
    assert shop.query("SELECT DISTINCT pool_system_id, generation_id FROM loyalty.promo_code") == [("pool", result.id)]


def test_pg01_what_the_form_leaves_open_stays_as_the_pool_has_it(shop: Shop):
    shop.generate("pool", 10, format="summer", auto_generate=True)
    shop.generate("pool", 7)
    assert pool_row(shop) == ("generate", "summer", 7, True)
    shop.generate("pool", 3, auto_generate=False)
    assert pool_row(shop) == ("generate", "summer", 3, False)
    assert len(shop.codes("pool")) == 20


def test_pg01_settings_and_codes_are_written_together_or_not_at_all(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(walk, "write_progress", fail)  # after the codes
        with pytest.raises(OSError, match="no more"):
            shop.generate("pool", 10, auto_generate=True)
    assert nothing_written(shop)
    query = "SELECT state, refusal_rule, refusal_message FROM ledger.promo_code_generation"
    assert shop.query(query) == [("failed", "generation.failed", "OSError")]  # whose text might quote a code


def test_pg01_a_draft_and_an_active_pool_take_codes_alike(shop: Shop):
    shop.query("UPDATE loyalty.promo_code_pool SET description = 'd', state = 'active' WHERE system_id = 'other'")
    assert [shop.generate(pool, 5).added for pool in ("pool", "other")] == [5, 5]


def test_a_pool_that_was_to_be_filled_by_upload_is_switched_until_its_first_code(shop: Shop):
    """Source: PP-02."""
    shop.query("UPDATE loyalty.promo_code_pool SET fill_method = 'upload'")
    assert shop.generate("pool", 5).added == 5
    assert pool_row(shop)[0] == "generate"
    shop.upload("other", "UPLOADED")
    refused = shop.generate("other", 5)
    assert refused.refusal is not None
    assert refused.refusal["rule"] == "generation.upload_pool"
    assert shop.codes("other") == ["UPLOADED"]


# -- PG-02: available codes for generation


def test_pg02_two_pools_on_one_format_see_one_shrinking_figure(shop: Shop):
    figures = [shop.available()]
    for pool, quantity in (("pool", 20), ("other", 30), ("pool", 1)):
        shop.generate(pool, quantity)
        figures.append(shop.available())
    assert figures == [81, 61, 31, 30]
    refused = shop.generate("other", 31)
    assert (refused.state, refused.added) == ("refused", None)
    assert "30 available" in (refused.refusal or {})["message"]
    assert len(shop.codes("other")) == 30


def test_pg02_the_quantity_may_equal_the_available_figure_and_never_exceed_it(shop: Shop):
    refused = shop.generate("pool", 82)
    assert refused.refusal is not None
    assert refused.refusal["rule"] == "generation.not_enough_codes"
    assert "81 available" in refused.refusal["message"]
    assert "larger code space" in refused.refusal["message"]
    assert nothing_written(shop)
    assert shop.generate("pool", 81).added == 81
    assert (shop.codes(), shop.available()) == (TINY, 0)
    assert shop.generate("other", 1).state == "refused"


def test_pg02_the_limit_of_a_format_counts_what_was_generated_for_all_pools(shop: Shop):
    shop.add_format("few", "01", 10, max_codes=50)
    assert shop.available("few") == 50
    assert shop.generate("pool", 51, format="few").state == "refused"
    assert shop.generate("pool", 30, format="few").added == 30
    assert shop.generate("other", 21, format="few").state == "refused"
    assert shop.generate("other", 20, format="few").added == 20
    assert shop.available("few") == 0


def test_pg02_uploaded_codes_in_the_space_count_and_are_skipped(shop: Shop):
    shop.add_pool("uploads")
    shop.upload("uploads", *TINY[10:30], "ABCD", "AB", "abca", "AAAAA")  # the last four are outside
    assert shop.available() == 61
    refused = shop.generate("pool", 62)
    assert refused.refusal is not None
    assert "61 available" in refused.refusal["message"]
    result = shop.generate("pool", 61)
    assert (result.added, result.generated, shop.available()) == (61, 81, 0)
    assert shop.codes("pool") == TINY[:10] + TINY[30:]


def test_pg02_uploads_take_the_space_and_not_the_limit(shop: Shop):
    shop.add_format("few", "01", 10, max_codes=50)
    shop.add_pool("uploads")
    shop.upload("uploads", *(f"{number:010b}" for number in range(1_000)))
    assert shop.available("few") == 24
    assert shop.generate("pool", 25, format="few").state == "refused"
    assert shop.generate("pool", 24, format="few").added == 24


def test_pg02_formats_that_share_codes_see_each_others(shop: Shop):
    shop.add_format("overlapping", "ABCD", 4)
    shop.generate("pool", 81)
    assert shop.available("overlapping") == 256 - 81
    assert shop.generate("other", 175, format="overlapping").added == 175
    assert len(shop.codes()) == 256


def test_pg02_of_two_generations_at_once_that_cannot_both_have_their_codes_one_is_refused(shop: Shop):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: shop.generate(name, 50), ["pool", "other"]))
    assert sorted(result.state for result in results) == ["completed", "refused"]
    assert (len(shop.codes()), shop.available()) == (50, 31)


def test_pg02_generations_side_by_side_share_a_space_without_a_duplicate_or_a_gap(shop: Shop):
    with ThreadPoolExecutor(9) as pool:
        results = list(pool.map(lambda number: shop.generate(("pool", "other")[number % 2], 9), range(9)))
    assert [result.added for result in results] == [9] * 9
    assert (shop.codes(), shop.available(), shop.format_row()) == (TINY, 0, (81, 81))


def test_pg02_an_upload_under_way_is_waited_for_and_then_counted(shop: Shop):
    """The generation has counted 81 available before the upload commits one of them: refused, nothing written."""
    shop.add_pool("uploads")
    with ThreadPoolExecutor(1) as pool, shop.runtime.engine.connect() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES ('ABCA', 'uploads', 1)"
            )
        )
        running = pool.submit(shop.generate, "pool", 81)
        wait_for_a_lock(shop)
        connection.commit()
        refused = running.result(timeout=30)
    assert refused.refusal is not None
    assert (refused.refusal["rule"], shop.codes("pool")) == ("generation.not_enough_codes", [])
    assert "80 available" in refused.refusal["message"]
    assert shop.generate("pool", 80).added == 80


WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def wait_for_a_lock(shop: Shop, waiting: str = WAITING) -> None:
    for _ in range(1_000):
        if shop.query(waiting):
            return
        threading.Event().wait(0.01)
    raise AssertionError("nothing waits for a lock")


# -- PG-03: unique, unpredictable, never slower, once


def test_pg03_all_of_a_small_space_is_generated_in_parts_with_no_duplicate(shop: Shop):
    for quantity in (1, 2, 3, 5, 8, 13, 21, 28):
        assert shop.generate("pool", quantity).added == quantity
    assert shop.codes() == TINY


def test_pg03_a_larger_space_is_used_up_in_several_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(walk, "BATCH_CODES", 7_000)
    shop.add_format("four", "0123456789ABCDEFGHI", 4)
    everything = 19**4
    parts = [100_000, everything - 100_000]
    assert [shop.generate("pool", part, format="four").added for part in parts] == parts
    ((codes, distinct),) = shop.query("SELECT count(*), count(DISTINCT code) FROM loyalty.promo_code")
    assert (codes, distinct, shop.available("four")) == (everything, everything, 0)


def test_pg03_a_space_nearly_used_up_by_uploads_gives_its_last_codes_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """Five codes are left of 160,000: found in a walk of few statements, not by one attempt after the other."""
    shop.add_format("four", "0123456789ABCDEFGHIJ", 4)
    shop.add_pool("uploads")
    everything = ["".join(characters) for characters in itertools.product("0123456789ABCDEFGHIJ", repeat=4)]
    left = set(everything[::40_000]) | {everything[-1]}
    shop.upload("uploads", *(code for code in everything if code not in left))
    batches = []
    real = Walk._add_new

    def counted(walker: Walk, count: int, missing: int) -> None:
        batches.append(count)
        real(walker, count, missing)

    monkeypatch.setattr(Walk, "_add_new", counted)
    assert shop.generate("pool", 2, format="four").added == 2
    assert shop.generate("pool", 3, format="four").added == 3
    assert (set(shop.codes("pool")), shop.available("four")) == (left, 0)
    assert len(batches) < 8


def test_pg03_another_key_gives_other_codes_and_the_same_key_the_same(shop: Shop):
    """The counter and the key decide, not chance."""
    shop.generate("pool", 1_000, format="summer")
    first = shop.codes("pool")
    with shop.warehouse.admin.connect() as connection:  # the same space as if it were empty, under both keys
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        codes = {}
        for key in (shop.runtime.code_key, OTHER_KEY):
            connection.execute(sa.text("DELETE FROM loyalty.promo_code"))
            connection.execute(sa.text("DELETE FROM loyalty.promo_code_format_use"))
            connection.execute(
                sa.text("UPDATE loyalty.promo_code_format SET next_index = 0, generated = 0, key_fingerprint = NULL")
            )
            generate_into(connection, pool="pool", format="summer", quantity=1_000, generation_id=1, key=key or b"")
            codes[key] = set(connection.scalars(sa.text("SELECT code FROM loyalty.promo_code")))
        connection.rollback()
    assert codes[shop.runtime.code_key] == set(first)
    assert not codes[OTHER_KEY] & set(first)


@pytest.mark.parametrize("rare_collisions", [0.1, 0.0], ids=["copied", "beside uploaded codes"])
def test_pg03_the_ranks_of_codes_issued_one_after_the_other_are_not_correlated(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, rare_collisions: float
):
    """Who is handed a code learns nothing of the next one."""
    monkeypatch.setattr(walk, "RARE_COLLISIONS", rare_collisions)
    shop.add_pool("uploads")
    shop.upload("uploads", "S-AAAAAAAA")
    shop.generate("pool", 2_000, format="summer")
    shop.query("UPDATE loyalty.promo_code_pool SET description = 'd', state = 'active' WHERE system_id = 'pool'")
    in_table = shop.query("SELECT code FROM loyalty.promo_code WHERE pool_system_id = 'pool' ORDER BY ctid")
    issued = [shop.query("SELECT code FROM loyalty.issue_promo_code('pool', 'x')")[0] for _ in range(1_000)]
    for codes in (in_table, issued):
        ranks = np.argsort(np.argsort([code for (code,) in codes])).astype(float)
        assert abs(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]) < 3 / np.sqrt(len(codes) - 1)


def test_pg03_repeating_a_generation_adds_the_quantity_once(shop: Shop):
    number = shop.open("pool", 10)
    results = [run_generation(shop.runtime, number) for _ in range(3)]
    assert results == [results[0]] * 3
    assert (len(shop.codes()), shop.format_row()) == (10, (10, 10))


def test_pg03_asking_again_with_the_same_key_is_the_same_generation(shop: Shop):
    assert shop.open("pool", 10, run_key="dag/run") == shop.open("pool", 10, run_key="dag/run")
    assert shop.open("pool", 10, run_key="dag/run") != shop.open("pool", 10, run_key="dag/other run")
    assert shop.query("SELECT count(*) FROM ledger.promo_code_generation") == [(2,)]


def test_pg03_two_processes_that_run_one_generation_add_the_quantity_once(shop: Shop):
    number = shop.open("pool", 10)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: run_generation(shop.runtime, number), range(4)))
    assert {(result.state, result.added) for result in results} == {(GenerationState.COMPLETED, 10)}
    assert (len(shop.codes()), shop.format_row()) == (10, (10, 10))


def test_pg03_a_process_that_fails_late_does_not_undo_what_another_one_has_completed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    number = shop.open("pool", 10)
    real = ledger.fail_afterwards

    def overtaken(*args: object) -> GenerationResult:
        assert run_generation(shop.with_key(b"key").runtime, number).added == 10
        return real(*args)

    monkeypatch.setattr(ledger, "fail_afterwards", overtaken)
    with pytest.raises(ConfigurationError):
        run_generation(shop.with_key(None).runtime, number)
    assert history(shop) == [("completed", 10, 10, 10)]


def test_pg03_under_another_key_generation_is_refused_until_the_key_is_rotated(shop: Shop):
    shop.generate("pool", 40)
    before = shop.codes()
    changed = shop.with_key(OTHER_KEY)
    refused = changed.generate("pool", 10)
    assert refused.refusal is not None
    assert refused.refusal["rule"] == "generation.wrong_key"
    assert "rotate-code-key tiny" in refused.refusal["message"]
    assert (shop.codes(), shop.format_row()) == (before, (40, 40))
    assert shop.generate("pool", 1).added == 1  # the old key still goes on

    with shop.runtime.engine.begin() as connection:
        assert rotate_key(connection, "tiny", OTHER_KEY) is True
    assert shop.format_row() == (0, 41)
    assert shop.generate("pool", 1).state == "refused"
    result = changed.generate("pool", 40)
    assert (result.added, changed.available()) == (40, 0)
    assert result.generated is not None
    assert result.generated > 40  # those of the old key are skipped
    assert changed.codes() == TINY


def test_pg03_rotating_to_the_same_key_or_before_the_first_code_changes_nothing(shop: Shop):
    with shop.runtime.engine.begin() as connection:
        assert rotate_key(connection, "tiny", OTHER_KEY) is False
    assert shop.generate("pool", 10).added == 10
    with shop.runtime.engine.begin() as connection:
        assert rotate_key(connection, "tiny", shop.runtime.code_key or b"") is False
        with pytest.raises(GenerationRefused, match="unknown_format"):
            rotate_key(connection, "nowhere", OTHER_KEY)
    assert shop.format_row() == (10, 10)


def test_pg03_the_limit_counts_the_codes_of_all_keys(shop: Shop):
    shop.add_format("few", "01", 10, max_codes=50)
    shop.generate("pool", 30, format="few")
    with shop.runtime.engine.begin() as connection:
        rotate_key(connection, "few", OTHER_KEY)
    assert shop.available("few") == 20
    assert shop.with_key(OTHER_KEY).generate("pool", 21).state == "refused"
    assert shop.with_key(OTHER_KEY).generate("pool", 20).added == 20


def test_pg03_a_code_that_came_from_elsewhere_is_met_in_the_midst_of_a_run_and_skipped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """The odds of meeting it are small, so the run is written as if it weren't there, taken back and written again."""
    monkeypatch.setattr(walk, "BATCH_CODES", 100)
    monkeypatch.setattr(walk, "RARE_COLLISIONS", 1.0)
    shop.add_format("four", "0123456789", 4)
    shop.add_pool("uploads")
    met = shop.generate("pool", 1_000, format="four")
    assert met.generated == 1_000
    numbers = {f"{number:04}" for number in range(10_000)}
    shop.upload("uploads", *sorted(numbers - set(shop.codes()))[:1])
    added = sum(shop.generate("pool", 1_000, format="four").added or 0 for _ in range(8))
    result = shop.generate("pool", 999, format="four")
    assert (added, result.added, set(shop.codes())) == (8_000, 999, numbers)
    assert shop.format_row("four") == (10_000, 9_999)


@pytest.mark.parametrize(
    ("alphabet", "prefix", "pool"),
    [("ab\\", "\\", "back\\slash"), ("аб€𐍈", "{}%s", "tab\tnewline\n"), ("'\";", "--", "'; DROP TABLE x; --")],
)
def test_codes_of_any_characters_in_pools_of_any_name(shop: Shop, alphabet: str, prefix: str, pool: str):
    length = len(prefix) + 4
    shop.add_format("odd", alphabet, length, prefix=prefix)
    shop.add_format("odd copied", alphabet, length, prefix=prefix)
    shop.add_pool(pool)
    half = len(alphabet) ** 4 // 2
    assert shop.generate(pool, half, format="odd").added == half
    assert shop.generate(pool, len(alphabet) ** 4 - half, format="odd copied").added  # codes of the first are skipped
    assert set(shop.codes(pool)) == {
        prefix + "".join(characters) for characters in itertools.product(alphabet, repeat=4)
    }
    beyond_ascii = {code for code in shop.codes(pool) if not code.isascii()}
    assert beyond_ascii == {code for (code,) in shop.query("SELECT code FROM loyalty.promo_code_look_alike")}  # PC-04a


def test_long_codes_are_as_long_as_the_format_says(shop: Shop):
    shop.add_format("long", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 64)
    assert shop.generate("pool", 5_000, format="long").added == 5_000
    assert {len(code) for code in shop.codes()} == {64}
    assert shop.available("long") == 32**64 - 5_000


# -- PG-04: states and counts


def history(shop: Shop) -> list[tuple]:
    return shop.query("SELECT state, requested, generated, added FROM ledger.promo_code_generation ORDER BY id")


def test_pg04_a_generation_awaits_execution_runs_and_completes_with_its_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    number = shop.open("pool", 10)
    assert history(shop) == [("awaiting_execution", 10, None, None)]
    seen = []
    real = generation.generate_into

    def looked_at(*args: object, **kwargs: object) -> Added:
        seen.extend(history(shop))
        return real(*args, **kwargs)

    monkeypatch.setattr(generation, "generate_into", looked_at)
    run_generation(shop.runtime, number)
    assert seen == [("running", 10, None, None)]
    assert history(shop) == [("completed", 10, 10, 10)]
    query = "SELECT pool_system_id, format, launched_by, reason, launched_at <= started_at, started_at <= finished_at "
    assert shop.query(f"{query} FROM ledger.promo_code_generation") == [("pool", "tiny", "a test", "form", True, True)]


@pytest.mark.parametrize(
    ("asked", "rule", "message_part"),
    [
        ({"pool": "nowhere"}, "unknown_pool", "'nowhere'"),
        ({"format": "nowhere"}, "unknown_format", "'summer', 'tiny'"),
        ({"pool": "bare"}, "no_format", "'bare'"),
        ({"quantity": 82}, "not_enough_codes", "81"),
        ({"quantity": 2**63 - 1}, "not_enough_codes", "81"),
    ],
)
def test_pg04_a_refused_generation_is_in_the_history_with_its_reason(
    shop: Shop, asked: dict[str, object], rule: str, message_part: str
):
    shop.add_pool("bare")
    result = shop.generate(**asked)
    assert result.state == "refused"
    assert result.refusal is not None
    assert result.refusal["rule"] == f"generation.{rule}"
    assert message_part in result.refusal["message"]
    query = (
        "SELECT state, refusal_rule, refusal_message, added, finished_at IS NOT NULL FROM ledger.promo_code_generation"
    )
    assert shop.query(query) == [("refused", f"generation.{rule}", result.refusal["message"], None, True)]
    assert nothing_written(shop)


@pytest.mark.parametrize("quantity", [0, -1, 2**63])
def test_pg04_a_quantity_that_is_none_is_refused_at_once(shop: Shop, quantity: int):
    with pytest.raises(GenerationRefused, match="quantity"):
        shop.open("pool", quantity)
    assert history(shop) == []


def test_pg04_a_refused_generation_may_be_run_again_when_its_reason_is_gone(shop: Shop):
    number = shop.open("pool", 100)
    assert run_generation(shop.runtime, number).state == "refused"
    shop.add_format("wide", "ABCDEF", 4)
    shop.query("UPDATE loyalty.promo_code_pool SET format = 'wide'")
    result = run_generation(shop.runtime, number)
    assert (result.state, result.added, result.refusal) == ("completed", 100, None)


def test_pg04_without_a_key_a_generation_fails_and_can_be_run_when_there_is_one(shop: Shop):
    number = shop.open("pool", 10)
    with pytest.raises(ConfigurationError, match="code_key"):
        run_generation(shop.with_key(None).runtime, number)
    assert history(shop) == [("failed", 10, None, None)]
    assert nothing_written(shop)
    assert run_generation(shop.runtime, number).added == 10


def test_pg04_an_outage_is_recorded_and_the_repetition_adds_the_quantity(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    number = shop.open("pool", 10)
    real = walk.write_progress

    def cut_off(connection: sa.Connection, *args: object, **values: object) -> None:
        shop.query("SELECT pg_terminate_backend(:pid)", pid=connection.connection.driver_connection.info.backend_pid)
        real(connection, *args, **values)

    with monkeypatch.context() as patched:
        patched.setattr(walk, "write_progress", cut_off)
        with pytest.raises(WarehouseUnavailable):
            run_generation(shop.runtime, number)
    assert history(shop) == [("failed", 10, None, None)]
    assert nothing_written(shop)
    assert run_generation(shop.runtime, number).added == 10


def test_a_generation_that_does_not_exist_is_an_error(shop: Shop):
    with pytest.raises(LookupError, match="no generation 7"):
        run_generation(shop.runtime, 7)


def test_x20_no_code_is_in_the_text_of_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """A unique violation that nobody catches quotes the code in PostgreSQL's own text."""
    shop.add_pool("uploads")
    shop.upload("uploads", *TINY)
    shop.query("SET LOCAL session_replication_role = replica; DELETE FROM loyalty.promo_code_format_use")
    monkeypatch.setattr(walk.psycopg2.errors, "UniqueViolation", ZeroDivisionError)
    with pytest.raises(Exception, match="promo_code_pkey") as caught:
        shop.generate("pool", 10)
    ((message,),) = shop.query("SELECT refusal_message FROM ledger.promo_code_generation")
    assert not [code for code in TINY if code in f"{caught.value} {message}"]


def test_pg04_a_connection_that_is_lost_when_the_codes_are_committed_is_no_failure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """A caller that repeated it would add the quantity twice."""
    commit, complete = shop.runtime.engine.dialect.do_commit, ledger.complete
    number = shop.open("pool", 10)

    def commit_and_lose(connection: Any) -> None:
        monkeypatch.undo()
        commit(connection)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    def complete_and_lose(*args: Any, **values: Any) -> GenerationResult:
        monkeypatch.setattr(shop.runtime.engine.dialect, "do_commit", commit_and_lose)
        return complete(*args, **values)

    monkeypatch.setattr(ledger, "complete", complete_and_lose)
    result = run_generation(shop.runtime, number)
    assert (result.state, result.added, len(shop.codes())) == ("completed", 10, 10)
    assert history(shop) == [("completed", 10, 10, 10)]


def shown(shop: Shop) -> list[tuple]:
    return shop.query("SELECT state, refusal_message FROM loyalty.promo_code_pool_history ORDER BY number")


def test_pg04_a_generation_is_shown_as_running_while_its_codes_are_made_and_then_as_failed(shop: Shop):
    number = shop.open("pool", 10)
    assert shown(shop) == [("awaiting_execution", None)]
    with shop.runtime.engine.connect() as making:
        ledger.take_up(shop.runtime.engine, making, number)
        ledger.settle_interrupted(shop.runtime.engine)
        assert shown(shop) == [("running", None)]
        making.rollback()
    assert [state for state, _ in shown(shop)] == ["failed"]
    assert history(shop) == [("running", 10, None, None)]
    ledger.settle_interrupted(shop.runtime.engine, "other")
    assert history(shop) == [("running", 10, None, None)]
    ledger.settle_interrupted(shop.runtime.engine, "pool")
    assert shown(shop) == [("failed", "It was interrupted before its codes were written.")]
    assert run_generation(shop.runtime, number).added == 10
    assert shown(shop) == [("completed", None)]


def test_pg04_one_that_completes_while_it_is_looked_at_is_not_shown_as_failed(shop: Shop):
    """Its lock is gone, but the look began when it was running."""
    shop.generate("pool", 10)
    assert shop.query("SELECT loyalty.promo_code_generation_state(1, 'running')") == [("completed",)]


# -- conflicts with others


def test_a_generation_that_a_deadlock_ends_is_repeated_as_the_same_and_adds_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """A user adds two codes of the space in the other order than the walk, and is waited for by the repetition."""
    monkeypatch.setattr(walk, "BATCH_CODES", 1)
    conflicts = count_conflicts(monkeypatch)
    shop.add_pool("uploads")
    tiny = CodeFormat("tiny", "ABC", 4)
    key = tiny.key(CODE_KEY)
    first, *_, last = write_codes(tiny, key, tiny.permutation(key).numbers(0, 5), "\n").decode().split()
    add = sa.text("INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES (:code, 'uploads', 1)")
    with ThreadPoolExecutor(1) as threads, winner_of_deadlocks(shop.warehouse) as connection:
        connection.execute(sa.text("SELECT loyalty.lock_promo_code_additions(false)"))
        connection.execute(add, {"code": last})
        running = threads.submit(shop.generate, "pool", 79)
        wait_for_a_lock(shop)
        connection.execute(add, {"code": first})  # returns when PostgreSQL has ended the generation's transaction
        wait_for_a_lock(
            shop, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted"
        )
        connection.commit()
        result = running.result(timeout=60)
    assert (result.state, result.added, len(shop.codes())) == ("completed", 79, 81)
    assert (history(shop), len(conflicts)) == ([("completed", 79, 81, 79)], 1)


def test_generations_of_formats_that_share_codes_side_by_side_all_add_what_they_should(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """Each walks in an order of its own, so they wait for one another crosswise (SQLSTATE 40P01)."""
    monkeypatch.setattr(walk, "BATCH_CODES", 5)
    names = ("one", "two", "three")
    for name in names:
        shop.add_format(name, "ABCD", 5)
        shop.add_pool(name, format=name)
    conflicts = count_conflicts(monkeypatch)
    start = threading.Barrier(3)

    def generate(name: str) -> int | None:
        start.wait(30)
        return shop.generate(name, 300).added

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(generate, names)) == [300, 300, 300]
    assert len(set(shop.codes())) == 900
    assert conflicts
    assert shop.query("SELECT DISTINCT state FROM ledger.promo_code_generation") == [("completed",)]


def count_conflicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every conflict with another transaction is added."""
    conflicts: list[str] = []
    monkeypatch.setattr(WarehouseConflict, "__init__", lambda _, message: conflicts.append(message))
    return conflicts


# -- in the caller's transaction


def test_generate_into_writes_in_the_callers_transaction(shop: Shop):
    number = shop.open("pool", 10)
    asked = {"pool": "pool", "format": "tiny", "quantity": 10, "generation_id": number, "key": shop.runtime.code_key}
    with shop.runtime.engine.connect() as connection:
        assert generate_into(connection, **asked) == Added(10, 10)
        connection.rollback()
    assert nothing_written(shop)
    with shop.runtime.engine.begin() as connection:
        for _ in range(2):
            generate_into(connection, **asked)
    assert (len(shop.codes()), shop.format_row()) == (20, (20, 20))


def test_a_generation_lets_pools_be_edited_and_codes_of_other_formats_be_uploaded(shop: Shop):
    """It may take minutes: nobody else waits for it."""
    shop.add_pool("uploads")
    number = shop.open("pool", 10)
    with shop.runtime.engine.connect() as connection:
        generate_into(
            connection, pool="pool", format="tiny", quantity=10, generation_id=number, key=shop.runtime.code_key or b""
        )
        shop.query("SET LOCAL lock_timeout = '2s'; UPDATE loyalty.promo_code_pool SET name = 'n', format = 'tiny' "
                   "WHERE system_id = 'other'")  # fmt: skip
        shop.upload("uploads", "FROM A FILE")
        shop.add_pool("new", format="tiny")
        connection.rollback()


def test_a_request_is_what_the_history_shows(shop: Shop):
    request = GenerationRequest(
        "pool", 5, "k", "anna", "command line", "tiny", True, dag_id="generate_promo_codes", dag_run_id="r"
    )
    open_generation(shop.runtime, request)
    open_generation(shop.runtime, replace(request, quantity=7))  # the same key: the first one is kept
    query = (
        "SELECT pool_system_id, requested, run_key, launched_by, reason, format, auto_generate, dag_id, dag_run_id "
        "FROM ledger.promo_code_generation"
    )
    assert shop.query(query) == [("pool", 5, "k", "anna", "command line", "tiny", True, "generate_promo_codes", "r")]
