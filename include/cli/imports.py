"""The commands about files: import, preview, template, jobs, job."""

from __future__ import annotations

import argparse
import getpass
import sys
from contextlib import suppress
from pathlib import Path, PurePath

from include.arrivals.places import permitted
from include.cli.context import DONE, FAILED, REFUSED, make_runtime, source_of
from include.cli.errors import describe_defect, is_expected, sentence_of
from include.cli.printing import SUCCESSES, as_json, json_line, legible, show_progress, text_of
from include.errors import (
    FileRefused,
    SettingsError,
)
from include.import_types import IMPORT_TYPES
from include.ledger import jobs
from include.ledger.jobs import JobResult, State
from include.names import one_line
from include.runtime import Runtime
from include.settings.files import LARGEST_SETTINGS_BYTES, read_assignments, read_settings
from include.settings.layers import resolve
from include.settings.raw import RawSettings
from include.storage import locations
from include.storage.locations import Location
from include.warehouse.roles import Role
from include.warehouse.transactions import values_hidden

STANDARD_INPUT = "-"


def run_import(parsed: argparse.Namespace) -> int:
    """Import files, one after the other; return the worst of their exit codes."""
    from include.arrivals.files import check_name
    from include.arrivals.landing import Request
    from include.importer import import_file  # GX's import takes seconds: not before the arguments are right

    runtime = make_runtime()

    def import_one(source: Location) -> JobResult:
        sidecar, parameters = _command_settings(runtime, parsed)
        if source.name == STANDARD_INPUT:
            source, sidecar = _pasted(runtime, parsed, sidecar, parameters), None
        check_name(source)
        request = Request(
            parsed.type, str(source), _run_key(runtime, source), f"command line ({getpass.getuser()})", parameters,
            sidecar=sidecar, roots=None,
        )  # fmt: skip
        return import_file(runtime, request, progress=show_progress(sys.stderr, source.name))

    worst = DONE
    for file in parsed.files:
        name = PurePath(file).name
        try:
            result = import_one(locations.locate(file) if file == STANDARD_INPUT else source_of(file))
        except FileRefused as refusal:
            result = result_without_job(parsed.type, name, State.REFUSED, refusal.rule, refusal.message)
        except Exception as error:  # the other files may fare better
            if is_expected(error):
                message = sentence_of(error)
            else:
                message = f"A defect of the program ended this import: {type(error).__name__}."
                print(describe_defect(error), file=sys.stderr)
            result = result_without_job(parsed.type, name, State.FAILED, "job.failed", message)
        print(as_json(json_line(result)) if parsed.json else text_of(result, runtime.import_types), flush=True)
        worst = max(worst, _exit_code(result), key=(DONE, REFUSED, FAILED).index)
    return worst


def result_without_job(import_type: str, file_name: str, state: State, rule: str, message: str) -> JobResult:
    """Return the result of a file that has no job of its own."""
    reason = {"rule": rule, "message": message}
    return JobResult(0, import_type, file_name, str(state), jobs.JobCounts(), reason=reason)


def _pasted(
    runtime: Runtime, parsed: argparse.Namespace, sidecar: str | None, parameters: dict[str, object]
) -> Location:
    """Write what is on standard input into the landing area, its settings beside it (PC-01)."""
    from include.arrivals.pasting import write_pasted

    settings = {} if sidecar is None else dict(read_settings(sidecar, str(parsed.settings)).values)
    declared = IMPORT_TYPES.of(parsed.type)
    return write_pasted(runtime, declared, sys.stdin.buffer.read(), settings | parameters)


def _run_key(runtime: Runtime, source: Location) -> str:
    """Name the request by the file's version, so that the same command continues after a kill (X-14)."""
    prefix = f"command line|{permitted(runtime, '', str(source), roots=None).url}|"
    with suppress(OSError):  # a killed attempt may have moved it out of landing, whatever its version was
        prefix += f"{source.stat().version}|"
    with values_hidden(), runtime.engine.connect() as connection:
        ended, resumable = jobs.latest_attempt(connection, prefix)
    return resumable.run_key if resumable else f"{prefix}{ended + 1}"


def _command_settings(runtime: Runtime, parsed: argparse.Namespace) -> tuple[str | None, dict[str, object]]:
    """Return the text of `--settings` and what `--set` and the flags say.

    Raises:
        SettingsError: they are wrong: said before any job is opened.
    """
    import_type = runtime.import_types.of(parsed.type)
    parameters = dict(read_assignments(import_type, parsed.set).values)
    parameters |= {name: True for name in ("dry_run", "force") if getattr(parsed, name, False)}
    try:
        raw = None if parsed.settings is None else _read_at_most(parsed.settings, LARGEST_SETTINGS_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"--settings: {sentence_of(error)}") from None
    sidecar = None if raw is None else read_settings(raw, str(parsed.settings))
    assigned = RawSettings("--set", parameters)
    resolve(
        runtime.import_types, import_type, sidecar=sidecar, parameters=assigned, defaults_file=runtime.defaults_file
    )
    return None if raw is None else raw.decode("utf-8-sig"), parameters


def _read_at_most(path: Path, number: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(number)


def _exit_code(result: JobResult) -> int:
    if result.state in SUCCESSES:
        return DONE
    return REFUSED if result.state in (State.REFUSED, State.CANCELLED) else FAILED


def run_preview(parsed: argparse.Namespace) -> int:
    """Show the first rows of files, with the mapping and their verdicts."""
    from include.review.preview import preview_file

    runtime = make_runtime(Role.PAGES)
    sidecar, parameters = _command_settings(runtime, parsed)
    for file in parsed.files:
        preview = preview_file(runtime, parsed.type, source_of(file), sidecar=sidecar, parameters=parameters)
        print(legible(preview.as_text()))
    return DONE


def run_template(parsed: argparse.Namespace) -> int:
    """Print the template of an import type."""
    print(IMPORT_TYPES.of(parsed.type).template, end="")
    return DONE


def run_jobs(parsed: argparse.Namespace) -> int:
    """List the newest imports."""
    with values_hidden(), make_runtime(Role.PAGES).engine.connect() as connection:
        newest = jobs.history(connection, limit=parsed.limit, import_type=parsed.type)
    print(f"{'job':>6}  {'launched (UTC)':16}  {'type':16}  {'outcome':22}  {'read':>9}  {'rejected':>9}  by, file")
    for job in newest:
        outcome = f"{job.outcome}{' (dry run)' if job.is_dry_run else ''}"
        print(
            f"{job.id:>6}  {job.launched_at:%Y-%m-%d %H:%M}  {job.import_type:16}  {outcome:22}  "
            f"{job.counts.read:>9,}  {job.counts.rejected:>9,}  {one_line(job.launched_by)}, {one_line(job.file_name)}"
        )
    return DONE


def run_job(parsed: argparse.Namespace) -> int:
    """Show everything about one import."""
    with values_hidden(), make_runtime(Role.PAGES).engine.connect() as connection:
        result = jobs.result(connection, parsed.number)
    print(as_json(result.to_json(), indent=2))
    return DONE
