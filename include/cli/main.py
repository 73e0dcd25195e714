"""The parser of the command line, and how a command ends."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from include import cli
from include.cli.context import FAILED, REFUSED
from include.cli.errors import is_expected, sentence_of
from include.cli.imports import run_import, run_job, run_jobs, run_preview, run_template
from include.cli.printing import legible
from include.cli.promo_codes import run_formats, run_generate, run_pool, run_pools, run_rotate_code_key
from include.cli.warehouse import run_migrate, run_sync_project
from include.errors import Refused
from include.import_types import IMPORT_TYPES

_FILE_HELP = "a path, or s3://bucket/key"
_IMPORTED_FILE_HELP = f"{_FILE_HELP}; - reads standard input, which may be codes without a header"


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
        if not is_expected(error):
            raise
        print(legible(sentence_of(error)), file=sys.stderr)
        return REFUSED if isinstance(error, Refused) else FAILED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, from which the documentation takes its page."""
    parser = argparse.ArgumentParser(prog="python -m include.cli", description=(cli.__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(run=run)
        return added

    importing = command("import", run_import, "Import files: validate, load, report.")
    preview = command("preview", run_preview, "Show the first rows with the mapping and their verdicts.")
    for about_files, help_of_files in ((importing, _IMPORTED_FILE_HELP), (preview, _FILE_HELP)):
        about_files.add_argument("type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
        about_files.add_argument("files", nargs="+", metavar="FILE", help=help_of_files)
        about_files.add_argument("--settings", type=Path, metavar="FILE.yaml", help="settings of these files")
        about_files.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated"
        )
    importing.add_argument("--dry-run", action="store_true", help="do everything and take it back: exact counts")
    importing.add_argument("--force", action="store_true", help="import content that has been imported before")
    importing.add_argument("--json", action="store_true", help="print one JSON line for each file")
    template = command("template", run_template, "Print the template of an import type.")
    template.add_argument("type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
    history = command("jobs", run_jobs, "List the newest imports.")
    history.add_argument("--type", choices=sorted(IMPORT_TYPES), metavar="TYPE")
    history.add_argument("--limit", type=positive_number, default=20, metavar="NUMBER")
    one = command("job", run_job, "Show everything about one import.")
    one.add_argument("number", type=positive_number, metavar="NUMBER")
    command("migrate", run_migrate, "Bring the warehouse's schema up to date.")
    command("sync-project", run_sync_project, "Apply the project settings to the reference tables.")
    generating = command(
        "generate", run_generate, "Generate promo codes into a pool, and save what is given as its settings."
    )
    generating.add_argument("pool", metavar="POOL", help="system id of the pool")
    generating.add_argument("--quantity", type=positive_number, required=True, metavar="NUMBER", help="codes to add")
    generating.add_argument("--format", metavar="NAME", help="a promo code format of the project; default: the pool's")
    generating.add_argument(
        "--auto-generate", action=argparse.BooleanOptionalAction, help="whether the pool is topped up when it runs out"
    )
    generating.add_argument(
        "--new", action="store_true", help="don't continue a generation that the same command began and didn't end"
    )
    generating.add_argument("--json", action="store_true", help="print one JSON line")
    command("formats", run_formats, "Show what each promo code format can give and has given.")
    command("pools", run_pools, "Show the stock of each promo code pool.")
    one = command("pool", run_pool, "Show the uploads and generations of one promo code pool.")
    one.add_argument("pool", metavar="POOL", help="system id of the pool")
    rotating = command(
        "rotate-code-key", run_rotate_code_key, "Let formats begin again under another key of the codes."
    )
    rotating.add_argument("formats", nargs="*", metavar="FORMAT", help="default: all whose codes are of another key")
    return parser


def positive_number(text: str) -> int:
    """Read a positive number that the database can hold."""
    if not re.fullmatch("0*[1-9][0-9]{0,17}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)
