"""The command line: the very stages that the DAGs run, without Airflow, for local checks and backfills.

`python -m include.cli import TYPE FILE...` and, beside it, `preview`, `template`, `jobs`, `job`, `migrate`,
`sync-project`; for promo codes `generate POOL --quantity N`, `formats`, `pools`, `pool`, `rotate-code-key`.
`WAREHOUSE_URL` names the database, else the embedded one of `make demo`; where each database role has a password of its
own, `WAREHOUSE_OWNER_URL` serves `migrate` and `sync-project`, and `WAREHOUSE_PAGES_URL` what only reads. `CVV_KEY` is
the key of the CVV hashes and `CODE_KEY` that of the promo codes; `WORK_URL`, `REPORTS_URL`, `ARCHIVE_URL`,
`LANDING_URL` name the folders, else those under `.local/`.
"""

from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError

from include.arrivals.places import permitted
from include.errors import (
    ConfigurationError,
    FileRefused,
    SettingsError,
    SuiteError,
    WarehouseConflict,
    WarehouseFault,
    WarehouseUnavailable,
    is_storage_error,
)
from include.import_types import IMPORT_TYPES
from include.ledger import jobs
from include.ledger.jobs import FileTaken, JobResult, State
from include.project.sync import sync_in_turn
from include.promo_codes.errors import GenerationRefused
from include.runtime import ROOT, Runtime
from include.settings.files import LARGEST_SETTINGS_BYTES, read_assignments, read_settings
from include.settings.given import GivenSettings
from include.settings.layers import resolve
from include.storage import locations
from include.storage.locations import Location
from include.warehouse.embedded import EmbeddedServerError
from include.warehouse.engine import create_warehouse_engine, variable_of, warehouse_url
from include.warehouse.migrations import migrate
from include.warehouse.roles import Role
from include.warehouse.schema_check import expect_schema
from include.warehouse.transactions import values_hidden

DONE, FAILED, REFUSED = 0, 1, 3
_STANDARD_INPUT = "-"
_ROLES_PAGE = "docs/operate/configuration.md, Database roles"
_FILE_HELP = "a path or URL; - reads standard input, which may be codes without a header"
_SUCCESSES = (State.COMPLETED, State.COMPLETED_WITH_REJECTS, State.DUPLICATE)
_EXPECTED = (
    ConfigurationError, EmbeddedServerError, FileRefused, FileTaken, GenerationRefused, LookupError, SuiteError,
    WarehouseFault, WarehouseUnavailable, OSError,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when done, 3 when a file or a generation was refused, 1 when something failed; argparse itself exits with 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal can't show must not end the command
            stream.reconfigure(errors="backslashreplace")
    parsed = make_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except KeyboardInterrupt:
        print("\nStopped; the same command continues where it was.", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if not _is_expected(error):
            raise
        print(_sentence(error), file=sys.stderr)
        return REFUSED if isinstance(error, FileRefused | GenerationRefused) else FAILED


def _is_expected(error: Exception) -> bool:
    return isinstance(error, _EXPECTED) or is_storage_error(error)


def _sentence(error: Exception) -> str:
    if isinstance(error, FileRefused | GenerationRefused):
        return f"{error.message} [{error.rule}]"
    if isinstance(error, OSError) and error.strerror and type(error).__str__ is OSError.__str__:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, WarehouseConflict):
        return f"{error}. Repeat the command when the other one has ended."
    if isinstance(error, WarehouseUnavailable):
        return f"{error} `make start` starts the embedded server; WAREHOUSE_URL names another."
    if isinstance(error, WarehouseFault) and "SQLSTATE 42501" in str(error):
        return f"{error} The account of WAREHOUSE_URL lacks the right: see {_ROLES_PAGE}."
    if is_storage_error(error):
        return f"The storage can't be used: {' '.join(str(error).split())[:300]}"
    return str(error)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, from which the documentation takes its page."""
    parser = argparse.ArgumentParser(prog="python -m include.cli", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=run)
        return added

    importing = command("import", _import, "Import files: validate, load, report.")
    for each in (importing, command("preview", _preview, "Show the first rows with the mapping and their verdicts.")):
        each.add_argument("type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
        each.add_argument("files", nargs="+", metavar="FILE", help=_FILE_HELP if each is importing else None)
        each.add_argument("--settings", type=Path, metavar="FILE.yaml", help="settings of these files")
        each.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated"
        )
    importing.add_argument("--dry-run", action="store_true", help="do everything and take it back: exact counts")
    importing.add_argument("--force", action="store_true", help="import content that has been imported before")
    importing.add_argument("--json", action="store_true", help="print one JSON line for each file")
    template = command("template", _template, "Print the template of an import type.")
    template.add_argument("type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
    history = command("jobs", _jobs, "List the newest imports.")
    history.add_argument("--type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
    history.add_argument("--limit", type=_count, default=20, metavar="NUMBER")
    one = command("job", _job, "Show everything about one import.")
    one.add_argument("number", type=_count, metavar="NUMBER")
    command("migrate", _migrate, "Bring the warehouse's schema up to date.")
    command("sync-project", _sync_project, "Apply the project settings to the reference tables.")
    generating = command(
        "generate", _generate, "Generate promo codes into a pool, and save what is given as its settings."
    )
    generating.add_argument("pool", metavar="POOL", help="system id of the pool")
    generating.add_argument("--quantity", type=_count, required=True, metavar="NUMBER", help="codes to add")
    generating.add_argument("--format", metavar="NAME", help="a promo code format of the project; default: the pool's")
    generating.add_argument(
        "--auto-generate", action=argparse.BooleanOptionalAction, help="whether the pool is topped up when it runs out"
    )
    generating.add_argument(
        "--new", action="store_true", help="don't continue a generation that the same command began and didn't end"
    )
    generating.add_argument("--json", action="store_true", help="print one JSON line")
    command("formats", _formats, "Show what each promo code format can give and has given.")
    command("pools", _pools, "Show the stock of each promo code pool.")
    one = command("pool", _pool, "Show the uploads and generations of one promo code pool.")
    one.add_argument("pool", metavar="POOL", help="system id of the pool")
    rotating = command("rotate-code-key", _rotate_code_key, "Let formats begin anew under another key of the codes.")
    rotating.add_argument("formats", nargs="*", metavar="FORMAT", help="default: all whose codes are of another key")
    return parser


def _count(text: str) -> int:
    """Read a positive number that the database can hold."""
    if not re.fullmatch("0*[1-9][0-9]{0,17}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _runtime(role: Role = Role.IMPORTER) -> Runtime:
    """Return what a command needs, with the rights of a role: the owner's change tables, the pages' read (X-22).

    Its first connection raises ConfigurationError when the schema is missing or old.
    """
    local = ROOT / ".local"
    landing, work, reports, archive = (
        _path(os.environ.get(f"{name.upper()}_URL") or str(local / name), f"{name.upper()}_URL")
        for name in ("landing", "work", "reports", "archive")
    )
    cvv_key, code_key = (_key(local, name) for name in ("cvv_key", "code_key"))
    engine = expect_schema(_engine(role))
    return Runtime(
        engine, landing, work, reports, archive, cvv_key=cvv_key, code_key=code_key, import_types=IMPORT_TYPES
    )


def _engine(role: Role) -> Engine:
    try:
        return create_warehouse_engine(warehouse_url(role))
    except (ValueError, ArgumentError):  # whose texts may hold the password
        raise ConfigurationError(
            f"{variable_of(role)} is not the address of a PostgreSQL database, such as postgresql://user:password@host/name."
        ) from None


def _key(local: Path, name: str) -> bytes | None:
    """Return a key from the environment, else the local stack's: both must hash, and make codes, alike (X-20)."""
    if key := os.environ.get(name.upper()):
        return key.encode()
    stored = local / "keys.json"
    try:
        known = dict(json.loads(stored.read_text())) if stored.exists() else {}
    except (ValueError, TypeError):
        raise ConfigurationError(f"{stored} is damaged; set {name.upper()}.") from None
    return str(known[name]).encode() if name in known else None


def _import(parsed: argparse.Namespace) -> int:
    from include.arrivals.files import check_name
    from include.arrivals.landing import Request
    from include.importer import import_file  # GX's import takes seconds: not before the arguments are right

    runtime = _runtime()

    def import_one(source: Location) -> JobResult:
        sidecar, parameters = _given_settings(runtime, parsed)
        if source.name == _STANDARD_INPUT:
            source, sidecar = _pasted(runtime, parsed, sidecar, parameters), None
        check_name(source)
        request = Request(
            parsed.type, str(source), _run_key(runtime, source), f"command line ({getpass.getuser()})", parameters,
            sidecar=sidecar, roots=None,
        )  # fmt: skip
        return import_file(runtime, request, progress=_progress(sys.stderr, source.name))

    worst = DONE
    for source in [locations.locate(file) if file == _STANDARD_INPUT else _source(file) for file in parsed.files]:
        try:
            result = import_one(source)
        except FileRefused as refusal:
            result = _without_job(parsed.type, source, State.REFUSED, refusal.rule, refusal.message)
        except Exception as error:  # the other files may fare better
            if not _is_expected(error):
                raise
            result = _without_job(parsed.type, source, State.FAILED, "job.failed", _sentence(error))
        print(json.dumps(_json_line(result), ensure_ascii=False) if parsed.json else _told(result), flush=True)
        worst = max(worst, _exit_code(result), key=(DONE, REFUSED, FAILED).index)
    return worst


def _without_job(import_type: str, source: Location, state: State, rule: str, message: str) -> JobResult:
    """Return the result of a file that has no job of its own."""
    reason = {"rule": rule, "message": message}
    return JobResult(0, import_type, source.name, str(state), jobs.JobCounts(), reason=reason)


def _pasted(
    runtime: Runtime, parsed: argparse.Namespace, sidecar: str | None, parameters: dict[str, object]
) -> Location:
    """Write what stands on standard input into the landing area, its settings beside it (PC-01)."""
    from include.arrivals.pasting import write_pasted

    given = {} if sidecar is None else dict(read_settings(sidecar, str(parsed.settings)).values)
    declared = IMPORT_TYPES.of(parsed.type)
    return write_pasted(runtime, declared, sys.stdin.buffer.read(), given | parameters)


def _source(file: str) -> Location:
    return _path(file if "://" in file else os.path.abspath(file), file)


def _path(url: str, what: str) -> Location:
    try:
        return locations.locate(url)
    except (ImportError, ValueError):
        raise ConfigurationError(f"{what}: there is no such kind of storage: {url.split('://')[0]}://") from None


def _run_key(runtime: Runtime, source: Location) -> str:
    """Name the request by the file's version, so that the same command continues after a kill (X-14)."""
    prefix = f"command line|{permitted(runtime, '', str(source), roots=None).url}|"
    with suppress(OSError):  # a killed attempt may have moved it out of landing, whatever its version was
        prefix += f"{source.stat().version}|"
    with values_hidden(), runtime.engine.connect() as connection:
        ended, resumable = jobs.latest_attempt(connection, prefix)
    return resumable.run_key if resumable else f"{prefix}{ended + 1}"


def _given_settings(runtime: Runtime, parsed: argparse.Namespace) -> tuple[str | None, dict[str, object]]:
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
        raise SettingsError(f"--settings: {_sentence(error)}") from None
    given = None if raw is None else read_settings(raw, str(parsed.settings))
    told = GivenSettings("--set", parameters)
    resolve(runtime.import_types, import_type, sidecar=given, parameters=told, defaults_file=runtime.defaults_file)
    return None if raw is None else raw.decode("utf-8-sig"), parameters


def _read_at_most(path: Path, number: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(number)


def _json_line(result: JobResult) -> dict[str, object]:
    known = result.to_json()
    names = ["job", "type", "file", "state", "outcome", "rows", "warnings", "rejected_file", "summary_file", "reason"]
    names += [name for name in ("not_found_file", "dropped_values_file") if known[name] is not None]
    return {name: known[name] for name in names} | {"job": result.job or None}


def _exit_code(result: JobResult) -> int:
    if result.state in _SUCCESSES:
        return DONE
    return REFUSED if result.state in (State.REFUSED, State.CANCELLED) else FAILED


def _told(result: JobResult) -> str:
    rows = result.rows
    outcome = f"{'dry run, ' if result.is_dry_run else ''}{result.outcome.replace('_', ' ')}"
    lines = [f"{result.file}: {outcome}" + (f" (job {result.job})" if result.job else "")]
    if result.reason:
        lines.append(f"  {result.reason['message']} [{result.reason['rule']}]")
    if result.duplicate_of:
        lines.append(f"  The same content was imported by job {result.duplicate_of}; --force imports it again.")
    elif result.state in _SUCCESSES:
        parts = {"inserted": rows.inserted, "updated": rows.updated, "unchanged": rows.unchanged,
                 "not found": rows.not_found, "rejected": rows.rejected}  # fmt: skip
        told = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        lines.append(f"  {rows.read:,} rows read" + (f": {told}" if told else ""))
    lines += [f"  {rule['rows']:>9,} x {rule['rule']}" for rule in result.rules if rule["severity"] == "critical"]
    lines += [f"  warning: {warning['message']} [{warning['rule']}]" for warning in result.warnings]
    if result.rejects_fixed:
        lines.append(f"  rejects: {result.rejects_open:,} open, {result.rejects_fixed:,} fixed by later jobs")
    if result.rejected_file:
        lines.append(f"  rejected rows: {result.rejected_file}")
    if result.not_found_file:
        lines.append(f"  rows without a matching customer: {result.not_found_file}")
    if result.dropped_values_file:
        lines.append(f"  dropped values: {result.dropped_values_file}")
    return "\n".join(lines)


def _progress(stream: TextIO, name: str) -> Callable[[str, int, int], None]:
    def show(stage: str, done: int, steps: int) -> None:
        if stream.isatty():
            part = f" {done + 1} of {steps}" if steps > 1 else ""
            print(f"\r\033[K{name}: {stage}{part} …\r", end="", file=stream, flush=True)

    return show


def _preview(parsed: argparse.Namespace) -> int:
    from include.review.preview import preview_file

    runtime = _runtime(Role.PAGES)
    sidecar, parameters = _given_settings(runtime, parsed)
    for file in parsed.files:
        print(preview_file(runtime, parsed.type, _source(file), sidecar=sidecar, parameters=parameters).as_text())
    return DONE


def _template(parsed: argparse.Namespace) -> int:
    print(IMPORT_TYPES.of(parsed.type).template, end="")
    return DONE


def _jobs(parsed: argparse.Namespace) -> int:
    with values_hidden(), _runtime(Role.PAGES).engine.connect() as connection:
        found = jobs.history(connection, limit=parsed.limit, import_type=parsed.type)
    print(f"{'job':>6}  {'launched (UTC)':16}  {'type':16}  {'outcome':22}  {'read':>9}  {'rejected':>9}  by, file")
    for job in found:
        outcome = f"{job.outcome}{' (dry run)' if job.is_dry_run else ''}"
        print(
            f"{job.id:>6}  {job.launched_at:%Y-%m-%d %H:%M}  {job.import_type:16}  {outcome:22}  "
            f"{job.counts.read:>9,}  {job.counts.rejected:>9,}  {job.launched_by}, {job.file_name}"
        )
    return DONE


def _job(parsed: argparse.Namespace) -> int:
    with values_hidden(), _runtime(Role.PAGES).engine.connect() as connection:
        result = jobs.result(connection, parsed.number)
    print(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
    return DONE


def _migrate(_: argparse.Namespace) -> int:
    with values_hidden():
        migrate(_engine(Role.OWNER))
    print("The warehouse's schema is up to date.")
    return DONE


def _sync_project(_: argparse.Namespace) -> int:
    runtime = _runtime(Role.OWNER)
    counts = sync_in_turn(runtime.engine, runtime.project)
    for table, count in counts.items():
        if count.added or count.changed or count.removed:
            print(f"{table}: {count.added} added, {count.changed} changed, {count.removed} removed")
    print("The reference tables agree with include/config/project.yaml.")
    return DONE


def _generate(parsed: argparse.Namespace) -> int:
    from include.promo_codes import commands  # NumPy's import takes a while: not for commands that need none

    result = commands.generate(
        _runtime(),
        pool=parsed.pool,
        quantity=parsed.quantity,
        format_name=parsed.format,
        auto_generate=parsed.auto_generate,
        is_new=parsed.new,
        user=getpass.getuser(),
        tell=lambda number: print(f"Continues generation {number}, which was interrupted.", file=sys.stderr),
    )
    print(json.dumps(result.to_json(), ensure_ascii=False) if parsed.json else commands.told_generation(result))
    return REFUSED if result.refusal else DONE


def _formats(_: argparse.Namespace) -> int:
    from include.promo_codes import commands

    print(commands.told_formats(_runtime(Role.PAGES)))
    return DONE


def _pools(_: argparse.Namespace) -> int:
    from include.promo_codes import commands

    print(commands.told_pools(_runtime(Role.PAGES)))
    return DONE


def _pool(parsed: argparse.Namespace) -> int:
    from include.promo_codes import commands

    print(commands.told_history(_runtime(Role.PAGES), parsed.pool))
    return DONE


def _rotate_code_key(parsed: argparse.Namespace) -> int:
    from include.promo_codes import commands

    for name, is_rotated in commands.rotate_keys(_runtime(), parsed.formats).items():
        print(f"{name}: {'begins anew under the new key' if is_rotated else 'needs no change'}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
