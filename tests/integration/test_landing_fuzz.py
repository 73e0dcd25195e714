"""Random landing areas: every regular, finished, readable data file is taken once or refused with a reason.

Whatever else is there: nothing of it is changed, read into a job or removed. `FUZZ_TREES` makes more of them than a
test run has time for, from the one numbered `FUZZ_FIRST`. Source: X-01, X-12, X-14, X-21.
"""

from __future__ import annotations

import itertools
import os
import random
import stat as modes
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs
from botocore.exceptions import ClientError

from include import import_types
from include.arrivals import landing, places
from include.arrivals.landing import Request
from include.arrivals.listing import Arrival, list_landing
from include.arrivals.refusals import refuse_arrival
from include.errors import FileRefused
from include.importer import import_file
from include.runtime import Runtime
from include.stages import reporting
from include.storage.locations import locate
from tests.imports import CARD_HEADER, Site
from tests.object_storage import s3_server

pytestmark = pytest.mark.integration

TREES, FIRST = (int(os.environ.get(name, "0")) for name in ("FUZZ_TREES", "FUZZ_FIRST"))
ON_DISK, IN_BUCKET = TREES or 300, TREES or 60
ALPHABET = [
    *"ab1 *?[]{}!~#%+&='\"\\$:;,@-_", "::", "**", "..", "?versionId=", "%2e", "%2f", "é", "e\u0301", "\u202e",
    "\u200b", "😀", "\n", "\t", "{{x}}", "s3:", "zip::", "-rf", "CON", "_settings",
]  # fmt: skip
UNFINISHED = [
    ".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".opdownload", ".uploading",
    ".inprogress", "._copying_", ".aria2", ".!ut", ".swp", ".swx", "~",
]  # fmt: skip
SETTINGS_LIKE = [
    ".csv.settings.yaml", ".csv.Settings.YML", ".csv.setting.yaml", ".csv.settings", ".csv.yaml", ".settings.yaml",
    ".csv.settings.yaml.part", ".csv.settings.json", ".csv.settings.yaml.bak", ".yaml", ".md5", ".csv.sb-1a2b",
]  # fmt: skip
ENDINGS = [".csv"] * 20 + [".CSV", ".txt", ".xlsx", "", ".TMP", ".csv.gz", ".bak"] + UNFINISHED[::3] + SETTINGS_LIKE
WHOLE_NAMES = [
    "_settings.yaml",
    "_Settings.yml",
    "settings.yaml",
    "_SUCCESS",
    "Thumbs.db",
    "_settings",
    ".settings.yaml",
]
TOPS = [*import_types.IMPORT_TYPES, "nobody", ".hidden", ".", "gift_cards", "gift_cards"]
SETTINGS = [
    "", "force: true\n", "release: '0 0 30 2 *'\n", "release: '0 3 * * *'\n", "settle_seconds: 86400\n", "unknown: 1\n",
    "after: {gift_card_pools: 0}\n", "[", "\0", "pool: München\n", "x: " + "y" * 70_000, "settle_seconds: .nan\n",
    "- 1\n",
]  # fmt: skip
numbers = itertools.count(10**9)


@dataclass
class Tree:
    """A random landing area, as it was made.

    Args:
        data: regular files that are data files by their names, relative path → content.
        cards: relative path → the number of the card in it.
    """

    data: dict[str, bytes] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)


def name(chance: random.Random) -> str:
    if chance.random() < 0.04:
        return chance.choice(WHOLE_NAMES)
    stem = "".join(chance.choice(ALPHABET) for _ in range(chance.randint(0, 6)))
    return (stem + chance.choice(ENDINGS)).replace("/", "")[:120]


def content(chance: random.Random) -> tuple[bytes, str]:
    number = str(next(numbers))
    data = f"{CARD_HEADER}\n{number},flexible_gift,1\n".encode()
    return chance.choice([(data, number)] * 6 + [(b"", ""), (b"x", ""), (bytes(range(256)), "")])


def is_data(relative: str) -> bool:
    """Decide by the rules of X-12, written down once more, whether a path is a data file's.

    What only resembles settings is among them: it is no file of rows, but it never vanishes either (X-11).
    """
    parts = relative.split("/")
    last = parts[-1].lower()
    is_settings = last in ("_settings.yaml", "_settings.yml") or last.endswith((".settings.yaml", ".settings.yml"))
    is_marker = last.endswith((".md5", ".sha256")) or last in ("_success", "thumbs.db", "desktop.ini")
    is_unfinished = last.endswith(tuple(UNFINISHED)) or last.startswith("~") or ".sb-" in last
    return not (is_settings or is_marker or is_unfinished or any(part.startswith(".") for part in parts))


def is_settings_of(path: str, name: str) -> bool:
    """Return whether a name, relative like the path, is the path's settings file, in letters of any case and form."""
    folded, wanted = (unicodedata.normalize("NFC", text).casefold() for text in (name, path))
    return folded in (f"{wanted}.settings.yaml", f"{wanted}.settings.yml")


def without_settings_of(path: str, before: dict[str, Any], after: Collection[str]) -> dict[str, Any]:
    """Return what was there, without the settings that went with their file."""
    return {name: held for name, held in before.items() if name in after or not is_settings_of(path, name)}


def grow(root: Path, chance: random.Random) -> Tree:
    """Make a random tree below a folder of a disk."""
    tree = Tree()
    there: list[Path] = []
    for _ in range(chance.randint(3, 14)):
        folder = root / chance.choice(TOPS)
        for _ in range(chance.choice([0, 0, 0, 1, 2])):
            folder = folder / (name(chance) or "x")
        path = folder / (name(chance) or "y")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            plant(path, chance, there, root)
        except (OSError, ValueError):  # there is one of this name, or something that is no folder
            continue
        there.append(path)
    for path in root.rglob("*"):
        held = path.lstat()
        if not modes.S_ISREG(held.st_mode):
            continue
        relative = str(path.relative_to(root))
        if is_data(relative):
            tree.data[relative] = path.read_bytes()
            lines = tree.data[relative].split(b"\n")
            if relative.startswith("gift_cards/") and lines[0] == CARD_HEADER.encode():
                tree.cards[relative] = lines[1].split(b",")[0].decode()
    return tree


def plant(path: Path, chance: random.Random, there: list[Path], root: Path) -> None:
    """Make one entry, of any kind, with any time."""
    kind = chance.choice(["file"] * 8 + ["settings"] * 2 + ["link"] * 3 + ["pipe", "folder", "hard link"])
    if kind == "file":
        path.write_bytes(content(chance)[0]) if not path.exists() else None
    elif kind == "settings":
        target = chance.choice([path.parent / "_settings.yaml", path.with_name(f"{path.name}.settings.yaml")])
        target.write_text(chance.choice(SETTINGS))
        return
    elif kind == "link":
        targets = [path, root, root.parent / "outside" / "secret.csv", Path("/etc/passwd"), Path("nowhere"), *there]
        path.symlink_to(chance.choice(targets))
        return
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif there and there[-1].is_file():
        os.link(there[-1], path, follow_symlinks=False)
    moment = datetime.now().timestamp()
    seconds = chance.choice([moment - 3600] * 4 + [moment, moment + 10**7, 0, -(10**9), 10**10])
    if path.exists():
        os.utime(path, (seconds, seconds))


def state(root: Path) -> dict[str, tuple[Any, ...]]:
    """Return what must not change of what is not taken."""
    states: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        held = path.lstat()
        target = os.readlink(path) if modes.S_ISLNK(held.st_mode) else ""
        is_folder = modes.S_ISDIR(held.st_mode)
        size, changed = (0, 0) if is_folder else (held.st_size, held.st_mtime_ns)
        states[str(path.relative_to(root))] = (held.st_ino, held.st_mode, size, changed, target)
    return states


def take(runtime: Runtime, arrival: Arrival, *, whole: bool) -> dict[str, Any]:
    """Do with a ready file what `pick_up_files` and its run do; return its job's number and where its bytes are."""
    if arrival.import_type is None:
        job = refuse_arrival(runtime, arrival, run_key=f"fuzz {next(numbers)}")
        reporting.close_job(runtime, job)
    else:
        asked = Request(
            arrival.import_type, arrival.url, f"fuzz {next(numbers)}", listed_version=arrival.version
        )  # fmt: skip
        job = import_file(runtime, asked).job if whole else landing.take_file(runtime, asked).job_id
    with runtime.engine.connect() as connection:
        row = connection.exec_driver_sql(f"SELECT * FROM ledger.import_job WHERE id = {job}").mappings().one()
    return dict(row)


@pytest.mark.parametrize("part", range(2))
def test_random_landing_areas_on_a_disk(stocked: Site, part: int):
    runtime = stocked.runtime
    root = stocked.folder / "landing"
    outside = stocked.folder / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(f"{CARD_HEADER}\nsecret,flexible_gift,1\n")
    for seed in range(FIRST + part, FIRST + ON_DISK, 2):
        chance = random.Random(seed)
        runtime = replace(stocked.runtime, landing=locate(str(root)))
        tree = grow(root, chance)
        before, around = state(root), state(outside)
        listing = list_landing(runtime, datetime.now(UTC) + timedelta(minutes=5))
        ready = {relative(arrival.url, root): arrival for arrival in listing.ready}
        waiting = {relative(entry.arrival.url, root): entry.reason for entry in listing.waiting}
        unusable = [entry.url for entry in listing.unusable]
        assert len(ready) == len(listing.ready)
        for path in tree.data:
            shown = places.visible(str(root / path))
            kinds = [path in ready, path in waiting, shown in unusable]
            assert sum(kinds) == 1, (seed, path, kinds)
        whole = seed % 10 < 2
        numbers_loaded = []
        for path, arrival in ready.items():
            try:
                job = take(runtime, arrival, whole=whole)
            except FileRefused:  # a link to a file that has been taken before
                assert (root / path).is_symlink(), (seed, path)
                assert not (root / path).exists(), (seed, path)
                assert state(root) == before, (seed, path)
                continue
            del before[path]
            before = without_settings_of(path, before, state(root))
            assert state(root) == before, (seed, path)
            kept = Path(job["archive_url"] or job["work_url"] or "/nowhere")
            source = tree.data.get(path)
            if source is not None:
                assert kept.read_bytes() == source, (seed, path)
            else:  # a link, to a file of this area
                assert kept.read_bytes() in tree.data.values() or b"secret" not in kept.read_bytes(), (seed, path)
            assert not kept.is_symlink()
            if whole and path in tree.cards and job["state"] == "completed":
                numbers_loaded.append(tree.cards[path])
        assert state(outside) == around
        cards = [number for (number,) in stocked.query("SELECT card_number FROM loyalty.gift_card")]
        assert len(set(cards)) == len(cards)
        assert set(numbers_loaded) <= set(cards), seed
        assert "secret" not in cards
        if not whole:
            stocked.query("UPDATE ledger.import_job SET finished_at = now(), work_url = NULL, state = 'cancelled' "
                          "WHERE finished_at IS NULL")  # fmt: skip
        clear(root)
    assert TREES or ON_DISK >= 100


def relative(url: str, root: Path) -> str:
    return url[len(str(root)) + 1 :]


def clear(root: Path) -> None:
    """Delete everything below a folder."""
    for path in sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_random_landing_areas_in_a_bucket(stocked: Site):
    with s3_server() as options:
        s3fs.S3FileSystem(**options).mkdir("fuzz")
        api = boto3.client(
            "s3", endpoint_url=options["endpoint_url"], aws_access_key_id=options["key"],
            aws_secret_access_key=options["secret"], region_name="eu-west-1",
        )  # fmt: skip
        for seed in range(FIRST, FIRST + IN_BUCKET):
            chance = random.Random(seed)
            area = f"{seed} [area]?*"
            runtime = replace(
                stocked.runtime, landing=locate(f"s3://fuzz/{area}/landing", options),
                work=locate(f"s3://fuzz/{area}/work", options), archive=locate(f"s3://fuzz/{area}/archive", options),
            )  # fmt: skip

            def held(prefix: str) -> dict[str, bytes]:
                listed = api.list_objects_v2(Bucket="fuzz", Prefix=prefix).get("Contents", [])
                return {
                    entry["Key"][len(prefix) :]: api.get_object(Bucket="fuzz", Key=entry["Key"])["Body"].read()
                    for entry in listed
                }

            for _ in range(chance.randint(3, 10)):
                folders = [chance.choice(TOPS), *(name(chance) for _ in range(chance.choice([0, 0, 0, 1, 2])))]
                key = "/".join([*folders, name(chance) or "y"]).strip("\n\t")
                body = (
                    chance.choice(SETTINGS).encode() if key.lower().endswith((".yaml", ".yml")) else content(chance)[0]
                )
                with suppress(ClientError):  # the server has no such keys
                    api.put_object(Bucket="fuzz", Key=f"{area}/landing/{key}", Body=body)
            before = held(f"{area}/landing/")
            listing = list_landing(runtime, datetime.now(UTC) + timedelta(minutes=5))
            root = f"s3://fuzz/{area}/landing"
            ready = {arrival.url[len(root) + 1 :]: arrival for arrival in listing.ready}
            waiting = {entry.arrival.url[len(root) + 1 :] for entry in listing.waiting}
            unusable = [entry.url for entry in listing.unusable]
            for path in before:
                if not is_data_key(path):
                    continue
                kinds = [path in ready, path in waiting, places.visible(f"{root}/{path}") in unusable]
                assert sum(kinds) == 1, (seed, path, kinds)
            for path, arrival in ready.items():
                try:
                    job = take(runtime, arrival, whole=False)
                except FileRefused:
                    raise AssertionError((seed, path)) from None
                taken = before.pop(path)
                after = held(f"{area}/landing/")
                before = without_settings_of(path, before, after)
                assert after == before, (seed, path)
                kept = str(job["archive_url"] or job["work_url"])
                assert api.get_object(Bucket="fuzz", Key=kept.removeprefix("s3://fuzz/"))["Body"].read() == taken
            stocked.query("UPDATE ledger.import_job SET finished_at = now(), work_url = NULL, state = 'cancelled' "
                          "WHERE finished_at IS NULL")  # fmt: skip
            for entry in api.list_objects_v2(Bucket="fuzz").get("Contents", []):  # the server looks through all of them
                api.delete_object(Bucket="fuzz", Key=entry["Key"])


def is_data_key(key: str) -> bool:
    """Return whether an object is a data file's: as on a disk, but that `.` and `..` are no names there."""
    parts = [part for part in key.split("/") if part not in (".", "..")]
    return not key.endswith("/") and is_data("/".join([*parts[:-1], key.split("/")[-1]]))
