"""The import types, by name: every folder here declares one, in a constant of the folder's name in capitals.

The folder makes a type known to landing folders, settings, DAGs and the command line. Light on purpose: DAG files
import this when they are parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from include.declaration.import_type import ImportType, ImportTypes

FIRST = ("gift_card_pools", "gift_cards", "promo_code_pools", "promo_codes", "customers")
"""Types in the order in which people see them; all others follow by name."""


def _declared() -> Iterator[ImportType]:
    folders = {path.name for path in Path(__file__).parent.iterdir() if (path / "__init__.py").is_file()}
    for name in (*FIRST, *sorted(folders.difference(FIRST))):
        import_type = getattr(import_module(f"{__name__}.{name}"), name.upper())
        if not isinstance(import_type, ImportType) or import_type.name != name:
            raise TypeError(f"include/import_types/{name}: {name.upper()} must be the import type {name}")
        yield import_type


IMPORT_TYPES = ImportTypes(*_declared())


def get(name: str) -> ImportType:
    """Return an import type.

    Raises:
        FileRefused: `file.unknown_type`: there is none of this name.
    """
    return IMPORT_TYPES.of(name)
