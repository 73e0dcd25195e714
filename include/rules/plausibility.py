"""Whether columns hold what their fields usually hold, by the shape of some rows' values. Source: X-05, X-18, PC-04a.

A file whose columns were exchanged is read without a mistake where both fields take any text: card numbers become
balances, codes become pools. What gives it away is the look of the values: an amount has a decimal mark, a card number
many digits, a pool one of few names. A question is put where a column's values don't look like its own field's and do
look like another one's; an odd value here and there, or a column that is merely full of mistakes, is no reason.

What nobody can see is not asked about: first name and last name, two dates, two yes-or-no fields look alike.

Codes may have any look. Where those at the ends of a file have another one than all others, lines of a program are at
the ends that no list of such lines has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from include.columns.mapping import ColumnMapping
from include.declaration.fields import Field, Kind, Look
from include.declaration.import_type import ImportType
from include.reading.parsing import BOOLEANS, CLEAR
from include.reading.stray_rows import are_lines_of_programs
from include.values import cells, damage
from include.values.cells import without
from include.values.short_codes import CVV_DIGITS

MOST_ROWS = 200
"""So many of the first rows are looked at: a few milliseconds, whatever the file's size."""
LATER_ROWS = 100
"""So many are looked at in the middle of the file, and at its end."""
_END_ROWS = 20
"""Of rows at an end of the file, among which lines of programs are looked for; of few rows a quarter."""
ENOUGH = 20
"""Values from which shares are trusted; of fewer, all must speak for the same."""
FEWEST = 3
"""Values of a column without which nothing is said."""
_FEWEST_NAMES = 2
"""Of names that another field's lookup knows: no accident."""
OWN_AT_MOST = 0.3
OTHER_AT_LEAST = 0.6
REPEATED_SHARE = 0.5
_ZEROS_AT_LEAST = 0.02
_OLDEST_MOMENT = 1995
"""Nothing was sold online or subscribed to before; most people were born before."""
_MOSTLY = 0.5
_CVV_CHARACTERS = range(3, 9)
_SHORT = 6


class Form(StrEnum):
    """What a value looks like, whatever field it is in; each value has one form."""

    EMAIL = "e-mail addresses"
    DATE = "dates"
    AMOUNT = "numbers with decimals"
    LONG_NUMBER = "numbers of twelve digits and more"
    NUMBER = "short numbers"
    PHONE = "phone numbers"
    YES_NO = "yes or no"
    WORDS = "words without digits"
    CODE = "identifiers of letters and digits"
    TEXT = "texts of several words"


_FORMS = re.compile(
    r"""
      (?P<EMAIL>[^@\s]+@[^@\s]+\.[^@\s]+)
    | (?P<DATE>(?:[0-9]{4}[-.][0-9]{1,2}[-.][0-9]{1,2}|[0-9]{1,2}[./][0-9]{1,2}[./](?:[0-9]{4}|[0-9]{2}))(?:[T\ ].*)?)
    | (?P<AMOUNT>-?[0-9]{0,11}[.,][0-9]{1,2})
    | (?P<LONG_NUMBER>[0-9]{12,}|(?:[0-9]{4}[\ -]){3}[0-9]{1,7}|[0-9](?:[.,][0-9]+)?E\+?1[0-9])
    | (?P<NUMBER>-?[0-9]{1,11})
    | (?P<PHONE>\+?(?:[\ ().\-/]*[0-9]){7,15}[\ ().\-/]*)
    | (?P<YES_NO>(?i:true|false|yes|no|on|off))  # a letter may be an initial
    | (?P<WORDS>[^\d\s]+)
    | (?P<CODE>\S+)
    | (?P<TEXT>.+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[^\\\[\](){}^$*+?|]*")
_YEAR = re.compile(r"(?:^|[./])([0-9]{4})(?![0-9])")
_TIME_OF_DAY = re.compile(r"[T ][0-9:]*[1-9]")
MAY_BE_EQUAL = (
    {Look.NAME, Look.SYSTEM_NAME, Look.IDENTIFIER, Look.CODE, Look.CARD_NUMBER, Look.TEXT, Look.EMAIL, Look.PHONE},
    {Look.PERSON, Look.FULL_NAME, Look.PLACE, Look.NAME, Look.TEXT},
    {Look.SYSTEM_NAME, Look.IDENTIFIER, Look.AMOUNT},
    {Look.DATE, Look.BIRTH, Look.MOMENT},
)
"""Looks of fields that may well hold the same in every row: a customer's external identifier may be the e-mail address,
a product's the value of its cards, which is a short number. A card number is never the amount on its card."""
ALIKE_BUT_NEVER_EQUAL = frozenset({Look.PERSON})
"""Looks of which a type has several fields that hold other values in nearly every row: first names and last names."""
WORDS_OF_ANY_KIND = (
    {Look.PERSON, Look.PLACE}, {Look.PERSON, Look.TEXT}, {Look.PLACE, Look.TEXT}, {Look.FULL_NAME, Look.TEXT},
)  # fmt: skip
"""Names, places and the texts of a custom field: nothing distinguishes them, so their exchange is never suspected."""
_SPEAKING = (Form.EMAIL, Form.DATE, Form.AMOUNT, Form.YES_NO)
"""Forms that no free text and no identifier usually has."""


class Values:
    """The filled cells of a column's first rows, trimmed: each distinct one is looked at once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.number = len(texts)
        self._counted = [(text, form_of(text), count) for text, count in Counter(texts).items()]

    @property
    def texts(self) -> list[str]:
        """The distinct ones, in the order of their first rows."""
        return [text for text, _, _ in self._counted]

    def share(self, test: Callable[[str, Form], bool]) -> float:
        """Return the share of values that pass a test of their text and form; 0 when there are none."""
        passed = sum(count for text, form, count in self._counted if test(text, form))
        return passed / self.number if self.number else 0.0

    @property
    def form(self) -> Form:
        """The form that most values have; there must be one."""
        forms: Counter[Form] = Counter()
        for _, form, count in self._counted:
            forms[form] += count
        return forms.most_common(1)[0][0]

    @property
    def described(self) -> str:
        """What most values look like, in words; dates by what distinguishes one field of dates from another."""
        if self.form is not Form.DATE:
            return self.form
        if self.share(lambda text, form: form is Form.DATE and _year(text) < _OLDEST_MOMENT) > _MOSTLY:
            return f"dates before {_OLDEST_MOMENT}"
        has_time = self.share(lambda text, form: form is Form.DATE and bool(_TIME_OF_DAY.search(text))) > _MOSTLY
        return "dates with a time of day" if has_time else self.form


@dataclass(frozen=True)
class _Judged:
    """A column with the field that it is read as, and the shares of its values that may be, and are typical of it."""

    index: int
    field: Field
    values: Values
    own_share: float
    typical_share: float


def form_of(text: str) -> Form:
    """Return what a trimmed, filled value looks like."""
    match = _FORMS.fullmatch(text)
    return Form[match.lastgroup] if match is not None and match.lastgroup else Form.TEXT


def may_be_birth_date(text: str, *, is_date: bool) -> bool:
    """Say whether a text looks like a birth date rather than a moment of our time. Source: X-20.

    Args:
        is_date: its column is read as dates, so that it may be one that can't be read.
    """
    is_written_so = is_date or form_of(text.strip()) is Form.DATE
    has_time = ":" in text and _TIME_OF_DAY.search(text) is not None
    return is_written_so and bool(text.strip()) and (not has_time or _year(text) < _OLDEST_MOMENT)


def describe_oddities(
    import_type: ImportType,
    fields: Sequence[Field],
    mapping: ColumnMapping,
    columns: Mapping[str, pa.StringArray],
    lookup_names: Mapping[str, Collection[str]],
    *,
    fewest: int = FEWEST,
    place: str = "first",
) -> list[str]:
    """Say which columns hold what another field's values look like: a sentence each, without values (X-20).

    Args:
        fields: those of the import type, the project's included.
        columns: field → raw cells of some rows, all of the same length.
        lookup_names: field with a lookup → which of all these cells are among the lookup's names.
        fewest: of a column with fewer values nothing is said.
        place: which rows these are.
    """
    by_name = {field.name: field for field in fields}
    looks = _Looks(lookup_names)
    looked_at = []
    for name, index in mapping.field_indexes.items():
        if name in columns and name in by_name:
            values, field = _values(columns[name]), by_name[name]
            shares = looks.own_share(values, field), looks.typical_share(values, field)
            looked_at.append(_Judged(index, field, values, *shares))
    sentences: dict[int, str] = {}
    for column, holds in _misplaced(looked_at, looks, fewest):
        sentences[column.index] = _sentence(mapping, column, holds, place)
    for one, other in _exchanged(looked_at, looks, fewest):
        if one.index not in sentences and other.index not in sentences:
            sentences[one.index] = _exchange_sentence(mapping, one, other)
    for one, other in _copied(looked_at, columns):
        if one.index not in sentences and other.index not in sentences:
            sentences[one.index] = (
                f"{_name(mapping, one, other)} hold the same values, row by row, but are read as "
                f"{one.field.label} and {other.field.label}."
            )
    for column in looked_at:
        if column.index not in sentences and _is_repeated_key(import_type, column):
            sentences[column.index] = (
                f"{_name(mapping, column)} is read as {column.field.label}, which no two rows may share, but more than "
                f"half of its {place} {column.values.number} values are there more than once."
            )
    return [sentences[index] for index in sorted(sentences)]


def describe_turns(
    mapping: ColumnMapping, first: Mapping[str, pa.StringArray], later: Mapping[str, pa.StringArray], place: str
) -> list[str]:
    """Say which columns are exchanged further down, by how long their values are: no field's look is needed (X-18).

    Args:
        first: field → raw cells of the first rows.
        later: of rows further down; `place` says which.
    """
    before, after, indexes = _lengths(first), _lengths(later), mapping.field_indexes
    others = [name for name in after if name in before and not _overlap(after[name], before[name])]
    return [
        f"{_started(' and '.join(mapping.numbered(mapping.columns[indexes[name]]) for name in (one, other)))} seem to "
        f"be exchanged in the {place} rows: each has values as long as the first ones of the other."
        for one, other in combinations(others, 2)
        if not _overlap(before[one], before[other])
        and _is_within(after[one], before[other])
        and _is_within(after[other], before[one])
    ]


def _lengths(columns: Mapping[str, pa.StringArray]) -> dict[str, tuple[int, int]]:
    """Return how long nine tenths of a column's values are, from and to; nothing of few values."""
    lengths = {name: sorted(map(len, _filled(cells_there))) for name, cells_there in columns.items()}
    return {name: (of[len(of) // 20], of[-1 - len(of) // 20]) for name, of in lengths.items() if len(of) >= ENOUGH}


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _is_within(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] <= one[0] and one[1] <= other[1]


def _started(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def describe_ends(
    import_type: ImportType, mapping: ColumnMapping, samples: Sequence[Mapping[str, pa.StringArray]]
) -> list[str]:
    """Say whether codes at the ends of a file have blanks, or characters of a kind, that no other has. Source: PC-04a.

    Args:
        samples: field → raw cells of rows, the first and the last of the file among them, in file order.
    """
    index = mapping.field_indexes.get(import_type.key)
    field = next((field for field in import_type.fields if field.name == import_type.key), None)
    if not samples or index is None or field is None or look_of(field) is not Look.CODE:
        return []
    codes = _codes(pa.concat_arrays([columns[field.name] for columns in samples]), mapping.columns[index].header)
    kinds = [_kinds_of_characters(code) for code in codes]
    ends = min(_END_ROWS, len(codes) // 4)
    usual = frozenset[str]().union(*kinds[ends : len(codes) - ends])
    strange = {name: sum(not kind <= usual for kind in part) for name, part in _ends(kinds, ends)}
    others = len(codes) - sum(strange.values())
    if others < ENOUGH or others == len(codes):
        return []
    rows = " and ".join(f"{number} of its {name} values" for name, number in strange.items() if number)
    have = "has" if sum(strange.values()) == 1 else "have"
    return [
        f"{_started(mapping.numbered(mapping.columns[index]))} is read as {field.label}, but {rows} {have} blanks, or "
        f"characters of a kind, that none of the other {others} values looked at has: are they lines that a program "
        "has added?"
    ]


def _ends(kinds: Sequence[frozenset[str]], ends: int) -> Iterator[tuple[str, Sequence[frozenset[str]]]]:
    yield "first", kinds[:ends]
    yield "last", kinds[len(kinds) - ends :]


def _codes(cells_there: pa.StringArray, header: str) -> list[str]:
    """Return what is a code, as far as the importer can say it: no damaged cell, no line that is rejected anyway."""
    texts = cells.trim(cells_there)
    texts = without(texts, are_lines_of_programs(texts))
    codes: list[str] = damage.read_identifiers(texts).values.drop_null().to_pylist()
    return [code for code in codes if code.casefold() != header.strip().casefold()]


def _kinds_of_characters(text: str) -> frozenset[str]:
    return frozenset(map(_kind_of_character, text))


def _kind_of_character(character: str) -> str:
    if character.isspace():
        return "blank"
    if character.isdigit():
        return "digit"
    if not character.isalpha():
        return "sign"
    if not character.isascii():
        return "letter beyond ASCII"
    return "capital" if character.isupper() else "small letter"


def find_lookup_names(
    connection: Connection, import_type: ImportType, mapped: Collection[str], columns: Mapping[str, pa.StringArray]
) -> dict[str, set[str]]:
    """Return for each mapped field with a lookup which of the cells, of any column, are among its names."""
    lookups = [lookup for lookup in import_type.lookups if lookup.field in mapped]
    texts = sorted({text for column in columns.values() for text in _filled(column) if "\0" not in text})
    lookup_names: dict[str, set[str]] = {}
    for lookup in lookups:
        query = sa.text(f"SELECT stored.key FROM ({lookup.query}) AS stored (key) WHERE stored.key = ANY(:texts)")
        lookup_names[lookup.field] = set(connection.execute(query, {"texts": texts}).scalars())
    return lookup_names


def _values(column: pa.StringArray) -> Values:
    return Values(_filled(column))


def _filled(column: pa.StringArray) -> list[str]:
    return [text for text in cells.trim(column).drop_null().to_pylist() if text != CLEAR]


# -- what the values of a field look like


class _Looks:
    """Which values a field may have, and which are typical of it."""

    def __init__(self, lookup_names: Mapping[str, Collection[str]]) -> None:
        self._lookup_names = lookup_names
        self._words: dict[str, frozenset[str]] = {}

    def own_share(self, values: Values, field: Field) -> float:
        """Return the share of values that may be the field's."""
        return values.share(lambda text, form: self._may_be(text, form, field))

    def typical_share(self, values: Values, field: Field) -> float:
        """Return the share of values that are typical of the field, though other fields may have such as well."""
        return values.share(lambda text, form: self._is_typical(text, form, field))

    def speaking_share(self, values: Values, field: Field) -> float:
        """Return the share of values that speak for the field by themselves."""
        return values.share(lambda text, form: self._speaks_for(text, form, field))

    def are_lookup_names(self, values: Values, field: Field) -> bool:
        """Say whether all of some values are names in the field's lookup."""
        return values.share(lambda text, _: text in self._lookup_names.get(field.name, ())) == 1

    def words_for(self, values: Values, field: Field) -> str:
        """Say what values that look like the field's are."""
        names = self._lookup_names.get(field.name)
        if names and values.share(lambda text, _: text in names) >= 0.5:
            return f"names that {field.label} may have"
        if look_of(field) is Look.CHOICE:
            return f"words that {field.label} may have"
        return values.described

    def _is_of_another(self, text: str, field: Field) -> bool:
        """Say whether a name is in another field's lookup, and not in the field's own."""
        if text in self._lookup_names.get(field.name, ()):
            return False
        return any(text in names for name, names in self._lookup_names.items() if name != field.name)

    def _may_be(self, text: str, form: Form, field: Field) -> bool:
        look = look_of(field)
        match look:
            case Look.YES_NO:
                return text.lower() in BOOLEANS
            case Look.AMOUNT:
                return form in (Form.AMOUNT, Form.NUMBER) and not _has_leading_zero(text)
            case Look.COUNT:
                return form is Form.NUMBER
            case Look.DATE:
                return form is Form.DATE
            case Look.BIRTH:
                return form is Form.DATE and not _TIME_OF_DAY.search(text)
            case Look.MOMENT:
                return form is Form.DATE and _year(text) >= _OLDEST_MOMENT
            case Look.CHOICE:
                return text.lower() in self._choices(field)
            case Look.EMAIL:
                return form is Form.EMAIL
            case Look.PHONE:
                return _may_be_phone(text, form)
            case Look.PATTERN:
                return not _PLAIN.fullmatch(text)
            case Look.CVV:
                return len(text) in _CVV_CHARACTERS and form in (Form.NUMBER, Form.CODE, Form.WORDS)
        if form in _SPEAKING and not (form is Form.EMAIL and look is Look.IDENTIFIER):
            return False
        if self._is_of_another(text, field):
            return False
        match look:
            case Look.PERSON | Look.FULL_NAME | Look.PLACE:
                return not any(character.isdigit() for character in text)
            case Look.SYSTEM_NAME | Look.IDENTIFIER:
                return form is not Form.TEXT and not _has_blank(text)
        return True

    def _is_typical(self, text: str, form: Form, field: Field) -> bool:
        match look_of(field):
            case Look.AMOUNT:
                return form is Form.AMOUNT or (form is Form.NUMBER and len(text) <= _SHORT)
            case Look.COUNT:
                return form is Form.NUMBER and len(text) <= _SHORT
            case Look.CARD_NUMBER:
                return form is Form.LONG_NUMBER or (form is Form.CODE and any(map(str.isdigit, text)))
            case Look.CVV:
                return form is Form.NUMBER and len(text) in CVV_DIGITS and text.isdigit()
            case Look.IDENTIFIER | Look.CODE:
                has_digit = any(character.isdigit() for character in text)
                return text in self._lookup_names.get(field.name, ()) or (has_digit and self._may_be(text, form, field))
            case Look.PERSON | Look.PLACE:
                return form is Form.WORDS
            case Look.FULL_NAME | Look.NAME:
                return _has_blank(text) and form is Form.TEXT
            case Look.TEXT:
                return form in (Form.WORDS, Form.TEXT)
            case Look.SYSTEM_NAME:
                return form in (Form.CODE, Form.WORDS) and text == text.lower()
            case _:
                return self._may_be(text, form, field)

    def _speaks_for(self, text: str, form: Form, field: Field) -> bool:
        match look_of(field):
            case Look.AMOUNT:
                return form is Form.AMOUNT
            case Look.CARD_NUMBER:
                return form is Form.LONG_NUMBER
            case Look.YES_NO:
                return form is Form.YES_NO
            case Look.PHONE:
                return form is Form.PHONE
            case Look.DATE | Look.BIRTH | Look.MOMENT | Look.EMAIL | Look.CHOICE:
                return self._may_be(text, form, field)
            case _:
                return text in self._lookup_names.get(field.name, ())

    def _choices(self, field: Field) -> frozenset[str]:
        if field.name not in self._words:
            self._words[field.name] = frozenset(word.lower() for word in (*field.choices, *field.synonyms))
        return self._words[field.name]


_LOOK_OF_KIND = {
    Kind.TEXT: Look.TEXT,
    Kind.IDENTIFIER: Look.IDENTIFIER,
    Kind.BOOLEAN: Look.YES_NO,
    Kind.DECIMAL: Look.AMOUNT,
    Kind.INTEGER: Look.COUNT,
    Kind.DATE: Look.DATE,
    Kind.DATETIME: Look.MOMENT,
    Kind.ENUM: Look.CHOICE,
    Kind.EMAIL: Look.EMAIL,
    Kind.PHONE: Look.PHONE,
}


def look_of(field: Field) -> Look:
    """Return what a field's values look like: as declared, else by its kind."""
    return field.look or _LOOK_OF_KIND[field.kind]


def _has_leading_zero(text: str) -> bool:
    return len(text) > 1 and text[0] == "0" and text[1].isdigit()


def _has_blank(text: str) -> bool:
    return any(character.isspace() for character in text)


def _may_be_phone(text: str, form: Form) -> bool:
    digits = sum(character.isdigit() for character in text)
    if form is Form.PHONE:
        return True
    return form in (Form.NUMBER, Form.LONG_NUMBER) and 9 <= digits <= 15 and not text.startswith("000")


def _year(text: str) -> int:
    year = _YEAR.search(text)
    return int(year[1]) if year else _OLDEST_MOMENT


# -- what is odd


def _misplaced(columns: Sequence[_Judged], looks: _Looks, fewest: int) -> Iterator[tuple[_Judged, str]]:
    """Give the columns whose values speak for another field of the file, and what they hold.

    A pattern without anything of one needs no other field: it would let a single code pass.
    """
    for column in columns:
        if look_of(column.field) is Look.PATTERN and column.values.number and column.own_share == 0:
            yield column, column.values.described
        if column.values.number < min(fewest, _FEWEST_NAMES) or (fewest > FEWEST and column.values.number < fewest):
            continue
        is_enough = column.values.number >= ENOUGH
        if column.own_share > (OWN_AT_MOST if is_enough else 0):
            continue
        for other in columns:
            least = OTHER_AT_LEAST if is_enough else 1
            is_said = column.values.number >= fewest or looks.are_lookup_names(column.values, other.field)
            if other is not column and is_said and looks.speaking_share(column.values, other.field) >= least:
                yield column, f"{looks.words_for(column.values, other.field)}, as expected of {other.field.label}"
                break


def _exchanged(columns: Sequence[_Judged], looks: _Looks, fewest: int) -> Iterator[tuple[_Judged, _Judged]]:
    """Give the pairs of columns whose values would fit distinctly better if the columns were exchanged."""
    filled = [column for column in columns if column.values.number]
    for one, other in combinations(filled, 2):
        number, pair = one.values.number + other.values.number, {look_of(one.field), look_of(other.field)}
        is_tellable = len(pair) == 2 and pair not in WORDS_OF_ANY_KIND
        if is_tellable and number >= fewest and _would_fit_better(one, other, looks):
            yield one, other


def _would_fit_better(one: _Judged, other: _Judged, looks: _Looks) -> bool:
    """Say whether two columns may each be read as the other's field and look far more like it than like their own."""
    now, typical_now = one.own_share + other.own_share, one.typical_share + other.typical_share
    has_zeros = _have_exchanged_zeros(one, other)
    if now > 2 - OTHER_AT_LEAST and typical_now > 2 - 2 * OTHER_AT_LEAST and not has_zeros:
        return False  # nothing can be better by so much: most pairs of most files
    exchanged = looks.own_share(one.values, other.field), looks.own_share(other.values, one.field)
    typical = looks.typical_share(one.values, other.field), looks.typical_share(other.values, one.field)
    if min(*exchanged, *typical) < OTHER_AT_LEAST:
        return False
    number = min(one.values.number, other.values.number)
    if sum(exchanged) - now >= OTHER_AT_LEAST:
        return True
    if number >= ENOUGH and sum(typical) - typical_now >= 2 * OTHER_AT_LEAST:
        return True
    return has_zeros or (number >= FEWEST and typical_now == 0 and min(typical) == 1)


def _have_exchanged_zeros(one: _Judged, other: _Judged) -> bool:
    """Say whether there are amounts with leading zeros beside CVVs without any, which are of one length else."""
    by_look = {look_of(column.field): column.values for column in (one, other)}
    amounts, cvvs = by_look.get(Look.AMOUNT), by_look.get(Look.CVV)
    if amounts is None or cvvs is None or min(amounts.number, cvvs.number) < ENOUGH:
        return False
    return amounts.share(_starts_with_zero) >= _ZEROS_AT_LEAST and not cvvs.share(_starts_with_zero)


def _starts_with_zero(text: str, _: Form) -> bool:
    return _has_leading_zero(text)


def _copied(columns: Sequence[_Judged], cells_of: Mapping[str, pa.StringArray]) -> Iterator[tuple[_Judged, _Judged]]:
    """Give the pairs of columns that hold the same in every row, though their fields never do."""
    for one, other in combinations(columns, 2):
        shares, numbers = (one.own_share, other.own_share), (one.values.number, other.values.number)
        if min(numbers) < FEWEST or numbers[0] != numbers[1] or max(shares) < OTHER_AT_LEAST:
            continue
        is_enough = numbers[0] >= ENOUGH
        is_odd = min(shares) <= (OWN_AT_MOST if is_enough else 0)
        is_strange = is_odd or (is_enough and len(one.values.texts) > 1 and not _may_be_equal(one, other))
        if is_strange and cells_of[one.field.name].equals(cells_of[other.field.name]):
            yield one, other


def _may_be_equal(one: _Judged, other: _Judged) -> bool:
    """Say whether two fields may well hold the same in every row; amounts that do are short numbers."""
    looks = {look_of(one.field), look_of(other.field)}
    if len(looks) == 1:
        return not looks <= ALIKE_BUT_NEVER_EQUAL
    amounts = [column for column in (one, other) if look_of(column.field) is Look.AMOUNT]
    are_typical = all(column.typical_share >= OTHER_AT_LEAST for column in amounts)
    return are_typical and any(looks <= group for group in MAY_BE_EQUAL)


def _is_repeated_key(import_type: ImportType, column: _Judged) -> bool:
    """Say whether more than half of a key's first values repeat earlier ones, where a repetition rejects (X-17)."""
    rejects = any(rule.id == f"{column.field.name}.duplicate_in_file" for rule in import_type.load_rules)
    values = column.values
    is_key = column.field.name == import_type.key and rejects
    return is_key and values.number >= ENOUGH and 1 - len(values.texts) / values.number > REPEATED_SHARE


def _name(mapping: ColumnMapping, *columns: _Judged) -> str:
    """Name columns at the start of a sentence: by their headers, where these are known to be some (X-20)."""
    return _started(" and ".join(mapping.numbered(mapping.columns[column.index]) for column in columns))


def _sentence(mapping: ColumnMapping, column: _Judged, holds: str, place: str) -> str:
    return f"{_name(mapping, column)} is read as {column.field.label}, but its {place} values are {holds}."


def _exchange_sentence(mapping: ColumnMapping, one: _Judged, other: _Judged) -> str:
    return (
        f"{_name(mapping, one, other)} seem to be exchanged: what is read as {one.field.label} looks like "
        f"{other.field.label} ({one.values.described}), and the other way round ({other.values.described})."
    )
