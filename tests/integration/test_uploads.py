"""Uploads in a folder and in a bucket: arrival, preview, deletion. Source: X-06, X-18, X-20."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import s3fs
from upath import UPath

from include import import_types
from include.arrivals import upload_quota, uploads
from include.arrivals.landing import Request, take_file
from include.arrivals.listing import list_landing
from include.arrivals.uploads import Choices, Reception, Upload
from include.errors import FileRefused
from include.import_types import IMPORT_TYPES
from include.importer import import_file
from include.ledger import jobs
from include.ledger.jobs import Job
from include.review.upload_preview import preview_upload
from include.storage.locations import files_below
from tests.imports import CARD_HEADER, Site, rejected_file
from tests.object_storage import s3_server

pytestmark = pytest.mark.integration

CARDS = f"{CARD_HEADER}\n000001,flexible_gift,10\n000002,flexible_gift,20\n".encode()
GIFT_CARDS = import_types.get("gift_cards")

Receive = Callable[..., Upload]


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, Any]]:
    """What s3fs needs to reach an S3 server on this machine."""
    with s3_server() as options:
        yield options


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, stocked: Site) -> Iterator[Site]:
    """A site with the sample pools, its files in folders or in a bucket."""
    if request.param == "folder":
        yield stocked
        return
    options = request.getfixturevalue("storage")
    system = s3fs.S3FileSystem(**options)
    system.mkdir("imports")
    areas = {name: UPath(f"s3://imports/{name}", **options) for name in ("landing", "work", "reports", "archive")}
    yield stocked.changed(**areas)
    system.rm("imports", recursive=True)


def reception(site: Site, name: str = "cards.csv", user: str = "ann") -> Reception:
    return Reception(site.runtime, GIFT_CARDS, user, name)


def receive(site: Site, content: bytes = CARDS, name: str = "cards.csv", user: str = "ann", **settings: str) -> Upload:
    arriving = reception(site, name, user)
    for start in range(0, len(content), 1 << 20):
        arriving.write(content[start : start + (1 << 20)])
    return arriving.complete(Choices(settings))


def work_files(site: Site) -> list[str]:
    """Return the names of the files in the work area."""
    return sorted(path.name for path, _ in files_below(site.runtime.work))


def test_an_upload_is_kept_for_its_user_and_not_picked_up(place: Site) -> None:
    content = CARDS + bytes(range(256)) * 20_000
    upload = receive(place, content)
    assert upload.path(place.runtime).open_whole().read() == content
    assert uploads.find(place.runtime, "gift_cards", "ann", upload.id) == upload
    assert uploads.find(place.runtime, "gift_cards", "bob", upload.id) is None
    assert uploads.find(place.runtime, "customers", "ann", upload.id) is None
    assert [waiting_upload.id for waiting_upload in uploads.waiting(place.runtime, "gift_cards", "ann")] == [upload.id]
    assert uploads.waiting(place.runtime, "gift_cards", "Ann") == [], "another user, though the name looks alike"
    listing = list_landing(place.runtime, datetime.now(UTC) + timedelta(days=1))
    assert (listing.ready, listing.waiting) == ([], [])


@pytest.mark.parametrize("upload_id", ["", "..", "../x", "0" * 31, "0" * 32 + "/..", "G" * 32])
def test_an_address_leads_nowhere_else(stocked: Site, upload_id: str) -> None:
    assert uploads.find(stocked.runtime, "gift_cards", "ann", upload_id) is None


def test_nothing_stays_of_a_file_that_does_not_arrive(place: Site) -> None:
    given_up = reception(place)
    given_up.write(b"x" * (17 << 20))  # more than a part of a bucket's upload
    given_up.abandon()
    too_long = reception(place.changed(defaults_file=defaults(place, "max_file_bytes: 1000")))
    too_long.write(b"x" * 1000)
    with pytest.raises(FileRefused, match="larger than 1,000 bytes"):
        too_long.write(b"x")
    too_long.abandon()
    empty = reception(place)
    with pytest.raises(FileRefused, match="empty"):
        empty.complete(Choices())
    empty.abandon()
    assert work_files(place) == []


def defaults(site: Site, line: str) -> Any:
    path = site.folder / "defaults.yaml"
    section = "gift_cards:\n  defaults:\n"
    text = site.runtime.defaults_file.read_text()
    assert text.count(f"\n{section}") == 1
    path.write_text(text.replace(f"\n{section}", f"\n{section}    {line}\n"))
    return path


def test_an_upload_is_previewed_and_imported_with_what_is_chosen(place: Site) -> None:
    """Source: X-05, X-06, X-11."""
    raw = "Nummer;Serie;Wert;balance\n000001;flexible_gift;10;x\n000002;nowhere;20;x\n".encode("utf-16")
    upload = receive(place, raw, encoding="utf-16")
    seen = preview_upload(place.runtime, upload)
    assert {choice.field.name: choice.problem for choice in seen.fields if choice.problem} == {
        "card_number": "Card number is required: choose its column.",
        "pool_system_name": "Pool system name is required: choose its column.",
    }
    assert (seen.can_launch, seen.rows) == (False, ())
    columns = {choice.field.name: choice.column for choice in seen.fields}
    columns |= {"card_number": 0, "pool_system_name": 1, "balance": 2}
    upload = uploads.save(place.runtime, upload, choices=replace(upload.choices, columns=columns))
    seen = preview_upload(place.runtime, upload)
    mapping = {"Nummer": "card_number", "Serie": "pool_system_name", "Wert": "balance", "balance": None}
    assert seen.settings == {"encoding": "utf-16", "mapping": mapping}
    assert [(row.line, bool(row.reasons)) for row in seen.rows] == [(2, False), (3, True)]
    assert seen.can_launch
    uploads.write_sidecar(place.runtime, upload, seen.settings)
    result = import_file(place.runtime, Request("gift_cards", str(upload.path(place.runtime)), "a launch", "ann"))
    assert (result.state, result.rows.inserted, result.rows.rejected) == ("completed_with_rejects", 1, 1)
    assert upload.path(place.runtime).open_whole().read() == raw, "copied, not moved"


def test_a_header_as_long_as_it_likes_can_be_mapped(stocked: Site) -> None:
    header = "a long: header, [with] # all sorts of 'things' \t" * 40
    upload = receive(stocked, f'"{header}"|{CARD_HEADER.replace(",", "|")[12:]}\n1|flexible_gift|5\n'.encode())
    upload = replace(upload, choices=Choices({}, {"card_number": 0}))
    seen = preview_upload(stocked.runtime, upload)
    assert (seen.can_launch, len(seen.rows)) == (True, 1)
    assert len(seen.columns[0]) <= 100
    uploads.write_sidecar(stocked.runtime, upload, seen.settings)
    result = import_file(stocked.runtime, Request("gift_cards", str(upload.path(stocked.runtime)), "a launch", "ann"))
    assert (result.state, result.rows.inserted) == ("completed", 1)


def test_a_file_of_very_many_columns_makes_a_short_page(stocked: Site) -> None:
    more = "".join(f",more {number}" for number in range(20_000))
    seen = preview_upload(stocked.runtime, receive(stocked, f"{CARD_HEADER}{more}\n".encode()))
    assert len(seen.columns) <= 100
    assert len(seen.skipped) <= 100


def test_uploads_go_a_day_after_their_last_use(place: Site) -> None:
    """Source: X-20."""
    upload = receive(place)
    now = upload.received_at
    assert uploads.delete_expired(place.runtime, now + timedelta(hours=23)) == {}
    later = place.changed(clock=lambda: now + timedelta(hours=23))
    uploads.save(later.runtime, upload, dry_runs=1)
    assert uploads.delete_expired(place.runtime, now + timedelta(hours=25)) == {}
    cut_off = reception(place, "never ended.csv")
    cut_off.write(b"x")
    assert uploads.delete_expired(place.runtime, now + timedelta(days=3)) == {"gift_cards": 2}
    cut_off.abandon()
    assert work_files(place) == []


def test_a_launched_upload_is_kept_until_its_run_has_taken_it(stocked: Site) -> None:
    upload = uploads.save(stocked.runtime, receive(stocked), is_launched=True)
    a_week_on = upload.received_at + timedelta(days=7)
    assert uploads.delete_expired(stocked.runtime, a_week_on) == {}
    key = f"import_gift_cards/{upload.run_id}"
    take_file(stocked.runtime, Request("gift_cards", str(upload.path(stocked.runtime)), key, "ann"))
    assert uploads.delete_expired(stocked.runtime, upload.received_at + timedelta(hours=2)) == {}
    assert uploads.delete_expired(stocked.runtime, a_week_on) == {"gift_cards": 1}
    assert work_files(stocked) == ["cards.csv"], "the job's own"
    forgotten = uploads.save(stocked.runtime, receive(stocked), is_launched=True)
    assert uploads.delete_expired(stocked.runtime, forgotten.used_at + timedelta(days=31)) == {"gift_cards": 1}


@pytest.mark.parametrize("import_type", list(import_types.IMPORT_TYPES))
def test_the_sample_of_each_type_is_previewed_with_every_column_of_its_header(stocked: Site, import_type: str) -> None:
    """Source: PC-01."""
    sample = IMPORT_TYPES[import_type].sample.read_bytes()
    arriving = Reception(stocked.runtime, import_types.get(import_type), "ann", "sample.csv")
    arriving.write(sample)
    seen = preview_upload(stocked.runtime, arriving.complete(Choices()))
    assert (seen.refusal, seen.problems) == ("", {})
    assert seen.can_launch
    read = sorted(choice.column for choice in seen.fields if choice.column is not None)
    header = sample.decode("utf-8-sig").splitlines()[0]
    assert len(read) + len(seen.skipped) >= len(header.split(","))
    assert seen.rows
    assert len(seen.fields) <= 2 * 60
    assert "mapping" not in seen.settings


def test_columns_whose_setting_is_off_stay_chosen(stocked: Site) -> None:
    """Source: CU-07."""
    content = b"Email,LastUpdateActionTemplate,FirstName\nann@example.com,ImportedFromCrm,Ann\n"
    arriving = Reception(stocked.runtime, import_types.get("customers"), "ann", "c.csv")
    arriving.write(content)
    upload = arriving.complete(Choices())
    seen = preview_upload(stocked.runtime, upload)
    (off,) = (choice for choice in seen.fields if choice.needs)
    assert (off.field.name, off.column) == ("last_update_action_template", 1)
    assert off.needs == "take_action_template_from_file"
    assert "Ann" not in {value for row in seen.rows for value in row.values.values()}, "masked (X-20)"
    columns = {choice.field.name: choice.column for choice in seen.fields}
    changed = replace(upload, choices=Choices({off.needs: "yes"}, {**columns, "first_name": None}))
    seen = preview_upload(stocked.runtime, changed)
    assert seen.settings == {"take_action_template_from_file": True, "mapping": {"FirstName": None}}
    assert [choice.field.name for choice in seen.fields if choice.needs] == []


def test_a_corrected_file_is_previewed_with_its_own_jobs_settings(stocked: Site) -> None:
    """Source: X-09."""
    first = stocked.load("gift_cards", "Nr;pool_system_name;balance\n1;nowhere;5\n2;flexible_gift;6\n",
                         mapping={"Nr": "card_number"})  # fmt: skip
    corrected = rejected_file(first).replace(b"nowhere", b"flexible_gift")
    seen = preview_upload(stocked.runtime, receive(stocked, corrected))
    assert {choice.field.name: choice.column for choice in seen.fields if choice.column is not None} == {
        "card_number": 4,
        "pool_system_name": 5,
        "balance": 6,
    }
    assert (seen.can_launch, seen.settings) == (True, {})
    assert [row.reasons for row in seen.rows] == [""]


@pytest.mark.parametrize(
    ("locked", "settings", "columns"),
    [
        ("review: true\nlocked: [slash_dates]\n", {"slash_dates": "day_first"}, None),
        ("locked: [mapping]\n", {}, {"balance": 0}),
    ],
)
def test_x21_an_upload_can_not_be_launched_with_what_the_folder_locks(
    stocked: Site, locked: str, settings: dict[str, str], columns: dict[str, int] | None
) -> None:
    stocked.drop("gift_cards", "_settings.yaml", locked)
    upload = receive(stocked)
    assert preview_upload(stocked.runtime, upload).can_launch
    seen = preview_upload(stocked.runtime, replace(upload, choices=Choices(settings, columns)))
    assert not seen.can_launch
    assert "is locked by _settings.yaml" in seen.refusal


# -- a file is imported again with everything that was given for it


def again(site: Site, job_id: int) -> Upload:
    """Make an upload of a job's file, as the button on its page does."""
    with site.runtime.engine.connect() as connection:
        job = jobs.get(connection, job_id)
    return uploads.receive_again(site.runtime, import_types.get(job.import_type), "ann", job)


def launch(site: Site, upload: Upload) -> Job:
    """Import an upload as it is previewed, and return its job."""
    seen = preview_upload(site.runtime, upload)
    assert (seen.can_launch, seen.refusal, seen.problems) == (True, "", {})
    uploads.write_sidecar(site.runtime, upload, seen.settings)
    path = str(upload.path(site.runtime))
    result = import_file(site.runtime, Request(upload.import_type, path, upload.run_id, "ann"))
    with site.runtime.engine.connect() as connection:
        return jobs.get(connection, result.job)


CUSTOMERS = "Email;Phone;Other\nann@example.com;030 123456;x\n"
UPSERT = {"action": "add_and_edit"}
CODES = "code\nABCDEFGH\nbad\n"


@pytest.mark.parametrize(
    ("import_type", "content", "settings"),
    [
        ("promo_codes", CODES, {"pool": "P1", "code_pattern": "[A-Z]{8}", "retention_days": 7}),
        ("customers", CUSTOMERS, UPSERT | {"mapping": {"Phone": None, "Other": None}, "replace_external_ids": True}),
        ("customers", CUSTOMERS, UPSERT | {"phone_region": "DE", "shared_identifier_rows": 3, "delimiter": ";"}),
        ("customers", CUSTOMERS.replace(";", "\t"), UPSERT | {"delimiter": "\t"}),
        ("customers", CUSTOMERS.replace(";", " ").replace("030 1", "0301"), UPSERT | {"delimiter": " "}),
        ("gift_cards", CARDS.decode(), {"encoding": "cp1252", "strict_sold_cards": False, "max_reject_share": 0}),
    ],
)
def test_x19_a_dry_run_is_imported_for_real_with_every_setting_that_it_had(
    stocked: Site, import_type: str, content: str, settings: dict[str, Any]
) -> None:
    if import_type == "promo_codes":
        stocked.load("promo_code_pools", "system_id,name,description,multi_use\nP1,P1,,false\n")
    tried = stocked.load(import_type, content, settings=settings, dry_run=True)
    assert tried.state in ("completed", "completed_with_rejects")
    job = launch(stocked, again(stocked, tried.job))
    assert {name: job.settings[name] for name in settings} == settings
    assert set(settings) <= set(job.settings["given_by"])
    counts = (tried.rows.inserted, tried.rows.rejected)
    assert (job.is_dry_run, job.rows_inserted, job.rows_rejected) == (False, *counts)


def test_x19_what_a_pools_folder_says_holds_when_its_file_is_imported_again(stocked: Site) -> None:
    """Source: PC-02, PC-04a."""
    stocked.load("promo_code_pools", "system_id,name,description,multi_use\nP2,P2,,false\n")
    stocked.drop("promo_codes/P2", "_settings.yaml", 'code_pattern: "[A-Z]{8}"\n')
    tried = stocked.run("promo_codes", stocked.drop("promo_codes/P2", "c.csv", CODES), dry_run=True)
    job = launch(stocked, again(stocked, tried.job))
    assert (job.settings["pool"], job.settings["code_pattern"]) == ("P2", "[A-Z]{8}")
    assert (job.rows_inserted, job.rows_rejected) == (1, 1)


def test_x05_a_file_that_was_refused_keeps_its_columns_and_settings(stocked: Site) -> None:
    """Also one that was refused for its settings, of which the others are right, and those of the run."""
    settings = UPSERT | {"mapping": {"Phone": None, "Other": None}, "phone_region": "DE"}
    for wrong in ({"data_source": "nowhere"}, {"dry_runn": True}, {"retention_days": 0}):
        refused = stocked.load("customers", CUSTOMERS, settings=settings | wrong)
        assert refused.state == "refused"
        upload = again(stocked, refused.job)
        upload = replace(
            upload, choices=replace(upload.choices, settings={**upload.choices.settings, "data_source": ""})
        )
        seen = preview_upload(stocked.runtime, upload)
        assert seen.settings == settings
        assert seen.can_launch
    unread = stocked.run("customers", stocked.drop("customers", "x.csv", CUSTOMERS, {}), mapping={"Phone": None})
    assert preview_upload(stocked.runtime, again(stocked, unread.job)).settings == {"mapping": {"Phone": None}}


def test_x20_a_form_does_not_show_what_may_be_private_of_a_jobs_settings(stocked: Site) -> None:
    private = "ann@example.com"
    refused = stocked.load("customers", CUSTOMERS, settings=UPSERT | {"segment": private, "data_source": "nowhere"})
    upload = again(stocked, refused.job)
    assert upload.choices.settings == UPSERT | {"data_source": "nowhere"}
    assert upload.taken_over == {"segment": private}


# -- every upload is bounded, and all of them together


def test_a_user_has_so_many_uploads_of_all_types_that_were_not_launched(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_quota, "MOST_OF_ONE_USER", 2)
    first = receive(place)
    other_type = Reception(place.runtime, import_types.get("customers"), "ann", "c.csv")
    other_type.write(b"Email\n")
    other_type.complete(Choices())
    before = work_files(place)
    with pytest.raises(FileRefused, match="You have 2 uploads that were not launched, and may have 2") as refused:
        reception(place)
    assert refused.value.rule == "upload.quota"
    assert work_files(place) == before, "nothing stays of it"
    receive(place, user="bob")
    uploads.save(place.runtime, first, is_launched=True)
    second = receive(place)
    with pytest.raises(FileRefused, match="launch or delete some"):
        reception(place)
    uploads.delete(place.runtime, second)
    receive(place)


def test_a_users_uploads_have_so_many_bytes_but_one_alone_as_many_as_a_file_may(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_quota, "MOST_BYTES_OF_ONE_USER", 1000)
    uploads.delete(place.runtime, receive(place, b"x" * 1500))
    receive(place, b"x" * 600)
    before = work_files(place)
    arriving = reception(place)
    arriving.write(b"x" * 400)
    with pytest.raises(FileRefused, match=r"Your uploads .* have 600 bytes; .* more than 1,000: launch") as refused:
        arriving.write(b"x")
    assert refused.value.rule == "upload.quota"
    arriving.abandon()
    assert work_files(place) == before
    receive(place, b"x" * 400)


def test_all_uploads_together_have_so_many_bytes_launched_ones_too(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.save(place.runtime, receive(place, b"x" * 30_000), is_launched=True)
    monkeypatch.setattr(upload_quota, "MOST_BYTES_OF_ALL", 50_000)
    receive(place, b"x" * 10_000, user="bob")
    arriving = reception(place, user="cecil")
    with pytest.raises(FileRefused, match=r"more than 50,000\. Try again tomorrow") as refused:
        arriving.write(b"x" * 10_000)
    assert refused.value.rule == "upload.no_room"
    arriving.abandon()
    monkeypatch.setattr(upload_quota, "MOST_OF_ALL", 2)
    with pytest.raises(FileRefused, match="All users together have 2 uploads, and may have 2"):
        reception(place, user="cecil")


def test_files_that_arrive_side_by_side_are_not_more_than_one_user_may_have(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them sees another before it has begun: they are counted again when they are whole."""
    monkeypatch.setattr(upload_quota, "MOST_BYTES_OF_ONE_USER", 1000)
    arriving = [reception(place, f"{number}.csv") for number in range(6)]
    for upload_reception in arriving:
        upload_reception.write(b"x" * 400)

    def end(upload_reception: Reception) -> bool:
        try:
            upload_reception.complete(Choices())
        except FileRefused:
            upload_reception.abandon()
            return False
        return True

    with ThreadPoolExecutor(len(arriving)) as threads:
        kept = sum(threads.map(end, arriving))
    waiting = uploads.waiting(place.runtime, "gift_cards", "ann")
    assert sum(upload.size_bytes for upload in waiting) == 400 * kept <= 1000
    assert kept + len([None for name in work_files(place) if name.endswith(".csv")]) == 2 * kept
    if not kept:  # all saw each other: the next one has room
        receive(place, b"x" * 400)


def test_a_disk_keeps_some_room_while_a_file_arrives(stocked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [5 << 30, 2 << 30, upload_quota.LEAST_FREE_BYTES - 1]
    monkeypatch.setattr(upload_quota.shutil, "disk_usage", lambda path: SimpleNamespace(free=free.pop(0)))
    monkeypatch.setattr(upload_quota, "DISK_LOOK_BYTES", 1000)
    arriving = reception(stocked)
    arriving.write(b"x" * 999)
    arriving.write(b"x")
    with pytest.raises(FileRefused, match="The server's disk has 1,073,741,823 bytes left, and keeps") as refused:
        arriving.write(b"x" * 1000)
    assert refused.value.rule == "upload.no_room"
    arriving.abandon()
    assert (free, work_files(stocked)) == ([], [])
