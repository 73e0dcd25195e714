"""What can go wrong, grouped by what to do about it.

A bad row is data (a reject), never an exception. Everything that is not listed here is a defect or an outage: it
propagates, and outages are retried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self


class ImporterError(Exception):
    """What the importer itself raises: its text is a sentence for a person and quotes no values (X-20)."""


class Refused(ImporterError):
    """What was asked for can't be done: no retry helps.

    Args:
        rule: stable id.
        message: a sentence for the person who asked; quotes no cell values (X-20).
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle by the two arguments: a default pickle would call the class with the joined text."""
        return type(self), (self.rule, self.message)


class FileRefused(Refused):
    """The file as a whole can't be imported: it is reported and quarantined. The rule is `file.<rule>`."""


class FileUnsettled(ImporterError):
    """A dropped file is still being written, or is no longer the one that was listed: it waits again (X-12)."""


class SourceChanged(ImporterError):
    """A file was written on after it had been taken: nothing may be loaded of what was read of it (X-12)."""


class NotAllDeleted(ImporterError):
    """Some of what has expired could not be deleted; the rest was (X-20). The next retention tries again.

    Args:
        failures: what, and why, each a sentence without values.
    """

    def __init__(self, failures: Sequence[str]) -> None:
        more = f" … and {len(failures) - 1} more" if len(failures) > 1 else ""
        super().__init__(f"Not everything that has expired could be deleted: {failures[0]}{more}.")


@dataclass(frozen=True)
class Reason:
    """Why a person is asked, or what a person should know of a file.

    Args:
        rule: stable id.
        message: a sentence; quotes no cell values (X-20).
    """

    rule: str
    message: str

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Self:
        """Read what `to_json` returned."""
        return cls(stored["rule"], stored["message"])

    def to_json(self) -> dict[str, str]:
        """Return plain JSON values."""
        return asdict(self)


class ReviewNeeded(ImporterError):
    """So much of a file would be rejected that a person is to be asked before it is loaded (X-18); nothing was."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        super().__init__(" ".join(reason.message for reason in reasons))
        self.reasons = tuple(reasons)

    def __reduce__(self) -> tuple[type, tuple[Sequence[Reason]]]:
        """Pickle by the reasons."""
        return type(self), (self.reasons,)


class LoadCancelled(LookupError):
    """A person has rejected the import that is to be loaded (X-06)."""


class NotApproved(LookupError):
    """A person is to approve the load first, and nobody has (X-06)."""


class SettingsError(FileRefused):
    """The settings of this import are wrong: an unknown key, a value out of range, a field that doesn't exist.

    Its sentence goes into logs, notes and the ledger. It quotes keys and values that a person wrote by `quoted` and
    `describe` alone, which mask what looks like data (X-20); names of files and pools, lines and limits are legible.
    """

    def __init__(self, message: str, rule: str = "file.settings") -> None:
        super().__init__(rule, message)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle in the order of this class's own arguments."""
        return type(self), (self.message, self.rule)


class ConfigurationError(ImporterError):
    """The project's own files (project.yaml, imports.yaml, a declaration) are wrong: a person must correct them."""


class SuiteError(ImporterError):
    """A suite can't be trusted to have judged the rows: nothing may be loaded on its word."""


class WarehouseUnavailable(ImporterError):
    """The database could not be reached, went away, or gave up on a deadlock: trying again helps."""


class WarehouseConflict(WarehouseUnavailable):
    """Another transaction was in the way, and this one was rolled back: it may be run again at once."""


class WarehouseFault(ImporterError):
    """The database refused a statement: a defect. Names the SQLSTATE and the constraint, never values (X-20)."""


STORAGE_CLIENTS = ("aiobotocore", "aiohttp", "botocore", "s3fs")


def is_storage_error(error: BaseException) -> bool:
    """Say whether the client of a bucket raised this: no access, no answer, no such bucket."""
    return type(error).__module__.split(".")[0] in STORAGE_CLIENTS
