"""The root of every error that an operator may see."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from policy.message import M, Message


class Consequence(StrEnum):
    """The consequence for the run if this error ends a step; the class of the error decides."""

    RETRY = "retry"
    """Infrastructure (network, database, a busy device): the same step may be tried again without harm."""
    WAIT_FOR_OPERATOR = "wait_for_operator"
    """Somebody has to act at the drive; the run waits if its schedule allows it, else fails."""
    HOLD = "hold"
    """A person has to accept the findings, or repair their cause; the run gives its drive back until then."""
    RETIRE_TAPE = "retire_tape"
    """The cartridge must not be written again; the run fails."""
    FAIL_RUN = "fail_run"
    """This run cannot continue; tape and drive are sound."""


class TapelineError(Exception):
    """Something an operator can act on: one line with what happened, and one with what to do.

    Subclasses set ``consequence`` and ``exit_code`` (0 done, 1 failed, 2 usage, 3 skipped, 4 waiting for an
    operator); the texts are where the error is raised.
    """

    consequence: Consequence = Consequence.FAIL_RUN
    exit_code: int = 1

    def __init__(self, message: Message, remedy: Message | None = None) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def in_one(self) -> Message:
        """What happened and what to do, as one text that is stored."""
        if self.remedy is None:
            return self.message
        return M("{message} {remedy}", message=self.message.to_json(), remedy=self.remedy.to_json())

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else str(self.message)


class UsageError(TapelineError):
    """The operator gave a wrong name, value or combination; nothing was done."""

    exit_code = 2


class UsageErrors(UsageError):
    """Several things are wrong at once; its own texts are those of the first."""

    def __init__(self, errors: Sequence[UsageError]) -> None:
        super().__init__(errors[0].message, errors[0].remedy)
        self.errors = tuple(errors)
