"""The settings of an import: what they are, who gives them, which one holds. Source: X-11, spec section 9.

Light on purpose: DAG files import this when they are parsed.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from include import import_types
from include.importing.errors import ConfigurationError, SettingsError
from include.importing.import_type import ImportType
from include.importing.names import did_you_mean
from include.located_yaml import YamlMistake, explain, read_yaml, show_key

IMPORTS_YAML = Path(__file__).resolve().parents[1] / "config" / "imports.yaml"

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
    "on_invalid_optional": ("customers",),
    "review_changed_share": ("customers",),
}

_BEARING = (
    "action", "encoding", "delimiter", "mapping", "strict_sold_cards", "pool", "on_existing", "data_source",
    "point_of_contact", "take_point_of_contact_from_file", "take_action_template_from_file", "segment",
    "on_invalid_optional", "slash_dates",
)  # fmt: skip
"""Settings that bear on what is loaded (X-13); the others only bear on when and how the import goes."""

_PICK_UP = ("settle_seconds", "release", "after")
"""Settings that are over before a run begins: a run's form doesn't offer them."""

_REVIEW = ("review", "review_reject_share", "review_changed_share", "review_header_change", "review_hours")

_OF_ONE_RUN = (*_PICK_UP, *_REVIEW, "dry_run", "force", "max_file_bytes")
"""What someone wanted of one run; a corrected file (X-09) doesn't take these over: it is there to be loaded."""

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
            f"there is no encoding {name!r}; usual ones are utf-8, windows-1251, latin-1, utf-16"
        ) from None
    canonical = codec.name.replace("-", "_")
    if canonical in _UNSAFE_CODECS or not getattr(codec, "_is_text_encoding", True):
        raise ValueError(f"{name!r} is no encoding of text files")
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


_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


def _checked_cron(text: str) -> str:
    parts = text.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(f"must be a cron expression of five fields such as '0 2 * * *', found {len(parts)}")
    for part, (name, low, high) in zip(parts, _CRON_FIELDS, strict=True):
        for piece in part.split(","):
            found = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?", piece)
            numbers = [int(number) for number in found.groups()[:2] if number] if found else []
            is_step_ok = found is not None and found[3] != "0"
            if not is_step_ok or numbers != sorted(numbers) or not all(low <= number <= high for number in numbers):
                raise ValueError(f"{piece!r} is no {name} of a cron expression: numbers {low} to {high}, *, -, / and ,")
    return " ".join(parts)


def _waits(given: object) -> object:
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, WAIT_MINUTES)
    return given


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
# A key of the warehouse: an index row of PostgreSQL holds 2,700 bytes.
SegmentName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=250)]
Encoding = Annotated[Text, AfterValidator(_canonical_encoding)]
Delimiter = Annotated[str, AfterValidator(_canonical_delimiter)]
Cron = Annotated[str, AfterValidator(_checked_cron)]
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
    review_reject_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of rejected rows (0 to 1) above which a person is asked. Off when left out.",
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
    pool: Text | None = Field(None, description="The pool that codes go to, by its system id.")
    on_existing: Literal["reject", "update_dates"] = Field(
        "reject",
        description="What becomes of a code that is there already, unused, with other dates. update_dates gives it the "
        "row's: a blank cell opens the window, a date without a column stays.",
    )
    data_source: Text | None = Field(
        None, description="Where the data comes from. The project's default data source when left out."
    )
    point_of_contact: Text | None = Field(
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
        "reject_row", description="What an invalid optional value costs: the row, or the value alone."
    )
    slash_dates: Literal["refuse", "month_first", "day_first"] = Field(
        "refuse", description="How dates such as 03/04/2026 are read; by default they reject the row."
    )
    rejects_verbatim: bool = Field(
        False, description="Write the rejected-rows file without the ' that keeps spreadsheets from running formulas."
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
    given_by: dict[str, str] = Field(
        default_factory=dict,
        description="Who gave each setting that is no default: folder, sidecar, parameters, review. No setting itself.",
    )
    derived: dict[str, str] = Field(
        default_factory=dict,
        description="What follows from them and the project's, such as the default data source. No setting itself.",
    )


SETTINGS = tuple(name for name in ImportSettings.model_fields if name not in ("given_by", "derived"))


@dataclass(frozen=True)
class GivenSettings:
    """Settings as someone gave them, not yet validated.

    Args:
        source: what messages call them, such as the file's name.
        lines: line of each key, where there are lines.
    """

    source: str
    values: Mapping[str, object]
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, key: str) -> str:
        """Name a key for a message: source, line, key."""
        line = f"line {self.lines[key]}, " if key in self.lines else ""
        return f"{self.source}: {line}{key}"


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
    """Read a settings file; an empty one gives no settings.

    Raises:
        SettingsError: not UTF-8, not YAML, not `key: value` lines; names `source` and the line.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SettingsError(f"{source}: not UTF-8 at byte {error.start}.") from None
    try:
        located = read_yaml(text)
    except YamlMistake as mistake:
        where = f"line {mistake.line}: " if mistake.line else ""
        raise SettingsError(f"{source}: {where}{mistake.sentence}.") from None
    values = {} if located.value is None else located.value
    if not isinstance(values, dict):
        raise SettingsError(f"{source}: expected lines such as `encoding: windows-1251`.")
    return GivenSettings(source, values, {key: located.line_of((key,)) for key in values})


def read_assignments(assignments: Iterable[str], source: str = "--set") -> GivenSettings:
    """Read `KEY=VALUE` arguments: text as it stands (`pool=0123`), anything else as YAML (`mapping={PIN: cvv}`).

    Raises:
        SettingsError: no `=`, no value, or a key given twice.
    """
    values: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not text:
            raise SettingsError(f"{source}: expected KEY=VALUE, found {assignment!r}.")
        if key in values:
            raise SettingsError(f"{source}: {key} is given twice.")
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
        found[name] = GivenSettings(file_name, defaults, lines)
        for key, sentence in _mistakes(found[name], import_types.IMPORT_TYPES[name]):
            complain((name, "defaults", key), sentence)
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
    folder_name: str | None = None,
    defaults_file: Path = IMPORTS_YAML,
) -> ImportSettings:
    """Decide the settings of one import. Source: X-09, X-11.

    In rising precedence: the type's defaults, the folder's settings file, the sidecar, the run's parameters. A key's
    value replaces the one below it as a whole, `mapping` too.

    What a corrected file inherits takes the place where it was given: what the earlier job was told for itself (by
    sidecar, parameters or in its review) goes before the folder's settings, which were there then as well; the rest
    goes behind them, so that a folder's settings that were mended since are heard.

    The name of a folder below the type's own is no layer: it gives the type's `folder_setting`, and whoever gives that
    setting too must give the same (PC-02). It is a new, explicit setting: what a corrected file inherits yields to it.

    Args:
        import_type: its name.
        type_folder: of `_settings.yaml` in the type's folder, for a file in a folder below it.
        folder: of `_settings.yaml`.
        sidecar: of `<file name>.settings.yaml`.
        inherited: the ledger's settings of the earlier job; keys that no longer exist are passed over.
        parameters: None and "" mean that a form's field was left alone.
        folder_name: of the folder below the type's own in which the file lies.
        defaults_file: as `load_defaults` reads it.

    Raises:
        SettingsError: an unknown key (with a close match), one that does not fit the type, a wrong value; each named
            with its source. Rule `file.pool_disagrees`: settings and folder name different pools.
        FileRefused: `file.unknown_type`.
        ConfigurationError: the defaults file is wrong.
    """
    declared = import_types.get(import_type)
    taken_over = inherited if isinstance(inherited, InheritedSettings) else inheritable(inherited or {})
    overruled = () if folder_name is None else (declared.folder_setting,)
    fitting = {key: value for key, value in taken_over.values.items() if _fits(key, declared) and key not in overruled}
    of_that_job = {key for key in fitting if taken_over.given_by.get(key) in (None, *_FOR_ONE_FILE)}
    own = {key: fitting[key] for key in fitting if key in of_that_job}
    rest = {key: fitting[key] for key in fitting if key not in of_that_job}
    chosen = _as_given(parameters, "the run's parameters")
    filled_in = {key: value for key, value in chosen.values.items() if key not in SETTINGS or value not in (None, "")}

    values: dict[str, Any] = {}
    given_by: dict[str, str] = {}
    for giver, given in (
        ("defaults", load_defaults(defaults_file).get(import_type)),
        ("inherited", GivenSettings("settings of the earlier job", rest)),
        ("folder", _as_given(type_folder, "the type folder's settings")),
        ("folder", _as_given(folder, "the folder's settings")),
        ("inherited", GivenSettings("settings of the earlier job", own)),
        ("sidecar", _as_given(sidecar, "the file's settings")),
        ("parameters", GivenSettings(chosen.source, filled_in)),
    ):
        for key, value in _validated(given, declared).items() if given else ():
            values[key] = value
            given_by[key] = taken_over.given_by.get(key, "sidecar") if giver == "inherited" else giver
    _take_folder_name(values, given_by, folder_name, declared)
    values["action"] = _action(values.get("action"), declared)
    given_by = {key: giver for key, giver in given_by.items() if giver != "defaults"}
    return ImportSettings(**values, given_by=given_by, derived=dict(taken_over.derived))


def find_mistakes(import_type: str, given: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong with settings, setting by setting, for a form that says so beside each.

    Raises:
        FileRefused: `file.unknown_type`.
    """
    return {key: f"{sentence[:1].upper()}{sentence[1:]}." for key, sentence in reversed(
        _mistakes(GivenSettings("the form", given), import_types.get(import_type))
    )}  # fmt: skip


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
    bearing = settings.model_dump(mode="json", include=set(_BEARING)) | settings.derived
    return json.dumps(bearing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parameter_schema(import_type: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each setting for a run's form: every one may be null, "left alone"."""
    declared = import_types.get(import_type)
    properties = ImportSettings.model_json_schema()["properties"]
    return {
        name: _form_field(name, properties[name], declared)
        for name in SETTINGS
        if _fits(name, declared) and name not in _PICK_UP
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
                "" if default in (None, {}) else json.dumps(default).strip('"'),
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
            f"The file lies in the folder of the {setting} {folder_name!r}, but its settings ({given_by[setting]}) "
            f"name the {setting} {given!r}.",
            f"file.{setting}_disagrees",
        )
    if given is None:
        values[setting], given_by[setting] = folder_name, "folder"


def _as_given(layer: GivenSettings | Mapping[str, object] | None, source: str) -> GivenSettings:
    return layer if isinstance(layer, GivenSettings) else GivenSettings(source, layer or {})


def _validated(given: GivenSettings, import_type: ImportType) -> dict[str, Any]:
    mistakes = _mistakes(given, import_type)
    if mistakes:
        raise SettingsError(" ".join(f"{given.at(key)}: {sentence}." for key, sentence in mistakes))
    read = ImportSettings.model_validate(dict(given.values))
    return {key: getattr(read, key) for key in given.values}


def _mistakes(given: GivenSettings, import_type: ImportType) -> list[tuple[str, str]]:
    """Return (key, sentence) for everything that is wrong with the settings someone gave."""
    mistakes = []
    known = [name for name in SETTINGS if _fits(name, import_type)]
    for key in given.values:
        if key not in SETTINGS:
            mistakes.append((key, f"there is no such setting{did_you_mean(key, known)}"))
        elif key not in known:
            mistakes.append((key, f"only {', '.join(_ONLY_FOR[key])} have this setting, not {import_type.name}"))
    try:
        read = ImportSettings.model_validate({key: given.values[key] for key in given.values if key in known})
    except ValidationError as error:
        for detail in error.errors():
            setting, *inner = detail["loc"]
            place = f"{show_key(tuple(inner))!r} " if inner else ""
            mistakes.append((str(setting), f"{place}{explain(detail)}"))
        return mistakes
    return [*mistakes, *_misfits(read, import_type)]


def _misfits(read: ImportSettings, import_type: ImportType) -> list[tuple[str, str]]:
    """Return what is wrong with values that only the import type can judge."""
    mistakes = []
    if read.action is not None and read.action not in import_type.actions:
        there = did_you_mean(read.action, import_type.actions)
        mistakes.append(("action", f"{import_type.name} have no action {read.action!r}{there}"))
    if import_type.utf8_only and read.encoding != "utf-8":
        mistakes.append(("encoding", f"files of {import_type.name} are UTF-8, found {read.encoding!r}"))
    others = [name for name in import_types.IMPORT_TYPES if name != import_type.name]
    mistakes += [
        ("after", f"there is no other import type {name!r}{did_you_mean(name, others)}")
        for name in read.after
        if name not in others
    ]
    return mistakes


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
    }
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = "" if low is None else f" from {low:,}" if high is None else f" from {low:,} to {high:,}"
    return kinds[schema["type"]] + bounds
