"""Which characters nobody can see, and what composed text is. Source: X-16."""

import sys
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import TypeAdapter, ValidationError

from include.import_types.customers import SegmentName
from include.reading import stray_rows
from include.values import characters, damage

pytestmark = pytest.mark.unit

EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def test_x16_controls_formats_private_use_and_noncharacters_are_all_among_the_invisible_and_no_letter_is() -> None:
    verdicts = damage.has_invisible(pa.array([f"a{character}b" for character in EVERY]))
    invisible = {character for character, is_invisible in zip(EVERY, verdicts.tolist(), strict=True) if is_invisible}
    categories = {character: unicodedata.category(character) for character in EVERY}
    wanted = {character for character, category in categories.items() if category in ("Cc", "Cf", "Co", "Zl", "Zp")}
    assert wanted <= invisible
    assert {chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)} <= invisible
    fillers = set(
        "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\uffa0\ufe00\ufe0f\ufffc\ufffd\U000e0100\U000e01ef"
    )
    assert fillers <= invisible
    others = {categories[character] for character in invisible - wanted}
    assert others <= {"Cn", "Lo", "Mn", "So"}
    assert {character for character in invisible if categories[character] == "Lo"} == set("\u115f\u1160\u3164\uffa0")
    assert not invisible & {character for character in EVERY if categories[character] in ("Zs", "Nd", "Lu", "Ll", "Sc")}


def test_x16_the_verdict_in_python_is_that_over_a_column() -> None:
    texts = [f"a{character}" for character in EVERY[:0x3200]] + [
        "\u2764\ufe0f",
        "\u2764\ufe0fa\u200d",
        "1\ufe0f\u20e3\ufe0f",
        "",
    ]
    in_python = [characters.describe_invisible(text) for text in texts]
    assert damage.describe_invisible(pa.array(texts)).to_pylist() == in_python
    assert damage.has_invisible(pa.array(texts)).tolist() == [description is not None for description in in_python]


def test_x16_every_control_has_its_name_and_places_are_counted_in_words() -> None:
    assert characters.name_character("\x1f") == "U+001F INFORMATION SEPARATOR ONE"
    assert characters.name_character("\x7f") == "U+007F DELETE"
    assert characters.name_character("\x80") == "U+0080 PADDING CHARACTER"
    assert characters.name_character("\x85") == "U+0085 NEXT LINE"
    assert characters.name_character("\x9f") == "U+009F APPLICATION PROGRAM COMMAND"
    assert characters.name_character("\U0001fffe") == "U+1FFFE (a noncharacter)"
    assert [characters.name_place(place, 99) for place in (1, 2, 3, 4, 11, 12, 13, 21, 22, 99)] == [
        *["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "last"]
    ]
    assert characters.name_place(1, 1) == "1st"


def test_x16_text_is_composed_whatever_it_begins_with() -> None:
    marks = [character for character in EVERY if unicodedata.combining(character)]
    alone = [character for character in EVERY if unicodedata.normalize("NFC", character) != character]
    pairs = [unicodedata.normalize("NFD", character) for character in EVERY[:0x3100]]
    for texts in (marks, alone, pairs, [f"e{mark}" for mark in marks], ["abc", "\u00e9", "\u0439", "\u4e2d"]):
        assert len(texts) >= 4
        for text in texts:
            column = pa.array([text, None, "a"])
            assert damage.compose(column).to_pylist() == [unicodedata.normalize("NFC", text), None, "a"], ascii(text)


def test_a_composed_column_is_not_copied() -> None:
    column = pa.array(["Anna", "M\u00fcller", "\u0410\u043d\u043d\u0430", "\u4e2d\u6587"])
    assert damage.compose(column) is column


@pytest.mark.parametrize(
    "text",
    [
        *[
            "----------",
            "(3 rows affected)",
            "(1 row)",
            "Total: 5",
            "Total",
            "TOTAL:",
            "# made by x",
            "#made by x",
            "-- one two three",
            "--",
            "; from the system",
            "REM exported from x",
            "SQL> spool off",
        ],
        *[
            "3 rows selected.",
            "(5 Zeilen)",
            "3 rows in set (0.00 sec)",
            "Sum 5",
            "+-----+",
            "\u2500\u2500\u2500",
            "count: 3",
        ],
        *[
            "Rows: 7",
            "- -",
            "Grand Total",
            "\\.",
            "#Fields: a b",
            "(12 lignes)",
            "Summe: 12,50",
            "sep=;",
            "1,234 rows returned",
        ],
        *[
            "Total: 5 codes",
            "Total codes: 5",
            "(5 codes)",
            "GRAND TOTAL: 5",
            "Total\u00a05",
            "Total 5",
            "Rows affected: 3",
        ],
        *["no rows selected", "Page 1 of 3", "Records: 3  Duplicates: 0  Warnings: 0", "INSERT 0 3", "COPY 3"],
        *["PL/SQL procedure successfully completed.", "Generated on 2026-01-02 10:00", "Empty set (0.00 sec)"],
        *["3\u00a0rows\u00a0affected", "# Source: the old shop", "Query OK, 3 rows affected"],
    ],
)
def test_pc04a_lines_of_programs_are_no_data(text: str) -> None:
    assert stray_rows.are_lines_of_programs(pa.array(["A-1", text, "B"])).tolist() == [False, True, False]
    assert stray_rows.are_lines_of_programs(pa.array([text])).tolist() == [True]
    beside = pa.array(["", " ", "x"])
    assert stray_rows.are_alone(pa.array([text, text, text]), [beside]).tolist() == [True, True, False]
    assert stray_rows.are_alone(pa.array([text]), []).tolist() == [True]


@pytest.mark.parametrize(
    "text",
    [
        *[
            "TOTAL",
            "TOTAL5",
            "SUMMER",
            "SUM-5",
            "2 items free",
            "#SALE",
            "#1",
            "#1 FAN",
            "(A)",
            "-5",
            "COUNT",
            "Count",
            "Totals-1",
        ],
        *["7700 0000 0000 0011", "ROWS", "3 rowsX", "EOFX", "A--", "Anna Total", "5", "\u00e9", "-", "Totality"],
        *[
            "--SALE--",
            "--VIP10",
            ";)",
            "// CDN",
            "# 1 DAD",
            "#END",
            "#Source",
            "#date night",
            "REM KOOLHAAS",
            "rem sleep",
        ],
        *["SUM 41", "COUNT 10", "TOTAL 20", "20 ROWS", "12 records", "5 riga", "100 LIGNES", "(2 items)", "SQL>1"],
        *[
            "CREATED AT HOME",
            "generated with love",
            "Made by x",
            "Made by Anna on 5 May",
            "NO ROWS",
            "PAGE 1",
            "COPY",
            "total",
        ],
    ],
)
def test_pc04a_what_may_be_a_code_is_data(text: str) -> None:
    assert stray_rows.are_lines_of_programs(pa.array([text, "with blank", "x:y"])).tolist() == [False] * 3
    assert stray_rows.are_lines_of_programs(pa.array([text])).tolist() == [False]


@pytest.mark.parametrize(
    "text",
    [
        "(5 Zeile(n) betroffen)",
        "(5 ligne(s) affectée(s))",
        "(затронуто строк: 5)",
        "(5 行)",
        "(5 行受影响)",
        "(righe interessate: 5)",
        "(5 wierszy, których to dotyczy)",
        "(liczba wierszy, których to dotyczy: 5)",
        "(5 filas afectadas)",
        "(5 row(s) affected)",
        "# Generated 2026-01-01",
        "Export date: 2026-01-01",
        "Printed: 2026-01-01 10:00",
        "Created by: crm",
        "Stand: 01.01.2026",
        "Generated by: x",
        "Druckdatum 1.1.2026",
        "Date: 01/02/2026",
        "Exporté le 01/02/2026",
        "-- Generated: 2026/01/02",
        "--- EOF ---",
        "-- END --",
        "*** END ***",
        "-- Dump completed",
        "-- Dump completed on 2026-01-01 10:00:00",
        "***END***",
        "-- Host: localhost",
        "Export finished.",
        "=== END OF FILE ===",
        "# EOF",
        "Total number of codes: 5",
        "Total rows 5",
        "Exported: 5",
        "Codes exported: 5",
        "Number of rows 7",
        "Anzahl Zeilen: 5",
        "Anzahl der Datensätze 5",
        "Nombre de lignes : 5",
        "Количество строк: 5",
        "Total rows exported: 5",
        "Rows exported 5",
        "Total codes 5",
        "SELECT code FROM codes;",
        "select * from codes",
        "Warning: Null value is eliminated by an aggregate or other SET operation.",
        "- 1 -",
        "- Page 2 -",
        "\u2013 3 \u2013",
        "mysql> select 1",
        "INSERT INTO codes VALUES (1);",
        "SET NOCOUNT ON",
        "ORA-00942: table or view does not exist",
        "Msg 208, Level 16, State 1",
        "ERROR 1146 (42S02): Table codes doesn't exist",
        "WARNING: there is no transaction in progress",
    ],
)
def test_pc04a_clients_in_other_languages_and_what_dumps_say_of_themselves_are_no_data(text: str) -> None:
    assert stray_rows.are_lines_of_programs(pa.array(["A-1", text, "B"])).tolist() == [False, True, False]
    assert stray_rows.are_lines_of_programs(pa.array([text])).tolist() == [True]


def test_pc04a_codes_with_blanks_dashes_and_words_of_programs_are_data() -> None:
    codes = [
        "--SALE--",
        "*** VIP ***",
        "*** END OF SUMMER ***",
        "END OF SUMMER",
        "SELECT GIFT",
        "Export 5",
        "EXPORTED",
        "WARNING HOT",
        "DATE NIGHT",
        "Date: tonight",
        "-1-",
        "A - 1 - B",
        "- 1",
        "PRINTED 5",
        "TOTAL GIFT 5",
        "Number one",
        "20 OFF",
        "SELECT FROM US",
        "DATE 5",
        "STAND UP 5",
        "END",
        "--END--",
        "SUMMER - 1 -",
        "INFO 5",
        "SET 5",
        "COPY THAT",
        "CODES 5",
        "CARDS 20",
        "CREATED 5",
        "TOTAL 20",
        "Error:404",
        "Dump 5",
        "- A -",
        "LAST UPDATE",
        "Stand 5",
        "1 - 2",
        "// CDN 5",
        "-- SALE",
        "-- VIP 10",
        "(row)",
        "(5 for 1)",
        "MADE WITH LOVE",
        "Made with love",
        "Warning: hot",
        "BLACK FRIDAY 2026-11-27",
        "Sale 2026-01-01",
        "UPDATED",
        "IN SET",
        "DONE",
        "EXPORT END OF",
        "In Total 5",
    ]
    assert [code for code in codes if stray_rows.are_lines_of_programs(pa.array([code])).any()] == []
    assert not stray_rows.are_lines_of_programs(pa.array([*codes, "b:c d"])).any()


@pytest.mark.parametrize(
    ("cell", "text"),
    [('="00""77"', '00"77'), ('=""""', '"'), ('="a"b"', '="a"b"'), ('="a""', '="a""'), (' ="0077" ', "0077")],
)
def test_x16_a_doubled_quote_in_a_wrapped_cell_is_one(cell: str, text: str) -> None:
    texts, wrapped = damage.unwrap(pa.array(["x", cell]))
    assert (texts.to_pylist(), wrapped.tolist()) == (["x", text], [False, not text.startswith("=")])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "-", "^", "\\", "]", "."])
def test_pc04a_a_line_of_the_wrong_number_of_cells_is_known_behind_any_delimiter(delimiter: str) -> None:
    own = [
        f"(3 rows){delimiter}{delimiter}",
        "Total: 5",
        '"# made by x"',
        f"a{delimiter}b",
        "x",
        f"x{delimiter}(3 rows)",
    ]
    before = f'1{delimiter}2{delimiter}"row.ragged"{delimiter}"a{delimiter} ""b"""{delimiter}'
    for texts, columns in ((own, 0), ([before + text for text in own], 4)):
        pattern = stray_rows.ragged_pattern(delimiter, columns)
        assert pc.match_substring_regex(pa.array(texts), pattern).to_pylist() == [True] * 3 + [False] * 3


def test_pc04a_a_customer_named_total_is_one() -> None:
    names = pa.array(["Total", "Total", "----", "Total: 5"])
    assert stray_rows.are_alone(names, [pa.array(["a@b.de", "x", "a@b.de", "1@2.de"])]).tolist() == [False] * 4


def repeats(header: stray_rows.Header, *columns: list[str | None]) -> list[bool]:
    cells = [pa.array(column, pa.string()) for column in columns]
    rows: list[bool] = (header.may_repeat(cells[header.leading]) & header.repeated_by(cells)).tolist()
    return rows


def test_x15_a_row_repeats_the_header_where_all_its_cells_do() -> None:
    columns = (["A", "A", "x", "a"], [" B ", "C", "B", "B"], ["", None, "", " "])
    for is_certain in (True, False):
        header = stray_rows.Header([" A", "B", ""], leading=0, is_certain=is_certain)
        assert repeats(header, *columns) == [True, False, False, is_certain]
        assert repeats(header, ["4", "A"], ["B", "B"], ["", ""]) == [False, True]


def test_x15_a_header_of_one_column_is_known_in_another_case_and_before_other_delimiters() -> None:
    cells = ["Code", "code", "CODE", "Code;", "Code,,\t|", "Code;Pool", "Coder", "Cod", None]
    assert repeats(stray_rows.Header(["Code"], leading=0, is_certain=True), cells) == [True] * 5 + [False] * 4
    assert repeats(stray_rows.Header(["Code"], leading=0, is_certain=False), cells) == [True] + [False] * 8


def test_x16_joiners_are_needed_where_idna_allows_them() -> None:
    needed = [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\u0915\u094d\u200c\u0937",
    ]
    others = [
        "a\u200cb",
        "a\u200db",
        "\u200c\u0645",
        "\u0645\u200d\u0645",
        "\u0645\u200c",
        "\u0627\u200c\u0627",
        "\ufdd0\u200d",
    ]
    for text in needed:
        assert characters.describe_invisible(text) is not None
        assert characters.describe_invisible(text, is_name=True) is None
        assert damage.read_identifiers(pa.array([text]), are_names=True).values.to_pylist() == [text]
        assert damage.read_identifiers(pa.array([text])).problems.to_pylist() == ["invisible_character"]
        assert damage.describe_invisible(pa.array([text])).to_pylist() == [characters.describe_invisible(text)]
        bad = f"{text}\u200b"
        assert damage.describe_invisible(pa.array([bad])).to_pylist() == [
            "U+200B ZERO WIDTH SPACE as its last character"
        ]
    for text in others:
        assert characters.describe_invisible(text, is_name=True) is not None
        assert damage.read_identifiers(pa.array([text]), are_names=True).values.to_pylist() == [None]


def test_x16_a_segment_in_settings_may_have_the_joiners_of_its_script() -> None:
    segment = TypeAdapter(SegmentName)
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert segment.validate_python(persian) == persian
    for name in ("a\u200cb", f"{persian}\u200b"):
        with pytest.raises(ValidationError, match="nobody can see"):
            segment.validate_python(name)
