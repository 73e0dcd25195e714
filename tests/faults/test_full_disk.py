"""A disk that is full: the import fails with a sentence, leaves no half file under its name, and can be run again.

The limit of a process on the size of its files acts as the full disk; it holds for root as well.
"""

from __future__ import annotations

from typing import Any

import pytest

from include.storage.locations import StorageError, area, written_whole
from tests.faults import children
from tests.faults.conftest import MakeScene, Undisturbed
from tests.faults.kinds import CARDS_IN_BUCKET, DROPPED_CARDS, NAMED_CARDS
from tests.faults.scenes import Kind, Scene

pytestmark = pytest.mark.faults

DROPPED_IN_UTF8 = Kind("cards dropped beside work", "gift_cards", is_dropped=True)
ARCHIVE_ELSEWHERE = Kind("archive elsewhere", "gift_cards", is_dropped=True, areas_elsewhere=("archive",), rows=900)


def run_on_full_disk(scene: Scene, largest_file_bytes: int, area: str | None = None) -> str:
    """Run the import and return the sentence it ends with."""
    ended = children.run(scene.work(largest_file_bytes=largest_file_bytes, full_area=area))
    assert ended.code == 1, ended.output
    assert "Traceback" not in ended.output
    assert "could not be written: File too large." in ended.output
    return ended.output


def assert_completes_with_room(scene: Scene, expected: dict[str, Any]) -> None:
    ended = children.run(scene.work())
    assert ended.code == 0, ended.output
    assert scene.left_behind() == expected


def test_without_room_for_the_copy_the_file_stays_where_it_is(make_scene: MakeScene, undisturbed: Undisturbed):
    scene = make_scene(NAMED_CARDS)
    sentence = run_on_full_disk(scene, 8_000)
    assert f"{scene.areas['work']}/1/файл 1.csv" in sentence
    assert [name for name, data in scene.files().items() if data is not None] == ["outside/файл 1.csv"]
    assert_completes_with_room(scene, undisturbed(NAMED_CARDS))


def test_without_room_in_work_a_dropped_file_is_in_landing_again(make_scene: MakeScene, undisturbed: Undisturbed):
    """X-12: it is picked up again when there is room; in work nobody would look for it."""
    scene = make_scene(DROPPED_IN_UTF8)
    before = scene.files()
    sentence = run_on_full_disk(scene, 1_000)
    assert f"{scene.areas['work']}/1/файл 1.csv" in sentence
    after = {name: data for name, data in scene.files().items() if data is not None}
    assert after == {name: data for name, data in before.items() if data is not None}
    assert_completes_with_room(scene, undisturbed(DROPPED_IN_UTF8))


def test_without_room_for_the_text_the_job_fails_and_says_why(make_scene: MakeScene, undisturbed: Undisturbed):
    scene = make_scene(DROPPED_CARDS)
    sentence = run_on_full_disk(scene, len(DROPPED_CARDS.data) + 200)
    assert "text.utf8 could not be written" in sentence
    assert [job["job"]["state"] for job in scene.left_behind()["jobs"]] == ["failed"]
    assert not any(name.endswith((".utf8", ".part")) for name in scene.files())
    assert_completes_with_room(scene, undisturbed(DROPPED_CARDS))


def test_without_room_for_the_rejected_rows_they_come_with_the_next_attempt(
    make_scene: MakeScene, undisturbed: Undisturbed
):
    reports = undisturbed(DROPPED_IN_UTF8)["files"]
    (report,) = [data for name, data in reports.items() if name.endswith(".rejected.csv")]
    scene = make_scene(DROPPED_IN_UTF8)
    sentence = run_on_full_disk(scene, len(report) - 1, "reports")
    assert "файл 1.rejected.csv could not be written" in sentence
    assert [name for name in scene.files() if name.startswith("reports/") and scene.files()[name] is not None] == []
    assert scene.left_behind()["cards"] == undisturbed(DROPPED_IN_UTF8)["cards"]
    assert_completes_with_room(scene, undisturbed(DROPPED_IN_UTF8))


def test_without_room_in_the_archive_the_file_stays_in_work(make_scene: MakeScene, undisturbed: Undisturbed):
    expected = undisturbed(ARCHIVE_ELSEWHERE)
    reports = max(len(data or b"") for name, data in expected["files"].items() if name.startswith("reports/"))
    assert reports < len(ARCHIVE_ELSEWHERE.data) - 200
    scene = make_scene(ARCHIVE_ELSEWHERE)
    sentence = run_on_full_disk(scene, len(ARCHIVE_ELSEWHERE.data) - 100, "archive")
    assert "archive/imported/gift_cards/1/файл 1.csv could not be written" in sentence
    assert scene.files()["work/1/файл 1.csv"] == ARCHIVE_ELSEWHERE.data
    assert not any(name.startswith("archive/") and data is not None for name, data in scene.files().items())
    assert_completes_with_room(scene, expected)


def test_an_upload_that_breaks_off_leaves_no_object_under_its_name(make_scene: MakeScene):
    scene = make_scene(CARDS_IN_BUCKET)
    path = scene.areas["reports"] / "cards.rejected.csv"

    def break_off(written: bytes) -> None:
        with written_whole(area(path)) as sink:
            sink.write(written)
            raise OSError(5, "Input/output error")

    for written in (b"some rows", b"\n" * (51 << 20)):  # less and more than what is uploaded at once
        with pytest.raises(StorageError, match=r"cards\.rejected\.csv could not be written: Input/output error"):
            break_off(written)
        assert [name for name in scene.files() if name.startswith("reports/")] == []
    with written_whole(area(path)) as sink:
        sink.write(b"all rows")
    assert scene.files()["reports/cards.rejected.csv"] == b"all rows"
