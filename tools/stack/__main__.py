"""`python -m tools.stack demo|start|stop`: the local stack from the terminal; `make` calls this."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from include.deployment.errors import StackError
from tools.stack.demo import login_lines, show_demo
from tools.stack.lifecycle import Stack
from tools.stack.settings import read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__)
    parser.add_argument("command", choices=("demo", "start", "stop"))
    command = parser.parse_args(arguments).command
    try:
        return _obey(Stack(read_settings()), command)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"error: {error}. Was the stack started by another user?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make stop` ends what is still running", file=sys.stderr)
        return 130


def _obey(stack: Stack, command: str) -> int:
    if command == "stop":
        print("Stopped." if stack.stop() else "Nothing was running.")
        return 0
    stack.start()
    if command == "demo":
        show_demo(stack)
    print("\n".join(login_lines(stack)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
