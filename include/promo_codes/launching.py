"""Launch a draft of a pool as a file of one row that says `launch`: an import like any other. Source: PP-01, X-10.

The import's own rules judge it under the pool's lock, and the ledger keeps who launched which pool and when. Nothing
else in the schema could say who it was.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping

from include.arrivals.files import UPLOADS
from include.errors import ImporterError
from include.promo_codes.stock.pools import PromoPool
from include.runtime import Runtime
from include.storage.locations import Location, written_whole

IMPORT_TYPE = "promo_code_pools"
FOLDER = "launches"
"""Among the type's uploads, which a run may name (X-21); what a run has taken is deleted with them."""
LARGEST_DESCRIPTION = 1000
SETTINGS: Mapping[str, object] = {
    "encoding": "utf-8",
    "delimiter": ",",
    "dry_run": False,
    "review": False,
    "force": True,
}
"""Of the import. Nobody reviews what a person has just asked for; and asked for again, after its reason to be rejected
is gone, the same row is no repeat."""


class LaunchRefused(ImporterError):
    """This pool can't be launched so: nothing was written.

    Args:
        message: a sentence for the person who asked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def check_launch(pool: PromoPool, description: str) -> None:
    """Refuse at once what the import would reject.

    Raises:
        LaunchRefused: it is launched already, or has no description, or one too long.
    """
    if pool.state == "active":
        raise LaunchRefused(f"The pool {pool.system_id} is launched already.")
    if not description.strip():
        raise LaunchRefused("A description is needed to launch a pool.")
    if len(description) > LARGEST_DESCRIPTION:
        lengths = f"{LARGEST_DESCRIPTION:,} characters at most, this one has {len(description):,}"
        raise LaunchRefused(f"The description is too long: {lengths}.")


def launch_file(pool: PromoPool, description: str) -> bytes:
    """Return the file that launches a pool: its row has the name, which every row needs, and the description."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    rows.writerow(("system_id", "name", "description", "launch"))
    rows.writerow((pool.system_id, pool.name, description.strip(), "true"))
    return text.getvalue().encode()


def run_ids(system_id: str) -> str:
    """Return what the ids of the runs that launch a pool begin with."""
    return f"launch__{hashlib.sha256(system_id.encode()).hexdigest()[:16]}__"


def launch_path(runtime: Runtime, run_id: str) -> Location:
    """Return where the file of a run is until the run has taken it."""
    return runtime.work / UPLOADS / IMPORT_TYPE / FOLDER / run_id / f"{run_id}.csv"


def write_launch(runtime: Runtime, path: Location, pool: PromoPool, description: str) -> None:
    """Write the file.

    Raises:
        StorageError: the work area can't be written to.
    """
    with written_whole(path) as sink:
        sink.write(launch_file(pool, description))
