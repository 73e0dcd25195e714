"""The settings that every import has, and what a type's own are made of. Source: X-11, spec section 9.

A type whose imports have further settings declares them in a subclass of `ImportSettings`; what the engine does with
one is said by marks in its annotation (`Bears`, `InForm`, `OfOneRun`, `Edits`). Light on purpose: DAG files import this
when they are parsed.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from include.located_yaml import quoted
from include.storage.file_names import LONGEST_NAME_BYTES
from include.values.characters import describe_invisible
from include.values.cron import check_cron

if TYPE_CHECKING:
    from include.project.model import Project  # which no DAG needs when it is parsed

Mark = TypeVar("Mark")

IGNORED_NAMES = ("*.md5", "*.sha256", "_SUCCESS", "Thumbs.db", "desktop.ini")
"""What is ignored unless a folder's settings say otherwise; also where no import type has the folder."""
REJECT_SHARE = 0.5
"""Share of rejected rows above which a person is asked unless settings say otherwise (X-18) …"""
REJECT_SHARE_ROWS = 100
"""… from so many rows on: a handful is corrected sooner than a question is answered."""

WAIT_MINUTES = 30
"""How long a file waits for those of the types in `after`, unless said otherwise (GC-05)."""

MOST_PATTERNS = 100
"""Of names that a folder ignores; each listing compares every name with all of them."""

_DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}

_UNSAFE_CODECS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
"""Codecs of Python's that are no files' encodings."""


@dataclass(frozen=True)
class Bears:
    """Marks a setting that bears on what is loaded: it is a part of the fingerprint (X-13).

    Args:
        by_all: the fingerprint of every type names it, whatever its value: so it is with the settings of the first
            version, whose files stay known. Others are named where they are not the default.
    """

    by_all: bool = False


@dataclass(frozen=True)
class InForm:
    """Marks a setting that pages offer: one that people need. The others are given by settings files."""


@dataclass(frozen=True)
class Suggests:
    """Marks a setting for which pages suggest values; others may be given as well.

    Args:
        of_project: returns them, from the project settings.
        query: SQL that returns them, where the warehouse has them.
    """

    of_project: Callable[[Project], Iterable[str]] | None = None
    query: str | None = None


@dataclass(frozen=True)
class OfOneRun:
    """Marks a setting that was meant for one run: a corrected file, which is there to be loaded, has its own (X-09).

    Args:
        is_over: before the run begins, or only folders may give it: a run's form doesn't offer it.
    """

    is_over: bool = False


@dataclass(frozen=True)
class Edits:
    """Marks a setting with which an import changes existing rows (X-13).

    Args:
        value: that it must have for it.
    """

    value: object


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
    # `_` and `'` are in what the rejected-rows file puts before the sender's cells (X-09).
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'_\r\n\0":
        raise ValueError(
            f"must be one character such as ',' ';' '|' (in quotes) or one of {', '.join(_DELIMITER_NAMES)}, "
            "and no letter, digit, quote, underscore or line end"
        )
    return delimiter


def _name(text: str) -> str:
    """Return a name in the form in which cells are compared with it (X-16)."""
    return without_invisible(text, is_name=False)


def without_invisible(text: str, *, is_name: bool) -> str:
    """Return a text in NFC.

    Args:
        is_name: people have typed it, with the joiners that their script needs (X-16).

    Raises:
        ValueError: it has characters that nobody can see.
    """
    composed = unicodedata.normalize("NFC", text)
    if invisible := describe_invisible(composed, is_name=is_name):
        raise ValueError(f"contains {invisible}, which nobody can see; remove it")
    return composed


def _phone_region(text: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS  # which no DAG needs when it is parsed

    if text.upper() not in SUPPORTED_REGIONS:
        raise ValueError(f"{quoted(text)} is no region that phone numbers are known for; two letters such as US or DE")
    return text.upper()


def _without_repeats(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _patterns(patterns: list[str]) -> list[str]:
    for pattern in patterns:
        if not pattern.strip("*?"):
            raise ValueError(f"{quoted(pattern)} would ignore every file")
    return list(dict.fromkeys(patterns))


def _waits(waits: object) -> object:
    if isinstance(waits, list) and all(isinstance(name, str) for name in waits):
        return dict.fromkeys(waits, WAIT_MINUTES)
    return waits


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
EntryName = Annotated[Text, AfterValidator(_name)]
PhoneRegion = Annotated[Text, AfterValidator(_phone_region)]
Encoding = Annotated[Text, AfterValidator(_canonical_encoding)]
Delimiter = Annotated[str, AfterValidator(_canonical_delimiter)]
Cron = Annotated[str, AfterValidator(check_cron)]
Locks = Annotated[list[str], AfterValidator(_without_repeats)]
Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME_BYTES)]
Patterns = Annotated[list[Pattern], Field(max_length=MOST_PATTERNS), AfterValidator(_patterns)]
Waits = Annotated[dict[str, Annotated[int, Field(ge=0, le=24 * 60)]], BeforeValidator(_waits)]


@dataclass(frozen=True)
class OfFolder:
    """Marks the setting that a folder below the type's own names: files in `<type>/<name>/` have it (PC-02)."""


@dataclass(frozen=True)
class InFrame:
    """Marks a setting that the suite compares cells with: the frame's column `setting__<name>` holds it."""


class ImportSettings(BaseModel):
    """The effective settings of one import, as JSON values throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    utf8_alone: ClassVar[bool] = False
    """Another encoding can't be declared (X-03)."""

    action: Annotated[Text | None, Bears(by_all=True), InForm()] = Field(None, description="What the import may do.")
    encoding: Annotated[Encoding, Bears(by_all=True), InForm()] = Field(
        "utf-8", description="Encoding of the file. It is never guessed; a byte order mark is allowed."
    )
    delimiter: Annotated[Delimiter | None, Bears(by_all=True), InForm()] = Field(
        None, description="What separates cells: one character, or tab. Found out from the file when left out."
    )
    mapping: Annotated[dict[str, Text | None], Bears(by_all=True)] = Field(
        default_factory=dict,
        description="Columns in words of the sender: {header: field}, or {header: null} to switch a column off.",
    )
    review: Annotated[bool, OfOneRun()] = Field(
        False, description="Wait until a person has approved the import, or corrected its mapping."
    )
    review_columns: Annotated[bool, OfOneRun()] = Field(
        True, description="Ask a person when a column's first values look like another field's, or a key's repeat."
    )
    review_reject_share: Annotated[float | None, OfOneRun()] = Field(
        REJECT_SHARE,
        ge=0,
        le=1,
        description="Share of rejected rows (0 to 1) above which a person is asked: the default from 100 rows on, one "
        "that is given in every file. 1 is off.",
    )
    review_header_change: Annotated[bool, OfOneRun()] = Field(
        False, description="Ask a person when the columns are not those of the last file loaded from the same folder."
    )
    review_hours: Annotated[float, OfOneRun()] = Field(
        24,
        ge=0.001,
        le=24 * 30,
        description="How long to wait for the person's answer; without one nothing is loaded. At most the hours of "
        "`retention_days`.",
    )
    dry_run: Annotated[bool, OfOneRun()] = Field(
        False, description="Do everything and take it back: exact counts, nothing loaded."
    )
    force: Annotated[bool, InForm(), OfOneRun()] = Field(
        False, description="Import the file even if the same content has been imported before."
    )
    max_file_bytes: Annotated[int, OfOneRun()] = Field(2 << 30, ge=1, description="Larger files are refused.")
    max_reject_share: Annotated[float | None, InForm()] = Field(
        None,
        ge=0,
        le=1,
        description="Share of rejected rows (0 to 1) above which nothing is loaded. Off when left out.",
    )
    slash_dates: Annotated[Literal["refuse", "month_first", "day_first"], Bears(by_all=True), InForm()] = Field(
        "refuse", description="How dates such as 03/04/2026 are read; by default they reject the row."
    )
    rejects_verbatim: Annotated[bool, InForm()] = Field(
        False, description="Don't put ' before values that a spreadsheet would run as formulas."
    )
    settle_seconds: Annotated[float, OfOneRun(is_over=True)] = Field(
        5, ge=0, le=86_400, description="How long a file must be unchanged before it is picked up."
    )
    retention_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Days after a job's end when source copies, staging and rejected-rows files are deleted.",
    )
    release: Annotated[Cron | None, OfOneRun(is_over=True)] = Field(
        None, description="Cron expression (UTC): files wait for the first such time after they arrived."
    )
    after: Annotated[Waits, OfOneRun(is_over=True)] = Field(
        default_factory=dict,
        description="Import types whose files go first, with the minutes to wait for them at most (a list means 30).",
    )
    ignore: Annotated[Patterns, OfOneRun(is_over=True)] = Field(
        default_factory=lambda: list(IGNORED_NAMES),
        description="Names that are left alone, with `*`, `?` and `[…]`, in any letter case: a list that replaces this "
        "one. Only in settings files of folders and in `imports.yaml`.",
    )
    locked: Annotated[Locks, OfOneRun(is_over=True)] = Field(
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
        """Say whether a folder, a file or a run says what share of rejected rows asks a person, and it isn't off."""
        share = self.review_reject_share
        return "review_reject_share" in self.given_by and share is not None and share < 1

    @property
    def has_changed_share(self) -> bool:
        """Say whether many changes of existing rows ask a person."""
        return False

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return what people may give."""
        return tuple(name for name in cls.model_fields if name not in ("given_by", "derived"))

    @classmethod
    def default(cls, name: str) -> Any:
        """Return what a setting is when nobody gives it."""
        return cls.model_fields[name].get_default(call_default_factory=True)

    @classmethod
    def marked(cls, kind: type[Mark]) -> dict[str, Mark]:
        """Return the settings with a mark."""
        marks = {name: next(iter(cls._marks(name, kind)), None) for name in cls.names()}
        return {name: mark for name, mark in marks.items() if mark is not None}

    @classmethod
    def editing(cls) -> dict[str, object]:
        """Return the settings with which an import changes existing rows, and the value that they must have for it."""
        return {name: mark.value for name, mark in cls.marked(Edits).items()}

    @classmethod
    def from_stored(cls, values: Mapping[str, object]) -> Self:
        """Return settings as the ledger holds them; what the type doesn't have is passed over."""
        return cls.model_validate({name: value for name, value in values.items() if name in cls.model_fields})

    @classmethod
    def _marks(cls, name: str, kind: type[Mark]) -> Iterator[Mark]:
        return (mark for mark in cls.model_fields[name].metadata if isinstance(mark, kind))


class ReviewsChanges(ImportSettings):
    """Of types that change existing rows: a person may be asked when many would change."""

    review_changed_share: Annotated[float | None, OfOneRun()] = Field(
        None,
        ge=0,
        le=1,
        description="Share of rows that change an existing one (0 to 1) above which a person is asked. Off when left "
        "out.",
    )

    @property
    def has_changed_share(self) -> bool:
        """Say whether many changes of existing rows ask a person."""
        return self.review_changed_share is not None


class DropsInvalid(ImportSettings):
    """Of types that have fields whose invalid values may be left out (`is_droppable`)."""

    on_invalid_optional: Annotated[Literal["reject_row", "drop_value"], Bears(by_all=True), InForm()] = Field(
        "reject_row", description="If an optional value is invalid: reject the row, or import it without that value."
    )


class ReadsPhones(ImportSettings):
    """Of types that have phone numbers."""

    phone_region: Annotated[PhoneRegion | None, Bears()] = Field(
        None,
        description="Region of phone numbers without a calling code, such as DE. The project's `default_phone_region` "
        "when left out.",
    )
