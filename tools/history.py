"""What the history of the repository says about a file."""

from __future__ import annotations

import subprocess
from pathlib import Path


def first_committed(path: Path) -> bytes | None:
    """Return the content of a file in the first commit that has it.

    A checkout without the older commits has them as one: the content is then that of the oldest one that it has.

    Returns:
        None where no commit has the file, and where git or the repository is missing.
    """
    commits = _git(path.parent, "log", "--diff-filter=A", "--format=%H", "--", path.name)
    return _git(path.parent, "show", f"{commits.split()[-1].decode()}:./{path.name}") if commits else None


def _git(folder: Path, *arguments: str) -> bytes | None:
    # A container's user often doesn't own the checkout, which git would refuse to read.
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
