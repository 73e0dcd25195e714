"""Inspecting a file: one pass over its bytes, then settings, fingerprint, mapping and the chunk plan."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include import import_types
from include.importing import jobs, records, settings, staging
from include.importing.dialect import Dialect
from include.importing.errors import FileRefused
from include.importing.files import open_text, source_path, text_path, written_whole
from include.importing.import_type import ImportType
from include.importing.jobs import CHUNK, JOB_RULE, REJECT, Job, State
from include.importing.landing import EXTENSIONS, settings_layers
from include.importing.mapping import ColumnMapping, map_columns
from include.importing.records import Chunk, Inspection
from include.importing.runtime import Runtime
from include.importing.settings import ImportSettings, InheritedSettings
from include.importing.stages import stage

_PEEK_BYTES = 1 << 20


@dataclass(frozen=True)
class Inspected:
    """What the inspection decided.

    Args:
        state: `running` when rows are to be judged, `duplicate` when an earlier job loaded the same.
        chunks: how many chunks to validate; 0 for a file with a header only.
    """

    state: State
    chunks: int


def inspect_file(runtime: Runtime, job_id: int) -> Inspected:
    """Decide how a file is read, or that it isn't: encoding, dialect, settings, mapping, chunks.

    Raises:
        FileRefused: the file as a whole can't be imported; recorded in the ledger before it is raised.
    """
    with stage(runtime, job_id) as (connection, job):
        if job.inspection is not None or job.state is State.DUPLICATE:
            return Inspected(job.state, len(jobs.chunks(connection, job_id)))
        return _inspect(runtime, connection, job)


def _inspect(runtime: Runtime, connection: Connection, job: Job) -> Inspected:
    import_type = import_types.get(job.import_type)
    if PurePosixPath(job.file_name).suffix.lower() not in EXTENSIONS:
        raise FileRefused("file.extension", f"{job.file_name} is neither a .csv nor a .txt file.")
    layers = settings_layers(job)
    first_origin = _peek_origin(runtime, job)
    inherited = None if first_origin is None else _inherited_settings(connection, import_type, {first_origin})
    chosen = settings.resolve(job.import_type, inherited=inherited, **layers, defaults_file=runtime.defaults_file)
    inspection = scan(runtime, job, import_type, chosen)
    origins = _read_origins(runtime, job, inspection)
    if origins - {first_origin}:
        inherited = _inherited_settings(connection, import_type, origins)
        chosen = settings.resolve(job.import_type, inherited=inherited, **layers, defaults_file=runtime.defaults_file)
        inspection = scan(runtime, job, import_type, chosen)
    fingerprint = _fingerprint(job.import_type, inspection.sha256, chosen)
    values: dict[str, Any] = {
        "sha256": inspection.sha256, "size_bytes": inspection.size_bytes, "settings": chosen.model_dump(mode="json"),
        "action": chosen.action, "is_dry_run": chosen.dry_run, "fingerprint": fingerprint,
    }  # fmt: skip
    original = None if chosen.force else jobs.find_original(connection, job, fingerprint, edits=import_type.edits)
    if original is not None:
        jobs.update(connection, job.id, **values, state=State.DUPLICATE, duplicate_of=original)
        return Inspected(State.DUPLICATE, 0)
    mapping = map_columns(
        inspection.header, import_type.all_fields(runtime.project), chosen.mapping, import_type=import_type
    )
    jobs.link_parents(connection, job.id, sorted(origins))
    verbatim = any(jobs.get(connection, parent).settings.get("rejects_verbatim") for parent in origins)
    values["inspection"] = {
        "dialect": asdict(inspection.dialect) | {"bom": inspection.dialect.bom.hex()},
        "header": list(inspection.header),
        "header_offset": inspection.header_offset,
        "header_bytes": inspection.header_bytes,
        "unescape": bool(origins) and not verbatim,
        "warnings": _warnings(mapping, inspection),
    }
    values["mapping"] = mapping.to_json()
    values["warnings"] = values["inspection"]["warnings"]
    jobs.update(connection, job.id, **values, state=State.RUNNING)
    _plan(connection, job.id, inspection.chunks)
    return Inspected(State.RUNNING, len(inspection.chunks))


def dialect_of(job: Job) -> Dialect:
    """Return the dialect that the inspection recorded."""
    if job.inspection is None:
        raise LookupError(f"job {job.id} has not been inspected")
    stored = job.inspection["dialect"]
    return Dialect(**{**stored, "bom": bytes.fromhex(stored["bom"])})


def ensure_text(runtime: Runtime, job: Job) -> None:
    """Make the UTF-8 copy of a file in another encoding again, if it has been put away."""
    if dialect_of(job).encoding != "utf-8" and not text_path(runtime, job.id).exists():
        scan(runtime, job, import_types.get(job.import_type), ImportSettings.model_validate(job.settings))


def scan(runtime: Runtime, job: Job, import_type: ImportType, chosen: ImportSettings) -> Inspection:
    """Read the whole file once; write its UTF-8 copy when the sender's encoding is another one."""
    recoded = chosen.encoding != "utf-8"
    target = written_whole(text_path(runtime, job.id)) if recoded else nullcontext(None)
    with source_path(runtime, job).open("rb") as source, target as text_out:
        return records.inspect(
            source,
            encoding=chosen.encoding,
            delimiter=chosen.delimiter,
            text_out=text_out,
            utf8_only=import_type.utf8_only,
            max_bytes=chosen.max_file_bytes,
        )


def _inherited_settings(connection: Connection, import_type: ImportType, origins: set[int]) -> InheritedSettings:
    """Return the settings that a corrected file takes over from the jobs named in `_job` (X-09)."""
    found: list[tuple[int, InheritedSettings]] = []
    for origin in sorted(origins):
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
        found.append((origin, settings.inheritable(parent.settings)))
    for origin, other in found[1:]:
        if other != found[0][1]:
            raise FileRefused(
                "file.mixed_jobs",
                f"The rows come from jobs {found[0][0]} and {origin}, which had different settings; "
                "drop each job's rows as a file of their own.",
            )
    return found[0][1]


def _peek_origin(runtime: Runtime, job: Job) -> int | None:
    """Return the job number of the first corrected row, before encoding and delimiter are known (X-09).

    The importer puts `_job` first, in the sender's encoding; only when a person has moved the column away does this
    find nothing, and then the file must be readable by its own settings.
    """
    with source_path(runtime, job).open("rb") as source:
        head = source.read(_PEEK_BYTES)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        start = head[:64].decode(encoding, errors="ignore").lstrip('\ufeff"')
        if not start.startswith("_job"):
            continue
        text = head.decode("latin-1" if encoding == "utf-8-sig" else encoding, errors="ignore")
        first = re.match(r'(?:[^"\r\n]|"(?:[^"]|"")*")*[\r\n]+"?(\d+)', text)
        return int(first[1]) if first else None
    return None


def _read_origins(runtime: Runtime, job: Job, inspection: Inspection) -> set[int]:
    """Return every job named in the column `_job`; empty when the file has none."""
    if "_job" not in inspection.header:
        return set()
    column = inspection.header.index("_job")
    found: set[str | None] = set()
    with open_text(runtime, job) as text:
        for chunk in inspection.chunks:
            for block in records.read_blocks(text, chunk, inspection.dialect, len(inspection.header)):
                _, (cells,) = records.read_cells(block, inspection.dialect, len(inspection.header), [column])
                found.update(cells.unique().to_pylist())
    return {int(cell) for cell in found if cell and re.fullmatch(r"[0-9]{1,18}", cell.strip())}


def _fingerprint(import_type: str, sha256: str, chosen: ImportSettings) -> str:
    parts = "\n".join((sha256, import_type, settings.fingerprint_settings(chosen)))
    return hashlib.sha256(parts.encode()).hexdigest()


def _warnings(mapping: ColumnMapping, inspection: Inspection) -> list[dict[str, Any]]:
    warnings = [
        {"rule": "file.column_skipped", "message": message} for message in mapping.skipped_messages()
    ]  # fmt: skip
    if inspection.is_header_only:
        warnings.append({"rule": "file.header_only", "message": "The file has a header and no rows."})
    return warnings


def _plan(connection: Connection, job_id: int, plan: Sequence[Chunk]) -> None:
    """Write the chunk plan in place of whatever an earlier attempt left."""
    staging.drop_tables(connection, job_id)
    for table in (CHUNK, REJECT, JOB_RULE):
        connection.execute(sa.delete(table).where(table.c.job_id == job_id))
    if plan:
        connection.execute(sa.insert(CHUNK), [{"job_id": job_id, **asdict(chunk)} for chunk in plan])
