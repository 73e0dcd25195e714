"""Errors that a command reports in a sentence."""

from __future__ import annotations

import traceback

from include.errors import (
    ImporterError,
    Refused,
    WarehouseConflict,
    WarehouseFault,
    WarehouseUnavailable,
    is_storage_error,
)

_ROLES_PAGE = "docs/operate/configuration.md, Database roles"


def is_expected(error: Exception) -> bool:
    """Say whether an error is no defect of the program: it is reported in a sentence."""
    return isinstance(error, ImporterError | LookupError | OSError) or is_storage_error(error)


def describe_defect(error: Exception) -> str:
    """Say where a defect of the program is: source lines, without the error's text, which may quote values (X-20)."""
    lines = "".join(traceback.format_tb(error.__traceback__))
    return f"A defect of the program, {type(error).__name__}, where it was raised:\n{lines}"


def sentence_of(error: Exception) -> str:
    """Return what an expected error says to the person at the terminal."""
    if isinstance(error, Refused):
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
