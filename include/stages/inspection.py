"""Inspecting a file: one pass over its bytes, then settings, fingerprint, mapping and the chunk plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from include.arrivals.files import check_unchanged, source_path, text_path
from include.arrivals.landing import settings_layers
from include.arrivals.settings_files import named_folder
from include.arrivals.uploads import dropped_place
from include.columns.header_changes import HeaderChange, compare_headers
from include.columns.mapping import ColumnMapping, columns_named, map_columns, origin_columns, propose_columns
from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import ImportSettings
from include.errors import FileRefused
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, Job, State
from include.located_yaml import describe
from include.reading import chunk_plan, records
from include.reading.chunk_plan import TOO_BIG, Inspection, check_size
from include.reading.dialect import Dialect
from include.reading.origins import peek_origin, read_origins, unescape, unescape_cells
from include.reading.records import Chunk
from include.rules import plausibility
from include.runtime import Runtime
from include.settings.layers import InheritedSettings, fingerprint_settings, inheritable, resolve
from include.storage.file_names import EXTENSIONS
from include.storage.locations import Location, written_whole

MOST_CHUNKS = 300
"""Airflow maps 1,024 tasks (`core.max_map_length`); a file's UTF-8 copy can be three times as long as the file."""
MOST_SKIPPED = 10
"""So many skipped columns get a warning of their own: a file may have 100,000."""
CORRECTABLE = (
    "file.missing_header", "file.ambiguous_mapping", "file.required_column", "file.required_switched_off",
    "file.settings",
)  # fmt: skip
"""Refusals of a header that a person can mend by saying which column is which (GC-01)."""
_HEAD_BYTES = 1 << 20
_FIRST_BYTES = 1 << 17


@dataclass(frozen=True)
class Inspected:
    """What the inspection decided.

    Args:
        state: `running` when rows are to be judged, `duplicate` when an earlier job loaded the same.
        chunks: how many chunks to validate; 0 for a file with a header only.
        may_need_review: settings or columns speak for asking a person before the load; the rows may as well (X-06).
        is_usable: False when only a person can say which column is which: no row can be judged before.
    """

    state: State
    chunks: int
    may_need_review: bool = False
    is_usable: bool = True


def inspect_file(runtime: Runtime, job_id: int) -> Inspected:
    """Decide how a file is read, or that it isn't: encoding, dialect, settings, mapping, chunks.

    Raises:
        FileRefused: the file as a whole can't be imported; recorded in the ledger before it is raised, with whatever
            was found out about the file until then (X-10).
        SourceChanged: it was written on after it had been taken (X-12).
    """
    with stage(runtime, job_id) as (connection, job):
        if job.refusal is not None:
            raise job.refusal
        if job.inspection is not None or job.state is not State.RUNNING:
            review = (job.inspection or {}).get("review")
            return _inspected(job.state, len(jobs.chunks(connection, job_id)), review)
        known: dict[str, Any] = {}
        try:
            inspected = _inspect(runtime, connection, job, known)
            check_unchanged(runtime, job)
            return inspected
        except FileRefused as error:
            refusal = error
            if refusal.rule != TOO_BIG:  # a file over the limit is refused at once, not read for its hash
                known.setdefault("sha256", source_path(runtime, job).sha256())
            jobs.refuse(connection, job_id, refusal, **known)
    raise refusal  # recorded above: raising inside would have rolled the record back


def _inspect(runtime: Runtime, connection: Connection, job: Job, known: dict[str, Any]) -> Inspected:
    """Inspect the file of a job, and collect in `known` the columns of the ledger that a refusal keeps as well."""
    if PurePosixPath(job.file_name).suffix.lower() not in EXTENSIONS:
        raise FileRefused("file.extension", f"{job.file_name} is neither a .csv nor a .txt file.")
    import_type = runtime.import_types.of(job.import_type)
    looked = look_at(
        runtime, connection, import_type, source_path(runtime, job), text_path(runtime, job.id), settings_layers(job),
        known,
    )  # fmt: skip
    original = None
    if not looked.settings.force:
        original = jobs.find_original(
            connection,
            job,
            known["fingerprint"],
            edits=import_type.edits_with(looked.settings),
            editing=import_type.settings.editing(),
        )
    if original is not None:
        jobs.update(connection, job.id, **known, state=State.DUPLICATE, duplicate_of=original)
        return Inspected(State.DUPLICATE, 0)
    change = _header_change(runtime, connection, job, looked)
    unusable = None
    try:
        mapping = looked.map_columns(import_type, runtime)
    except FileRefused as refusal:
        # Nobody may correct columns that the folder locks.
        is_asking = (looked.settings.review or bool(change)) and "mapping" not in looked.settings.locked
        if not is_asking or looked.settings.dry_run or refusal.rule not in CORRECTABLE:
            raise
        mapping, unusable = looked.propose_columns(import_type, runtime), refusal.message
    if unusable is None and import_type.extras.check_file is not None:
        import_type.extras.check_file(connection, looked.settings, mapping.field_indexes)
    jobs.link_parents(connection, job.id, looked.origins)
    inspection = looked.inspection
    is_utf8 = looked.inspection.dialect.encoding == "utf-8"
    text = source_path(runtime, job) if is_utf8 else text_path(runtime, job.id)
    oddities = []
    if not unusable:
        oddities = describe_oddities(runtime, connection, import_type, looked.settings, mapping, looked.text(text))
    was_asked = bool(jobs.reviews(connection, job.id))  # in a run that was cleared, perhaps by the load itself
    review = _review(looked.settings, change, unusable, oddities, was_asked=was_asked)
    found = {
        "dialect": asdict(inspection.dialect) | {"bom": inspection.dialect.bom.hex()},
        "header": list(inspection.header),
        "header_offset": inspection.header_offset,
        "header_bytes": inspection.header_bytes,
        "unescape": looked.is_escaped,
        "warnings": looked.warnings(None if unusable else mapping, import_type, runtime)
        + _moves(connection, import_type, looked),
        "review": review,
    }
    jobs.update(
        connection, job.id, **known, inspection=found, mapping=mapping.to_json(), warnings=found["warnings"]
    )  # fmt: skip
    _plan(connection, job.id, inspection.chunks)
    return _inspected(State.RUNNING, len(inspection.chunks), review)


def _inspected(state: State, chunks: int, review: Mapping[str, Any] | None) -> Inspected:
    return Inspected(state, chunks, review is not None, review is None or review["unusable"] is None)


def _header_change(runtime: Runtime, connection: Connection, job: Job, looked: Looked) -> HeaderChange | None:
    """Return how the columns differ from the last good file's, if the settings ask for a look at that."""
    if not looked.settings.review_header_change or looked.settings.dry_run:
        return None
    before = jobs.last_good_header(connection, job, dropped_place(runtime, job))
    return None if before is None else compare_headers(before, looked.inspection.header) or None


@dataclass(frozen=True)
class FileText:
    """A file in UTF-8 and how its rows are read.

    Args:
        is_escaped: cells that look like formulas have an apostrophe before them (X-09).
        is_corrected: it holds the rejected rows of earlier jobs.
    """

    place: Location
    dialect: Dialect
    chunks: Sequence[Chunk]
    is_escaped: bool
    is_corrected: bool


def text_of(runtime: Runtime, connection: Connection, job: Job) -> FileText:
    """Return the text of a job that has been inspected."""
    ensure_text(runtime, job)
    dialect = dialect_of(job)
    plan = jobs.chunks(connection, job.id)
    return FileText(
        source_path(runtime, job) if dialect.encoding == "utf-8" else text_path(runtime, job.id),
        dialect,
        [Chunk(chunk.number, chunk.byte_start, chunk.byte_end, chunk.first_line) for chunk in plan],
        is_escaped=(job.inspection or {})["unescape"],
        is_corrected=bool(jobs.parents(connection, job.id)),
    )


def describe_oddities(
    runtime: Runtime,
    connection: Connection,
    import_type: ImportType,
    chosen: ImportSettings,
    mapping: ColumnMapping,
    text: FileText,
) -> list[str]:
    """Say which columns hold what another field's values look like; nothing where nobody is to be asked (X-18).

    A corrected file has a few odd rows by nature: a handful of values says nothing there.
    """
    if not chosen.review_columns or chosen.dry_run or not text.chunks:
        return []
    columns = _first_cells(text, mapping)
    return plausibility.describe_oddities(
        import_type,
        import_type.read_fields(runtime.project, mapping.field_indexes),
        mapping,
        columns,
        plausibility.find_known(connection, import_type, columns.keys(), columns),
        fewest=plausibility.ENOUGH if text.is_corrected else plausibility.FEWEST,
    )


def _first_cells(text: FileText, mapping: ColumnMapping) -> dict[str, pa.StringArray]:
    """Return field → its cells in the first rows of a file, raw."""
    columns, mapped = len(mapping.columns), mapping.field_indexes
    with text.place.open_parts() as stream:
        for block in records.read_blocks(stream, text.chunks[0], text.dialect, columns, _FIRST_BYTES):
            _, read = records.read_cells(block, text.dialect, columns, list(mapped.values()))
            first = {name: cells[: plausibility.MOST_ROWS] for name, cells in zip(mapped, read, strict=True)}
            return {name: unescape_cells(cells) for name, cells in first.items()} if text.is_escaped else first
    return {}


def odd_columns(oddities: Sequence[str]) -> list[dict[str, str]]:
    """Return the reason to ask a person about columns that look wrong, as rule and sentence; none without any."""
    return [{"rule": "review.columns", "message": " ".join(oddities)}] if oddities else []


def _review(
    chosen: ImportSettings,
    change: HeaderChange | None,
    unusable: str | None,
    oddities: Sequence[str],
    *,
    was_asked: bool,
) -> dict[str, Any] | None:
    """Return why a person is to be asked, as far as it is known before the rows are (X-06); None when nobody is.

    A dry run loads nothing, so nobody is asked about it.

    Args:
        was_asked: a person has been, so the answer counts, or the next question is put (X-14).
    """
    reasons = []
    if chosen.review:
        reasons.append({"rule": "review.setting", "message": "The settings ask for a review."})
    if change:
        counted = {"renamed": len(change.renamed), "lost": len(change.lost), "new": len(change.new)}
        told = ", ".join(f"{count} {name}" for name, count in counted.items() if count)
        message = f"The columns differ from those of the last file loaded from this folder: {told}."
        reasons.append({"rule": "review.header_change", "message": message})
    reasons += odd_columns(oddities)
    # The default share is looked at by the load itself: a rehearsal would cost every file a second load.
    has_limits = chosen.has_own_reject_share or chosen.has_changed_share
    if chosen.dry_run or not (reasons or has_limits or was_asked):
        return None
    return {"reasons": reasons, "change": change.to_json() if change else None, "unusable": unusable}


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

    @property
    def header(self) -> list[str]:
        """The header's cells as the sender wrote them."""
        return [unescape(cell) if self.is_escaped else cell for cell in self.inspection.header]

    @property
    def overrides(self) -> dict[str, str | None]:
        """The setting `mapping`, as far as it holds for this file."""
        # Whoever corrects rows may delete columns that an earlier setting had switched off.
        return {
            key: field
            for key, field in self.settings.mapping.items()
            if field is not None or not self.origins or columns_named(key, self.header)
        }

    def text(self, place: Location) -> FileText:
        """Return the file's text.

        Args:
            place: of the file in UTF-8.
        """
        inspection = self.inspection
        return FileText(place, inspection.dialect, inspection.chunks, self.is_escaped, bool(self.origins))

    def propose_columns(self, import_type: ImportType, runtime: Runtime) -> ColumnMapping:
        """Map what can be mapped of the file's columns, for a person to correct (X-06)."""
        fields = import_type.all_fields(runtime.project)
        return propose_columns(self.header, fields, self.settings.mapping, self.settings.model_dump())

    def map_columns(self, import_type: ImportType, runtime: Runtime) -> ColumnMapping:
        """Map the file's columns.

        Raises:
            FileRefused: they can't be mapped.
        """
        fields = import_type.all_fields(runtime.project)
        try:
            return map_columns(self.header, fields, self.overrides, import_type, self.settings.model_dump())
        except FileRefused as refusal:
            if self.origins or not origin_columns(self.header):
                raise
            hint = "The column _job holds no job number, so no settings could be taken over from an earlier import."
            raise FileRefused(refusal.rule, f"{refusal.message} {hint}") from None

    def warnings(
        self, mapping: ColumnMapping | None, import_type: ImportType, runtime: Runtime
    ) -> list[dict[str, Any]]:
        """Return what a person should know of a file that is imported all the same.

        Args:
            mapping: None as long as nobody knows which columns are imported.
        """
        found = skipped_columns(mapping, import_type, runtime) if mapping else []
        if self.inspection.is_header_only:
            found.append(("file.header_only", "The file has a header and no rows."))
        found += self.inspection.warnings
        if self.unreadable_origins:
            told = f"{self.unreadable_origins:,} cells of the column _job hold no job number"
            found.append(("file.unreadable_origin", f"{told}: earlier rejects of these rows stay open."))
        if self.origins and "_line" not in origin_columns(self.inspection.header):
            found.append(("file.unreadable_origin", "There is no column _line: earlier rejects stay open."))
        return [{"rule": rule, "message": message} for rule, message in found]


def look_at(
    runtime: Runtime,
    connection: Connection,
    import_type: ImportType,
    source: Location,
    text_copy: Location,
    layers: Mapping[str, Any],
    known: dict[str, Any] | None = None,
) -> Looked:
    """Read a whole file once, with the settings that hold for it, those of a corrected file included (X-09, X-11).

    Args:
        text_copy: where the UTF-8 text goes when the file has another encoding.
        layers: the settings that were given, for `layers.resolve`.
        known: is given the ledger's columns as they become known, for a refusal to keep.

    Raises:
        FileRefused
    """
    known = {} if known is None else known

    def settings_with(origins: Sequence[int]) -> ImportSettings:
        given = {**layers, "inherited": _inherited_settings(connection, import_type, origins)}
        chosen = resolve(runtime.import_types, import_type, **given, defaults_file=runtime.defaults_file)
        if import_type.folder_setting is not None and layers.get("folder_name") is None:  # what its folder locks
            given["named_folder"] = named_folder(runtime, import_type, getattr(chosen, import_type.folder_setting))
            chosen = resolve(runtime.import_types, import_type, **given, defaults_file=runtime.defaults_file)
        known.update(
            settings=chosen.model_dump(mode="json"), action=chosen.action, is_dry_run=chosen.dry_run
        )  # fmt: skip
        if import_type.extras.derive_settings is not None:
            derived = import_type.extras.derive_settings(connection, chosen, runtime.project)
            chosen = chosen.model_copy(update={"derived": derived})
            known["settings"] = chosen.model_dump(mode="json")
        return chosen

    guessed = _guess_origins(connection, import_type, source)
    chosen = settings_with(guessed)
    known["size_bytes"] = source.stat().size_bytes
    check_size(known["size_bytes"], chosen.max_file_bytes)
    inspection = _scan(runtime, source, text_copy, import_type, chosen)
    origins, unreadable = _origins(runtime, source, text_copy, inspection)
    if origins != guessed:
        before, chosen = chosen, settings_with(origins)
        if chosen != before:
            inspection = _scan(runtime, source, text_copy, import_type, chosen)
    known |= {
        "sha256": inspection.sha256,
        "size_bytes": inspection.size_bytes,
        "fingerprint": fingerprint(runtime.import_types, import_type.name, inspection.sha256, chosen),
    }
    is_verbatim = bool(origins) and bool(jobs.get(connection, origins[0]).settings.get("rejects_verbatim"))
    is_escaped = bool(origin_columns(inspection.header)) and not is_verbatim
    return Looked(chosen, inspection, origins, unreadable, is_escaped)


def skipped_columns(mapping: ColumnMapping, import_type: ImportType, runtime: Runtime) -> list[tuple[str, str]]:
    """Return rule and sentence of each column that isn't imported (X-05)."""

    def explain(header: str) -> tuple[str, str] | None:
        return import_type.dynamic.explain_unmatched(header, runtime.project) if import_type.dynamic else None

    by_rule: dict[str, list[tuple[str, str]]] = {}
    for rule, sentence in mapping.skipped_messages(explain):
        by_rule.setdefault(rule, []).append((rule, sentence))
    told = []
    for rule, messages in by_rule.items():
        told += messages[:MOST_SKIPPED]
        if (others := len(messages) - MOST_SKIPPED) > 0:
            told.append((rule, f"{others:,} more columns are not imported either; the job's mapping lists them all."))
    return told


def dialect_of(job: Job) -> Dialect:
    """Return the dialect that the inspection recorded."""
    if job.inspection is None:
        raise LookupError(f"job {job.id} has not been inspected")
    stored = job.inspection["dialect"]
    return Dialect(**{**stored, "bom": bytes.fromhex(stored["bom"])})


def ensure_text(runtime: Runtime, job: Job) -> None:
    """Make the UTF-8 copy of a file in another encoding again, if it has been put away."""
    copy = text_path(runtime, job.id)
    if dialect_of(job).encoding != "utf-8" and not copy.exists():
        import_type = runtime.import_types.of(job.import_type)
        chosen = import_type.settings.from_stored(job.settings)
        _scan(runtime, source_path(runtime, job), copy, import_type, chosen)


def _scan(
    runtime: Runtime, source: Location, text_copy: Location, import_type: ImportType, chosen: ImportSettings
) -> Inspection:
    """Read the whole file once; write its UTF-8 copy when the sender's encoding is another one.

    The chunks of a huge file are larger, so that there are never more of them than Airflow maps tasks.
    """
    is_recoded = chosen.encoding != "utf-8"
    if not is_recoded:
        text_copy.remove()  # of an attempt with other settings
    target = written_whole(text_copy) if is_recoded else nullcontext(None)
    with source.open_whole() as stream, target as text_out:
        return chunk_plan.inspect(
            stream,
            encoding=_declared_encoding(chosen),
            delimiter=chosen.delimiter,
            text_out=text_out,
            utf8_only=import_type.settings.utf8_alone,
            max_bytes=chosen.max_file_bytes,
            chunk_bytes=max(runtime.chunk_bytes, -(-source.stat().size_bytes // MOST_CHUNKS)),
        )


def _declared_encoding(chosen: ImportSettings) -> str | None:
    """Return the encoding that somebody declared; None where nobody did: advice differs (X-03)."""
    is_declared = chosen.encoding != "utf-8" or "encoding" in chosen.given_by
    return chosen.encoding if is_declared else None


def _guess_origins(connection: Connection, import_type: ImportType, source: Location) -> tuple[int, ...]:
    """Return the job that the first corrected row seems to come from, whose encoding is needed to read the others."""
    with source.open_parts() as stream:
        guess = peek_origin(stream.read(_HEAD_BYTES))
    if guess is None:
        return ()
    try:
        parent = jobs.get(connection, guess)
    except LookupError:
        return ()
    return (guess,) if parent.import_type == import_type.name else ()


def _inherited_settings(
    connection: Connection, import_type: ImportType, origins: Sequence[int]
) -> InheritedSettings | None:
    """Return the settings that a corrected file takes over from the jobs named in `_job` (X-09)."""
    found: list[tuple[int, InheritedSettings]] = []
    for origin in origins:
        try:
            parent = jobs.get(connection, origin)
        except LookupError:
            raise FileRefused(
                "file.unknown_job", f"The column _job names job {origin}, which this project has never run."
            ) from None
        if parent.import_type != import_type.name:
            raise FileRefused(
                "file.unknown_job",
                f"The column _job names job {origin}, which imported {parent.import_type}, not {import_type.name}.",
            )
        found.append((origin, inheritable(parent.settings)))
    for origin, other in found[1:]:
        if other != found[0][1]:
            raise FileRefused(
                "file.mixed_jobs",
                f"The rows come from jobs {found[0][0]} and {origin}, which had different settings; "
                "drop each job's rows as a file of their own.",
            )
    return found[0][1] if found else None


def _moves(connection: Connection, import_type: ImportType, looked: Looked) -> list[dict[str, Any]]:
    """Return a warning for each earlier job whose corrected rows now go elsewhere, such as to another pool (X-09)."""
    setting = import_type.folder_setting
    if setting is None:
        return []
    now, giver = getattr(looked.settings, setting), looked.settings.given_by.get(setting)
    before = {origin: jobs.get(connection, origin).settings.get(setting) for origin in looked.origins}
    return [
        {
            "rule": f"file.{setting}_changed",
            "message": f"The rows come from job {origin}, whose {setting} was {describe(value)}; now they go to "
            f"{describe(now)}, which the {giver} names.",
        }
        for origin, value in before.items()
        if value not in (None, now)
    ]


def _origins(
    runtime: Runtime, source: Location, text_copy: Location, inspection: Inspection
) -> tuple[tuple[int, ...], int]:
    """Return every job named in the column `_job`, ascending, and how many of its cells name none though not blank."""
    if not origin_columns(inspection.header):
        return (), 0
    found: set[int] = set()
    unreadable = 0
    text = source if inspection.dialect.encoding == "utf-8" else text_copy
    with text.open_parts() as stream:
        for chunk in inspection.chunks:
            blocks = records.read_blocks(
                stream, chunk, inspection.dialect, len(inspection.header), runtime.block_bytes
            )  # fmt: skip
            for block in blocks:
                named = read_origins(block, inspection.dialect, inspection.header)
                found.update(named.job.unique().drop_null().to_pylist())
                unreadable += named.unreadable_jobs
    return tuple(sorted(found)), unreadable


def fingerprint(types: ImportTypes, import_type: str, sha256: str, chosen: ImportSettings) -> str:
    """Return what tells imports apart: the bytes, the type, and the settings that bear on what is loaded (X-13)."""
    parts = "\n".join((sha256, import_type, fingerprint_settings(types, chosen)))
    return hashlib.sha256(parts.encode()).hexdigest()


def _plan(connection: Connection, job_id: int, plan: Sequence[Chunk]) -> None:
    """Write the chunk plan in place of whatever an earlier attempt left."""
    staging.drop_tables(connection, job_id)
    jobs.forget_rows(connection, job_id)
    if plan:
        connection.execute(sa.insert(CHUNK), [{"job_id": job_id, **asdict(chunk)} for chunk in plan])
