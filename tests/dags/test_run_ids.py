"""Run ids: valid for any file name, and one for each arrival."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.arrivals.listing import IGNORED, Arrival, Unusable
from include.ledger.jobs import dag_of
from loyalty_airflow.tasks import pick_up
from loyalty_airflow.tasks.pick_up import make_run_id, pause_before

pytestmark = pytest.mark.dags

ARRIVAL = Arrival(
    "gift_cards", "/landing/gift_cards/a.csv", "gift_cards", "a.csv", 10, "10-1", datetime.now(UTC), False
)


@given(name=st.text(min_size=1, max_size=255), folder=st.sampled_from(["gift_cards", None]), number=st.integers(1, 500))
@example(name="cards (March) ü.csv", folder="gift_cards", number=1)
@example(name="..", folder=None, number=1)
@example(name="a..b.csv", folder="gift_cards", number=1)
@example(name="карты.csv", folder="gift_cards", number=1)
@example(name="x" * 255, folder="gift_cards", number=1)
@example(name="\udce4.csv", folder="gift_cards", number=1)
def test_every_file_name_gives_a_run_id_that_airflow_takes(name, folder, number):
    from airflow.models.dagrun import DagRun

    run_id = make_run_id(replace(ARRIVAL, file_name=name, url=f"/landing/{name}", import_type=folder), number)
    assert len(run_id) <= 250
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]+", run_id)
    assert ".." not in run_id
    assert DagRun().validate_run_id("run_id", run_id) == run_id


def test_the_name_can_be_read_in_the_run_id():
    run_id = make_run_id(replace(ARRIVAL, file_name="Karten März (2).csv"), 1)
    assert re.fullmatch(r"gift_cards__Karten_Marz_2__[0-9a-f]{10}", run_id)


@pytest.mark.parametrize(
    ("other", "number"),
    [
        (replace(ARRIVAL, version="10-2"), 1),
        (replace(ARRIVAL, size_bytes=11), 1),
        (replace(ARRIVAL, url="/landing/gift_cards/b.csv"), 1),
        (ARRIVAL, 2),
    ],
    ids=["version", "size", "name", "arrival"],
)
def test_another_arrival_has_another_run_id(other, number):
    assert make_run_id(other, number) != make_run_id(ARRIVAL, 1)


def test_the_same_arrival_has_the_same_run_id():
    assert make_run_id(replace(ARRIVAL), 1) == make_run_id(ARRIVAL, 1)


def test_the_pause_before_another_run_grows_to_an_hour():
    pauses = [pause_before(number) for number in (2, 3, 4, 9, 1000)]
    assert pauses == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60)]


def test_a_dag_id_is_import_and_the_type():
    assert dag_of("gift_cards") == "import_gift_cards"


def test_x12_ignored_files_are_logged_and_no_mail_is_sent_about_them(monkeypatch, caplog):
    mails = []

    def notifier(entries):
        return SimpleNamespace(send=lambda _: mails.append([entry.file_name for entry in entries]))

    monkeypatch.setattr("loyalty_airflow.notifications.UnusableNotifier", notifier)
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {})
    monkeypatch.setattr("include.arrivals.refusals.record_unusable", lambda _, entries: list(entries))
    ignored = Unusable("gift_cards", "/l/a.md5", "a.md5", IGNORED, "is ignored", "1")
    odd = replace(ignored, url="/l/pipe.csv", file_name="pipe.csv", rule="file.special", reason="is a pipe")
    with caplog.at_level("WARNING"):
        assert pick_up.report_unusable(None, [ignored]) == [ignored]
        assert pick_up.report_unusable(None, [ignored, odd]) == [ignored, odd]
    assert mails == [["pipe.csv"]]
    assert "/l/a.md5 is not imported: it is ignored" in caplog.text
