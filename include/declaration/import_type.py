"""What an import type declares, and the types that a project has.

A new type is a folder in `include/import_types/` with a declaration of this shape and a sample, a suite in
`expectations/`, one DAG file, a revision with its table and the rights on it: `make new-type` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.declaration.fields import Derived, Field, LoadRule, Lookup
from include.declaration.loads import Load
from include.declaration.settings import ImportSettings, InFrame, OfFolder
from include.errors import FileRefused
from include.located_yaml import named
from include.names import did_you_mean

if TYPE_CHECKING:
    # SQL and phone numbers, which no DAG needs when it is parsed.
    from sqlalchemy import Connection

    from include.project.model import Project


@dataclass(frozen=True)
class DynamicFields:
    """Fields that the project settings add. Only those that a file has a column for are read.

    Args:
        make: returns them.
        packed_columns: every `jsonb` column of the staging table that they are packed into; it is there always.
        patterns: what the fields of a prefix have in common, for the suite's rules on `prefix_*`: the name is the
            wildcard, the label `{label}`. Where a prefix has fields of several kinds, one for each kind, side by side.
        headers: for the documentation: what such columns are called, values, description.
        explain_unmatched: says of a header that no field has which entry of the project settings it seems to miss: rule
            (`file.…`) and the end of a sentence that begins with the column's name; None for any other header (CU-08).
    """

    make: Callable[[Project], tuple[Field, ...]]
    packed_columns: tuple[str, ...]
    patterns: tuple[Field, ...]
    headers: tuple[tuple[str, str, str], ...]
    explain_unmatched: Callable[[str, Project], tuple[str, str] | None]


@dataclass(frozen=True)
class NotFound:
    """What is said of rows about something that is not there: those that a load statement lists (CU-01).

    Args:
        reason: sentence for such a row; "" where the type's load lists none.
        label: of the file with these rows.
        advice: what to do when a file has no other rows.
    """

    reason: str = ""
    label: str = "Rows without a match"
    advice: str = ""


@dataclass(frozen=True)
class Extras:
    """What few types need.

    Args:
        derive_settings: returns what follows from the settings given and the project's: stored with the job, part of
            the fingerprint (X-13), shown to the load statement in place of the settings of the same names (CU-07).
        check_file: refuses a file by its settings and the fields that it has columns for, before any row is judged.
        not_found: of rows that the load statement lists in `load_not_found` (CU-01).
        pasted_header: the header of texts that are pasted without one (PC-01).
        project_limits: project settings that rules compare numbers with (X-18, PP-02): for the suite the frame's
            columns `project__<name>` hold them, null where the project has none, for the load `import.<name>`.
    """

    derive_settings: Callable[[Connection, Any, Project], dict[str, str]] | None = None
    check_file: Callable[[Connection, Any, Collection[str]], None] | None = None
    not_found: NotFound = NotFound()
    pasted_header: str | None = None
    project_limits: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ImportType:
    """One import type, the same as itself alone.

    Args:
        name: as in folders, DAG ids and suites.
        label: the words a person sees.
        actions: what an import may do; a choice of several must be stated.
        key: field that distinguishes rows within one file (X-17).
        folder: where its load statements and its sample are.
        targets: tables the load writes, most important first, as `schema.table`.
        load_rules: rules that the load decides. Those of `load` need not be stated; one of the same id that is stated
            replaces it.
        edits: True when rows may change existing ones: files load in the order of their arrival (X-14).
        settings: the settings of its imports.
        load: how rows become those of `targets[0]`, a table with a column for each field and a unique `key`, and with
            `import_job_id` and `import_line`. Without it the folder has load statements.

    Raises:
        ValueError: the fields can't be loaded as `load` says.
    """

    name: str
    label: str
    actions: tuple[str, ...]
    fields: tuple[Field, ...]
    key: str
    folder: Path
    targets: tuple[str, ...]
    lookups: tuple[Lookup, ...] = ()
    load_rules: tuple[LoadRule, ...] = ()
    derived: tuple[Derived, ...] = ()
    edits: bool = False
    settings: type[ImportSettings] = ImportSettings
    dynamic: DynamicFields | None = None
    extras: Extras = Extras()
    load: Load | None = None

    def __post_init__(self) -> None:
        """Take over what follows from the way of loading."""
        if self.load is None:
            return
        key = next(field for field in self.fields if field.name == self.key)
        refusal = self.load.refusal(key, self.fields)
        if refusal is None and self.dynamic is not None:
            refusal = "has fields of the project settings: the type needs load statements"
        if refusal is not None:
            raise ValueError(f"import type {self.name}: {refusal}")
        stated = {rule.id for rule in self.load_rules}
        implied = tuple(rule for rule in self.load.rules(key) if rule.id not in stated)
        object.__setattr__(self, "load_rules", implied + self.load_rules)
        object.__setattr__(self, "edits", self.edits or self.load.edits)

    @property
    def load_statements(self) -> list[Path]:
        """SQL files that turn staged rows into loaded ones, in order: `load.sql`, or those of the folder `load`.

        Types with a `load` have none.
        """
        if self.load is not None:
            return []
        folder = self.folder / "load"
        if not folder.is_dir():
            return [self.folder / "load.sql"]
        return sorted(path for path in folder.iterdir() if path.suffix == ".sql")

    @property
    def sample(self) -> Path:
        """A file that shows senders what rows look like."""
        return self.folder / "sample.csv"

    @property
    def template(self) -> str:
        """The header of all declared fields, with its line end."""
        return f"{','.join(field.name for field in self.fields)}\n"

    @property
    def folder_setting(self) -> str | None:
        """The setting that a folder below the type's own names: files in `<type>/<name>/` have it (PC-02)."""
        return next(iter(self.settings.marked(OfFolder)), None)

    @property
    def shown_settings(self) -> list[str]:
        """Settings that the suite compares cells with; the frame's columns `setting__<name>` hold them."""
        return list(self.settings.marked(InFrame))

    def all_fields(self, project: Project) -> tuple[Field, ...]:
        """Return the declared fields followed by those the project settings add."""
        return self.fields + (self.dynamic.make(project) if self.dynamic else ())

    def read_fields(self, project: Project, mapped: Collection[str]) -> tuple[Field, ...]:
        """Return the declared fields followed by those of the project settings that the file has a column for.

        A project may have hundreds of topics times channels: what no file names costs nothing.

        Args:
            mapped: names of the fields that the file has columns for.
        """
        declared = len(self.fields)
        return self.fields + tuple(added for added in self.all_fields(project)[declared:] if added.name in mapped)

    def edits_with(self, settings: ImportSettings) -> bool:
        """Say whether an import changes existing rows (X-13, X-14)."""
        return self.edits or any(getattr(settings, name) == value for name, value in self.settings.editing().items())


class ImportTypes(Mapping[str, ImportType]):
    """The import types of a project, by name, in the order in which people see them."""

    def __init__(self, *import_types: ImportType) -> None:
        self._types = {import_type.name: import_type for import_type in import_types}

    def __getitem__(self, name: str) -> ImportType:
        """Return an import type by its name."""
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._types)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._types)

    def __hash__(self) -> int:
        """Hash by identity: what was read for some types is kept for them."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """Compare by identity."""
        return self is other

    def of(self, name: str) -> ImportType:
        """Return an import type.

        Raises:
            FileRefused: `file.unknown_type`: there is none of this name.
        """
        try:
            return self._types[name]
        except KeyError:
            raise FileRefused(
                "file.unknown_type", f"There is no import type {named(name)}{did_you_mean(name, self._types)}."
            ) from None

    def with_setting(self, name: str) -> list[str]:
        """Return the names of the types that have a setting."""
        return [import_type.name for import_type in self._types.values() if name in import_type.settings.names()]

    def setting_names(self) -> list[str]:
        """Return the settings of all types: those that all have first."""
        names = dict.fromkeys(ImportSettings.names())
        for import_type in self._types.values():
            names |= dict.fromkeys(import_type.settings.names())
        return list(names)
