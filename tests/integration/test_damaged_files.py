"""Files that a program has damaged, from file to table. Source: X-03, X-12, X-15, X-16, PC-04a, value formats."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Any

import pytest

from include.ledger.jobs import JobResult
from tests.imports import SAMPLE_POOLS, Site, counts, reasons, rejected_file, rejects, summary

pytestmark = pytest.mark.integration

CARDS = "card_number,pool_system_name,balance"
CODE_POOL = "system_id,name\nSUMMER,Summer\n"


def warned(result: JobResult) -> dict[str, str]:
    """Return rule → sentence of the warnings; the summary has the same."""
    assert summary(result)["warnings"] == result.warnings
    return {warning["rule"]: warning["message"] for warning in result.warnings}


def load(site: Site, import_type: str, content: str | bytes, **settings: Any) -> JobResult:
    """Import a file; codes go into the pool SUMMER, which is there."""
    if import_type == "promo_codes":
        assert site.load("promo_code_pools", CODE_POOL).state == "completed"
        settings.setdefault("pool", "SUMMER")
    return site.load(import_type, content, settings=settings)


@dataclass(frozen=True)
class Case:
    """A public case: its file and what becomes of it.

    Args:
        rejected: line → rules.
        warnings: rules.
        expected: rows of `query`.
    """

    import_type: str
    text: str
    rejected: dict[int, set[str]]
    query: str
    expected: list[tuple[Any, ...]]
    warnings: set[str] = field(default_factory=set)
    before: str | None = None


NUMBERS = "SELECT card_number FROM loyalty.gift_card ORDER BY 1"
ALL_CODES = "SELECT code FROM loyalty.promo_code ORDER BY code"
CASES = {
    "pub-03 header again": Case(
        "promo_codes",
        "Code\nPUB-A1\nPUB-A2\nCode\nPUB-A3\nPUB-A4\n Code \nPUB-A5\n",
        {4: {"row.repeated_header"}, 7: {"row.repeated_header"}},
        ALL_CODES,
        [("PUB-A1",), ("PUB-A2",), ("PUB-A3",), ("PUB-A4",), ("PUB-A5",)],
    ),
    "pub-04 ruler and count": Case(
        "promo_codes",
        "Code\n----------\nPUB-B1\nPUB-B2\nPUB-B3\n\n(3 rows affected)\n",
        {2: {"row.not_data"}, 7: {"row.not_data"}},
        ALL_CODES,
        [("PUB-B1",), ("PUB-B2",), ("PUB-B3",)],
    ),
    "pub-08 error values": Case(
        "gift_cards",
        f"{CARDS}\n7700000000000081,flexible_gift,10\n#N/A,flexible_gift,10\n#REF!,flexible_gift,10\n"
        "#NV,flexible_gift,10\n########,flexible_gift,10\n",
        {line: {"card_number.error_value"} for line in (3, 4, 5, 6)},
        NUMBERS,
        [("7700000000000081",)],
    ),
    "pub-09 wrapped cells": Case(
        "gift_cards",
        f'{CARDS}\n="0077000000091",flexible_gift,10\n"=""0077000000092""",flexible_gift,20\n',
        {},
        NUMBERS,
        [("0077000000091",), ("0077000000092",)],
        {"file.wrapped_cells"},
    ),
    "pub-13 floats": Case(
        "customers",
        "Email,ExternalId,MobilePhone,FirstName\nfloat.one@example.com,1001.0,,Una\n,1002.0,,Duo\n"
        ",,+4930123456.0,Tria\n",
        {
            2: {"external_identity_website.changed_number"},
            3: {"external_identity_website.changed_number"},
            4: {"mobile_phone.changed_number"},
        },
        "SELECT value FROM loyalty.customer_external_id ORDER BY 1",
        [("1001",), ("1002",)],
        before="Email,ExternalId,FirstName\nfloat.one@example.com,1001,Una\n,1002,Duo\n",
    ),
    "pub-17 invisible in e-mails": Case(
        "customers",
        "Email,FirstName\nzero.width@example.com\u200b,Zed\nsoft\u00ad.hyphen@example.com,Sof\n"
        "plain@example.com,Plain\n",
        {2: {"email.invisible_character"}, 3: {"email.invisible_character"}},
        "SELECT email FROM loyalty.customer",
        [("plain@example.com",)],
    ),
    "pub-18 unit separator": Case(
        "gift_cards",
        f"{CARDS}\n\u001f0077000000181,flexible_gift,10\n0077000000182,flexible_gift,20\n",
        {2: {"card_number.invisible_character"}},
        NUMBERS,
        [("0077000000182",)],
    ),
    "pub-19 single quotes": Case(
        "promo_codes",
        "'Code'\n'PUB-S1'\n'PUB-S2'\n",
        {2: {"code.single_quotes"}, 3: {"code.single_quotes"}},
        ALL_CODES,
        [],
    ),
    "pub-28 time stamps": Case(
        "gift_cards",
        f"{CARDS},purchased_at\n1,flexible_gift,10,2024-03-15 10:20:30+00\n"
        "2,flexible_gift,10,2024-03-15 10:20:30.5+02\n"
        "3,flexible_gift,10,2024-03-15 10:20:30 -0500\n4,flexible_gift,10,2024-03-15T10:20:30.000+0000\n"
        "5,flexible_gift,10,2024-03-15 10:20:30 UTC\n6,flexible_gift,10,2024-03-15T10:20:30+02:00\n",
        {},
        "SELECT to_char(purchased_at, 'HH24:MI:SS.MS') FROM loyalty.gift_card ORDER BY card_number",
        [
            ("10:20:30.000",),
            ("08:20:30.500",),
            ("15:20:30.000",),
            ("10:20:30.000",),
            ("10:20:30.000",),
            ("08:20:30.000",),
        ],
        {"status.sold_card_incomplete"},
    ),
    "pub-30 booleans": Case(
        "customers",
        "Email,IsSubscribedByEmail\na@example.com,t\nb@example.com,f\nc@example.com,Y\nd@example.com,on\n"
        "e@example.com,TRUE \nf@example.com,OFF\n",
        {},
        "SELECT email, is_subscribed FROM loyalty.customer_subscription "
        "JOIN loyalty.customer ON customer.id = customer_id ORDER BY 1",
        [
            *[("a@example.com", True), ("b@example.com", False), ("c@example.com", True), ("d@example.com", True)],
            *[("e@example.com", True), ("f@example.com", False)],
        ],
    ),
    "pub-33 odd codes": Case(
        "promo_codes",
        "Code\nPUB-SAVE-20\nPUB\u2013SAVE\u201320\nPUB SUMMER\nPUB\u00a0SUMMER\nPUB\u00adSPRING\n"
        "PUB&amp;GET\nPUB\u0422EN\n",
        {6: {"code.invisible_character"}},
        "SELECT count(*) FROM loyalty.promo_code",
        [(6,)],
        {"code.blank_inside", "code.lookalike"},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_x16_a_public_case_comes_out_as_decided(site: Site, case: Case) -> None:
    if case.import_type == "gift_cards":
        site.sample_pools()
    if case.before is not None:
        assert site.load(case.import_type, case.before).state == "completed"
    result = load(site, case.import_type, case.text)
    assert rejects(result) == case.rejected
    assert {warning["rule"] for warning in result.warnings} == case.warnings
    assert site.query(case.query) == case.expected
    assert all(warning["message"] for warning in result.warnings)


def test_x16_a_rejected_file_that_is_dropped_back_gets_the_same_verdict(site: Site) -> None:
    """Source: X-09: rulers, headers and damaged values too, though they begin with what is escaped."""
    text = (
        "Code,available_till\n----,\n-- made by x\nCode,available_till\n'A',\n=\u200b1,\nTotal,\n(1 row)\n"
        "# exported from x,\n'B',\n"
    )
    result = load(site, "promo_codes", text)
    expected = {
        **{line: {"row.not_data"} for line in (2, 3, 7, 8, 9)},
        4: {"row.repeated_header"},
        5: {"code.single_quotes"},
        6: {"code.invisible_character"},
        10: {"code.single_quotes"},
    }
    assert rejects(result) == expected
    again = site.load("promo_codes", rejected_file(result))
    assert list(rejects(again).values()) == [expected[line] for line in sorted(expected)]
    assert counts(again) == {"read": 9, "rejected": 9}


@pytest.mark.parametrize(
    ("import_type", "text", "rejected"),
    [
        ("customers", "ExternalId\nExternalId\n17\nTotal: 1\n(1 row)\n",
         {2: "row.repeated_header", 4: "row.not_data", 5: "row.not_data"}),
        ("customers", "ExternalId,FirstName\n1,Total\nTotal,2\n2,----\n----,----\n",
         {3: "row.not_data", 5: "row.not_data"}),
        ("promo_code_pools", "system_id,name\nsystem_id,name\nTotal,1\nA,Total\n",
         {2: "row.repeated_header", 3: "row.not_data"}),
        ("gift_card_pools", None, {4: "row.repeated_header", 5: "row.not_data", 6: "row.not_data"}),
        ("gift_cards", f"{CARDS}\n{CARDS}\n-- made by x\n(2 rows),,\n1,flexible_gift,2\n3 rows in set (0.00 sec)\n",
         {2: "row.repeated_header", 3: "row.not_data", 4: "row.not_data", 6: "row.not_data"}),
        ("promo_codes", "Code\nTOTAL\n; made by x\n#SALE\n3 rows selected.\nTotal\n\\.\nA-1\n",
         {3: "row.not_data", 5: "row.not_data", 6: "row.not_data", 7: "row.not_data"}),
    ],
)  # fmt: skip
def test_pc04a_lines_of_programs_reject_in_every_type(
    site: Site, import_type: str, text: str | None, rejected: dict[int, str]
) -> None:
    pools = site.sample_pools() if import_type == "gift_cards" else None
    if text is None:
        sample = SAMPLE_POOLS.read_text()
        text = f"{sample}{sample.splitlines()[0]}\nTotal: 2\n-----\n"
    result = load(site, import_type, text)
    assert rejects(result) == {line: {rule} for line, rule in rejected.items()}
    assert pools is None or pools.state == "completed"


def test_x16_wrapped_cells_of_every_kind_are_read_and_reported_once(site: Site) -> None:
    header = "Email,ExternalId,MobilePhone,FirstName,BirthDate,IsSubscribed"
    result = site.load(
        "customers",
        f'{header}\n="a@example.com",="007","=""+12025550123""",="Ann ",="1990-01-02",="t"\n'
        'b@example.com,="",,"=""B""",,\n',
    )
    assert (result.state, counts(result)) == ("completed", {"read": 2, "inserted": 2})
    warnings = warned(result)
    assert set(warnings) == {"file.wrapped_cells"}
    assert warnings["file.wrapped_cells"].startswith('2 rows, first on line 2. Cells of these rows are written as ="…"')
    assert site.query("SELECT email, mobile_phone, first_name, birth_date::text FROM loyalty.customer ORDER BY 1") == [
        ("a@example.com", "+12025550123", "Ann", "1990-01-02"),
        ("b@example.com", None, "B", None),
    ]
    assert site.query("SELECT value FROM loyalty.customer_external_id") == [("007",)]


@pytest.mark.parametrize(
    ("rounded", "others", "is_warned"), [(20, 0, True), (19, 0, False), (19, 1, True), (18, 2, False), (190, 10, True)]
)
def test_x16_rounded_card_numbers_warn_over_the_whole_file(
    site: Site, rounded: int, others: int, is_warned: bool
) -> None:
    """Over 90 % of at least 20, whatever chunk they are in; shorter numbers count for nothing."""
    site.sample_pools()
    numbers = [f"77000000000{n:04}0" for n in range(rounded)] + [f"77000000000{n:04}1" for n in range(others)]
    numbers += [f"{n}0" for n in range(30)]
    small = site.changed(chunk_bytes=200, block_bytes=100)
    result = small.cards(*(f"{number},flexible_gift,1" for number in numbers))
    assert result.state == "completed"
    warnings = warned(result)
    assert set(warnings) == ({"card_number.rounded"} if is_warned else set())
    if is_warned:
        assert warnings["card_number.rounded"].startswith(
            f"{rounded:,} rows, first on line 2. Nearly all card numbers of 16"
        )
    assert len(site.query("SELECT 1 FROM ledger.import_chunk WHERE job_id = :job", job=result.job)) > 1


def test_x16_text_is_stored_composed_and_compared_so(site: Site) -> None:
    assert site.load("promo_code_pools", "system_id,name\nCaf\u00e9,Cafe\u0301\n").state == "completed"
    result = site.load("promo_codes", "Code,pool\nE\u0301TE\u0301,Cafe\u0301\n\u00c9T\u00c9,Caf\u00e9\n")
    assert rejects(result) == {3: {"code.duplicate_in_file"}}
    assert site.query("SELECT code, pool_system_id FROM loyalty.promo_code") == [("\u00c9T\u00c9", "Caf\u00e9")]
    again = site.load("promo_codes", "Code\nX-1\n", settings={"pool": "Cafe\u0301"})
    assert again.state == "completed"
    assert site.query("SELECT name FROM loyalty.promo_code_pool") == [("Caf\u00e9",)]


@pytest.mark.parametrize(("key", "import_type"), [("segment", "customers"), ("pool", "promo_codes")])
def test_x16_names_in_settings_with_characters_nobody_sees_are_refused(site: Site, key: str, import_type: str) -> None:
    content = "Email\na@b.de\n" if import_type == "customers" else "Code\nA1\n"
    result = site.load(import_type, content, settings={key: "vip\u200b"})
    assert result.state == "refused"
    assert result.reason is not None
    assert f"{key}: contains U+200B ZERO WIDTH SPACE as its last character" in result.reason["message"]


def test_x03_a_byte_order_mark_of_another_encoding_refuses_and_names_both(site: Site) -> None:
    """pub-23, and its kind."""
    text = "Email,FirstName\na@example.com,\u0410\u043d\u043d\u0430\n"
    for declared, marked, sent in [
        ("windows-1251", "UTF-8", codecs.BOM_UTF8 + text.encode()),
        ("latin-1", "UTF-8", codecs.BOM_UTF8 + text.encode()),
        ("cp437", "UTF-8", codecs.BOM_UTF8 + text.encode()),
        ("koi8-r", "UTF-16-LE", text.encode("utf-16")),
        ("utf-8", "UTF-16-LE", text.encode("utf-16")),
        ("utf-16", "UTF-8", codecs.BOM_UTF8 + text.encode()),
        ("utf-16", "UTF-32-LE", text.encode("utf-32")),
    ]:
        result = site.load("customers", sent, settings={"encoding": declared})
        assert (result.state, result.reason and result.reason["rule"]) == ("refused", "file.encoding"), declared
        assert result.reason is not None
        assert f"byte order mark of {marked}" in result.reason["message"]
    assert site.query("SELECT count(*) FROM loyalty.customer") == [(0,)]


def test_f4_the_advice_for_a_file_without_a_declared_encoding_is_its_own(site: Site) -> None:
    """Source: X-03."""
    for import_type, content, said in [
        ("customers", "Email\n\u00e9".encode("latin-1"),
         "Expected: the file saved as UTF-8, or settings that declare its encoding."),
        ("customers", "Email\na@b.de\n".encode("utf-16"),
         "It begins like a UTF-16 file. Expected: the file saved as UTF-8, or settings"),
        ("gift_card_pools", "name\n\u00e9".encode("latin-1"), "Expected: the file saved as UTF-8."),
    ]:  # fmt: skip
        result = site.load(import_type, content)
        assert result.reason is not None
        assert said in result.reason["message"]
        assert ("settings" in result.reason["message"]) is (import_type == "customers")
    declared = site.load("customers", "Email\n\u00e9".encode("latin-1"), settings={"encoding": "utf-8"})
    assert declared.reason is not None
    assert "the encoding that the settings declare" in declared.reason["message"]


@pytest.mark.parametrize(
    ("encoding", "windows"),
    [("latin-1", "windows-1252"), ("iso8859-15", "windows-1252"), ("iso8859-2", "windows-1250")],
)
def test_x03_control_bytes_of_latin_1_warn_and_advise_windows_1252(site: Site, encoding: str, windows: str) -> None:
    result = site.load("customers", b"Email,LastName\na@example.com,O\x92Sample\n", settings={"encoding": encoding})
    warnings = warned(result)
    assert set(warnings) == {"file.control_bytes"}
    assert "The byte 92 at byte offset 30" in warnings["file.control_bytes"]
    assert f"declare `encoding: {windows}`" in warnings["file.control_bytes"]
    clean = site.load(
        "customers", "Email,LastName\nb@example.com,M\u00fcller\n".encode("latin-1"), settings={"encoding": encoding}
    )
    assert warned(clean) == {}


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n", "\n  "])
def test_x12_a_last_record_without_line_end_warns(site: Site, end: str) -> None:
    result = site.load("customers", f"Email\na@example.com\nb@example.com{end}")
    assert counts(result) == {"read": 2, "inserted": 2}
    assert set(warned(result)) == (set() if end else {"file.no_final_line_end"})


def test_x13_the_phone_region_of_an_import_reads_its_phones_and_is_another_import(site: Site) -> None:
    """pub-15. Source: value formats, X-13."""
    text = "Email,MobilePhone\na@example.com,030 123456\n"
    assert rejects(site.load("customers", text)) == {2: {"mobile_phone.invalid_phone"}}
    german = site.load("customers", text, settings={"phone_region": "de"})
    assert (german.state, counts(german)) == ("completed", {"read": 1, "inserted": 1})
    assert site.query("SELECT mobile_phone FROM loyalty.customer") == [("+4930123456",)]
    assert site.load("customers", text, settings={"phone_region": "DE"}).state == "duplicate"
    unknown = site.load("customers", text, settings={"phone_region": "XX"})
    assert unknown.reason is not None
    assert "phone_region: 'XX' is no region" in unknown.reason["message"]


def test_x05_the_warnings_of_many_columns_are_folded(site: Site) -> None:
    """The first ten, and a count."""
    header = ",".join(["Email", *(f"odd {n}" for n in range(500)), *(f"CustomFieldOdd{n}" for n in range(12))])
    result = site.load("customers", f"{header}\na@example.com{',' * 512}\n")
    messages_by_rule: dict[str, list[str]] = {}
    for warning in result.warnings:
        messages_by_rule.setdefault(warning["rule"], []).append(warning["message"])
    assert {rule: len(messages) for rule, messages in messages_by_rule.items()} == {
        "file.column_skipped": 11, "file.unknown_custom_field": 11,
    }  # fmt: skip
    assert messages_by_rule["file.column_skipped"][-1].startswith("490 more columns are not imported either")


def test_r3_row_rules_about_one_column_name_it(site: Site) -> None:
    """Source: X-15."""
    result = site.load("customers", 'Email,FirstName\na@example.com,"x"y\n\0b@example.com,Bob\nc@example.com,Cy\n')
    assert reasons(result) == {
        2: 'In column 2 (FirstName) more text comes after a closing quote ("); expected: the delimiter or the end of '
        "the line. A quote inside a quoted cell is written twice.",
        3: "The row contains a NUL byte, in column 1 (Email).",
    }


def test_warnings_of_suite_rules_carry_their_sentence(site: Site) -> None:
    """Source: X-08; the value's place stays an ellipsis (X-20)."""
    site.sample_pools()
    result = site.cards("'0077,flexible_gift,10,CanBeUsed", header=f"{CARDS},status")
    warnings = warned(result)
    assert warnings["card_number.leading_apostrophe"] == (
        "1 row, first on line 2. Card number begins with ', which is kept as a part of it. Spreadsheets put it before "
        "texts: remove it unless it is meant."
    )
    assert warnings["status.sold_card_incomplete"].startswith(
        "1 row, first on line 2. A sold card has the status CanBeUsed"
    )


HONEST_CODES = """--SALE--|--VIP10|// CDN|# 1 DAD|#END|#Source|#date night|REM KOOLHAAS|rem sleep|SUM 41|COUNT 10
TOTAL 20|20 ROWS|12 records|5 riga|100 LIGNES|(2 items)|CREATED AT HOME|generated with love|SQL>1|TOTAL|4711E-2|12E-3
12E+6|00e+1|5E20|'90s'|Error:404|#Beli!|##1|20 ROWS A|'Buy one' or 'get one'|Made by x""".replace("\n", "|").split("|")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_pc04a_honest_codes_load_from_a_file_of_codes_alone(site: Site, line_end: str) -> None:
    """Source: X-16 too; each may be the first record, the last, or the only one."""
    assert load(site, "promo_codes", line_end.join(["Code", *HONEST_CODES])).state == "completed"
    assert site.query("SELECT count(*) FROM loyalty.promo_code") == [(len(HONEST_CODES),)]
    for code in HONEST_CODES:
        assert reasons(site.load("promo_codes", f"Code{line_end}{code}{line_end}", settings={"pool": "SUMMER"})) == {}


SALESFORCE = [
    "Grand Totals (200 records)",
    "Confidential Information - Do Not Distribute",
    '"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved."',
]


@pytest.mark.parametrize("number", [20, 250, 20_000])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], SALESFORCE),
        ([], ["5 Zeilen"]),
        ([], ["[5 rows x 1 columns]"]),
        ([], ["\u5408\u8a08 5"]),
        ([], ["Confidential"]),
        (["Report of the day", "for the shop"], ["Query returned 5 rows."]),
    ],
    ids=lambda lines: lines[0] if lines else "nothing",
)
def test_pc04a_lines_at_the_ends_that_look_like_no_other_code_are_asked_about(
    site: Site, number: int, before: list[str], after: list[str]
) -> None:
    """A footer that no list has: nobody is to be given it as a code."""
    codes = [f"AB-{code:08}" for code in range(number)]
    result = load(site, "promo_codes", "\r\n".join(["Code", *before, *codes, *after]))
    assert (result.reason or {})["rule"] == "file.review"
    assert "has: are they lines that a program has added?" in result.reason["message"]
    assert "--set review_columns=false" in result.reason["message"]
    assert f"{len(after)} of its last values" in result.reason["message"]
    assert not any(line in str(result.to_json()) for line in (*before, *after))
    assert site.query(ALL_CODES) == []


@pytest.mark.parametrize("line", ["#EOF", "NULL", "(null)", "\\N", "<<EOF>>"])
def test_pc04a_ends_and_absent_values_of_programs_are_no_codes(site: Site, line: str) -> None:
    result = load(site, "promo_codes", f"Code\nAB-1\n{line}\n")
    assert rejects(result) == {3: {"row.not_data"}}
    assert site.query(ALL_CODES) == [("AB-1",)]


@pytest.mark.parametrize(
    "codes",
    [
        [f"SUMMER {number}" for number in range(300)],
        [f"SUMMER {number}" if number % 7 else f"WINTER{number}" for number in range(300)],
        ["VIP 1", *(f"SUMMER{number}" for number in range(18)), "VIP 2"],
        [f"{number:04x}-{number * 7919 % 65_536:04X}_\u00e9" for number in range(300)],
        [f"AB{number}" for number in range(3000)],
    ],
    ids=["blanks in all", "blanks in most", "few", "characters of every kind", "many"],
)
def test_pc04a_honest_codes_are_not_asked_about(site: Site, codes: list[str]) -> None:
    result = load(site, "promo_codes", "\n".join(["Code", *codes, ""]))
    assert (result.state, result.rows.inserted) == ("completed", len(codes))


def test_pc04a_honest_codes_load_beside_columns_that_are_not_imported(site: Site) -> None:
    """Columns on both sides of the codes; a line of a program is alone in its row."""
    rows = [f"{number},{code},spring" for number, code in enumerate(HONEST_CODES, 3)]
    last = len(rows) + 1
    text = "\n".join(["No,Code,Campaign", *rows, "1,----,spring", "2,Total: 5,spring", ",Total: 5,", " ,----, ",
                      "No,Code,Campaign", "4,Code,spring", "no,CODE,campaign"])  # fmt: skip
    result = load(site, "promo_codes", text)
    assert rejects(result) == {
        last + 1: {"code.no_letter_or_digit"},
        last + 3: {"row.not_data"},
        last + 4: {"row.not_data"},
        last + 5: {"row.repeated_header"},
        last + 7: {"row.repeated_header"},
    }
    assert site.query("SELECT count(*) FROM loyalty.promo_code") == [(len(HONEST_CODES) + 2,)]
    again = site.load("promo_codes", rejected_file(result))
    assert sorted(map(sorted, rejects(again).values())) == sorted(map(sorted, rejects(result).values()))


def test_x15_lines_of_programs_in_a_file_of_codes_alone_reject(site: Site) -> None:
    """Source: PC-04a too."""
    lines = ["Code;", "code", "CODE", "Total: 5 codes", "Total codes: 5", "(5 codes)", "GRAND TOTAL: 5", "Total\u00a05",
             "Rows affected: 3", "no rows selected", "Page 1 of 3", "# Made by x", "INSERT 0 3", "COPY 3",
             "Records: 3  Duplicates: 0  Warnings: 0", "PL/SQL procedure successfully completed."]  # fmt: skip
    result = load(site, "promo_codes", "\n".join(["Code", "A-1", *lines]))
    wanted = {line: {"row.not_data" if line > 5 else "row.repeated_header"} for line in range(3, len(lines) + 3)}
    assert rejects(result) == wanted
    assert site.query(ALL_CODES) == [("A-1",)]


def test_x15_a_code_that_is_spelled_like_the_header_repeats_it_where_it_is_alone(site: Site) -> None:
    """Nothing else distinguishes the two; in another case it is a code, for the header is no field's name."""
    result = load(site, "promo_codes", "SUMMER\nA-1\nSUMMER\nSummer\n", mapping={"SUMMER": "code"})
    assert rejects(result) == {3: {"row.repeated_header"}}
    assert site.query(ALL_CODES) == [("A-1",), ("Summer",)]


def test_x16_white_space_around_a_wrapped_cell_is_trimmed_first(site: Site) -> None:
    result = load(site, "promo_codes", 'Code\n ="0077"\n="0078" \n"=""14"" "\n\u00a0="0079 "\t\n')
    assert (result.state, set(warned(result))) == ("completed", {"file.wrapped_cells"})
    assert site.query(ALL_CODES) == [("0077",), ("0078",), ("0079",), ("14",)]


def test_x16_a_key_that_the_warehouse_has_is_no_damage(site: Site) -> None:
    """Pools and points of contact may be called like numbers; what no lookup knows is damaged."""
    site.sample_pools()
    site.query("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('2026.12', 'December')")
    result = site.load("promo_codes", "Code,pool\nA-1,2026.12\nA-2,2026.1\n")
    assert rejects(result) == {3: {"pool.changed_number"}}
    assert site.query("SELECT code, pool_system_id FROM loyalty.promo_code") == [("A-1", "2026.12")]
