"""Every error Recast raises on purpose.

RecastError
├── UserError      the user's mistake: one line on stderr, exit 2
├── BadInput       bad data: the row gets this reason code, the rest goes on
├── Unreachable    storage or a network is down for longer than it is worth waiting: later the same may pass
├── Broken         a model or its device cannot go on in this process; a new one can
└── Fenced         another process took the output over; this one must stop writing at once

Anything else that escapes a stage is a bug: the row is recorded as `failed` with reason `internal_error`, the run
ends with exit 1 and names row and stage.
"""

from schemas.reasons import Reason


class RecastError(Exception):
    """Base of them all."""


class UserError(RecastError):
    """A mistake the user can fix; the message is one line that says what is wrong and what would be right."""


class BadInput(RecastError):
    """A row that cannot be used. `reason` is for machines, `message` for people."""

    def __init__(self, reason: Reason, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message or reason.meaning

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Unreachable(RecastError):
    """What is out of reach now, after retries. It says nothing about the data: a unit that meets it stays pending."""


class Broken(RecastError):
    """A role's process must end: what it holds is beyond repair, and a new process starts anew."""


class Fenced(RecastError):
    """A foreign commit was found in one of our tables: another run owns this output now."""
