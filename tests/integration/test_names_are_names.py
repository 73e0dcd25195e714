"""No name of a file is taken for a pattern or an address, on a disk or in a bucket. Source: X-01, X-12, X-14, X-20.

Every file is beside what its name would match, if it were taken for a pattern; nothing may happen to those.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs

from include import import_types
from include.arrivals import files, places, uploads
from include.arrivals.landing import Request
from include.arrivals.listing import Arrival, list_landing
from include.arrivals.refusals import record_unusable
from include.arrivals.uploads import Choices
from include.importer import import_file
from include.runtime import Runtime
from include.stages import reporting, retention
from include.storage import locations
from include.storage.locations import Location, locate
from tests.imports import CARD_HEADER, Site
from tests.object_storage import s3_server

pytestmark = pytest.mark.integration

SIBLINGS = {
    "*.csv": ["a.csv", "b.csv", "deep.csv"],
    "**.csv": ["a.csv", "b.csv"],
    "a*.csv": ["ab.csv", "abc.csv", "a.csv"],
    "a?.csv": ["ab.csv", "a1.csv"],
    "a[1].csv": ["a1.csv"],
    "cards [1].csv": ["cards 1.csv"],
    "a[.csv": ["a.csv"],
    "[.csv": ["x.csv"],
    "a].csv": ["a.csv"],
    "[!a].csv": ["b.csv", "c.csv"],
    "{a,b}.csv": ["a.csv", "b.csv"],
    "a::b.csv": ["a", "b.csv"],
    "zip::a.csv": ["a.csv"],
    "memory::c.csv": ["c.csv"],
    "s3::a.csv": ["a.csv"],
    "v?versionId=3.csv": ["v", "v.csv"],
    "a.csv?versionId=3.csv": ["a.csv"],
    "a%20b.csv": ["a b.csv"],
    "a%2Fb.csv": ["b.csv"],
    "a#b.csv": ["a", "a.csv"],
    "a+b.csv": ["a b.csv"],
    "a\\b.csv": ["b.csv"],
    "a~.csv": ["a.csv"],
    "$HOME.csv": ["HOME.csv"],
    "-rf.csv": ["rf.csv"],
    "a&b=c.csv": ["a.csv"],
    "Ä [é]?.csv": ["Ä éx.csv"],
}
ALONE = ("*.csv", "**.csv", "a?.csv", "a[1].csv", "a[.csv", "a::b.csv", "zip::a.csv", "v?versionId=3.csv", "a%2Fb.csv")
numbers = itertools.count(700_000)
buckets = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with s3_server() as options:
        yield options


@pytest.fixture
def bucket(stocked: Site, server: dict[str, Any]) -> Runtime:
    """A runtime whose four areas are in a bucket of its own."""
    name = f"names-{next(buckets)}"
    s3fs.S3FileSystem(**server).mkdir(name)
    return replace(stocked.runtime, **{area: locate(f"s3://{name}/{area}", server) for area in AREAS})


@pytest.fixture(params=["disk", "bucket", "work in a bucket"])
def runtime(request: pytest.FixtureRequest, stocked: Site, bucket: Runtime) -> Runtime:
    kept = {"disk": (), "bucket": AREAS, "work in a bucket": ("work",)}
    return replace(stocked.runtime, **{name: getattr(bucket, name) for name in kept[request.param]})


AREAS = ("landing", "work", "reports", "archive")


def client(options: dict[str, Any]) -> Any:
    """Return Amazon's own client: what it says of a bucket went through nothing of the product."""
    return boto3.client(
        "s3", endpoint_url=options["endpoint_url"], aws_access_key_id=options["key"],
        aws_secret_access_key=options["secret"], region_name="eu-west-1",
    )  # fmt: skip


def put(path: Location, data: bytes) -> None:
    """Write a file past the product."""
    if path.is_local:
        Path(path.path).parent.mkdir(parents=True, exist_ok=True)
        Path(path.path).write_bytes(data)
    else:
        bucket, _, key = path.path.partition("/")
        client(dict(path.options)).put_object(Bucket=bucket, Key=key, Body=data)


def snapshot(folder: Location) -> dict[str, bytes]:
    """Return everything below a folder, read past the product."""
    if folder.is_local:
        root = Path(folder.path)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    bucket, _, prefix = folder.path.partition("/")
    api = client(dict(folder.options))
    listed = api.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
    return {
        entry["Key"][len(prefix) + 1 :]: api.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        for entry in listed
    }


def card_file() -> tuple[bytes, str]:
    """Return a file of one card, and its number: no two are alike."""
    number = str(next(numbers))
    return f"{CARD_HEADER}\n{number},flexible_gift,10\n".encode(), number


def look(runtime: Runtime) -> list[Arrival]:
    listing = list_landing(runtime, datetime.now(UTC) + timedelta(minutes=5))
    assert listing.unusable == []
    return listing.ready


def request(arrival: Arrival, **parameters: object) -> Request:
    return Request(
        str(arrival.import_type), arrival.url, f"names {next(numbers)}", "a test", parameters,
        listed_version=arrival.version,
    )  # fmt: skip


def below(landing_area: Location, name: str) -> Location:
    return landing_area / "gift_cards" / name


def test_names_beside_what_they_would_match_are_imported_each_once(stocked: Site, runtime: Runtime):
    """The name first, so that its siblings are all there when it is taken, copied, archived and removed."""
    hostile = [name for name in SIBLINGS if runtime.landing.is_local or "/" not in name]
    siblings = {sibling for name in hostile for sibling in SIBLINGS[name]} - set(hostile)
    data = {name: card_file() for name in (*hostile, *sorted(siblings))}
    for name, (content, _) in data.items():
        put(below(runtime.landing, name), content)
    there = snapshot(runtime.landing)
    assert there == {f"gift_cards/{name}": content for name, (content, _) in data.items()}
    wanted = [f"gift_cards/{name}" for name in data if not places.is_ignored(name) and Path(name).suffix == ".csv"]
    arrivals = {f"gift_cards/{arrival.file_name}": arrival for arrival in look(runtime)}
    assert set(wanted) <= set(arrivals)
    for name in [f"gift_cards/{name}" for name in hostile]:
        result = import_file(runtime, request(arrivals[name]))
        assert (result.state, result.file) == ("completed", name.partition("/")[2])
        del there[name]
        assert snapshot(runtime.landing) == there, f"{name} was taken, and nothing else"
        job = stocked.job(result)
        archived = files.locate(runtime, job["archive_url"])
        bytes_kept = snapshot(archived.parent)
        assert bytes_kept == {archived.name: data[name.partition("/")[2]][0]}
        assert snapshot(runtime.work) == {}
    assert set(stocked.card_numbers()) == {data[name][1] for name in hostile}


@pytest.mark.parametrize("name", ALONE)
def test_a_name_that_is_alone_is_imported_refused_and_forgotten(stocked: Site, bucket: Runtime, name: str):
    content, number = card_file()
    put(below(bucket.landing, name), content)
    (arrival,) = look(bucket)
    assert import_file(bucket, request(arrival)).state == "completed"
    assert number in stocked.card_numbers()
    put(below(bucket.landing, name), b"a,b\n1,2\n")
    (arrival,) = look(bucket)
    refused = import_file(bucket, request(arrival))
    assert refused.state == "refused"
    kept = snapshot(bucket.archive)
    assert kept[f"quarantine/gift_cards/{refused.job}/{name}"] == b"a,b\n1,2\n"
    retention.delete_expired(bucket, datetime.now(UTC) + timedelta(days=400))
    assert snapshot(bucket.archive) == {}
    assert snapshot(bucket.landing) == {}


@pytest.mark.parametrize("name", ["r [1].csv", "r?.csv", "*.csv", "r?versionId=2.csv", "a::r.csv"])
def test_reports_and_sidecars_of_such_names_touch_no_others(stocked: Site, bucket: Runtime, name: str):
    neighbours = ["r 1.csv", "r1.csv", "r.csv", "r"]
    for neighbour in (*neighbours, *(f"{neighbour}.settings.yaml" for neighbour in neighbours)):
        put(below(bucket.landing, neighbour), b"force: true\n")
    put(below(bucket.landing, f"{name}.settings.yaml"), b"settle_seconds: 1\nretention_days: 1\n")
    _, number = card_file()
    rows = f"{CARD_HEADER}\n{number},flexible_gift,10\n{number}9,nowhere,10\n"
    put(below(bucket.landing, name), rows.encode())
    before = snapshot(bucket.landing)
    arrival = next(arrival for arrival in look(bucket) if arrival.file_name == name)
    result = import_file(bucket, request(arrival))
    assert result.state == "completed_with_rejects"
    assert snapshot(bucket.landing) == {
        key: value
        for key, value in before.items()
        if key not in (f"gift_cards/{name}", f"gift_cards/{name}.settings.yaml")
    }
    assert stocked.job(result)["settings"]["retention_days"] == 1
    # Stray reports and archives of other jobs, under names that such a name would match.
    for neighbour in neighbours:
        put(bucket.reports / f"gift_cards/{result.job}0/{neighbour}", b"x")
    reporting.write_report(bucket, result.job)
    retention.delete_expired(bucket, datetime.now(UTC) + timedelta(days=2))
    left = snapshot(bucket.reports)
    assert {f"gift_cards/{result.job}0/{neighbour}" for neighbour in neighbours} <= set(left)
    assert not any(key.startswith(f"gift_cards/{result.job}/r") for key in left)
    assert snapshot(bucket.archive) == {}


@pytest.mark.parametrize("pool", ["SUM*", "SUM?ER", "[S]UMMER", "SUM%4DER", "a::b", "x?versionId=1"])
def test_the_folder_of_a_pool_is_named_by_its_name(stocked: Site, bucket: Runtime, pool: str):
    for folder in (pool, "SUMMER"):
        put(bucket.landing / f"promo_codes/{folder}/codes.csv", b"Code\nX1\n")
    put(bucket.landing / "promo_codes/SUMMER/_settings.yaml", b"dry_run: true\n")
    arrivals = {arrival.folder: arrival for arrival in look(bucket)}
    result = import_file(bucket, request(arrivals[f"promo_codes/{pool}"]))
    assert (result.reason or {})["rule"] != "file.place"
    assert stocked.job(result)["parameters"]["folder_name"] == pool
    assert set(snapshot(bucket.landing)) == {"promo_codes/SUMMER/codes.csv", "promo_codes/SUMMER/_settings.yaml"}


@pytest.mark.parametrize("name", ["cards [1].csv", "cards?.csv", "cards*.csv"])
def test_uploads_of_such_names_are_imported_and_deleted_alone(stocked: Site, bucket: Runtime, name: str):
    declared = import_types.get("gift_cards")
    content, number = card_file()
    others = [
        uploads.receive(bucket, declared, "ann", other, [content], Choices()) for other in ("cards 1.csv", "cards1.csv")
    ]
    upload = uploads.receive(bucket, declared, "ann", name, [content], Choices())
    asked = Request("gift_cards", str(upload.path(bucket)), f"upload {next(numbers)}", "ann")
    assert import_file(bucket, asked).state == "completed"
    assert number in stocked.card_numbers()
    uploads.delete(bucket, upload)
    assert [uploads.find(bucket, "gift_cards", "ann", other.id) for other in others] == others
    assert uploads.find(bucket, "gift_cards", "ann", upload.id) is None


def test_a_key_that_leads_elsewhere_is_reported_and_left(bucket: Runtime):
    content, _ = card_file()
    for name in ("gift_cards/dot/../up.csv", "gift_cards/./here.csv", "gift_cards/b.csv/"):
        put(bucket.landing / name, content)
    before = snapshot(bucket.landing)
    listing = list_landing(bucket, datetime.now(UTC) + timedelta(minutes=5))
    assert listing.ready == []
    assert {entry.rule for entry in listing.unusable} == {"file.name"}
    assert len(listing.unusable) == 3
    assert len(record_unusable(bucket, listing.unusable)) == 3
    assert snapshot(bucket.landing) == before


def test_empty_parts_of_a_key_lead_around_no_folder_settings(stocked: Site, bucket: Runtime):
    put(bucket.landing / "gift_cards/_settings.yaml", b"dry_run: true\n")
    put(bucket.landing / "gift_cards//cards.csv", card_file()[0])
    (arrival,) = look(bucket)
    result = import_file(bucket, request(arrival))
    assert stocked.job(result)["is_dry_run"]


def test_objects_over_five_gibibytes_are_copied_by_their_names_too(
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """s3fs 2026.9 gives the store an address then, in which `?versionId=` would be cut off."""
    s3fs.S3FileSystem(**server).mkdir("large")
    monkeypatch.setattr("s3fs.core.MANAGED_COPY_THRESHOLD", 3)
    place = locate("s3://large/area", server)
    for name in ("v?versionId=3.csv", "plain.csv"):
        put(place / name, b"right")
        put(place / "v", b"wrong")
        locations.copy(place / name, place / f"copy of {name}")
    kept = {key: data for key, data in snapshot(place).items() if key.startswith("copy")}
    assert kept == {"copy of v?versionId=3.csv": b"right", "copy of plain.csv": b"right"}
