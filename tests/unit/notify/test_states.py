"""Each state has a word, colours and an exit code of its own."""

from __future__ import annotations

from db.states import RunState, StepState
from notify.states import STATES, exit_code, style
from policy.tapes.facts import CartridgeState, SetState


def test_each_state_is_shown_by_a_word() -> None:
    kinds = (RunState, StepState, CartridgeState, SetState)
    assert {state.value for kind in kinds for state in kind} == STATES.keys()


def test_scripts_learn_from_the_exit_code_how_a_run_ended() -> None:
    """0 done, 3 skipped, 4 waits for an operator; everything else is a failure."""
    codes = {RunState.SUCCEEDED: 0, RunState.SKIPPED: 3, RunState.WAITING_FOR_TAPE: 4, RunState.HELD: 4}
    assert {state: exit_code(state) for state in RunState} == {
        state: codes.get(state, 1) for state in RunState
    }


def test_only_what_went_well_is_green() -> None:
    green = {name for name, shown in STATES.items() if shown.terminal == "green" or shown.page == "success"}
    assert green == {"SUCCEEDED", "complete", "active"}
    assert style("no state") is None
