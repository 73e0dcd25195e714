"""Giving a file back that a job has taken: with the settings that it came with, or not into the landing area at all.

Source: X-11, X-12, X-19.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from include.arrivals import files
from include.arrivals.settings_files import settings_texts
from include.errors import SettingsError
from include.ledger.jobs import Job
from include.ledger.records import SettingsText
from include.runtime import Runtime
from include.settings.files import read_settings
from include.storage import locations
from include.storage.file_names import LONGEST_NAME_BYTES, SIDECAR_SUFFIXES
from include.storage.locations import Location


@dataclass(frozen=True)
class Returned:
    """What has become of the file itself that a job had taken.

    Args:
        message: a sentence.
        is_changed: a program has written on; else no copy of it was made.
        kept: where it is when it could not be put back.
    """

    message: str
    is_changed: bool
    kept: Location | None = None

    def columns(self) -> dict[str, Any]:
        """Return what the ledger then holds of a job that loaded nothing: the file as it was kept, or none (X-12)."""
        if self.kept is None:
            return {"work_url": None}
        return {
            "work_url": None, "archive_url": str(self.kept), "sha256": self.kept.sha256(),
            "size_bytes": self.kept.stat().size_bytes,
        }  # fmt: skip


def return_taken(runtime: Runtime, job: Job) -> Returned | None:
    """Put a file back into the landing area that was written on, or of which no copy was made: a new arrival (X-12).

    Returns:
        None when there is no reason to.
    """
    taken = files.taken_path(runtime, job)
    if not taken.exists():
        return None
    stat = taken.stat()
    is_changed = stat.version != job.source_version or bool(locations.has_writer(taken.path))
    if is_changed:
        why = f"The file was written on after it had been taken ({stat.size_bytes - (job.size_bytes or 0):+,} bytes)."
    elif job.work_url is None:
        why = "No copy of the file was made."
    else:
        return None
    try:
        obstacle = put_back(runtime, job, files.locate(runtime, job.source_url))
    except OSError:
        obstacle = "It can't be put back into its folder"
    if obstacle is None:
        return Returned(f"{why} As it is now, it is in the landing area again and will be imported again.", is_changed)
    kept = files.returned_folder(runtime, job) / job.file_name
    _write_settings(kept, _own_settings(job))
    locations.move(taken, kept)
    return Returned(f"{why} {obstacle}: it is kept in the quarantine.", is_changed, kept)


def put_back(runtime: Runtime, job: Job, named: Location) -> str | None:
    """Put a file that a job has taken back under its name, its settings before it: never may it load without (X-11).

    Args:
        named: its place in the landing area.

    Returns:
        What is in the way; None when both are there.

    Raises:
        OSError: the folder is gone or a link, there is no right to, or its settings can't be read.
    """
    taken = files.taken_path(runtime, job)
    settings, there = _own_settings(job), settings_texts(runtime, named)["sidecar"]
    sidecar = None
    if there != settings:
        if there is not None:
            return "Other settings have the name of its own by now"
        if not isinstance(settings, str) or (sidecar := _sidecar_of(named)) is None:
            return "Its settings can't be put beside it"
        staged = taken.with_name(sidecar.name)
        _write(staged, settings)
        if not locations.put_back(staged, sidecar, runtime.landing):
            return "Something else has the name of its settings by now"
    if locations.put_back(taken, named, runtime.landing):
        return None
    if sidecar is not None:
        locations.remove_below(sidecar, runtime.landing)
    return "Another file has its name by now"


def _own_settings(job: Job) -> SettingsText:
    """Return what a file alone was imported with, by its sidecar and by its run, as the text of a sidecar (X-11)."""
    sidecar = job.parameters.sidecar
    of_run = {name: value for name, value in job.parameters.run.items() if value not in (None, "")}
    if not of_run or isinstance(sidecar, dict):
        return sidecar
    try:
        of_file = {} if sidecar is None else read_settings(sidecar, "").values
    except SettingsError:  # whatever the run was asked for, they refuse the file
        return sidecar
    return yaml.safe_dump({**of_file, **of_run}, allow_unicode=True)


def _write_settings(kept: Location, settings: SettingsText) -> None:
    """Put settings beside a file that is kept, where a run that names it finds them."""
    if isinstance(settings, str) and (sidecar := _sidecar_of(kept)) is not None:
        _write(sidecar, settings)


def _write(sidecar: Location, settings: str) -> None:
    with locations.written_whole(sidecar) as sink:
        sink.write(settings.encode())


def _sidecar_of(path: Location) -> Location | None:
    """Return the place of a file's settings; None when its name leaves no room for theirs."""
    names = [f"{path.name}{suffix}" for suffix in SIDECAR_SUFFIXES]
    return next((path.with_name(name) for name in names if len(name.encode()) <= LONGEST_NAME_BYTES), None)
