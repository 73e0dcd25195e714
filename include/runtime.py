"""Where an import runs: the warehouse, the folders, the project's settings and secrets, handed to every stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from include.declaration.import_type import ImportTypes
from include.project.loader import load_project
from include.project.model import Project
from include.storage import LOCATIONS
from include.storage.locations import Location, area

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Runtime:
    """What the stages need from outside.

    Args:
        import_types: those that there are; the registry is looked up where a runtime is made, and nowhere else.
        engine: the warehouse, sessions in UTC.
        landing, work, reports, archive: folders or bucket prefixes; each may be `s3://…`.
        cvv_key: key of the CVV hashes (X-20); None refuses cards that carry a CVV.
        code_key: master key of the promo codes (PG-03); None refuses to generate any.
        project_file: the project settings (spec section 9).
        suites: folder of the GX suites.
        chunk_bytes: what one task validates, in bytes of text; a chunk ends with the first record that fills it.
        block_bytes: what is read and judged at once. 8 MiB cost 100 MiB more memory than 4 and saved nothing.
        clock: the current time, aware, UTC.
        store_options: what reaches an S3 store in which none of the folders is (X-21: `import_roots`).
    """

    engine: Engine
    landing: Location
    work: Location
    reports: Location
    archive: Location
    cvv_key: bytes | None = field(default=None, repr=False)
    code_key: bytes | None = field(default=None, repr=False)
    project_file: Path = ROOT / "include" / "config" / "project.yaml"
    defaults_file: Path = ROOT / "include" / "config" / "imports.yaml"
    suites: Path = ROOT / "expectations"
    chunk_bytes: int = 64 << 20
    block_bytes: int = 4 << 20
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    store_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    import_types: ImportTypes = field(kw_only=True)

    def __post_init__(self) -> None:
        """Take the folders as paths, URLs or other libraries' paths too."""
        for name in LOCATIONS:
            object.__setattr__(self, name, area(getattr(self, name)))

    @property
    def areas(self) -> tuple[Location, ...]:
        """The folders of files."""
        return self.landing, self.work, self.reports, self.archive

    @cached_property
    def project(self) -> Project:
        """The project settings, read once."""
        return load_project(self.project_file)
