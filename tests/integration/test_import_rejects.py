"""What is reported to the sender, and the way back of corrected rows. Source: X-07, X-08, X-09."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pytest

from include.ledger import jobs
from include.ledger.jobs import JobResult
from include.ledger.records import RuleCount
from tests.imports import CARD_HEADER, SAMPLE_POOLS, Site, counts, reasons, rejected_file, rejects

pytestmark = pytest.mark.integration

FULL_HEADER = "card_number,pool_system_name,cvv,balance,point_of_contact,purchased_at,status"


def job_result(site: Site, job: int) -> JobResult:
    with site.runtime.engine.connect() as connection:
        return jobs.result(connection, job)


def open_and_fixed(site: Site, result: JobResult) -> tuple[int, int]:
    now = job_result(site, result.job)
    return now.rejects_open, now.rejects_fixed


def without_ours(content: bytes, delimiter: bytes = b",") -> bytes:
    """Return the sender's part of a rejected-rows file of LF lines: what comes after the fourth cell."""
    lines = []
    for line in content.splitlines(keepends=True):
        rest = line
        for _ in range(4):
            if rest.startswith(b'"'):
                rest = rest[rest.index(b'"' + delimiter, 1) + 2 :]
            else:
                rest = rest[rest.index(delimiter) + 1 :]
        lines.append(rest)
    return b"".join(lines)


def test_x07_x08_every_reason_of_every_row_is_reported_and_the_rest_loads(stocked: Site):
    long = "x" * 300
    result = stocked.cards(
        "1,holiday_50,111,50,,,",
        "2,holiday_50,,45,,,",
        f"3,{long},,-5,kiosk,03/04/2025,Activated",
        ",,,,,,",
        "6.03E+15,flexible_gift,,15 USD,,30.02.2024,",
        "6,flexible_gift,,1.234,,2999-01-01,",
        "7,flexible_gift,,12345678901234567,,yesterday,",
        "8,flexible_gift",
        header=FULL_HEADER,
    )
    assert rejects(result) == {
        3: {"cvv.required", "balance.equals_pool_value"},
        4: {
            "pool_system_name.known",
            "balance.negative",
            "point_of_contact.known",
            "purchased_at.slash_date",
            "status.unknown_choice",
        },
        5: {"card_number.required", "pool_system_name.required", "balance.required"},
        6: {"card_number.spreadsheet_number", "balance.not_decimal", "purchased_at.impossible_date"},
        7: {"balance.too_many_decimals", "purchased_at.in_the_future"},
        8: {"balance.too_many_digits", "purchased_at.not_date"},
        9: {"row.ragged"},
    }
    assert counts(result) == {"read": 8, "inserted": 1, "rejected": 7}
    sentences = reasons(result)
    assert sentences[3].split(" | ") == [
        "Gift card CVV is blank, but pool 'holiday_50' requires one for each card.",
        "Card balance '45' differs from the fixed value of pool 'holiday_50', which is 50.00.",
    ]
    assert f"'{'x' * 100}...'" in sentences[4]
    assert long not in sentences[4]
    assert sentences[9] == "The row has 2 cells, the header has 7."
    critical = {rule.rule: (rule.rows, rule.first_lines) for rule in result.rules if rule.severity == "critical"}
    assert critical["balance.required"] == (1, [5])
    assert critical["row.ragged"] == (1, [9])
    assert sum(rows for rows, _ in critical.values()) == sum(map(len, rejects(result).values()))


def test_x08_no_cut_at_any_number_of_rejects(stocked: Site):
    rows = [f"{number},{'nowhere' if number % 5 else 'flexible_gift'},10" for number in range(1, 26_001)]
    result = stocked.cards(*rows, review_reject_share=1)
    expected = {number + 1 for number in range(1, 26_001) if number % 5}
    assert len(expected) == 20_800
    assert rejects(result) == {line: {"pool_system_name.known"} for line in expected}
    assert counts(result) == {"read": 26_000, "inserted": 5_200, "rejected": 20_800}
    (rule,) = result.rules
    assert (rule.rows, len(rule.first_lines)) == (20_800, 100)
    sent = [row for row in rows if "nowhere" in row]
    assert without_ours(rejected_file(result)).decode() == "\n".join([CARD_HEADER, *sent, ""])


def test_the_summary_names_the_first_lines_of_what_the_load_rejects_in_order(stocked: Site):
    """A hundred of them: however many there are, no more are held in memory."""
    numbers = [*range(1, 400), *range(150, 399)]
    result = stocked.cards(*(f"{number},flexible_gift,10" for number in numbers))
    (rule,) = result.rules
    assert rule == RuleCount("card_number.duplicate_in_file", "critical", 249, list(range(401, 501)))


def test_x08_a_row_that_the_suite_rejects_also_says_that_its_number_is_taken(stocked: Site):
    stocked.cards("1,flexible_gift,10")
    result = stocked.cards("1,flexible_gift,-10", "2,flexible_gift,10", "2,flexible_gift,ten", "3,flexible_gift,ten")
    assert rejects(result) == {
        2: {"balance.negative", "card_number.card_exists"},
        4: {"balance.not_decimal", "card_number.duplicate_in_file"},
        5: {"balance.not_decimal"},
    }
    assert reasons(result)[2].endswith("this row differs in balance.")
    rows = {rule.rule: rule.rows for rule in result.rules}
    assert rows == {
        "balance.negative": 1,
        "balance.not_decimal": 2,
        "card_number.card_exists": 1,
        "card_number.duplicate_in_file": 1,
    }


@pytest.mark.parametrize(
    ("line_end", "delimiter"), [(b"\n", b","), (b"\r\n", b";"), (b"\r", b"\t"), (b"\n", b"|"), (b"\r", b",")]
)
def test_x09_the_file_repeats_the_sender_s_records_byte_for_byte(stocked: Site, line_end: bytes, delimiter: bytes):
    header = b'"card_number",pool_system_name,"balance", note '.replace(b",", delimiter)
    records = [
        b'1, "nowhere",10,plain',
        b'2,nowhere,10,"quoted ""twice"" and, ; | \t all delimiters"',
        b'3,nowhere,10,"line' + line_end + b"end" + line_end * 2 + b'inside"',
        b'4,nowhere,10,5" pipe ',
        b"5,nowhere,10",
        b"6,nowhere,10,,,,",
        b'7,"now"here,10,text after a quote',
        b"8,nowhere,1\x000,NUL",
        "9,nowhere,10,\u00a0Дом 😀\u2028".encode(),
        b',"",,',
    ]
    if delimiter != b",":
        records = [record.replace(b",", delimiter) for record in records]
    good = b"0,flexible_gift,10,".replace(b",", delimiter)
    content = line_end.join([header, good, *records, good]) + line_end
    result = stocked.load("gift_cards", content, delimiter=delimiter.decode())
    lines = rejected_lines(result)
    assert counts(result) == {"read": 12, "inserted": 1, "rejected": 11}

    names = delimiter.join([b"_job", b"_line", b"_rules", b"_reasons"])
    expected = names + delimiter + header + line_end
    rejects_content = rejected_file(result)
    assert rejects_content.startswith(expected)
    for line, record in zip(lines, [*records, good], strict=True):
        place = rejects_content.index(b"%d%s%d%s" % (result.job, delimiter, line, delimiter))
        assert delimiter + record + line_end in rejects_content[place:]
    everything = expected + b"".join(
        own(stocked, result.job, line, delimiter) + record + line_end
        for line, record in zip(lines, [*records, good], strict=True)
    )
    assert rejects_content == everything


def rejected_lines(result: JobResult) -> list[int]:
    lines = sorted({line for rule in result.rules for line in rule.first_lines})
    assert len(lines) == result.rows.rejected
    return lines


def own(site: Site, job: int, line: int, delimiter: bytes) -> bytes:
    ((rules, sentences),) = site.query(
        "SELECT rules, reasons FROM ledger.reject WHERE job_id = :job AND line = :line", job=job, line=line
    )
    quoted = ['"' + text.replace('"', '""') + '"' for text in (rules, sentences)]
    return delimiter.join([str(job).encode(), str(line).encode(), *(text.encode() for text in quoted), b""])


def test_x09_mixed_line_ends_give_the_header_s(stocked: Site):
    result = stocked.load("gift_cards", f"{CARD_HEADER}\r\n1,nowhere,1\n2,nowhere,2\r3,nowhere,3")
    assert (
        without_ours(rejected_file(result))
        == f"{CARD_HEADER}\r\n1,nowhere,1\r\n2,nowhere,2\r\n3,nowhere,3\r\n".encode()
    )


@pytest.mark.parametrize(
    ("encoding", "codec", "bom"),
    [
        ("utf-8", "utf-8", codecs.BOM_UTF8),
        ("windows-1251", "cp1251", b""),
        ("utf-16", "utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16", "utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-be", "utf-16-be", b""),
    ],
)
def test_x09_the_file_has_the_sender_s_encoding_and_comes_back_in_it(
    stocked: Site, encoding: str, codec: str, bom: bytes
):
    header = "card_number;pool_system_name;balance;заметка"
    row = '1;"нет";10;"№ ""1"""'
    content = bom + f"{header}\r\n{row}\r\n".encode(codec)
    first = stocked.load("gift_cards", content, settings={"encoding": encoding, "delimiter": ";"})
    rejects_content = rejected_file(first)
    assert rejects_content.startswith(bom + "_job;_line;_rules;_reasons;card_number;".encode(codec))
    assert f"{row}\r\n".encode(codec) in rejects_content
    assert len(rejects_content[len(bom) :].decode(codec).splitlines()) == 2

    corrected = rejects_content.replace("нет".encode(codec), "flexible_gift".encode(codec))
    second = stocked.load("gift_cards", corrected)  # inherits encoding and delimiter
    assert counts(second) == {"read": 1, "inserted": 1}
    assert open_and_fixed(stocked, first) == (0, 1)


def test_x09_characters_that_the_sender_s_encoding_lacks_cost_the_sentence_alone(stocked: Site):
    result = stocked.load("gift_cards", f"{CARD_HEADER}\n1,caf\xe9,ten\n".encode("latin-1"), encoding="latin-1")
    assert without_ours(rejected_file(result)) == f"{CARD_HEADER}\n1,caf\xe9,ten\n".encode("latin-1")


def test_x09_a_chain_of_corrections_closes_the_rejects_of_every_job(stocked: Site):
    header = "Nr;pool_system_name;balance;Nr2"
    rows = ["1;flexible_gift;1,00;a", "2;nowhere;2,00;b", "3;nowhere;drei;c", "4;nowhere;4,00;d;e"]
    mapping = {"Nr": "card_number", "Nr2": None}
    first = stocked.load("gift_cards", "\n".join([header, *rows, ""]), "cards.csv", settings={"mapping": mapping})
    assert counts(first) == {"read": 4, "inserted": 1, "rejected": 3}
    assert rejects(first, delimiter=";")[5] == {"row.ragged"}
    assert open_and_fixed(stocked, first) == (3, 0)
    assert first.rejected_file is not None
    assert Path(first.rejected_file).name == "cards.rejected.csv"

    # The sender corrects the pools of all rows, but neither the amount of 3 nor the cells of 4.
    corrected = rejected_file(first).replace(b";nowhere;", b";flexible_gift;")
    second = stocked.load("gift_cards", corrected, "cards.rejected.csv")
    assert counts(second) == {"read": 3, "inserted": 1, "rejected": 2}
    assert rejects(second, delimiter=";") == {3: {"balance.not_decimal"}, 4: {"row.ragged"}}
    assert without_ours(rejected_file(second), b";").decode().splitlines() == [
        header,
        "3;flexible_gift;drei;c",
        "4;flexible_gift;4,00;d;e",
    ]
    assert open_and_fixed(stocked, first) == (2, 1)
    assert stocked.job(second)["settings"]["mapping"] == mapping
    with stocked.runtime.engine.connect() as connection:
        assert jobs.parents(connection, second.job) == [first.job]

    third_content = rejected_file(second).replace(b"drei", b"3").replace(b";d;e", b";d")
    third = stocked.load("gift_cards", third_content, "last.csv")
    assert (third.state, counts(third)) == ("completed", {"read": 2, "inserted": 2})
    assert open_and_fixed(stocked, first) == (0, 3)
    assert open_and_fixed(stocked, second) == (0, 2)
    assert stocked.query(
        "SELECT line, fixed_by_job_id FROM ledger.reject WHERE job_id = :j ORDER BY 1", j=first.job
    ) == [
        (3, second.job),
        (4, third.job),
        (5, third.job),
    ]
    assert stocked.query("SELECT card_number, balance FROM loyalty.gift_card ORDER BY 1") == [
        ("1", 1), ("2", 2), ("3", 3), ("4", 4),
    ]  # fmt: skip


def test_x09_a_row_that_comes_back_unchanged_counts_as_loaded_and_a_dry_run_closes_nothing(stocked: Site):
    first = stocked.cards("1,nowhere,10", "2,nowhere,10")
    stocked.cards("1,flexible_gift,10")
    corrected = rejected_file(first).replace(b"nowhere", b"flexible_gift")
    dry = stocked.load("gift_cards", corrected, dry_run=True)
    assert counts(dry) == {"read": 2, "inserted": 1, "unchanged": 1}
    assert open_and_fixed(stocked, first) == (2, 0)
    real = stocked.load("gift_cards", corrected)
    assert counts(real) == {"read": 2, "inserted": 1, "unchanged": 1}
    assert open_and_fixed(stocked, first) == (0, 2)


def test_x09_columns_and_rows_may_be_moved_and_rows_added_in_a_spreadsheet(stocked: Site):
    first = stocked.cards("1,nowhere,10", "2,nowhere,20")
    header, *rows = csv.reader(io.StringIO(rejected_file(first).decode()))
    table = [dict(zip(header, row, strict=True)) for row in reversed(rows)]
    table.insert(0, dict.fromkeys(header, "") | {"card_number": "3", "balance": "30"})
    moved = ["card_number", "_line", "balance", "pool_system_name", "_reasons", "_job"]
    text = io.StringIO()
    writer = csv.DictWriter(text, moved, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row | {"pool_system_name": "flexible_gift"} for row in table)
    second = stocked.load("gift_cards", text.getvalue())
    assert counts(second) == {"read": 3, "inserted": 3}
    assert open_and_fixed(stocked, first) == (0, 2)


def test_x09_settings_are_inherited_explicit_ones_win_and_those_of_one_run_are_not(stocked: Site):
    first = stocked.cards(
        "1,nowhere,10,03/04/2024", header=f"{CARD_HEADER},purchased_at", slash_dates="month_first", dry_run=True,
    )  # fmt: skip
    corrected = rejected_file(first).replace(b"nowhere", b"flexible_gift")
    second = stocked.load("gift_cards", corrected)
    assert counts(second) == {"read": 1, "inserted": 1}
    assert stocked.query("SELECT purchased_at::text FROM loyalty.gift_card") == [("2024-03-04 00:00:00+00",)]
    third = stocked.load("gift_cards", corrected, slash_dates="day_first")
    assert rejects(third) == {2: {"card_number.card_exists"}}
    assert stocked.job(third)["settings"]["slash_dates"] == "day_first"


def test_x09_jobs_of_different_settings_in_one_file_and_unknown_jobs_refuse_it(stocked: Site):
    plain = stocked.cards("1,nowhere,10")
    also_plain = stocked.cards("2,nowhere,10")
    strict = stocked.cards("3,nowhere,10", strict_sold_cards=True)
    lines = {job.job: rejected_file(job).replace(b"nowhere", b"flexible_gift").splitlines(keepends=True)[1]
             for job in (plain, also_plain, strict)}  # fmt: skip
    header = rejected_file(plain).splitlines(keepends=True)[0]

    mixed = stocked.load("gift_cards", header + lines[plain.job] + lines[strict.job])
    assert (mixed.state, (mixed.reason or {})["rule"]) == ("refused", "file.mixed_jobs")
    assert f"{plain.job} and {strict.job}" in (mixed.reason or {})["message"]
    alike = stocked.load("gift_cards", header + lines[plain.job] + lines[also_plain.job])
    assert counts(alike) == {"read": 2, "inserted": 2}
    with stocked.runtime.engine.connect() as connection:
        assert jobs.parents(connection, alike.job) == [plain.job, also_plain.job]

    for number in (b"999", b"1"):  # no job at all; a job of another type
        foreign = stocked.load("gift_cards", header + number + lines[strict.job][1:])
        assert (foreign.state, (foreign.reason or {})["rule"]) == ("refused", "file.unknown_job")
    assert stocked.card_numbers() == ["1", "2"]


def test_x09_a_first_column_that_only_begins_like_job_is_the_sender_s(stocked: Site):
    result = stocked.cards("77,1,flexible_gift,10", header=f"_job_title,{CARD_HEADER}")
    assert counts(result) == {"read": 1, "inserted": 1}


def test_x09_a_sender_s_own_line_column_stays_in_the_file_and_comes_back(stocked: Site):
    first = stocked.cards("A-1,1,nowhere,10", header=f"_line,{CARD_HEADER}")
    rejects_content = rejected_file(first)
    assert rejects_content.startswith(b"_job,_line,_rules,_reasons,_line,card_number")
    second = stocked.load("gift_cards", rejects_content.replace(b"nowhere", b"neither"))
    assert without_ours(rejected_file(second)) == f"_line,{CARD_HEADER}\nA-1,1,neither,10\n".encode()
    third = stocked.load("gift_cards", rejected_file(second).replace(b"neither", b"flexible_gift"))
    assert counts(third) == {"read": 1, "inserted": 1}
    assert open_and_fixed(stocked, first) == (0, 1)


FORMULAS = ["=1+1", "+7", "-5", "@x", "'=1", "''-2", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\t1", "\r1"]
HARMLESS = ["'a", "'", "a=1", " =1", "", "''", '"', "\uff1c1", "1-1"]


def as_csv(*rows: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue()


def sender_s_cells(content: bytes) -> list[list[str]]:
    return [row[4:] for row in csv.reader(io.StringIO(content.decode(), newline=""))]


def test_x09_cells_that_look_like_formulas_get_one_apostrophe_and_lose_one_on_the_way_back(stocked: Site):
    header = [*CARD_HEADER.split(","), "=note"]
    table = [[cell, "nowhere", "10", cell] for cell in [*FORMULAS, *HARMLESS]]
    first = stocked.load("gift_cards", as_csv(header, *table))
    assert sender_s_cells(rejected_file(first)) == [
        [*CARD_HEADER.split(","), "'=note"],
        *([f"'{cell}", "nowhere", "10", f"'{cell}"] for cell in FORMULAS),
        *([cell, "nowhere", "10", cell] for cell in HARMLESS),
    ]
    # Rejected again: neither more nor fewer apostrophes.
    second = stocked.load("gift_cards", rejected_file(first).replace(b"nowhere", b"neither"))
    again = rejected_file(second).replace(b"neither", b"nowhere")
    assert sender_s_cells(again) == sender_s_cells(rejected_file(first))
    third = stocked.load("gift_cards", rejected_file(second).replace(b"neither", b"flexible_gift"))
    trimmed = [cell.strip() for cell in [*FORMULAS, *HARMLESS]]
    loaded = sorted({cell for cell in trimmed if cell})
    assert sorted(stocked.card_numbers()) == loaded
    assert counts(third)["inserted"] == len(loaded)


def test_x09_a_formula_that_the_sender_types_into_the_file_gets_its_apostrophe_on_the_next_rejection(stocked: Site):
    first = stocked.cards("1,nowhere,10")
    second = stocked.load("gift_cards", rejected_file(first).replace(b",1,nowhere", b",=1,nowhere"))
    assert without_ours(rejected_file(second)).splitlines()[1] == b"'=1,nowhere,10"
    third = stocked.load("gift_cards", rejected_file(second).replace(b"nowhere", b"flexible_gift"))
    assert counts(third) == {"read": 1, "inserted": 1}
    assert stocked.card_numbers() == ["=1"]


def test_x09_rejects_verbatim_leaves_the_apostrophes_alone_both_ways(stocked: Site):
    first = stocked.cards("=1,nowhere,10", "'=2,nowhere,20", rejects_verbatim=True)
    assert without_ours(rejected_file(first)) == f"{CARD_HEADER}\n=1,nowhere,10\n'=2,nowhere,20\n".encode()
    second = stocked.load("gift_cards", rejected_file(first).replace(b"nowhere", b"flexible_gift"))
    assert counts(second) == {"read": 2, "inserted": 2}
    assert stocked.card_numbers() == ["'=2", "=1"]


@pytest.mark.parametrize("verbatim", [(True, False), (False, True)])
def test_x09_values_survive_a_change_of_rejects_verbatim_within_a_chain(stocked: Site, verbatim: tuple[bool, bool]):
    first = stocked.cards("=1,nowhere,10", "'=2,nowhere,20", rejects_verbatim=verbatim[0])
    second = stocked.load(
        "gift_cards", rejected_file(first).replace(b"nowhere", b"neither"), rejects_verbatim=verbatim[1]
    )
    apostrophe = b"" if verbatim[1] else b"'"
    assert without_ours(rejected_file(second)).splitlines()[1:] == [
        apostrophe + b"=1,neither,10", apostrophe + b"'=2,neither,20",
    ]  # fmt: skip
    stocked.load("gift_cards", rejected_file(second).replace(b"neither", b"flexible_gift"))
    assert stocked.card_numbers() == ["'=2", "=1"]


def test_x09_apostrophes_of_files_without_job_stay(stocked: Site):
    stocked.cards("'=1,flexible_gift,10")
    assert stocked.card_numbers() == ["'=1"]


def test_x09_a_header_in_the_sender_s_words_that_looks_like_a_formula_is_still_mapped(stocked: Site):
    mapping = {"=": "card_number", "@pool": "pool_system_name"}
    first = stocked.cards("1,nowhere,10", header="=,@pool,balance", settings={"mapping": mapping})
    assert rejected_file(first).splitlines()[0] == b"_job,_line,_rules,_reasons,'=,'@pool,balance"
    second = stocked.load("gift_cards", rejected_file(first).replace(b"nowhere", b"flexible_gift"))
    assert counts(second) == {"read": 1, "inserted": 1}


def test_x09_pools_are_corrected_and_reimported_alike(site: Site):
    content = SAMPLE_POOLS.read_bytes().replace(b"Acme,false", b"Acne,false")
    first = site.load("gift_card_pools", content)
    assert rejects(first) == {3: {"brand.known"}}
    second = site.load("gift_card_pools", rejected_file(first).replace(b"Acne", b"Acme"))
    assert (second.state, counts(second)) == ("completed", {"read": 1, "inserted": 1})
    assert open_and_fixed(site, first) == (0, 1)


def test_x09_a_header_full_of_quotes_is_no_trap(stocked: Site):
    result = stocked.load("gift_cards", "_job," + ",".join(['"a""b""c"""""'] * 200) + "\nx\n")
    assert result.state == "refused"
