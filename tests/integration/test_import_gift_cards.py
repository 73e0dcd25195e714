"""Pools and cards from file to table. Source: GP-01 to GP-04, GC-01 to GC-04, X-17, value formats."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from include.warehouse.cvv import hash_cvv
from tests.imports import CARD_HEADER, CVV_KEY, POOL_HEADER, SAMPLE_POOLS, Site, counts, reasons, rejects

pytestmark = pytest.mark.integration

FULL_HEADER = "card_number,pool_system_name,cvv,balance,point_of_contact,purchased_at,status"
SOURCE_S_EXAMPLE = (
    b"pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    b"cvv_required,card_value,expiration_type,lifetime\n"
    b"Holiday $50,holiday_50,false,true,gc-holiday-50,website,Acme,true,50,Year,2\n"
    b"Flexible Gift,flexible_gift,true,true,gc-flexible,website,Acme,false,,NoExpiration,\n"
)
POOLS = "SELECT system_name, name, card_value, expiration_type, lifetime_years FROM loyalty.gift_card_pool ORDER BY 1"


def pool(system_name: str, product: str | None = None, **changes: str) -> str:
    """Return the row of a pool of any value."""
    row = {
        "name": "Name", "system_name": system_name, "arbitrary": "true", "partial": "true",
        "product": product or f"p-{system_name}", "system": "website", "brand": "Acme", "cvv": "false", "value": "",
        "expiration": "", "lifetime": "",
    }  # fmt: skip
    assert changes.keys() <= row.keys()
    return ",".join({**row, **changes}.values())


def test_gp01_the_source_s_example_loads_byte_for_byte(site: Site):
    assert SAMPLE_POOLS.read_bytes() == SOURCE_S_EXAMPLE
    result = site.load("gift_card_pools", SOURCE_S_EXAMPLE, "pools.csv")
    assert (result.state, counts(result), result.warnings) == ("completed", {"read": 2, "inserted": 2}, [])
    assert site.query(POOLS) == [
        ("flexible_gift", "Flexible Gift", None, "NoExpiration", None),
        ("holiday_50", "Holiday $50", Decimal("50.00"), "Year", 2),
    ]
    flags = "supports_arbitrary_value, supports_partial_redemption, cvv_required, brand, product_external_system"
    assert site.query(f"SELECT {flags} FROM loyalty.gift_card_pool ORDER BY system_name") == [
        (True, True, False, "Acme", "website"),
        (False, True, True, "Acme", "website"),
    ]


LIMITED = f"{POOL_HEADER},max_card_value"


def limited_project(site: Site, tmp_path: Path, limit: str) -> Site:
    path = tmp_path / "project.yaml"
    path.write_text(f"{site.runtime.project_file.read_text()}\nmax_card_value: {limit}\n")
    return site.changed(project_file=path)


def test_x18_a_balance_above_the_limit_of_its_pool_or_else_of_the_project_is_rejected(site: Site, tmp_path: Path):
    site = limited_project(site, tmp_path, "100")
    pools = site.pools(f"{pool('low')},20", f"{pool('high')},500.5", f"{pool('free')},", header=LIMITED)
    assert counts(pools) == {"read": 3, "inserted": 3}
    cards = site.cards("1,low,20", "2,low,20.01", "3,high,500.50", "4,high,500.51", "5,free,100", "6,free,100.01")
    assert rejects(cards) == {
        3: {"balance.above_maximum"}, 5: {"balance.above_maximum"}, 7: {"balance.above_project_maximum"},
    }  # fmt: skip
    assert "is above 20.00, the highest value of a card in pool 'low'" in reasons(cards)[3]
    assert site.card_numbers() == ["1", "3", "5"]


def test_x18_without_a_limit_any_balance_is_accepted(site: Site):
    site.sample_pools()
    assert site.cards("1,flexible_gift,9999999999999999.99", review_columns=False).state == "completed"


def test_x18_a_pool_of_a_fixed_value_above_the_limit_is_rejected(site: Site, tmp_path: Path):
    site = limited_project(site, tmp_path, "99.99")
    fixed = {"arbitrary": "false", "value": "100"}
    result = site.pools(
        f"{pool('a', **fixed)},", f"{pool('b', **fixed)},99.99", f"{pool('c', **fixed)},100", header=LIMITED
    )
    assert rejects(result) == {2: {"card_value.above_project_maximum"}, 3: {"card_value.above_maximum"}}


def test_gp03_the_limit_of_a_pool_is_locked(site: Site):
    assert site.pools(f"{pool('a')},20", header=LIMITED).state == "completed"
    assert counts(site.pools(f"{pool('a')},20.00", header=LIMITED)) == {"read": 1, "unchanged": 1}
    for row in (f"{pool('a')},21", f"{pool('a')},"):
        result = site.pools(row, header=LIMITED)
        assert "this row differs in max_card_value." in reasons(result)[2]


def test_gp01_the_other_names_of_the_columns_serve_as_well(site: Site):
    header = (
        "PoolName;PoolSystemName;IsCustomAmount;IsPartialUse;ProductExternalId;ExternalSystem;Brand;IsCvvRequired;"
        "Amount;ExpirationType;Expiration"
    )
    row = "Zehn;ten;NO;0;x;pos;Demo;Yes;10,5;year;10"
    assert counts(site.load("gift_card_pools", f"{header}\n{row}\n")) == {"read": 1, "inserted": 1}
    assert site.query(POOLS) == [("ten", "Zehn", Decimal("10.50"), "Year", 10)]


def test_gp02_each_pool_gets_exactly_one_product_and_products_are_unique_within_their_system(site: Site):
    first = site.pools(pool("a", "x"), pool("b", "x"), pool("c", "x", system="pos"), pool("d", "x", brand="Acne"))
    assert rejects(first) == {
        3: {"product_external_id.duplicate_in_file"},
        5: {"brand.known", "product_external_id.duplicate_in_file"},
    }
    assert "line 2" in reasons(first)[3]
    second = site.pools(pool("e", "x"), pool("a", "x"), pool("a", "y"))
    assert rejects(second) == {
        2: {"product_external_id.taken"},
        4: {"system_name.duplicate_in_file", "system_name.pool_locked"},
    }
    products = "SELECT pool_system_name, external_system, external_id, brand FROM loyalty.technical_product ORDER BY 1"
    assert site.query(products) == [("a", "website", "x", "Acme"), ("c", "pos", "x", "Acme")]


def test_gp03_an_equal_row_is_unchanged_and_another_is_rejected_naming_the_fields(stocked: Site):
    header, holiday, flexible = SOURCE_S_EXAMPLE.decode().splitlines()
    before = stocked.loyalty()
    result = stocked.pools(
        holiday.replace(",50,", ',"50,00",').replace("true", "YES"),
        flexible.replace("NoExpiration", "").replace("Flexible", "Flexibel"),
        header=header,
    )
    assert rejects(result) == {3: {"system_name.pool_locked"}}
    assert reasons(result)[3].endswith("this row differs in name.")
    assert counts(result) == {"read": 2, "unchanged": 1, "rejected": 1}

    differing = "x,holiday_50,true,false,other,pos,Demo,false,,NoExpiration,3"
    result = stocked.pools(differing)
    assert rejects(result) == {2: {"system_name.pool_locked"}}
    fields = reasons(result)[2].split("differs in ")[1]
    assert fields == (
        "name, supports_arbitrary_value, supports_partial_redemption, product_external_id, product_external_system, "
        "brand, cvv_required, card_value, expiration_type."
    )
    assert [warning["rule"] for warning in result.warnings] == ["lifetime_years.ignored"]
    assert stocked.loyalty() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty.gift_card_pool SET card_value = 60 WHERE system_name = 'holiday_50'",
        "UPDATE loyalty.gift_card_pool SET name = name",
        "DELETE FROM loyalty.gift_card_pool",
        "TRUNCATE loyalty.gift_card_pool CASCADE",
        "UPDATE loyalty.technical_product SET external_id = 'x'",
    ],
)
def test_gp03_the_database_itself_refuses_a_change_of_an_imported_pool(stocked: Site, statement: str):
    before = stocked.loyalty()
    with pytest.raises(sa.exc.DBAPIError) as refused:
        stocked.query(statement)
    assert isinstance(refused.value.orig, psycopg2.Error)
    assert "locked" in str(refused.value.orig)
    assert stocked.loyalty() == before


def test_gp04_a_view_lists_the_pools_with_product_cards_and_balance(stocked: Site):
    stocked.cards("1,holiday_50,9,50,,,", "2,holiday_50,9,50,,,Blocked", "3,flexible_gift,,0.5,,,", header=FULL_HEADER)
    columns = "pool_system_name, product_external_id, cards, cards_inactive, cards_blocked, total_balance"
    assert stocked.query(f"SELECT {columns} FROM loyalty.gift_card_pool_overview ORDER BY 1") == [
        ("flexible_gift", "gc-flexible", 1, 1, 0, Decimal("0.50")),
        ("holiday_50", "gc-holiday-50", 2, 1, 1, Decimal("100.00")),
    ]


def test_section_2_every_rule_of_a_pool(site: Site):
    result = site.pools(
        ",,,,,,,,,,x",
        pool("b", arbitrary="maybe", partial="2", cvv="ja", value="x"),
        pool("c", arbitrary="false"),
        pool("d", value="5"),
        pool("e", arbitrary="false", value="0"),
        pool("f", arbitrary="false", value="-5", system="shop", brand="acme"),
        pool("g", expiration="Year"),
        pool("h", expiration="Year", lifetime="0"),
        pool("i", expiration="Year", lifetime="11"),
        pool("j", expiration="Year", lifetime="2.5"),
        pool("k", expiration="Month", lifetime="2"),
        pool("l", expiration="NOEXPIRATION", lifetime="2"),
        pool("1.23E+15", product="1E+15"),
    )
    required = ("name", "system_name", "supports_arbitrary_value", "supports_partial_redemption",
                "product_external_id", "product_external_system", "brand", "cvv_required")  # fmt: skip
    assert rejects(result) == {
        2: {f"{field}.required" for field in required},
        3: {
            "supports_arbitrary_value.not_boolean",
            "supports_partial_redemption.not_boolean",
            "cvv_required.not_boolean",
            "card_value.not_decimal",
        },
        4: {"card_value.required"},
        5: {"card_value.must_be_blank"},
        6: {"card_value.not_positive"},
        7: {"card_value.not_positive", "product_external_system.known", "brand.known"},
        8: {"lifetime_years.required"},
        9: {"lifetime_years.out_of_range"},
        10: {"lifetime_years.out_of_range"},
        11: {"lifetime_years.not_integer"},
        12: {"expiration_type.unknown_choice"},
        14: {"system_name.spreadsheet_number", "product_external_id.spreadsheet_number"},
    }
    assert site.query(POOLS) == [("l", "Name", None, "NoExpiration", None)]
    ignored = [warning for warning in result.warnings if warning["rule"] == "lifetime_years.ignored"]
    assert [warning["rows"] for warning in ignored] == [2]


def test_gc01_headers_in_any_words_are_mapped_by_settings(stocked: Site):
    mapping = {"PAN": "Card number", "Топ": "pool_system_name", "Сумма": "balance", "pin": "Card CVV"}
    result = stocked.cards("1,holiday_50,50,123", header="PAN,Топ,Сумма,pin", settings={"mapping": mapping})
    assert counts(result) == {"read": 1, "inserted": 1}
    ((stored,),) = stocked.query("SELECT cvv_hash FROM loyalty.gift_card")
    assert bytes(stored) == hash_cvv(CVV_KEY, "1", "123")


def test_gc02_identical_is_unchanged_and_anything_else_is_rejected_and_never_changes_the_card(stocked: Site):
    sold = "1,holiday_50,123,50,site-main,2024-01-01T10:00,CanBeUsed"
    assert counts(stocked.cards(sold, header=FULL_HEADER)) == {"read": 1, "inserted": 1}
    same = '" 1 ",holiday_50,123,"50,00",site-main,01.01.2024 11:00:00+01:00,canbeused'
    assert counts(stocked.cards(same, header=FULL_HEADER)) == {"read": 1, "unchanged": 1}
    before = stocked.loyalty()
    others = {
        "1,flexible_gift,123,50,site-main,2024-01-01T10:00,CanBeUsed": "pool_system_name",
        "1,holiday_50,124,50,site-main,2024-01-01T10:00,CanBeUsed": "cvv",
        "1,holiday_50,123,50,,2024-01-01T10:00,CanBeUsed": "point_of_contact",
        "1,holiday_50,123,50,site-main,2024-01-01T10:00:01,CanBeUsed": "purchased_at",
        "1,holiday_50,123,50,site-main,,": "purchased_at, status",
        "1,flexible_gift,,51,,,Blocked": "pool_system_name, cvv, balance, point_of_contact, purchased_at, status",
    }
    result = stocked.cards(*others, header=FULL_HEADER)
    assert rejects(result) == {line: {"card_number.card_exists"} for line in range(2, 8)}
    assert [text.split("differs in ")[1] for text in reasons(result).values()] == [
        f"{name}." for name in others.values()
    ]
    assert stocked.loyalty() == before


def test_gc03_cards_of_year_pools_expire_and_others_do_not(stocked: Site):
    stocked.pools(pool("leap", expiration="Year", lifetime="1"), pool("long", expiration="Year", lifetime="4"))
    result = stocked.cards(
        "a,leap,,1,site-main,29.02.2024 23:30,CanBeUsed",
        "b,long,,1,site-main,2020-02-29,CanBeUsed",
        "c,leap,,1,site-main,2024-02-28T23:30:00-05:00,CanBeUsed",
        "d,leap,,1,,,CanBeUsed",
        "e,leap,,1,,,",
        "f,flexible_gift,,1,site-main,2024-02-29,CanBeUsed",
        "g,leap,,1,site-main,2024-12-31T23:59:59.999999Z,Blocked",
        header=FULL_HEADER,
    )
    assert counts(result) == {"read": 7, "inserted": 7}
    assert stocked.query("SELECT card_number, expires_at FROM loyalty.gift_card ORDER BY 1") == [
        ("a", datetime(2025, 2, 28, 23, 30, tzinfo=UTC)),
        ("b", datetime(2024, 2, 29, tzinfo=UTC)),
        ("c", datetime(2025, 2, 28, 4, 30, tzinfo=UTC)),
        ("d", None),
        ("e", None),
        ("f", None),
        ("g", datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ]


def test_gc04_incomplete_sold_cards_are_a_warning_or_by_setting_a_reject(stocked: Site):
    header = "card_number,pool_system_name,balance,point_of_contact,purchased_at,status"
    rows = {
        "1,flexible_gift,1,site-main,2024-01-01,CanBeUsed": True,
        "2,flexible_gift,1,,,": True,
        "3,flexible_gift,1,,,Blocked": True,
        "4,flexible_gift,1,site-main,2024-01-01,": False,
        "5,flexible_gift,1,,2024-01-01,CanBeUsed": False,
        "6,flexible_gift,1,site-main,,CanBeUsed": False,
        "7,flexible_gift,1,,,CanBeUsed": False,
        "8,flexible_gift,1,site-main,,": False,
    }
    incomplete = [line for line, is_complete in enumerate(rows.values(), start=2) if not is_complete]
    strict = stocked.cards(*rows, header=header, settings={"strict_sold_cards": True})
    assert rejects(strict) == {line: {"status.sold_card_incomplete"} for line in incomplete}
    assert counts(strict) == {"read": 8, "inserted": 3, "rejected": 5}
    assert strict.warnings == []
    lax = stocked.cards(*rows, header=header)
    assert counts(lax) == {"read": 8, "inserted": 5, "unchanged": 3}
    assert [(warning["rule"], warning["rows"]) for warning in lax.warnings] == [("status.sold_card_incomplete", 5)]
    assert [rule.first_lines for rule in lax.rules] == [incomplete]


def test_gc04_a_strict_reject_that_equals_an_existing_card_is_no_accepted_row(stocked: Site):
    header = f"{CARD_HEADER},point_of_contact"
    row = "1,flexible_gift,1,site-main"
    stocked.cards(row, header=header)
    result = stocked.cards(row, row, header=header, strict_sold_cards=True)
    assert rejects(result) == {2: {"status.sold_card_incomplete"}, 3: {"status.sold_card_incomplete"}}
    assert counts(result) == {"read": 2, "rejected": 2}


def test_x17_the_first_accepted_row_wins_and_later_ones_name_its_line(stocked: Site):
    result = stocked.cards(
        "1,nowhere,10",  # the suite rejects it
        "1,flexible_gift,10",  # so this one is accepted
        "1,flexible_gift,10",
        "1,flexible_gift,11",
        "2,flexible_gift,20",
        "1,flexible_gift,ten",
        " 2 ,flexible_gift,20",
    )
    assert rejects(result) == {
        2: {"pool_system_name.known"},
        4: {"card_number.duplicate_in_file"},
        5: {"card_number.duplicate_in_file"},
        7: {"card_number.duplicate_in_file", "balance.not_decimal"},
        8: {"card_number.duplicate_in_file"},
    }
    sentences = reasons(result)
    assert "line 3" in sentences[4]
    assert "line 3" in sentences[7]
    assert "line 6" in sentences[8]
    assert counts(result) == {"read": 7, "inserted": 2, "rejected": 5}


def test_x17_the_first_row_that_equals_an_existing_card_is_the_accepted_one(stocked: Site):
    stocked.cards("1,flexible_gift,10")
    result = stocked.cards("1,flexible_gift,11", "1,flexible_gift,10", "1,flexible_gift,10", "1,flexible_gift,12")
    assert rejects(result) == {
        2: {"card_number.card_exists"},
        4: {"card_number.duplicate_in_file"},
        5: {"card_number.duplicate_in_file", "card_number.card_exists"},
    }
    assert "line 3" in reasons(result)[4]
    assert counts(result) == {"read": 4, "unchanged": 1, "rejected": 3}


def test_x17_pools_follow_the_same_rule(site: Site):
    result = site.pools(
        pool("a", brand="Acne"),
        pool("a"),
        pool("a"),
        pool("a", "other"),
        pool("b", "p-a"),
        pool("b"),
    )
    assert rejects(result) == {
        2: {"brand.known"},
        4: {"system_name.duplicate_in_file"},
        5: {"system_name.duplicate_in_file"},
        6: {"product_external_id.duplicate_in_file"},
    }
    assert all("line 3" in text for line, text in reasons(result).items() if line > 2)
    assert site.query("SELECT system_name, import_line FROM loyalty.gift_card_pool ORDER BY 1") == [("a", 3), ("b", 7)]


def test_x17_unchanged_compares_with_the_values_as_imported_whatever_was_sold_and_paid_since(stocked: Site):
    rows = ("1,holiday_50,123,50,,,", "2,flexible_gift,,30,site-main,2024-05-05,CanBeUsed", "3,flexible_gift,,5,,,")
    assert counts(stocked.cards(*rows, header=FULL_HEADER)) == {"read": 3, "inserted": 3}
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    sold = stocked.query(f"SELECT result FROM loyalty.sell_gift_card('1', '{yesterday}Z', 'site-main')")
    paid = stocked.query(
        "SELECT result FROM loyalty.redeem_gift_card('1', 20, :hash)", hash=hash_cvv(CVV_KEY, "1", "123")
    )
    also_paid = stocked.query("SELECT result FROM loyalty.redeem_gift_card('2', 30, NULL)")
    stocked.query("UPDATE loyalty.gift_card SET status = 'Blocked' WHERE card_number = '3'")
    assert (sold, paid, also_paid) == ([("sold",)], [("redeemed",)], [("redeemed",)])

    again = stocked.cards(*rows, "", header=FULL_HEADER)
    assert counts(again) == {"read": 3, "unchanged": 3}
    as_they_are = stocked.cards(
        f"1,holiday_50,123,50,site-main,{yesterday},CanBeUsed", "2,flexible_gift,,0,site-main,2024-05-05,CanBeUsed",
        "3,flexible_gift,,5,,,Blocked", header=FULL_HEADER,
    )  # fmt: skip
    assert rejects(as_they_are) == {line: {"card_number.card_exists"} for line in (2, 3, 4)}
    assert stocked.query("SELECT card_number, balance FROM loyalty.gift_card ORDER BY 1") == [
        ("1", 30),
        ("2", 0),
        ("3", 5),
    ]


NUMBERS = {
    "0": Decimal(0), "10": Decimal(10), "0.5": Decimal("0.5"), '"0,50"': Decimal("0.5"), ".5": Decimal("0.5"),
    "5.": Decimal(5), "-0": Decimal(0), "0007": Decimal(7), "9999999999999999.99": Decimal("9999999999999999.99"),
}  # fmt: skip
NO_NUMBERS = {
    "$5": "not_decimal", '"1,000.00"': "not_decimal", "1 000": "not_decimal", "1e3": "not_decimal", "+5": "not_decimal",
    "NaN": "not_decimal", "Infinity": "not_decimal", "\u0665": "not_decimal", "1.2.3": "not_decimal",
    "1.001": "too_many_decimals", "99999999999999999": "too_many_digits", "-1": "negative", ".": "not_decimal",
}  # fmt: skip


def test_value_formats_decimals(stocked: Site):
    rows = [f"{number},flexible_gift,{text}" for number, text in enumerate([*NUMBERS, *NO_NUMBERS])]
    result = stocked.cards(*rows, review_columns=False)
    assert rejects(result) == {
        line: {f"balance.{problem}"} for line, problem in enumerate(NO_NUMBERS.values(), start=len(NUMBERS) + 2)
    }
    loaded = stocked.query("SELECT balance FROM loyalty.gift_card ORDER BY card_number::int")
    assert [balance for (balance,) in loaded] == list(NUMBERS.values())


MOMENTS = {
    "2024-02-29": "2024-02-29 00:00:00", "2024-2-9": "2024-02-09 00:00:00", "2024.02.29": "2024-02-29 00:00:00",
    "29.02.2024": "2024-02-29 00:00:00", "9.2.2024": "2024-02-09 00:00:00", "2024-02-29 9:05": "2024-02-29 09:05:00",
    "2024-02-29T23:59:58": "2024-02-29 23:59:58", "2024-02-29 10:00:00.25": "2024-02-29 10:00:00.25",
    "2024-02-29T10:00Z": "2024-02-29 10:00:00", "2024-02-29T00:30+01:00": "2024-02-28 23:30:00",
    "29.02.2024 22:00:00-05:30": "2024-03-01 03:30:00", "0001-01-01": "0001-01-01 00:00:00",
}  # fmt: skip
NO_MOMENTS = {
    "30.02.2024": "impossible_date", "2023-02-29": "impossible_date", "2024-02-29 24:01": "impossible_date",
    "02/29/2024": "slash_date", "29/02/24": "not_date", "24-02-29": "not_date", "20240229": "not_date",
    "2024-02-29 10": "not_date", "9999-12-31": "in_the_future", "today": "not_date", "1.2.24": "not_date",
}  # fmt: skip


def test_value_formats_moments(stocked: Site):
    header = f"{CARD_HEADER},purchased_at"
    rows = [f"{number},flexible_gift,1,{text}" for number, text in enumerate([*MOMENTS, *NO_MOMENTS])]
    result = stocked.cards(*rows, header=header)
    assert rejects(result) == {
        line: {f"purchased_at.{problem}"} for line, problem in enumerate(NO_MOMENTS.values(), start=len(MOMENTS) + 2)
    }
    loaded = stocked.query("SELECT purchased_at::text FROM loyalty.gift_card ORDER BY card_number::int")
    assert [moment.removesuffix("+00") for (moment,) in loaded] == list(MOMENTS.values())


@pytest.mark.parametrize(
    ("slash_dates", "expected"),
    [("month_first", ["2024-03-04", "2024-12-31", None]), ("day_first", ["2024-04-03", None, "2024-12-31"])],
)
def test_value_formats_slash_dates_by_setting(stocked: Site, slash_dates: str, expected: list[str | None]):
    rows = ["1,flexible_gift,1,03/04/2024", "2,flexible_gift,1,12/31/2024", "3,flexible_gift,1,31/12/2024"]
    result = stocked.cards(*rows, header=f"{CARD_HEADER},purchased_at", settings={"slash_dates": slash_dates})
    loaded = dict(stocked.query("SELECT card_number, purchased_at::date::text FROM loyalty.gift_card"))
    assert [loaded.get(number) for number in "123"] == expected
    assert list(rejects(result).values()) == [{"purchased_at.impossible_date"}]


def test_value_formats_the_extremes_of_a_date_do_not_break_the_load(stocked: Site):
    header = f"{CARD_HEADER},purchased_at"
    stocked.pools(pool("ten_years", expiration="Year", lifetime="10"))
    rows = ["1,ten_years,1,0001-01-01T00:00+14:00", "2,ten_years,1,0001-01-01", "3,ten_years,1,9999-12-31T23:59-12:00"]
    result = stocked.cards(*rows, header=header)
    assert rejects(result) == {2: {"purchased_at.impossible_date"}, 4: {"purchased_at.impossible_date"}}


def test_card_numbers_and_texts_of_the_greatest_length(stocked: Site):
    result = stocked.cards(
        f"{'9' * 1000},flexible_gift,1", f"{'9' * 1001},flexible_gift,1", f"{'😀' * 1000},flexible_gift,1"
    )
    assert rejects(result) == {3: {"card_number.too_long"}, 4: {"card_number.too_many_bytes"}}
    long = "ü" * 1000
    assert counts(stocked.pools(pool(long, product="y"))) == {"read": 1, "inserted": 1}
    assert counts(stocked.cards(f"x,{long},1")) == {"read": 1, "inserted": 1}


def test_gp03_a_file_without_the_column_max_card_value_says_nothing_of_it(stocked: Site):
    """R4: files of before there was this column are dropped again; a blank cell does say something."""
    header = f"{POOL_HEADER},max_card_value"
    assert counts(stocked.pools(f"{pool('limited', product='p')},100", header=header)) == {"read": 1, "inserted": 1}
    assert counts(stocked.pools(pool("limited", product="p"))) == {"read": 1, "unchanged": 1}
    for limit in ("", "99"):
        other = stocked.pools(f"{pool('limited', product='p')},{limit}", header=header)
        assert rejects(other) == {2: {"system_name.pool_locked"}}


# PC-04a: twins


def twins(result) -> list[int]:
    """Return the lines of cards whose number is nearly another one's."""
    return next((list(rule.first_lines) for rule in result.rules if rule.rule == "card_number.twin"), [])


def test_pc04a_numbers_that_differ_by_blanks_dashes_or_letter_case_warn_and_load(stocked: Site):
    """Case 12: four writings of one number are four cards, and that is said of three."""
    numbers = [
        "7700000000000121", "7700 0000 0000 0121", "7700-0000-0000-0121", "7700\u20130000\u00a000000121", "ab-1", "AB1",
        "OTHER", "ot/her", "x-y", "X\u2212Y",
    ]  # fmt: skip
    result = stocked.cards(*(f"{number},flexible_gift,10" for number in numbers))
    assert (rejects(result), counts(result)) == ({}, {"read": 10, "inserted": 10})
    assert twins(result) == [3, 4, 5, 7, 11]


def test_pc04a_twins_of_earlier_cards_warn_in_either_direction(stocked: Site):
    stocked.cards("1234,flexible_gift,10", "56 78,flexible_gift,10", "abc,flexible_gift,10")
    quiet = stocked.cards("1235,flexible_gift,10", "56 79,flexible_gift,10", "abd,flexible_gift,10")
    assert quiet.warnings == []
    result = stocked.cards(
        "12-34,flexible_gift,1", "5678,flexible_gift,1", "5-678,flexible_gift,1", "ABC,flexible_gift,1",
        "1234,flexible_gift,10", "9,flexible_gift,1",
    )  # fmt: skip
    assert twins(result) == [2, 3, 4, 5]
    assert counts(result) == {"read": 6, "inserted": 5, "unchanged": 1}
    again = stocked.cards("12-34,flexible_gift,1", "5678,flexible_gift,1", "56 78,flexible_gift,10")
    assert (counts(again), again.warnings) == ({"read": 3, "unchanged": 3}, [])


def test_value_formats_long_numbers_with_dashes_load_and_have_twins(stocked: Site):
    """An index holds no two texts of 2,600 bytes in one row (X-07)."""
    signs = random.Random(1)
    long = "".join(chr(signs.randrange(0x4E00, 0x9FA6)) for _ in range(860))
    assert counts(stocked.cards(f"x-{long},flexible_gift,1", "1,flexible_gift,1")) == {"read": 2, "inserted": 2}
    result = stocked.cards(f"x {long},flexible_gift,1", f"X{long},flexible_gift,1")
    assert (twins(result), counts(result)) == ([2, 3], {"read": 2, "inserted": 2})


def test_pc04a_neither_rejected_rows_nor_dry_runs_leave_a_twin(stocked: Site):
    stocked.cards("12 34,nowhere,10", "5-6,flexible_gift,10", dry_run=True)
    assert stocked.query("SELECT * FROM loyalty.gift_card_plain_number") == []
    result = stocked.cards("12 34,nowhere,10", "1234,flexible_gift,10", "56,flexible_gift,10")
    assert (result.warnings, rejects(result)) == ([], {2: {"pool_system_name.known"}})
