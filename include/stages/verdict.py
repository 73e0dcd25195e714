"""What is decided about a file once it has been read: refused, a duplicate, or how its rows are judged. Source: X-06.

Nothing here asks the ledger or the storage: `decide` is a function of the facts that the inspection has loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.columns.header_changes import HeaderChange, compare_headers
from include.columns.mapping import ColumnMapping, columns_named, map_columns, origin_columns, propose_columns
from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.declaration.settings import ImportSettings
from include.errors import FileRefused, Reason
from include.ledger.records import InspectionRecord, Review
from include.located_yaml import describe
from include.project.model import Project
from include.reading.chunk_plan import Inspection
from include.reading.origins import unescape

MOST_SKIPPED = 10
"""So many skipped columns get a warning of their own: a file may have 100,000."""
CORRECTABLE = (
    "file.missing_header", "file.ambiguous_mapping", "file.required_column", "file.required_switched_off",
    "file.settings",
)  # fmt: skip
"""Refusals of a header that a person can correct by saying which column is which (GC-01)."""


@dataclass(frozen=True)
class Learnt:
    """What the ledger keeps of a file, as far as it has been read; a refused job keeps it as well (X-10)."""

    settings: ImportSettings | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    fingerprint: str | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns of `ledger.import_job`; of what isn't there yet none."""
        columns: dict[str, Any] = {
            "size_bytes": self.size_bytes, "sha256": self.sha256, "fingerprint": self.fingerprint,
        }  # fmt: skip
        if self.settings is not None:
            columns |= {
                "settings": self.settings.model_dump(mode="json"),
                "action": self.settings.action,
                "is_dry_run": self.settings.dry_run,
            }
        return {name: value for name, value in columns.items() if value is not None}


class RefusedAtReading(FileRefused):
    """A file was refused before all of it was read.

    Args:
        learnt: what is certain of it all the same.
    """

    def __init__(self, rule: str, message: str, learnt: Learnt | None = None) -> None:
        super().__init__(rule, message)
        self.learnt = learnt or Learnt()


@dataclass(frozen=True)
class Looked:
    """A file as it will be read.

    Args:
        origins: the jobs named in its column `_job`, ascending; none when it has no such column (X-09).
        unreadable_origins: how many cells of that column hold something that is no job number.
        is_escaped: those jobs have put an apostrophe before cells that look like formulas.
    """

    settings: ImportSettings
    inspection: Inspection
    origins: tuple[int, ...]
    unreadable_origins: int
    is_escaped: bool
    learnt: Learnt

    @property
    def header(self) -> list[str]:
        """The header's cells as the sender wrote them."""
        return [unescape(cell) if self.is_escaped else cell for cell in self.inspection.header]

    @property
    def overrides(self) -> dict[str, str | None]:
        """The setting `mapping`, as far as it holds for this file."""
        # A person who corrects rows may delete columns that an earlier setting had switched off.
        return {
            key: field
            for key, field in self.settings.mapping.items()
            if field is not None or not self.origins or columns_named(key, self.header)
        }

    def propose_columns(self, fields: Sequence[Field]) -> ColumnMapping:
        """Map what can be mapped of the file's columns, for a person to correct (X-06)."""
        return propose_columns(self.header, fields, self.settings.mapping, self.settings.model_dump())

    def map_columns(self, import_type: ImportType, fields: Sequence[Field]) -> ColumnMapping:
        """Map the file's columns.

        Raises:
            FileRefused: they can't be mapped.
        """
        try:
            return map_columns(self.header, fields, self.overrides, import_type, self.settings.model_dump())
        except FileRefused as refusal:
            if self.origins or not origin_columns(self.header):
                raise
            hint = "The column _job holds no job number, so no settings could be taken over from an earlier import."
            raise FileRefused(refusal.rule, f"{refusal.message} {hint}") from None


@dataclass(frozen=True)
class Columns:
    """Which column of a file is which field.

    Args:
        change: how they differ from the last good file's, if the settings ask for a look at that.
        unusable: why only a person can say it; the mapping is a proposal then.
        refusal: why the file can't be imported; there is no mapping then.
    """

    mapping: ColumnMapping | None = None
    change: HeaderChange | None = None
    unusable: str | None = None
    refusal: FileRefused | None = None

    @property
    def usable(self) -> ColumnMapping | None:
        """The mapping by which rows can be judged; None when there is none."""
        return None if self.unusable is not None else self.mapping


@dataclass(frozen=True)
class Facts:
    """What is to be weighed.

    Args:
        original: the earlier job that this one repeats (X-13); nothing else counts then.
        columns: as `choose_columns` returned them.
        unfit: why the file's settings and columns can't be imported, as its type says.
        oddities: columns that hold what another field's values look like (X-18).
        was_asked: a person has been, in a run that was cleared, perhaps by the load itself (X-14).
        earlier_settings: of the jobs in `looked.origins`, by job.
    """

    looked: Looked
    original: int | None = None
    columns: Columns | None = None
    unfit: FileRefused | None = None
    oddities: Sequence[str] = ()
    was_asked: bool = False
    earlier_settings: Mapping[int, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Verdict:
    """What becomes of a file. Exactly one of `refusal`, `duplicate_of` and `record` is there."""

    learnt: Learnt
    refusal: FileRefused | None = None
    duplicate_of: int | None = None
    record: InspectionRecord | None = None
    mapping: ColumnMapping | None = None


def choose_columns(
    looked: Looked, import_type: ImportType, fields: Sequence[Field], header_before: Sequence[str] | None
) -> Columns:
    """Say which column is which field, or why nobody but a person can.

    Args:
        fields: those declared and those of the project settings.
        header_before: of the last good file from the same folder, if the settings ask for a look at that.
    """
    change = compare_headers(header_before, looked.inspection.header) or None if header_before is not None else None
    try:
        return Columns(looked.map_columns(import_type, fields), change)
    except FileRefused as refusal:
        # Nobody may correct columns that the folder locks.
        is_asking = (looked.settings.review or bool(change)) and "mapping" not in looked.settings.locked
        if not is_asking or looked.settings.dry_run or refusal.rule not in CORRECTABLE:
            return Columns(change=change, refusal=refusal)
        return Columns(looked.propose_columns(fields), change, unusable=refusal.message)


def decide(facts: Facts, import_type: ImportType, project: Project) -> Verdict:
    """Decide what becomes of a file."""
    looked, columns = facts.looked, facts.columns
    if facts.original is not None:
        return Verdict(looked.learnt, duplicate_of=facts.original)
    if columns is None:
        raise ValueError("the columns of a file that is no duplicate must have been chosen")
    if refusal := columns.refusal or facts.unfit:
        return Verdict(looked.learnt, refusal=refusal)
    inspection = looked.inspection
    record = InspectionRecord(
        dialect=inspection.dialect.to_json(),
        header=tuple(inspection.header),
        header_offset=inspection.header_offset,
        header_bytes=inspection.header_bytes,
        is_escaped=looked.is_escaped,
        warnings=(
            *_warnings(looked, columns.usable, import_type, project),
            *_moves(looked, import_type, facts.earlier_settings or {}),
        ),
        review=_review(looked.settings, columns, facts.oddities, was_asked=facts.was_asked),
    )
    return Verdict(looked.learnt, record=record, mapping=columns.mapping)


def odd_columns(oddities: Sequence[str]) -> tuple[Reason, ...]:
    """Return the reason to ask a person about columns that look wrong; none without any."""
    return (Reason("review.columns", " ".join(oddities)),) if oddities else ()


def skipped_columns(mapping: ColumnMapping, import_type: ImportType, project: Project) -> list[Reason]:
    """Return a warning for each column that isn't imported (X-05)."""

    def explain(header: str) -> tuple[str, str] | None:
        return import_type.dynamic.explain_unmatched(header, project) if import_type.dynamic else None

    by_rule: dict[str, list[str]] = {}
    for rule, sentence in mapping.skipped_messages(explain):
        by_rule.setdefault(rule, []).append(sentence)
    warnings: list[Reason] = []
    for rule, sentences in by_rule.items():
        warnings += [Reason(rule, sentence) for sentence in sentences[:MOST_SKIPPED]]
        if (others := len(sentences) - MOST_SKIPPED) > 0:
            message = f"{others:,} more columns are not imported either; the job's mapping lists them all."
            warnings.append(Reason(rule, message))
    return warnings


def _review(chosen: ImportSettings, columns: Columns, oddities: Sequence[str], *, was_asked: bool) -> Review | None:
    """Return why a person is to be asked, as far as it is certain before the rows are (X-06); None when nobody is.

    A dry run loads nothing, so nobody is asked about it.
    """
    reasons: list[Reason] = []
    if chosen.review:
        reasons.append(Reason("review.setting", "The settings ask for a review."))
    change = columns.change
    if change:
        counted = {"renamed": len(change.renamed), "lost": len(change.lost), "new": len(change.new)}
        counts = ", ".join(f"{count} {name}" for name, count in counted.items() if count)
        message = f"The columns differ from those of the last file loaded from this folder: {counts}."
        reasons.append(Reason("review.header_change", message))
    reasons += odd_columns(oddities)
    # The default share is looked at by the load itself: a rehearsal would cost every file a second load.
    has_limits = chosen.has_own_reject_share or chosen.has_changed_share
    if chosen.dry_run or not (reasons or has_limits or was_asked):
        return None
    return Review(tuple(reasons), change.to_json() if change else None, columns.unusable)


def _warnings(looked: Looked, mapping: ColumnMapping | None, import_type: ImportType, project: Project) -> list[Reason]:
    """Return what a person should know of a file that is imported all the same.

    Args:
        mapping: None as long as nobody has said which columns are imported.
    """
    warnings = skipped_columns(mapping, import_type, project) if mapping else []
    if looked.inspection.is_header_only:
        warnings.append(Reason("file.header_only", "The file has a header and no rows."))
    warnings += [Reason(rule, message) for rule, message in looked.inspection.warnings]
    if looked.unreadable_origins:
        message = f"{looked.unreadable_origins:,} cells of the column _job hold no job number"
        message += ": earlier rejects of these rows stay open."
        warnings.append(Reason("file.unreadable_origin", message))
    if looked.origins and "_line" not in origin_columns(looked.inspection.header):
        message = "There is no column _line: earlier rejects stay open."
        warnings.append(Reason("file.unreadable_origin", message))
    return warnings


def _moves(looked: Looked, import_type: ImportType, earlier: Mapping[int, Mapping[str, Any]]) -> list[Reason]:
    """Return a warning for each earlier job whose corrected rows now go elsewhere, such as to another pool (X-09)."""
    setting = import_type.folder_setting
    if setting is None:
        return []
    now, giver = getattr(looked.settings, setting), looked.settings.given_by.get(setting)
    before = {origin: settings.get(setting) for origin, settings in earlier.items()}
    return [
        Reason(
            f"file.{setting}_changed",
            f"The rows come from job {origin}, whose {setting} was {describe(value)}; now they go to "
            f"{describe(now)}, which the {giver} names.",
        )
        for origin, value in before.items()
        if value not in (None, now)
    ]
