"""The commands about promo codes: generate, formats, pools, pool, rotate-code-key."""

from __future__ import annotations

import argparse
import getpass
import sys

from include.cli.context import DONE, REFUSED, make_runtime
from include.cli.printing import as_json, legible
from include.warehouse.roles import Role


def run_generate(parsed: argparse.Namespace) -> int:
    """Generate promo codes into a pool."""
    from include.promo_codes import commands  # NumPy's import takes a while: not for commands that need none

    result = commands.generate(
        make_runtime(),
        pool=parsed.pool,
        quantity=parsed.quantity,
        format_name=parsed.format,
        auto_generate=parsed.auto_generate,
        is_new=parsed.new,
        user=getpass.getuser(),
        report=lambda number: print(f"Continues generation {number}, which was interrupted.", file=sys.stderr),
    )
    print(as_json(result.to_json()) if parsed.json else legible(commands.generation_text(result)))
    return REFUSED if result.refusal else DONE


def run_formats(_: argparse.Namespace) -> int:
    """Show what each promo code format can give and has given."""
    from include.promo_codes import commands

    print(legible(commands.formats_table(make_runtime(Role.PAGES))))
    return DONE


def run_pools(_: argparse.Namespace) -> int:
    """Show the stock of each promo code pool."""
    from include.promo_codes import commands

    print(legible(commands.pools_table(make_runtime(Role.PAGES))))
    return DONE


def run_pool(parsed: argparse.Namespace) -> int:
    """Show the uploads and generations of one promo code pool."""
    from include.promo_codes import commands

    print(legible(commands.history_table(make_runtime(Role.PAGES), parsed.pool)))
    return DONE


def run_rotate_code_key(parsed: argparse.Namespace) -> int:
    """Let formats begin again under another key."""
    from include.promo_codes import commands

    for name, is_rotated in commands.rotate_keys(make_runtime(), parsed.formats).items():
        print(f"{name}: {'begins again under the new key' if is_rotated else 'needs no change'}")
    return DONE
