"""A process that runs a generation and stops at a point, to be killed there: `python -m tests.faults.generating`.

Functions of the product are wrapped here, in the process that will be killed; nothing in the product knows of it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from include.promo_codes import commands, filling, generation, ledger, top_up, walk
from include.promo_codes.ledger import GenerationResult
from include.runtime import Runtime
from include.warehouse.engine import create_warehouse_engine
from tests.integration.promo_codes import make_runtime

BATCH_CODES = 1_000


def stop(*_: object) -> None:
    """Report to the test, and wait until it kills this process; or lets it go, by ending."""
    print("reached", flush=True)
    sys.stdin.read()
    sys.exit(71)


def before(name: str, *modules: ModuleType, call: int = 1) -> None:
    """Stop before a function of the product, which the modules use, is called for the so manieth time."""
    real: Callable[..., Any] = getattr(modules[0], name)
    calls = 0

    def stopped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            stop()
        return real(*args, **kwargs)

    for module in modules:
        setattr(module, name, stopped)


def after(name: str, module: ModuleType) -> None:
    """Stop after a function of the product has returned."""
    real: Callable[..., Any] = getattr(module, name)

    def stopped(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        stop()

    setattr(module, name, stopped)


def within_copy() -> None:
    """Stop when the server has some of the rows of a COPY."""

    class Halting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1_000) if self.tell() < 3_000 else stop() or b""

    walk.io.BytesIO = Halting


POINTS: dict[str, Callable[[], None]] = {
    "running, nothing written": lambda: before("generate_into", generation, filling),
    "in the midst of a COPY": within_copy,
    "between two batches": lambda: before("write_codes", walk, call=3),
    "codes written, counter not": lambda: before("write_progress", walk),
    "all written, not yet committed": lambda: after("complete", ledger),
}


def run_command(runtime: Runtime, quantity: int, report: Callable[[int], None] = print) -> GenerationResult:
    """Generate as the command line does."""
    return commands.generate(
        runtime,
        pool="pool",
        quantity=quantity,
        format_name=None,
        auto_generate=None,
        is_new=False,
        user="anna",
        report=report,
    )


def main(url: str, what: str, number: int, point: str) -> None:
    """Run a generation in small batches up to the point.

    Args:
        what: `generation` number so and so, a `command` for so many codes, or a `top-up`.
    """
    walk.BATCH_CODES = BATCH_CODES
    POINTS[point]()
    runtime = make_runtime(create_warehouse_engine(url))
    if what == "generation":
        generation.run_generation(runtime, number)
    elif what == "command":
        run_command(runtime, number)
    else:
        top_up.top_up_pool(runtime, "pool")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
