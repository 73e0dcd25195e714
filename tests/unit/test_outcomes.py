"""What became of a file, by its state and its rows. Source: X-10."""

from __future__ import annotations

import itertools

import pytest

from include.ledger.jobs import JobCounts, JobResult, State
from include.ledger.outcomes import ALARMING, Outcome, in_words, outcome_of, summarise

pytestmark = pytest.mark.unit

COMPLETED = ("completed", "completed_with_rejects")


def completed(read: int, rejected: int = 0, not_found: int = 0) -> tuple[str, JobCounts]:
    loaded = read - rejected - not_found
    state = "completed_with_rejects" if rejected else "completed"
    return state, JobCounts(read=read, inserted=loaded, rejected=rejected, not_found=not_found)


@pytest.mark.parametrize(
    ("read", "rejected", "not_found", "outcome"),
    [
        (0, 0, 0, "empty"),
        (1, 0, 0, "loaded"),
        (1, 1, 0, "nothing_loaded"),
        (3_000_000, 3, 0, "some_rejected"),
        (5_000, 5_000, 0, "nothing_loaded"),
        (10, 5, 0, "some_rejected"),
        (10, 6, 0, "mostly_rejected"),
        (10, 9, 1, "nothing_loaded"),
        (10, 0, 10, "nobody_found"),
        (10, 0, 9, "loaded"),
        (10, 1, 8, "some_rejected"),
        (20_000, 19_800, 0, "mostly_rejected"),
    ],
)
def test_x10_3_of_3_000_000_and_all_of_5_000_are_distinguished(read: int, rejected: int, not_found: int, outcome: str):
    state, rows = completed(read, rejected, not_found)
    assert outcome_of(state, rows) == outcome


def test_x10_every_mix_of_rows_has_the_outcome_that_its_definition_says():
    for read, rejected, not_found in itertools.product(range(8), repeat=3):
        if rejected + not_found > read:
            continue
        state, rows = completed(read, rejected, not_found)
        loaded = read - rejected - not_found
        expected = (
            "empty" if read == 0
            else "nobody_found" if not_found == read
            else "nothing_loaded" if loaded == 0
            else "loaded" if rejected == 0
            else "mostly_rejected" if rejected > read / 2
            else "some_rejected"
        )  # fmt: skip
        assert outcome_of(state, rows) == expected
        assert (outcome_of(state, rows) in ALARMING) is (expected in ("nothing_loaded", "mostly_rejected"))


def test_x10_rows_that_are_there_already_count_as_loaded():
    assert outcome_of("completed", JobCounts(read=5, unchanged=5)) == "loaded"


@pytest.mark.parametrize("state", [state for state in State if state not in COMPLETED])
def test_x10_any_other_state_is_its_own_outcome(state: State):
    for rows in (JobCounts(), JobCounts(read=5, rejected=5)):
        assert outcome_of(state, rows) == str(state)
        for is_dry_run in (True, False):
            assert summarise(state, rows, is_dry_run=is_dry_run) == str(state).replace("_", " ")
            assert in_words(str(state), is_dry_run=is_dry_run) == str(state).replace("_", " ")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((3_000, 51), "2,949 of 3,000 rows loaded, 51 rejected"),
        ((1,), "1 row loaded"),
        ((1_200,), "1,200 rows loaded"),
        ((5_000, 5_000), "nothing loaded of 5,000 rows: 5,000 rejected"),
        ((10, 4, 6), "nothing loaded of 10 rows: 4 rejected, 6 not found"),
        ((10, 0, 10), "nothing edited of 10 rows: 10 not found"),
        ((10, 0, 6), "4 of 10 rows loaded, 6 not found"),
        ((0,), "the file has no rows"),
    ],
)
def test_x10_figures_say_what_became_of_a_file(rows: tuple[int, ...], said: str):
    assert summarise(*completed(*rows), is_dry_run=False) == said
    rehearsed = said.replace("loaded", "would load").replace("edited", "would be edited")
    assert summarise(*completed(*rows), is_dry_run=True) == rehearsed


@pytest.mark.parametrize(
    ("outcome", "rehearsed"),
    [
        ("loaded", "would load"),
        ("some_rejected", "would reject some"),
        ("mostly_rejected", "would reject most"),
        ("nothing_loaded", "would load nothing"),
        ("empty", "empty"),
    ],
)
def test_x19_a_dry_run_has_loaded_nothing(outcome: str, rehearsed: str):
    assert in_words(outcome, is_dry_run=True) == rehearsed
    assert in_words(outcome, is_dry_run=False) == outcome.replace("_", " ")


def test_x10_the_json_of_a_job_has_its_outcome():
    state, rows = completed(4, 3)
    job_json = JobResult(7, "gift_cards", "a.csv", state, rows).to_json()
    assert (job_json["state"], job_json["outcome"]) == ("completed_with_rejects", Outcome.MOSTLY_REJECTED)
