"""The settings of an import: what they are, who gives them, which one holds. Source: X-11, spec section 9.

Light on purpose: DAG files import this when they are parsed.
"""

from __future__ import annotations

import codecs
import json
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from include import import_types
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError, SettingsError
from include.located_yaml import YamlMistake, describe, explain, quoted, read_yaml, show_key, shown
from include.names import closest, did_you_mean, normalise_name
from include.settings.cron import check_cron
from include.settings.cron import next_release as next_release  # of `ImportSettings.release`
from include.storage.file_names import LONGEST_NAME_BYTES
from include.values.characters import describe_invisible
from include.values.code_patterns import check_pattern

IMPORTS_YAML = Path(__file__).resolve().parents[1] / "config" / "imports.yaml"

LARGEST_SETTINGS_BYTES = 64 << 10
"""Of a settings file: a mapping of a thousand columns takes half of it (X-11, X-22)."""
MOST_MISTAKES = 10
"""So many a refusal lists; of the others it says how many there are."""
_LONGEST_REFUSAL_BYTES = 2000
_CACHE_BYTES = 32 << 20
"""Of what was read of settings files: a listing asks for those of twenty thousand files, twice a second."""
_ENTRY_BYTES = 300
"""Of memory for a key or an item, roughly; a short one has two bytes of a file."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

IGNORED_NAMES = ("*.md5", "*.sha256", "_SUCCESS", "Thumbs.db", "desktop.ini")
"""What is ignored unless a folder's settings say otherwise; also where no import type has the folder."""
REJECT_SHARE = 0.5
"""Share of rejected rows above which a person is asked unless settings say otherwise (X-18) …"""
REJECT_SHARE_ROWS = 100
"""… from so many rows on: a handful is corrected sooner than a question is answered."""

WAIT_MINUTES = 30
"""How long a file waits for those of the types in `after`, unless said otherwise (GC-05)."""

_ONLY_FOR = {
    "strict_sold_cards": ("gift_cards",),
    "pool": ("promo_codes",),
    "on_existing": ("promo_codes",),
    "data_source": ("customers",),
    "point_of_contact": ("customers",),
    "take_point_of_contact_from_file": ("customers",),
    "take_action_template_from_file": ("customers",),
    "segment": ("customers",),
    "phone_region": ("customers",),
    "on_invalid_optional": ("customers",),
    "replace_external_ids": ("customers",),
    "shared_identifier_rows": ("customers",),
    "code_pattern": ("promo_codes",),
    "review_changed_share": ("customers",),
}

_BEARING = (
    "action", "encoding", "delimiter", "mapping", "strict_sold_cards", "pool", "on_existing", "data_source",
    "point_of_contact", "take_point_of_contact_from_file", "take_action_template_from_file", "segment",
    "on_invalid_optional", "slash_dates",
)  # fmt: skip
"""Settings that bear on what is loaded (X-13); the others only bear on when and how the import goes."""

_BEARING_UNLESS_DEFAULT = ("replace_external_ids", "shared_identifier_rows", "code_pattern", "phone_region")
"""The same, of later versions: what an earlier one has loaded without them stays known as the same."""

_PICK_UP = ("settle_seconds", "release", "after", "ignore")
"""Settings that are over before a run begins: a run's form doesn't offer them."""

_REVIEW = (
    "review", "review_columns", "review_reject_share", "review_changed_share", "review_header_change", "review_hours",
)  # fmt: skip

_OF_ONE_RUN = (*_PICK_UP, *_REVIEW, "dry_run", "force", "max_file_bytes", "locked")
"""What someone wanted of one run; a corrected file (X-09) doesn't take these over: it is there to be loaded."""

_LOCKERS = ("defaults", "folder")
"""Givers of settings who may lock some: what is there before a file is dropped or a run started (X-21)."""

_OF_FOLDERS = {"locked": "can lock settings", "ignore": "can say which names are ignored"}
"""Settings that only they may give."""

MOST_PATTERNS = 100
"""Of names that a folder ignores; each listing compares every name with all of them."""

_FOR_ONE_FILE = ("sidecar", "parameters", "review")
"""Givers of settings that were meant for one file and the corrected rows of it."""

_DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}

_UNSAFE_CODECS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
"""Codecs of Python's that are no files' encodings."""


def _canonical_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        raise ValueError(
            f"there is no encoding {quoted(name)}; usual ones are utf-8, windows-1251, latin-1, utf-16"
        ) from None
    canonical = codec.name.replace("-", "_")
    if canonical in _UNSAFE_CODECS or not getattr(codec, "_is_text_encoding", True):
        raise ValueError(f"{quoted(name)} is no encoding of text files")
    return "utf-8" if codec.name == "utf-8-sig" else codec.name


def _canonical_delimiter(text: str) -> str:
    delimiter = _DELIMITER_NAMES.get(text.lower(), text)
    # `_` and `'` stand in what the rejected-rows file puts before the sender's cells (X-09).
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'_\r\n\0":
        raise ValueError(
            f"must be one character such as ',' ';' '|' (in quotes) or one of {', '.join(_DELIMITER_NAMES)}, "
            "and no letter, digit, quote, underscore or line end"
        )
    return delimiter


def _name(text: str) -> str:
    """Return a name in the form in which cells are compared with it (X-16)."""
    return _without_invisible(text, is_name=False)


def _segment_name(text: str) -> str:
    """Return a name that people have typed, with the joiners that their script needs (X-16)."""
    return _without_invisible(text, is_name=True)


def _without_invisible(text: str, *, is_name: bool) -> str:
    composed = unicodedata.normalize("NFC", text)
    if invisible := describe_invisible(composed, is_name=is_name):
        raise ValueError(f"contains {invisible}, which nobody can see; remove it")
    return composed


def _phone_region(text: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS  # which no DAG needs when it is parsed

    if text.upper() not in SUPPORTED_REGIONS:
        raise ValueError(f"{quoted(text)} is no region that phone numbers are known for; two letters such as US or DE")
    return text.upper()


def _code_pattern(text: str) -> str:
    try:
        return check_pattern(text)
    except ValueError as error:
        raise ValueError(f"{quoted(text)} {error}") from None


def _names_of_settings(given: list[str]) -> list[str]:
    for name in given:
        if name not in SETTINGS or name == "locked":
            lockable = [other for other in SETTINGS if other != "locked"]
            raise ValueError(f"there is no setting {quoted(name)} to lock{did_you_mean(name, lockable)}")
    return list(dict.fromkeys(given))


def _patterns(given: list[str]) -> list[str]:
    for pattern in given:
        if not pattern.strip("*?"):
            raise ValueError(f"{quoted(pattern)} would ignore every file")
    return list(dict.fromkeys(given))


def _waits(given: object) -> object:
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, WAIT_MINUTES)
    return given


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
EntryName = Annotated[Text, AfterValidator(_name)]
# A key of the warehouse: an index row of PostgreSQL holds 2,700 bytes.
SegmentName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=250), AfterValidator(_segment_name)
]
PhoneRegion = Annotated[Text, AfterValidator(_phone_region)]
CodePattern = Annotated[Text, AfterValidator(_code_pattern)]
Encoding = Annotated[Text, AfterValidator(_canonical_encoding)]
Delimiter = Annotated[str, AfterValidator(_canonical_delimiter)]
Cron = Annotated[str, AfterValidator(check_cron)]
Locks = Annotated[list[str], AfterValidator(_names_of_settings)]
Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME_BYTES)]
Patterns = Annotated[list[Pattern], Field(max_length=MOST_PATTERNS), AfterValidator(_patterns)]
Waits = Annotated[dict[str, Annotated[int, Field(ge=0, le=24 * 60)]], BeforeValidator(_waits)]


class ImportSettings(BaseModel):
    """The effective settings of one import, as JSON values throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Text | None = Field(None, description="What the import may do.")
    encoding: Encoding = Field(
        "utf-8", description="Encoding of the file. It is never guessed; a byte order mark is allowed."
    )
    delimiter: Delimiter | None = Field(
        None, description="What separates cells: one character, or tab. Found out from the file when left out."
    )
    mapping: dict[str, Text | None] = Field(
        default_factory=dict,
        description="Columns in words of the sender: {header: field}, or {header: null} to switch a column off.",
    )
    review: bool = Field(False, description="Wait until a person has approved the import, or corrected its mapping.")
    review_columns: bool = Field(
        True, description="Ask a person when a column's first values look like another field's, or a key's repeat."
    )
    review_reject_share: float | None = Field(
        REJECT_SHARE,
        ge=0,
        le=1,
        description="Share of rejected rows (0 to 1) above which a person is asked: the default from 100 rows on, one "
        "that is given in every file. 1 is off.",
    )
    review_changed_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of rows that change a customer (0 to 1) above which a person is asked. Off when left out.",
    )
    review_header_change: bool = Field(
        False, description="Ask a person when the columns are not those of the last file loaded from the same folder."
    )
    review_hours: float = Field(
        24, ge=0.001, le=24 * 30, description="How long to wait for the person's answer; without one nothing is loaded."
    )
    dry_run: bool = Field(False, description="Do everything and take it back: exact counts, nothing loaded.")
    force: bool = Field(False, description="Import the file even if the same content has been imported before.")
    max_file_bytes: int = Field(2 << 30, ge=1, description="Larger files are refused.")
    max_reject_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of rejected rows (0 to 1) above which nothing is loaded. Off when left out.",
    )
    strict_sold_cards: bool = Field(
        False, description="Reject cards of which only some of purchase date, point of contact and CanBeUsed are given."
    )
    pool: EntryName | None = Field(None, description="The pool that codes go to, by its system id.")
    on_existing: Literal["reject", "update_dates"] = Field(
        "reject",
        description="If an unused code already exists with other dates: reject the row, or replace the dates. An empty "
        "cell removes the limit; a missing column says nothing about it.",
    )
    code_pattern: CodePattern | None = Field(
        None,
        description="Regular expression (RE2) that every code must match as a whole, beside the pool's own.",
    )
    data_source: EntryName | None = Field(
        None, description="Where the data comes from. The project's default data source when left out."
    )
    point_of_contact: EntryName | None = Field(
        None, description="The point of contact of the changes. The data source's when left out."
    )
    take_point_of_contact_from_file: bool = Field(
        False, description="Take each row's point of contact from its column."
    )
    take_action_template_from_file: bool = Field(False, description="Take each row's action template from its column.")
    segment: SegmentName | None = Field(
        None, description="Static segment that every customer of the file joins; it is made when it does not exist."
    )
    on_invalid_optional: Literal["reject_row", "drop_value"] = Field(
        "reject_row", description="If an optional value is invalid: reject the row, or import it without that value."
    )
    replace_external_ids: bool = Field(
        False,
        description="Let a row that finds its customer by e-mail or phone replace the customer's external identifier; "
        "by default such rows are rejected.",
    )
    shared_identifier_rows: int = Field(
        20,
        ge=1,
        le=1_000_000_000,
        description="A value that more rows than this give with different other identifiers is a placeholder: it "
        "matches nobody and isn't stored.",
    )
    slash_dates: Literal["refuse", "month_first", "day_first"] = Field(
        "refuse", description="How dates such as 03/04/2026 are read; by default they reject the row."
    )
    phone_region: PhoneRegion | None = Field(
        None,
        description="Region of phone numbers without a calling code, such as DE. The project's `default_phone_region` "
        "when left out.",
    )
    rejects_verbatim: bool = Field(
        False, description="Don't put ' before values that a spreadsheet would run as formulas."
    )
    settle_seconds: float = Field(
        5, ge=0, le=86_400, description="How long a file must be unchanged before it is picked up."
    )
    retention_days: int = Field(
        30, ge=1, le=3650, description="Days after which source copies, staging and rejected-rows files are deleted."
    )
    release: Cron | None = Field(
        None, description="Cron expression (UTC): files wait for the first such time after they arrived."
    )
    after: Waits = Field(
        default_factory=dict,
        description="Import types whose files go first, with the minutes to wait for them at most (a list means 30).",
    )
    ignore: Patterns = Field(
        default_factory=lambda: list(IGNORED_NAMES),
        description="Names that are left alone, with `*`, `?` and `[…]`, in any letter case: a list that replaces this "
        "one. Only in settings files of folders and in `imports.yaml`.",
    )
    locked: Locks = Field(
        default_factory=list,
        description="Settings that sidecars, runs and corrected files can't change. Only in settings files of folders "
        "and in `imports.yaml`.",
    )
    given_by: dict[str, str] = Field(
        default_factory=dict,
        description="Who gave each setting that is no default: folder, sidecar, parameters, review. No setting itself.",
    )
    derived: dict[str, str] = Field(
        default_factory=dict,
        description="What follows from them and the project's, such as the default data source. No setting itself.",
    )

    @property
    def has_own_reject_share(self) -> bool:
        """Tell whether a folder, a file or a run says what share of rejected rows asks a person, and it isn't off."""
        share = self.review_reject_share
        return "review_reject_share" in self.given_by and share is not None and share < 1


SETTINGS = tuple(name for name in ImportSettings.model_fields if name not in ("given_by", "derived"))


@dataclass(frozen=True)
class GivenSettings:
    """Settings as someone gave them, not yet validated.

    Args:
        source: what messages call them, such as the file's name.
        lines: line of each key, where there are lines.
        checked: what they came to for each type, so that a text that is read once is checked once as well; None for
            values that may change.
    """

    source: str
    values: Mapping[str, object]
    lines: Mapping[str, int] = field(default_factory=dict)
    checked: dict[str, _Checked] | None = field(default=None, compare=False, repr=False)

    def at(self, key: str) -> str:
        """Name a key for a message: source, line, key."""
        line = f"line {self.lines[key]}, " if key in self.lines else ""
        return f"{shown(self.source)}: {line}{shown(key)}"


class Mistakes(NamedTuple):
    """What is wrong with settings that someone gave.

    Args:
        first: (key, sentence), as many as are told.
        number: of all of them.
    """

    first: list[tuple[str, str]]
    number: int


class _Checked(NamedTuple):
    """What given settings came to for an import type."""

    import_type: ImportType
    values: Mapping[str, Any]
    mistakes: Mistakes


@dataclass(frozen=True)
class InheritedSettings:
    """What a corrected file takes over from the job that rejected its rows (X-09).

    Two are equal when their values are, and what followed from them: who gave them does not matter to the rows.
    """

    values: Mapping[str, object]
    given_by: Mapping[str, str] = field(compare=False)
    derived: Mapping[str, str] = field(default_factory=dict)


class SettingDescription(NamedTuple):
    """One line of the table of settings."""

    name: str
    values: str
    default: str
    only_for: tuple[str, ...]
    description: str


def read_settings(text: str | bytes, source: str) -> GivenSettings:
    """Read a settings file; an empty one gives no settings. The same text is read once, whoever asks again.

    Raises:
        SettingsError: too large (the first byte too many is enough to tell), not UTF-8, not YAML, not `key: value`
            lines; names `source` and the byte or line.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    if len(raw) > LARGEST_SETTINGS_BYTES:  # before it is hashed, or kept
        raise SettingsError(f"{shown(source)}: larger than the {LARGEST_SETTINGS_BYTES:,} bytes of a settings file.")
    read = _READ.get(raw)
    if isinstance(read, str):
        raise SettingsError(f"{shown(source)}: {read}")
    return replace(read, source=source)


def _parse_settings(raw: bytes) -> GivenSettings | str:
    """Return the settings of a text, or what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        hint = " It seems to be UTF-16: save it as UTF-8." if raw.startswith(_UTF_16) else ""
        return f"not UTF-8 at byte {error.start}.{hint}"
    try:
        located = read_yaml(text)
    except YamlMistake as mistake:
        return f"{f'line {mistake.line}: ' if mistake.line else ''}{mistake.sentence}."
    values = {} if located.value is None else located.value
    if not isinstance(values, dict):
        return "expected lines such as `encoding: windows-1251`."
    return GivenSettings("", values, {key: located.line_of((key,)) for key in values}, checked={})


class _ReadTexts:
    """What was read of the latest settings files, by their bytes: their settings, or what is wrong with them."""

    def __init__(self, most_bytes: int) -> None:
        self._room = most_bytes
        self._kept: OrderedDict[bytes, tuple[GivenSettings | str, int]] = OrderedDict()
        self._lock = threading.Lock()  # Airflow's pages are served by several threads

    def get(self, raw: bytes) -> GivenSettings | str:
        with self._lock:
            if raw in self._kept:
                self._kept.move_to_end(raw)
                return self._kept[raw][0]
        read = _parse_settings(raw)
        size = 1000 + len(raw) + (0 if isinstance(read, str) else _ENTRY_BYTES * _entries(read.values))
        with self._lock:
            if raw not in self._kept:
                self._kept[raw] = (read, size)
                self._room -= size
            while self._room < 0:
                _, (_, size) = self._kept.popitem(last=False)
                self._room += size
        return read


def _entries(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_entries, inner))


_READ = _ReadTexts(_CACHE_BYTES)


def read_assignments(assignments: Iterable[str], source: str = "--set") -> GivenSettings:
    """Read `KEY=VALUE` arguments: text as it stands (`pool=0123`), anything else as YAML (`mapping={PIN: cvv}`).

    Raises:
        SettingsError: no `=`, no value, or a key given twice.
    """
    values: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not text:
            raise SettingsError(f"{source}: expected KEY=VALUE, found {quoted(assignment)}.")
        if key in values:
            raise SettingsError(f"{source}: {shown(key)} is given twice.")
        values[key] = text if _is_text(key) else read_settings(f"value: {text}", f"{source} {key}").values["value"]
    return GivenSettings(source, values)


def load_defaults(path: Path = IMPORTS_YAML) -> dict[str, GivenSettings]:
    """Read the defaults of each import type.

    Raises:
        ConfigurationError: one line for each mistake, with file, line and key.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path.name}: can't be read: {error.strerror}") from None
    return _parse_defaults(text, path.name)


@lru_cache(maxsize=8)  # the landing folders are listed twice a second, and each file in them asks
def _parse_defaults(text: bytes, file_name: str) -> dict[str, GivenSettings]:
    try:
        located = read_yaml(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file_name}: not UTF-8 at byte {error.start}") from None
    except YamlMistake as mistake:
        raise ConfigurationError(f"{file_name}: line {mistake.line or 1}: {mistake.sentence}") from None
    mistakes: list[str] = []

    def complain(key: tuple[str, ...], sentence: str) -> None:
        mistakes.append(f"{file_name}: line {located.line_of(key)}, {show_key(key)}: {sentence}")

    found: dict[str, GivenSettings] = {}
    sections = located.value if isinstance(located.value, dict) else {}
    if not sections:
        raise ConfigurationError(f"{file_name}: expected a section for each import type, found none")
    for name, section in sections.items():
        if name not in import_types.IMPORT_TYPES:
            complain((name,), f"there is no such import type{did_you_mean(name, import_types.IMPORT_TYPES)}")
            continue
        defaults = section.get("defaults") if isinstance(section, dict) else None
        if not isinstance(defaults, dict) or list(section) != ["defaults"]:
            complain((name,), "must have the key defaults, with settings below it, and nothing else")
            continue
        lines = {key: located.line_of((name, "defaults", key)) for key in defaults}
        found[name] = GivenSettings(file_name, defaults, lines, checked={})
        wrong = _checked(found[name], import_types.IMPORT_TYPES[name]).mistakes
        for key, sentence in wrong.first:
            complain((name, "defaults", key), sentence)
        if wrong.number > len(wrong.first):
            complain((name, "defaults"), f"and {wrong.number - len(wrong.first):,} more mistakes")
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return found


def resolve(
    import_type: str,
    type_folder: GivenSettings | Mapping[str, object] | None = None,
    folder: GivenSettings | Mapping[str, object] | None = None,
    sidecar: GivenSettings | Mapping[str, object] | None = None,
    inherited: InheritedSettings | Mapping[str, object] | None = None,
    parameters: GivenSettings | Mapping[str, object] | None = None,
    *,
    landing_folder: GivenSettings | Mapping[str, object] | None = None,
    named_folder: GivenSettings | Mapping[str, object] | None = None,
    folder_name: str | None = None,
    defaults_file: Path = IMPORTS_YAML,
) -> ImportSettings:
    """Decide the settings of one import. Source: X-09, X-11.

    In rising precedence: the type's defaults, the folder's settings file, the sidecar, the run's parameters. A key's
    value replaces the one below it as a whole, `mapping` too.

    What a corrected file inherits takes the place where it was given: what the earlier job was told for itself (by
    sidecar, parameters or in its review) goes before the folder's settings, which were there then as well; the rest
    goes behind them, so that a folder's settings that were mended since are heard.

    What a folder's settings file, or the defaults, lock stays as it is there: whoever is named after it may only repeat
    it, and what a corrected file inherits yields to it (X-21).

    The name of a folder below the type's own is no layer: it gives the type's `folder_setting`, and whoever gives that
    setting too must give the same (PC-02). It is a new, explicit setting: what a corrected file inherits yields to it.

    Args:
        import_type: its name.
        type_folder: of `_settings.yaml` in the type's folder, for a file in a folder below it.
        folder: of `_settings.yaml`.
        sidecar: of `<file name>.settings.yaml`.
        inherited: the ledger's settings of the earlier job; keys that no longer exist are passed over.
        parameters: None and "" mean that a form's field was left alone.
        landing_folder: of `_settings.yaml` in the type's landing folder, for a file that lies elsewhere: only what it
            locks holds.
        named_folder: of `_settings.yaml` in the folder of the pool that the settings name, for a file that is not in
            it: only what it locks holds.
        folder_name: of the folder below the type's own in which the file lies.
        defaults_file: as `load_defaults` reads it.

    Raises:
        SettingsError: an unknown key (with a close match), one that does not fit the type, a wrong value; each named
            with its source; one that is locked. Rule `file.pool_disagrees`: settings and folder name different pools.
        FileRefused: `file.unknown_type`.
        ConfigurationError: the defaults file is wrong.
    """
    declared = import_types.get(import_type)
    folder_name = None if folder_name is None else unicodedata.normalize("NFC", folder_name)
    chosen = _as_given(parameters, "the run's parameters")
    filled_in = {key: value for key, value in chosen.values.items() if key not in SETTINGS or value not in (None, "")}
    before_the_file = [
        ("defaults", load_defaults(defaults_file).get(import_type, GivenSettings(defaults_file.name, {}))),
        ("folder", _locked_part(_as_given(landing_folder, "the landing folder's settings"), declared)),
        ("folder", _as_given(type_folder, "the type folder's settings")),
        ("folder", _as_given(folder, "the folder's settings")),
        ("folder", _locked_part(_as_given(named_folder, "the pool folder's settings"), declared, of_its_name=True)),
    ]
    for_the_file = [
        ("sidecar", _as_given(sidecar, "the file's settings")),
        ("parameters", replace(chosen, values=filled_in, checked=None)),
    ]
    locked = {key for _, given in before_the_file for key in _validated(given, declared).get("locked", ())}
    taken_over = inherited if isinstance(inherited, InheritedSettings) else inheritable(inherited or {})
    overruled = locked if folder_name is None else {*locked, declared.folder_setting}
    fitting = {key: value for key, value in taken_over.values.items() if _fits(key, declared) and key not in overruled}
    of_that_job = {key for key in fitting if taken_over.given_by.get(key) in (None, *_FOR_ONE_FILE)}
    own = {key: fitting[key] for key in fitting if key in of_that_job}
    rest = {key: fitting[key] for key in fitting if key not in of_that_job}

    merged = _Merged(declared, folder_name)
    defaults, *folders = before_the_file
    merged.add(*defaults)
    merged.take_over(rest, taken_over.given_by)
    for giver, given in folders:
        merged.add(giver, given)
    merged.take_over(own, taken_over.given_by)
    for giver, given in for_the_file:
        merged.add(giver, given)
    values, given_by = merged.values, merged.given_by
    _take_folder_name(values, given_by, folder_name, declared)
    values["action"] = _action(values.get("action"), declared)
    given_by = {key: giver for key, giver in given_by.items() if giver != "defaults"}
    return ImportSettings(**values, given_by=given_by, derived=dict(taken_over.derived))


def _locked_part(given: GivenSettings, import_type: ImportType, *, of_its_name: bool = False) -> GivenSettings:
    """Return the settings that given ones lock, and that they do.

    Args:
        of_its_name: they are of the folder that the settings name: that name itself is locked by nobody.
    """
    locks = [
        key
        for key in _validated(given, import_type).get("locked", ())
        if not of_its_name or key != import_type.folder_setting
    ]
    values = {key: given.values[key] for key in given.values if key in locks}
    return replace(given, values=values | ({"locked": locks} if locks else {}), checked=None)


class _Merged:
    """The settings of an import while they are put together, layer by layer, and which of them are locked."""

    def __init__(self, import_type: ImportType, folder_name: str | None) -> None:
        self._import_type = import_type
        self._folder_name = folder_name
        self._locked_by: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.given_by: dict[str, str] = {}

    def add(self, giver: str, given: GivenSettings) -> None:
        """Put a layer over those before.

        Raises:
            SettingsError: wrong settings, or it changes what is locked.
        """
        validated = _validated(given, self._import_type)
        for key in _OF_FOLDERS if giver not in _LOCKERS else ():
            if key in validated:
                raise SettingsError(f"{given.at(key)}: only a folder's settings file {_OF_FOLDERS[key]}.")
        locks = validated.get("locked", ())
        changes = [(key, sentence) for key, value in validated.items() if (sentence := self._objection(key, value))]
        if changes:
            raise SettingsError(_refusal(given, Mistakes(changes[:MOST_MISTAKES], len(changes))))
        for key, value in validated.items():
            if key != "locked" and key not in self._locked_by:
                self.values[key], self.given_by[key] = value, giver
        for key in locks:
            self._locked_by.setdefault(key, given.source)
        if locks:
            self.values["locked"], self.given_by["locked"] = list(self._locked_by), giver

    def take_over(self, inherited: Mapping[str, object], given_by: Mapping[str, str]) -> None:
        """Put the settings of the earlier job over those before."""
        validated = _validated(GivenSettings("settings of the earlier job", inherited), self._import_type)
        for key, value in validated.items():
            self.values[key], self.given_by[key] = value, given_by.get(key, "sidecar")

    def _objection(self, key: str, value: object) -> str | None:
        """Say why a setting may not be given so; None when it may."""
        if key not in self._locked_by:
            return None
        held = self._held(key)
        if value == held:
            return None
        if isinstance(value, Mapping):  # its headers may be data
            return f"is locked by {shown(self._locked_by[key])} and can't be another one"
        return f"is locked by {shown(self._locked_by[key])} and stays {describe(held)}; found {describe(value)}"

    def _held(self, key: str) -> object:
        """Return what holds for a locked setting."""
        value = self.values.get(key, _default(key))
        if value is None and key == self._import_type.folder_setting:
            return self._folder_name
        if value is None and key == "action" and len(self._import_type.actions) == 1:
            return self._import_type.actions[0]
        return value


def _default(key: str) -> object:
    return ImportSettings.model_fields[key].get_default(call_default_factory=True)


def find_mistakes(import_type: str, given: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong with settings, setting by setting, for a form that says so beside each.

    Raises:
        FileRefused: `file.unknown_type`.
    """
    found = _checked(GivenSettings("the form", given), import_types.get(import_type)).mistakes
    return {key: f"{sentence[:1].upper()}{sentence[1:]}." for key, sentence in reversed(found.first)}


def inheritable(stored: Mapping[str, object]) -> InheritedSettings:
    """Return what a corrected file takes over from a job, given the settings that the ledger holds of it (X-09)."""
    values = {key: stored[key] for key in SETTINGS if key in stored and key not in _OF_ONE_RUN}
    given_by, derived = stored.get("given_by"), stored.get("derived")
    derived = dict(derived) if isinstance(derived, Mapping) else {}
    if not isinstance(given_by, Mapping):
        return InheritedSettings(values, {}, derived)
    return InheritedSettings(values, {key: str(given_by.get(key, "defaults")) for key in values}, derived)


def fingerprint_settings(settings: ImportSettings) -> str:
    """Return the settings that bear on what is loaded, and what follows from them, as canonical JSON (X-13)."""
    later = {
        name for name in _BEARING_UNLESS_DEFAULT
        if getattr(settings, name) != ImportSettings.model_fields[name].default
    }  # fmt: skip
    bearing = settings.model_dump(mode="json", include={*_BEARING, *later}) | settings.derived
    return json.dumps(bearing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parameter_schema(import_type: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each setting for a run's form: every one may be null, "left alone"."""
    declared = import_types.get(import_type)
    properties = ImportSettings.model_json_schema()["properties"]
    return {
        name: _form_field(name, properties[name], declared)
        for name in SETTINGS
        if _fits(name, declared) and name not in (*_PICK_UP, "locked")
    }


def describe_settings() -> list[SettingDescription]:
    """Return the table of all settings, in the order of their declaration."""
    properties = ImportSettings.model_json_schema()["properties"]
    table = []
    for name in SETTINGS:
        declared = ImportSettings.model_fields[name]
        default = declared.get_default(call_default_factory=True)
        table.append(
            SettingDescription(
                name,
                _values_in_words(_without_null(properties[name])),
                "" if default in (None, {}, []) else json.dumps(default).strip('"'),
                _ONLY_FOR.get(name, ()),
                declared.description or "",
            )
        )
    return table


def _take_folder_name(
    values: dict[str, Any], given_by: dict[str, str], folder_name: str | None, import_type: ImportType
) -> None:
    setting = import_type.folder_setting
    if folder_name is None or setting is None:
        return
    given = values.get(setting)
    if given is not None and given != folder_name:
        raise SettingsError(
            f"The file lies in the folder of the {setting} {quoted(folder_name)}, but its settings "
            f"({given_by[setting]}) name the {setting} {quoted(given)}.",
            f"file.{setting}_disagrees",
        )
    if given is None:
        values[setting], given_by[setting] = folder_name, "folder"


def _as_given(layer: GivenSettings | Mapping[str, object] | None, source: str) -> GivenSettings:
    return layer if isinstance(layer, GivenSettings) else GivenSettings(source, layer or {})


def _validated(given: GivenSettings, import_type: ImportType) -> Mapping[str, Any]:
    checked = _checked(given, import_type)
    if checked.mistakes.number:
        raise SettingsError(_refusal(given, checked.mistakes))
    return checked.values


def _refusal(given: GivenSettings, mistakes: Mistakes) -> str:
    """List the first mistakes, as far as they fit into a message, and say how many others there are."""
    sentences: list[str] = []
    for key, sentence in mistakes.first:
        sentences.append(f"{given.at(key)}: {sentence}.")
        if len(" ".join(sentences).encode()) > _LONGEST_REFUSAL_BYTES and len(sentences) > 1:
            sentences.pop()
            break
    others = mistakes.number - len(sentences)
    return " ".join([*sentences, f"… and {others:,} more."] if others else sentences)


def _checked(given: GivenSettings, import_type: ImportType) -> _Checked:
    if not given.values:  # most layers of most files
        return _Checked(import_type, {}, Mistakes([], 0))
    if given.checked is None:
        return _check(given, import_type)
    known = given.checked.get(import_type.name)
    if known is None or known.import_type is not import_type:
        known = given.checked[import_type.name] = _check(given, import_type)
    return known


def _check(given: GivenSettings, import_type: ImportType) -> _Checked:
    """Check the settings someone gave: unknown keys first, then wrong values, then what the type can't do with them.

    Only the first mistakes are put into words: to find out what forty thousand keys may have meant takes seconds.
    """
    known = [name for name in SETTINGS if _fits(name, import_type)]
    strange = [key for key in given.values if key not in known]
    first: list[tuple[str, str]] = []
    is_listed = False
    for key in strange[:MOST_MISTAKES]:
        if key in SETTINGS:
            first.append((key, f"only {', '.join(_ONLY_FOR[key])} have this setting, not {import_type.name}"))
            continue
        near = closest(key, {normalise_name(name): name for name in known})
        choice = f" (did you mean {near}?)" if near else "" if is_listed else f" (there are: {', '.join(known)})"
        is_listed = is_listed or near is None
        first.append((key, f"there is no such setting{choice}"))
    try:
        read = ImportSettings.model_validate({key: given.values[key] for key in given.values if key in known})
    except ValidationError as error:
        first += map(_wrong_value, error.errors(include_url=False)[: MOST_MISTAKES - len(first)])
        return _Checked(import_type, {}, Mistakes(first, len(strange) + error.error_count()))
    misfits = _misfits(read, import_type)
    first += misfits.first[: MOST_MISTAKES - len(first)]
    values = {key: getattr(read, key) for key in given.values if key in known}
    return _Checked(import_type, values, Mistakes(first, len(strange) + misfits.number))


def _wrong_value(detail: Mapping[str, Any]) -> tuple[str, str]:
    setting, *inner = detail["loc"]
    place = f"{quoted(show_key(tuple(inner)))} " if inner else ""
    return str(setting), f"{place}{explain(detail)}"


def _misfits(read: ImportSettings, import_type: ImportType) -> Mistakes:
    """Return what is wrong with values that only the import type can judge."""
    mistakes = []
    if read.action is not None and read.action not in import_type.actions:
        there = did_you_mean(read.action, import_type.actions)
        mistakes.append(("action", f"{import_type.name} have no action {quoted(read.action)}{there}"))
    if import_type.utf8_only and read.encoding != "utf-8":
        mistakes.append(("encoding", f"files of {import_type.name} are UTF-8, found {quoted(read.encoding)}"))
    unfit = [name for name in read.locked if not _fits(name, import_type)]
    mistakes += [
        ("locked", f"only {', '.join(_ONLY_FOR[name])} have the setting {name}, not {import_type.name}")
        for name in unfit
    ]
    others = [name for name in import_types.IMPORT_TYPES if name != import_type.name]
    strange = [name for name in read.after if name not in others]
    first = [
        ("after", f"there is no other import type {quoted(name)}{did_you_mean(name, others)}")
        for name in strange[:MOST_MISTAKES]
    ]
    return Mistakes(mistakes + first, len(mistakes) + len(strange))


def _fits(key: str, import_type: ImportType) -> bool:
    return import_type.name in _ONLY_FOR.get(key, (import_type.name,))


def _action(given: str | None, import_type: ImportType) -> str:
    if given is not None:
        return given
    if len(import_type.actions) == 1:
        return import_type.actions[0]
    raise SettingsError(f"action: must be stated for {import_type.name}, one of {', '.join(import_type.actions)}.")


def _is_text(key: str) -> bool:
    declared = ImportSettings.model_json_schema()["properties"].get(key, {})
    return _without_null(declared).get("type") == "string"


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    variants = [variant for variant in schema.get("anyOf", [schema]) if variant.get("type") != "null"]
    return dict(variants[0])


def _form_field(name: str, schema: Mapping[str, Any], import_type: ImportType) -> dict[str, Any]:
    value = {
        key: part
        for key, part in _without_null(schema).items()
        if key in ("type", "enum", "minimum", "maximum", "additionalProperties")
    }
    if name == "action":
        value["enum"] = list(import_type.actions)
    if "enum" in value:
        value["enum"] = [*value["enum"], None]
    words = name.replace("_", " ")
    return {
        **value,
        "type": [value["type"], "null"],
        "title": f"{words[:1].upper()}{words[1:]}",
        "description": schema["description"],
    }


def _values_in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(schema["enum"])
    kinds = {
        "boolean": "true, false",
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "object": "keys and values",
        "array": "list",
    }
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = "" if low is None else f" from {low:,}" if high is None else f" from {low:,} to {high:,}"
    return kinds[schema["type"]] + bounds
