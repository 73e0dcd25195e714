"""Jobs of commands that were killed. Source: X-12, X-14."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include import importer
from include.importer import import_file
from include.stages import abandoned
from tests.imports import CARD_HEADER, Site, counts

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """What nobody catches."""


def test_x12_the_job_of_a_killed_command_is_abandoned_and_the_same_command_goes_on(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    seen = []

    def killed(*_: object) -> None:
        seen.append(abandoned.open_jobs(stocked.runtime, stocked.runtime.clock() + timedelta(days=1)))
        raise Killed

    path = stocked.drop("gift_cards", "a.csv", f"{CARD_HEADER}\n1,flexible_gift,1\n")
    request = stocked.request("gift_cards", path)
    with monkeypatch.context() as patched:
        patched.setattr(importer, "inspect_file", killed)
        with pytest.raises(Killed):
            import_file(stocked.runtime, request)
    assert seen == [[]], "a command that goes on"

    now = stocked.runtime.clock()
    assert abandoned.open_jobs(stocked.runtime, now) == [], "it may just be beginning"
    (job,) = abandoned.open_jobs(stocked.runtime, now + timedelta(minutes=2))
    closed = abandoned.close(stocked.runtime, job)
    assert closed is not None
    assert (closed.state, closed.reason["message"]) == (
        "failed", "The command that imported it ended before the import was done. Give it again to go on.",
    )  # fmt: skip
    assert abandoned.open_jobs(stocked.runtime, now + timedelta(minutes=2)) == []
    result = import_file(stocked.runtime, request)
    assert (result.job, result.state, counts(result)) == (job.id, "completed", {"read": 1, "inserted": 1})


def test_x14_a_command_outlives_the_session_that_says_it_goes_on(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    real = importer.inspect_file

    def ended(*arguments: object) -> object:
        ((number,),) = stocked.query(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert number >= 1
        return real(*arguments)

    monkeypatch.setattr(importer, "inspect_file", ended)
    path = stocked.drop("gift_cards", "a.csv", f"{CARD_HEADER}\n1,flexible_gift,1\n")
    result = stocked.run("gift_cards", path)
    assert (result.state, counts(result)) == ("completed", {"read": 1, "inserted": 1})
