"""A run may name only files of its own type: everything else is refused before anything is opened. Source: X-21.

What is opened is traced by Python's audit events, not inferred: each value of `file` goes to `take_file`, and every
path that the process opens, lists, renames or removes meanwhile, and every address it connects to, is checked.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include import import_types
from include.arrivals import places
from include.arrivals.landing import Request, take_file
from include.errors import FileRefused, FileUnsettled
from include.runtime import ROOT
from include.storage.locations import Location
from tests.imports import CARD_HEADER, Site

pytestmark = pytest.mark.integration

TYPES = tuple(import_types.IMPORT_TYPES)
VALUES = 2_000
SECRET = "the-secret-of-this-test"
OF_PATHS = {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate",
            "os.mkdir", "os.rmdir", "shutil.copyfile"}  # fmt: skip
OF_ADDRESSES = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "urllib.Request"}
_events: list[tuple[str, tuple[Any, ...]]] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is not None and (event in OF_PATHS or event in OF_ADDRESSES):
        _events.append((event, arguments))


sys.addaudithook(_hook)  # there is no way to take it away again


@contextmanager
def traced() -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
    """Collect what the process opens, changes and connects to."""
    global _events
    events: list[tuple[str, tuple[Any, ...]]] = []
    _events = events
    try:
        yield events
    finally:
        _events = None


OF_PYTHON = (sys.prefix, sys.base_prefix, str(ROOT / "include"), str(ROOT / ".venv"), "/usr/share/zoneinfo")


def touched(events: list[tuple[str, tuple[Any, ...]]]) -> tuple[set[str], set[str]]:
    """Return the real paths, but for Python's own modules and the project's defaults, and the addresses."""
    paths: set[str] = set()
    addresses: set[str] = set()
    opened = "/"
    for event, arguments in events:
        if event in OF_ADDRESSES:
            addresses.add(f"{event}{arguments}")
            continue
        for argument in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink", "shutil.copyfile") else 1]:
            if isinstance(argument, str | bytes | os.PathLike):
                # A name without a folder is in the one that was opened before: events don't have its descriptor.
                path = os.path.realpath(os.path.join(opened, os.fsdecode(argument)))
                if event == "open":
                    opened = path
                if not path.startswith(OF_PYTHON) and not os.path.isdir(path):
                    paths.add(path)
    return paths, addresses


@pytest.fixture
def place(stocked: Site, tmp_path: Path) -> Site:
    """A site with files of every type in every place, odd entries beside them, and secrets around it."""
    root = stocked.folder
    for name in ("keys.json", "passwords.json"):
        (root / name).write_text(SECRET)
    (root / "landing-of-others").mkdir()
    (root / "landing-of-others" / "x.csv").write_text(SECRET)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "people.csv").write_text(SECRET)
    (tmp_path / "exports" / "out.csv").symlink_to(root / "keys.json")
    for name in TYPES:
        fill(root, name)
    return stocked


def fill(root: Path, name: str) -> None:
    """Put what belongs to a type, and what doesn't, into its places; what is there already stays."""
    folder = root / "landing" / name
    for path in (
        folder / "own.csv", folder / "_settings.yaml", folder / "own.csv.settings.yaml", folder / "x.csv.part",
        folder / ".hidden.csv", folder / ".launches" / "run.csv", folder / "deeper" / "still.csv",
        root / "landing" / "top.csv", root / "landing" / "nobody" / "x.csv",
        root / "work" / "99" / "cards.csv", root / "work" / "uploads" / name / "ann" / "0" / "up.csv",
        root / "work" / "uploads" / name / "ann" / "0" / "upload.json",
        root / "archive" / "imported" / name / "7" / "old.csv",
        root / "archive" / "quarantine" / name / "8" / "bad.csv",
        root / "reports" / name / "7" / "old.rejected.csv",
    ):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("" if path.suffix == ".yaml" else f"{CARD_HEADER}\n{SECRET},x,1\n")
    for link, target in {
        "out.csv": root / "keys.json", "loop.csv": "loop.csv", "nowhere.csv": "/nowhere", "etc.csv": "/etc/passwd",
        "proc.csv": "/proc/self/environ", "zero.csv": "/dev/zero", "dir.csv": root / "archive", "linked": root,
        "theirs.csv": root / "landing" / TYPES[(TYPES.index(name) + 1) % len(TYPES)] / ".hidden.csv",
        "inner.csv": ".hidden.csv",
    }.items():  # fmt: skip
        if not os.path.lexists(folder / link):
            (folder / link).symlink_to(target)
    for odd in ("pipe.csv",):
        if not (folder / odd).exists():
            os.mkfifo(folder / odd)


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what distinguishes one state of a tree from another."""
    return {
        str(path): (held.st_ino, held.st_size, held.st_mtime_ns)
        for path in folder.rglob("*")
        if (held := path.lstat()) and not path.is_dir()
    }


def own_files(root: Path, import_type: str) -> set[str]:
    """Return the files that a run of the type may read, written down by hand."""
    return {
        str(root / "landing" / import_type / "own.csv"),
        str(root / "landing" / import_type / ".hidden.csv"),  # through the link inner.csv alone
        str(root / "work" / "uploads" / import_type / "ann" / "0" / "up.csv"),
        str(root / "archive" / "imported" / import_type / "7" / "old.csv"),
        str(root / "archive" / "quarantine" / import_type / "8" / "bad.csv"),
    } | ({str(root / "landing" / import_type / "deeper" / "still.csv")} if import_type == "promo_codes" else set())


def values(root: Path, port: int, seed: int) -> Iterator[str]:
    """Yield values of `file`: places of every kind, in spellings of every kind."""
    chance = random.Random(seed)
    targets = [str(path) for path in root.rglob("*")] + [
        "/etc/passwd", "/etc/shadow", "/proc/self/environ", f"/proc/{os.getpid()}/environ", "/proc/kmsg", "/dev/zero",
        "/dev/stdin", "/", str(root), f"{root}/landing", "own.csv", "", ".", "..", "~/.ssh/id_rsa", "$HOME/x.csv",
    ]  # fmt: skip
    folders = [str(root / "landing" / name) for name in TYPES] + [str(root / "work" / "uploads" / TYPES[0])]
    spellings = [
        lambda text: text,
        lambda text: f"{chance.choice(folders)}/..{'/..' * chance.randint(0, 8)}{text}",
        lambda text: f"{chance.choice(folders)}/{os.path.relpath(text or '/', chance.choice(folders))}",
        lambda text: f"{chance.choice(folders)}/./{text}",
        lambda text: f"{chance.choice(folders)}//{text}",
        lambda text: f"{chance.choice(folders)}/linked/{os.path.relpath(text or '/', root)}",
        lambda text: text.replace("/", "//"),
        lambda text: text.replace("/", "/./"),
        lambda text: text.replace("/", "\\"),
        lambda text: text.replace("/", "%2f"),
        lambda text: text.replace("..", "%2e%2e"),
        lambda text: text.replace("..", "\uff0e\uff0e"),
        lambda text: f"{text}/",
        lambda text: f"{text}\0.csv",
        lambda text: f"{text}\n",
        lambda text: f" {text}",
        lambda text: f"{text}?versionId=1",
        lambda text: f"{text}#.csv",
        lambda text: text.upper(),
        lambda text: f"file://{text}",
        lambda text: f"FILE://{text}",
        lambda text: f"file:{text}",
        lambda text: f"file://localhost{text}",
        lambda text: f"local://{text}",
        lambda text: f"memory://{text}",
        lambda text: f"zip://x.csv::file://{text}",
        lambda text: f"simplecache::file://{text}",
        lambda text: f"filecache::{text}",
        lambda text: f"dir::{text}",
        lambda text: f"http://127.0.0.1:{port}{text}",
        lambda text: f"http://user:{SECRET}@127.0.0.1:{port}{text}?sig={SECRET}",
        lambda text: f"ftp://127.0.0.1:{port}{text}",
        lambda text: f"sftp://user:{SECRET}@127.0.0.1:{port}{text}",
        lambda text: f"s3://bucket{text}",
        lambda text: f"s3://user:{SECRET}@bucket{text}?X-Amz-Signature={SECRET}",
        lambda text: f"s3a://bucket{text}",
        lambda text: f"github://org:repo@main{text}",
        lambda text: f"webhdfs://127.0.0.1:{port}{text}",
        lambda text: f"data:text/csv,{text}",
        lambda text: f"reference::{text}",
        lambda text: f"hf://{text}",
    ]
    for name in TYPES:
        yield from sorted(own_files(root, name))
    for number in range(VALUES):
        spell = spellings[number % len(spellings)]
        target = targets[number] if number < len(targets) and spell is spellings[0] else chance.choice(targets)
        yield spell(target)


@pytest.mark.parametrize("import_type", TYPES)
def test_x21_no_value_of_file_opens_anything_that_is_not_the_types_own(place: Site, import_type: str):
    root = place.folder
    own = {os.path.realpath(path) for path in own_files(root, import_type)}
    landing = root / "landing" / import_type
    beside = {f"{path}.settings.yaml" for path in (*own, landing / "inner.csv")}
    beside |= {str(Path(path).parent / "_settings.yaml") for path in (*own, landing / "own.csv")}
    movable = {str(landing / name) for name in ("own.csv", "own.csv.settings.yaml", "inner.csv", "deeper/still.csv")}

    def jobs() -> int:
        return int(place.query("SELECT coalesce(max(id), 0) FROM ledger.import_job")[0][0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        before, jobs_before, since = state(root), jobs(), []
        refused = taken = 0
        for number, value in enumerate(values(root, server.getsockname()[1], seed=TYPES.index(import_type))):
            since.append(value)
            refusal = None
            with traced() as events:
                try:
                    job = take_file(
                        place.runtime, Request(import_type, value, f"{import_type} {number}", "ulla")
                    ).job_id
                except FileRefused as error:
                    refusal = error
            paths, addresses = touched(events)
            assert addresses == set(), value
            if refusal is not None:
                refused += 1
                message = f"{refusal}"
                assert (SECRET in message, refusal.rule in ("file.place", "file.missing")) == (False, True), value
                assert paths <= own, (value, paths - own)
                if len(since) < 100:
                    continue
                assert (state(root), jobs()) == (before, jobs_before), since
            else:
                taken += 1
                allowed = own | beside | {str(landing / "inner.csv")}
                others = {path for path in paths - allowed if not path.startswith(f"{root}/work/{job}")}
                assert others == set(), value
                after = state(root)
                gone = {path for path in before if path not in after}
                changed = {path for path in before if path in after and before[path] != after[path]}
                assert (gone - movable, changed) == (set(), set()), since
                assert jobs() == jobs_before + 1, since
                place.query("UPDATE ledger.import_job SET finished_at = now() WHERE id = :job", job=job)
                fill(root, import_type)
            before, jobs_before, since = state(root), jobs(), []
        assert refused > VALUES * 0.8
        assert taken >= 4, "its own files were among the values"


@pytest.mark.parametrize("import_type", TYPES)
def test_x21_the_types_own_files_are_taken_however_the_area_is_reached(place: Site, tmp_path: Path, import_type: str):
    """The configured folder may be a link itself: its files are named below the link."""
    (tmp_path / "by-link").symlink_to(place.folder)
    for root in (place.folder, tmp_path / "by-link"):
        areas = {name: str(root / name) for name in ("landing", "work", "reports", "archive")}
        runtime = replace(place.runtime, **areas)
        for path in sorted(own_files(root, import_type)):
            if path.endswith(".hidden.csv"):
                continue
            for url in (path, f"file://{path}"):
                fill(place.folder, import_type)
                job = take_file(runtime, Request(import_type, url, f"{root} {url}", "ulla")).job_id
                (kept,) = place.query("SELECT work_url FROM ledger.import_job WHERE id = :job", job=job)
                assert SECRET in Path(kept[0]).read_text()
                place.query("UPDATE ledger.import_job SET finished_at = now() WHERE id = :job", job=job)


def test_x21_roots_permit_what_is_below_them_and_no_links_out_of_them(place: Site, tmp_path: Path):
    exports = tmp_path / "exports"

    def take(path: Path, *roots: Path) -> int:
        asked = Request("customers", str(path), f"{path}", "ulla", roots=tuple(map(str, roots)))
        return take_file(place.runtime, asked).job_id

    assert take(exports / "people.csv", exports) > 0
    assert (exports / "people.csv").exists(), "copied, not moved"
    for path, roots in (
        (exports / "people.csv", ()),
        (exports / "people.csv", (tmp_path / "export",)),
        (exports / "out.csv", (exports,)),
        (exports / ".." / "site" / "keys.json", (exports,)),
        (exports / "none.csv", (exports,)),
        (exports, (exports,)),
    ):
        with pytest.raises(FileRefused, match=r"file\.(place|missing)"):
            take(path, *roots)


@pytest.mark.parametrize(
    ("import_type", "name"),
    [
        ("gift_cards", "a_old.csv"), ("gift_cards", "A_OLD.CSV"), ("promo_codes/spring", "a_old.csv"),
        ("promo_codes/spring", "b.done"), ("customers", "Thumbs.db"), ("customers", "desktop.ini"),
        ("customers", "_SUCCESS"), ("customers", "x.csv.md5"), ("unknown", "x.csv.md5"),
    ],
)  # fmt: skip
def test_x12_a_request_for_what_the_folder_s_settings_ignore_is_refused_and_moves_nothing(
    stocked: Site, import_type: str, name: str
):
    """X-21: a run may name what a listing shows. The command line copies it, as other files that no listing shows."""
    stocked.drop("gift_cards", "_settings.yaml", "ignore: ['*_old.csv']\n")
    stocked.drop("promo_codes", "_settings.yaml", "ignore: ['b.*']\n")
    stocked.drop("promo_codes/spring", "_settings.yaml", "ignore: ['*_old.csv', 'b.*']\n")
    path = stocked.drop("no_type" if import_type == "unknown" else import_type, name, f"{CARD_HEADER}\n1,x,1\n")
    asked = Request(import_type.split("/")[0], str(path), "a run", "ulla")
    before = state(stocked.folder), stocked.query("SELECT count(*) FROM ledger.import_job")
    with pytest.raises(FileRefused, match=r"is ignored, as the setting `ignore` of its folder says") as refusal:
        take_file(stocked.runtime, asked)
    assert refusal.value.rule == "file.place"
    listed = replace(asked, listed_version=Location(str(path)).stat().version)
    with pytest.raises(FileUnsettled, match="ignored since it was listed"):
        take_file(stocked.runtime, listed)
    assert (state(stocked.folder), stocked.query("SELECT count(*) FROM ledger.import_job")) == before
    if import_type != "unknown":
        assert take_file(stocked.runtime, replace(asked, launched_by="command line", roots=None)).job_id > 0
        assert path.exists(), "copied, not moved"


def test_x12_a_request_for_what_the_folder_s_settings_do_not_ignore_is_taken(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "ignore: ['*_old.csv']\n")
    path = stocked.drop("gift_cards", "_SUCCESS", f"{CARD_HEADER}\n1,x,1\n")
    assert take_file(stocked.runtime, Request("gift_cards", str(path), "a run", "ulla")).job_id > 0
    assert not path.exists()


def test_x21_a_settings_file_beside_a_file_may_be_no_link_out_either(place: Site, tmp_path: Path):
    """Its text goes into the ledger, and mistakes in it onto pages."""
    exports = tmp_path / "exports"
    (exports / "people.csv.settings.yaml").symlink_to(place.folder / "keys.json")
    (place.folder / "landing" / "gift_cards" / "own.csv.settings.yaml").unlink()
    (place.folder / "landing" / "gift_cards" / "own.csv.settings.yaml").symlink_to(place.folder / "keys.json")
    for asked in (
        Request("customers", str(exports / "people.csv"), "1", roots=(str(exports),)),
        Request("gift_cards", str(place.folder / "landing" / "gift_cards" / "own.csv"), "2"),
    ):
        with traced() as events:
            job = take_file(place.runtime, asked).job_id
        assert str(place.folder / "keys.json") not in touched(events)[0]
        ((parameters,),) = place.query("SELECT parameters::text FROM ledger.import_job WHERE id = :job", job=job)
        assert SECRET not in parameters
        assert "link" in parameters


def test_x21_the_settings_of_a_types_folder_hold_for_its_archive_and_roots_too(place: Site, tmp_path: Path):
    (place.folder / "landing" / "customers" / "_settings.yaml").write_text("review: true\nlocked: [review]\n")
    for path in (
        place.folder / "archive" / "imported" / "customers" / "7" / "old.csv",
        tmp_path / "exports/people.csv",
    ):
        asked = Request("customers", str(path), str(path), roots=(str(tmp_path / "exports"),))
        job = take_file(place.runtime, asked).job_id
        ((parameters,),) = place.query("SELECT parameters FROM ledger.import_job WHERE id = :job", job=job)
        assert parameters["landing_folder"] == "review: true\nlocked: [review]\n"


def test_x21_a_root_above_the_importers_own_areas_opens_none_of_them(place: Site, tmp_path: Path):
    (tmp_path / "by-link").symlink_to(place.folder)
    for root in (tmp_path, place.folder, place.folder / "landing", tmp_path / "by-link"):
        for path in (
            place.folder / "landing" / "gift_cards" / "own.csv",
            tmp_path / "by-link" / "landing" / "gift_cards" / "own.csv",
            place.folder / "work" / "99" / "cards.csv",
            place.folder / "archive" / "imported" / "gift_cards" / "7" / "old.csv",
        ):
            with pytest.raises(FileRefused, match=r"file\.(place|missing)"):
                take_file(place.runtime, Request("customers", str(path), f"{root} {path}", roots=(str(root),)))


def test_x21_a_root_may_be_in_a_store_though_the_areas_are_on_a_disk(place: Site):
    runtime = replace(place.runtime, store_options={"key": "k", "secret": "s"})
    source = places.permitted(runtime, "customers", "s3://partner/customers/a.csv", ("s3://partner/customers",))
    assert (str(source.named), source.named.options) == ("s3://partner/customers/a.csv", {"key": "k", "secret": "s"})
    for url in (
        "s3://partner/other/a.csv",
        "s3://partner/customers/../a.csv",
        "s3://partner/customers",
        "gs://partner/a",
    ):
        with pytest.raises(FileRefused, match=r"file\.place"):
            places.permitted(runtime, "customers", url, ("s3://partner/customers",))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:pw@host/a/b?sig=1#x", "http://host/…"),
        ("https://host", "https://host"),
        ("sftp://user@host:22/secret/path", "sftp://host:22/…"),
        ("s3://key:secret@bucket/a/b.csv?X-Amz-Signature=1", "s3://bucket/a/b.csv"),
        ("simplecache::http://u:p@h/x", "simplecache:"),
        ("zip://in.csv::http://u:p@h/x", "zip://in.csv"),
        ("data:text/csv,secret", "data:text"),
        ("//user:secret@host/x", "//…@host/x"),
        ("/x/https://user:secret@host/p", "/x/https://…@host/p"),
        ("s3://b/x#sig=secret", "s3://b/x"),
        ("https%3A//user:secret@h", "https%3A//…@h"),
        ("/landing/a b.csv", "/landing/a b.csv"),
        ("/landing/a\nb.csv", "/landing/a\ufffdb.csv"),
    ],
)  # fmt: skip
def test_x21_addresses_are_shown_without_what_may_be_secret(address: str, shown: str):
    shown_address = places.shown(address)
    assert shown_address.startswith(shown)
    for secret in ("pw", "sig", "secret", "Signature", "u:p", "user"):
        assert secret not in shown_address
