"""Inspecting a file: one pass over its bytes, then settings, fingerprint, mapping and the chunk plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from include.arrivals.files import check_unchanged, source_path, text_path
from include.arrivals.settings_files import named_folder, settings_layers
from include.arrivals.uploads import dropped_place
from include.columns.mapping import ColumnMapping, origin_columns
from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import ImportSettings
from include.errors import FileRefused
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, Job, State
from include.ledger.records import Review
from include.reading import chunk_plan, records
from include.reading.chunk_plan import TOO_BIG, Inspection, check_size
from include.reading.dialect import Dialect
from include.reading.origins import peek_origin, read_origins, unescape_cells
from include.reading.records import Block, Chunk
from include.rules import plausibility
from include.runtime import Runtime
from include.settings.layers import InheritedSettings, fingerprint_settings, inheritable, resolve
from include.stages.verdict import Facts, Learnt, Looked, RefusedAtReading, Verdict, choose_columns, decide
from include.storage.file_names import EXTENSIONS
from include.storage.locations import Location, written_whole

MOST_CHUNKS = 300
"""Airflow maps 1,024 tasks (`core.max_map_length`); a file's UTF-8 copy can be three times as long as the file."""
_HEAD_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 17


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
            return _inspected(job.state, len(jobs.chunks(connection, job_id)), job.review)
        import_type = runtime.import_types.of(job.import_type)
        try:
            facts = _load_facts(runtime, connection, job, import_type)
            verdict = decide(facts, import_type, runtime.project)
            check_unchanged(runtime, job)
        except FileRefused as refusal:
            learnt = refusal.learnt if isinstance(refusal, RefusedAtReading) else Learnt()
            verdict = Verdict(learnt, refusal=refusal)
        if verdict.refusal is None:
            return _write(connection, job, facts.looked, verdict)
        _refuse(runtime, connection, job, verdict)
    raise verdict.refusal  # recorded above: raising inside would have rolled the record back


def _load_facts(runtime: Runtime, connection: Connection, job: Job, import_type: ImportType) -> Facts:
    """Read the file of a job, and what the ledger and the warehouse say that bears on the verdict.

    Raises:
        FileRefused: it can't be read, or its settings are wrong.
    """
    if PurePosixPath(job.file_name).suffix.lower() not in EXTENSIONS:
        raise FileRefused("file.extension", f"{job.file_name} is neither a .csv nor a .txt file.")
    source, copy = source_path(runtime, job), text_path(runtime, job.id)
    looked = look_at(runtime, connection, import_type, source, copy, settings_layers(job))
    chosen = looked.settings
    if not chosen.force:
        original = jobs.find_original(
            connection,
            job,
            looked.learnt.fingerprint or "",
            edits=import_type.edits_with(chosen),
            editing=import_type.settings.editing(),
        )
        if original is not None:
            return Facts(looked, original)
    before = None
    if chosen.review_header_change and not chosen.dry_run:
        before = jobs.last_good_header(connection, job, dropped_place(runtime, job))
    columns = choose_columns(looked, import_type, import_type.all_fields(runtime.project), before)
    unfit, oddities = None, []
    if (mapping := columns.usable) is not None:
        unfit = _unfit(connection, import_type, chosen, mapping)
        text = file_text(looked, source if looked.inspection.dialect.encoding == "utf-8" else copy)
        if unfit is None:
            oddities = describe_oddities(runtime, connection, import_type, chosen, mapping, text)
    # Only a setting that a folder names can have moved the rows.
    origins = looked.origins if import_type.folder_setting is not None else ()
    earlier = {origin: jobs.get(connection, origin).settings for origin in origins}
    return Facts(
        looked,
        columns=columns,
        unfit=unfit,
        oddities=oddities,
        was_asked=bool(jobs.reviews(connection, job.id)),
        earlier_settings=earlier,
    )


def _unfit(
    connection: Connection, import_type: ImportType, chosen: ImportSettings, mapping: ColumnMapping
) -> FileRefused | None:
    """Return why the type refuses a file by its settings and columns; None when it doesn't."""
    if import_type.extras.check_file is None:
        return None
    try:
        import_type.extras.check_file(connection, chosen, mapping.field_indexes)
    except FileRefused as refusal:
        return refusal
    return None


def _write(connection: Connection, job: Job, looked: Looked, verdict: Verdict) -> Inspected:
    """Write a verdict that is no refusal to the ledger."""
    if verdict.record is None or verdict.mapping is None:
        state = State.DUPLICATE
        jobs.update(connection, job.id, **verdict.learnt.columns(), state=state, duplicate_of=verdict.duplicate_of)
        return Inspected(state, 0)
    jobs.link_parents(connection, job.id, looked.origins)
    record = verdict.record.to_json()
    jobs.update(
        connection,
        job.id,
        **verdict.learnt.columns(),
        inspection=record,
        mapping=verdict.mapping.to_json(),
        warnings=record["warnings"],
    )
    _plan(connection, job.id, looked.inspection.chunks)
    return _inspected(State.RUNNING, len(looked.inspection.chunks), verdict.record.review)


def _refuse(runtime: Runtime, connection: Connection, job: Job, verdict: Verdict) -> None:
    """Write a refusal to the ledger, with whatever is certain of the file (X-10)."""
    if verdict.refusal is None:
        return
    columns = verdict.learnt.columns()
    if verdict.refusal.rule != TOO_BIG:  # a file over the limit is refused at once, not read for its hash
        columns.setdefault("sha256", source_path(runtime, job).sha256())
    jobs.refuse(connection, job.id, verdict.refusal, **columns)


def _inspected(state: State, chunks: int, review: Review | None) -> Inspected:
    return Inspected(state, chunks, review is not None, review is None or review.unusable is None)


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
        is_escaped=job.inspection is not None and job.inspection.is_escaped,
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
    samples = _samples(text, mapping)
    fields = import_type.read_fields(runtime.project, mapping.field_indexes)
    for place, columns in samples.items():
        if place != "first" and max(map(len, columns.values()), default=0) < plausibility.ENOUGH:
            continue
        oddities = plausibility.describe_oddities(
            import_type,
            fields,
            mapping,
            columns,
            plausibility.find_lookup_names(connection, import_type, columns.keys(), columns),
            fewest=plausibility.ENOUGH if text.is_corrected or place != "first" else plausibility.FEWEST,
            place=place,
        )
        if not oddities and place != "first":
            oddities = plausibility.describe_turns(mapping, samples["first"], columns, place)
        if oddities:
            return oddities
    return plausibility.describe_ends(import_type, mapping, list(samples.values()))


def _samples(text: FileText, mapping: ColumnMapping) -> dict[str, dict[str, pa.StringArray]]:
    """Return field → its cells, raw, in the first rows of a file, and in further ones of its middle and its end."""
    columns, first_byte, last_byte = len(mapping.columns), text.chunks[0].byte_start, text.chunks[-1].byte_end
    most, later = plausibility.MOST_ROWS, plausibility.LATER_ROWS
    with text.place.open_parts() as stream:
        block = records.first_block(stream, text.chunks, text.dialect, columns, _SAMPLE_BYTES)
        if block is None:
            return {}
        cells = _cells(text, mapping, block)
        samples = {"first": cells.slice(0, most)}
        if block.offset + len(block.data) >= last_byte:
            rest = cells.slice(most)
            if behind := max(rest.num_rows - later, 0):
                samples["middle"] = rest.slice(max(behind - later, 0) // 2, min(behind, later))
            samples["last"] = rest.slice(behind)
        else:
            middle, end = last_byte // 2, max(first_byte, last_byte - _SAMPLE_BYTES)
            part = records.read_part(stream, middle, min(middle + _SAMPLE_BYTES, last_byte), text.dialect, columns)
            if part is not None:
                samples["middle"] = _cells(text, mapping, part).slice(0, later)
            part = records.read_part(stream, end, last_byte, text.dialect, columns, is_last=True)
            if part is not None:
                cells = _cells(text, mapping, part)
                samples["last"] = cells.slice(max(cells.num_rows - later, 0))
    return {place: {name: rows[name].combine_chunks() for name in rows.column_names} for place, rows in samples.items()}


def _cells(text: FileText, mapping: ColumnMapping, block: Block) -> pa.Table:
    """Return the cells of a block's well-formed rows, raw: a column for each mapped field."""
    mapped = mapping.field_indexes
    _, columns = records.read_cells(block, text.dialect, len(mapping.columns), list(mapped.values()))
    return pa.table([unescape_cells(cells) for cells in columns] if text.is_escaped else columns, names=list(mapped))


def file_text(looked: Looked, place: Location) -> FileText:
    """Return the text of a file that has been looked at.

    Args:
        place: of the file in UTF-8.
    """
    inspection = looked.inspection
    return FileText(place, inspection.dialect, inspection.chunks, looked.is_escaped, bool(looked.origins))


def look_at(
    runtime: Runtime,
    connection: Connection,
    import_type: ImportType,
    source: Location,
    text_copy: Location,
    layers: Mapping[str, Any],
) -> Looked:
    """Read a whole file once, with the settings that hold for it, those of a corrected file included (X-09, X-11).

    Args:
        text_copy: where the UTF-8 text goes when the file has another encoding.
        layers: the settings that were given, for `layers.resolve`.

    Raises:
        RefusedAtReading: with what is certain of the file all the same.
    """
    learnt = Learnt()
    try:
        guessed = _guess_origins(connection, import_type, source)
        chosen = _resolve(runtime, connection, import_type, layers, guessed)
        learnt = Learnt(chosen)
        chosen = _with_derived(runtime, connection, import_type, chosen)
        size_bytes = source.stat().size_bytes
        learnt = Learnt(chosen, size_bytes)
        check_size(size_bytes, chosen.max_file_bytes)
        inspection = _scan(runtime, source, text_copy, import_type, chosen)
        origins, unreadable = _origins(runtime, source, text_copy, inspection)
        if origins != guessed:
            before, chosen = chosen, _resolve(runtime, connection, import_type, layers, origins)
            learnt = replace(learnt, settings=chosen)
            chosen = _with_derived(runtime, connection, import_type, chosen)
            learnt = replace(learnt, settings=chosen)
            if chosen != before:
                inspection = _scan(runtime, source, text_copy, import_type, chosen)
    except FileRefused as refusal:
        raise RefusedAtReading(refusal.rule, refusal.message, learnt) from None
    mark = fingerprint(runtime.import_types, import_type.name, inspection.sha256, chosen)
    learnt = Learnt(chosen, inspection.size_bytes, inspection.sha256, mark)
    is_verbatim = bool(origins) and jobs.get(connection, origins[0]).common_settings.rejects_verbatim
    is_escaped = bool(origin_columns(inspection.header)) and not is_verbatim
    return Looked(chosen, inspection, origins, unreadable, is_escaped, learnt)


def _resolve(
    runtime: Runtime,
    connection: Connection,
    import_type: ImportType,
    layers: Mapping[str, Any],
    origins: Sequence[int],
) -> ImportSettings:
    """Return the settings of a file, before what follows from them.

    Args:
        origins: the jobs whose settings it takes over.
    """
    all_layers = {**layers, "inherited": _inherited_settings(connection, import_type, origins)}
    chosen = resolve(runtime.import_types, import_type, **all_layers, defaults_file=runtime.defaults_file)
    if import_type.folder_setting is None or layers.get("folder_name") is not None:
        return chosen
    # What the folder that the settings name locks.
    all_layers["named_folder"] = named_folder(runtime, import_type, getattr(chosen, import_type.folder_setting))
    return resolve(runtime.import_types, import_type, **all_layers, defaults_file=runtime.defaults_file)


def _with_derived(
    runtime: Runtime, connection: Connection, import_type: ImportType, chosen: ImportSettings
) -> ImportSettings:
    """Return settings with what follows from them and the project's (CU-07)."""
    if import_type.extras.derive_settings is None:
        return chosen
    derived = import_type.extras.derive_settings(connection, chosen, runtime.project)
    return chosen.model_copy(update={"derived": derived})


def dialect_of(job: Job) -> Dialect:
    """Return the dialect that the inspection recorded."""
    if job.inspection is None:
        raise LookupError(f"job {job.id} has not been inspected")
    return Dialect.from_json(job.inspection.dialect)


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
    """Return the encoding that was declared; None where none was: advice differs (X-03)."""
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
    inherited: list[tuple[int, InheritedSettings]] = []
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
        inherited.append((origin, inheritable(import_type, parent.settings)))
    for origin, other in inherited[1:]:
        if other != inherited[0][1]:
            raise FileRefused(
                "file.mixed_jobs",
                f"The rows come from jobs {inherited[0][0]} and {origin}, which had different settings; "
                "drop each job's rows as a file of their own.",
            )
    return inherited[0][1] if inherited else None


def _origins(
    runtime: Runtime, source: Location, text_copy: Location, inspection: Inspection
) -> tuple[tuple[int, ...], int]:
    """Return every job named in the column `_job`, ascending, and how many of its cells name none though not blank."""
    if not origin_columns(inspection.header):
        return (), 0
    job_ids: set[int] = set()
    unreadable = 0
    text = source if inspection.dialect.encoding == "utf-8" else text_copy
    with text.open_parts() as stream:
        for chunk in inspection.chunks:
            blocks = records.read_blocks(
                stream, chunk, inspection.dialect, len(inspection.header), runtime.block_bytes
            )  # fmt: skip
            for block in blocks:
                named = read_origins(block, inspection.dialect, inspection.header)
                job_ids.update(named.job.unique().drop_null().to_pylist())
                unreadable += named.unreadable_jobs
    return tuple(sorted(job_ids)), unreadable


def fingerprint(types: ImportTypes, import_type: str, sha256: str, chosen: ImportSettings) -> str:
    """Return what distinguishes imports: the bytes, the type, and the settings that bear on what is loaded (X-13)."""
    parts = "\n".join((sha256, import_type, fingerprint_settings(types, chosen)))
    return hashlib.sha256(parts.encode()).hexdigest()


def _plan(connection: Connection, job_id: int, plan: Sequence[Chunk]) -> None:
    """Write the chunk plan in place of whatever an earlier attempt left."""
    staging.drop_tables(connection, job_id)
    jobs.forget_rows(connection, job_id)
    if plan:
        connection.execute(sa.insert(CHUNK), [{"job_id": job_id, **asdict(chunk)} for chunk in plan])
