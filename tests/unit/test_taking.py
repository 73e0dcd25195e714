"""What a request does with the job that it has, by the facts alone. Source: X-14."""

from __future__ import annotations

import pytest

from include.arrivals.landing import Taking, TakingFacts, choose_taking
from include.ledger.jobs import State

pytestmark = pytest.mark.unit

GOING_ON = (State.AWAITING_EXECUTION, State.RUNNING)
COMPLETED = (State.COMPLETED, State.COMPLETED_WITH_REJECTS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("is_asked_otherwise", [True, False])
@pytest.mark.parametrize("has_new_settings", [True, False])
def test_x14_what_is_loaded_stays_whatever_is_asked(state, is_asked_otherwise, has_new_settings):
    facts = TakingFacts(state, True, is_asked_otherwise, has_new_settings)
    assert choose_taking(facts) is Taking.LEAVE


@pytest.mark.parametrize("state", State)
def test_x14_without_new_settings_a_job_goes_on_or_is_left_or_has_ended_without_a_load(state):
    expected = Taking.REOPEN
    if state in GOING_ON:
        expected = Taking.GO_ON
    elif state in (*COMPLETED, State.AWAITING_REVIEW):
        expected = Taking.LEAVE
    assert choose_taking(TakingFacts(state, False, False)) is expected


@pytest.mark.parametrize("state", [state for state in State if state is not State.AWAITING_REVIEW])
def test_x14_asked_otherwise_a_job_that_has_loaded_nothing_is_opened_again(state):
    assert choose_taking(TakingFacts(state, False, True)) is Taking.REOPEN


def test_x14_a_question_remains_until_the_settings_are_others():
    assert choose_taking(TakingFacts(State.AWAITING_REVIEW, False, False, False)) is Taking.LEAVE
    assert choose_taking(TakingFacts(State.AWAITING_REVIEW, False, False, True)) is Taking.REOPEN
