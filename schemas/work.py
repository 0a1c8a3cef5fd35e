"""Units of work: what the ledger leases, what a phase gives back."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from schemas.keys import digest
from schemas.reasons import Reason


class Phase(StrEnum):
    CURATE = "curate"  # a source -> its clips
    MINE = "mine"  # a clip -> its subjects and pairs
    LINK = "link"  # a source whose shots show subjects -> pairs across those shots
    SYNTHESIZE = "synthesize"  # a pair and a task -> a verified, captioned sample
    CAPTION = "caption"  # a sample whose words are out of date -> the same pixels, new words
    ALIGN = "align"  # a source and what is to change in it -> who is in it, and what each change is about
    EDIT = "edit"  # an aligned job -> its verified video


BUILD_PHASES = (Phase.CURATE, Phase.MINE, Phase.LINK, Phase.SYNTHESIZE, Phase.CAPTION)
EDIT_PHASES = (Phase.ALIGN, Phase.EDIT)


class Outcome(StrEnum):
    """How a unit ended. RETRY leaves it pending with attempt + 1; the others settle it."""

    DONE = "done"
    REJECTED = "rejected"  # bad data, with a reason
    RETRY = "retry"  # verification failed; another attempt may pass
    EXHAUSTED = "exhausted"  # the last attempt failed too: a dead letter
    POISON = "poison"  # killed its process each time: a dead letter
    FAILED = "failed"  # a bug: a dead letter
    UNAVAILABLE = "unavailable"  # its source cannot be reached now: nothing is recorded, the next run tries again


DEAD = (Outcome.EXHAUSTED, Outcome.POISON, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Unit:
    """One pending unit. `payload` holds JSON values only: uris, spans, boxes, RLE masks; never pixels."""

    phase: Phase
    key: str  # the parent row: a source, clip, pair or sample
    task: str = ""
    attempt: int = 0
    num_deliveries: int = 0
    payload: dict[str, Any] = field(default_factory=dict)
    inputs: str = ""  # digest of the rows it consumes, where key and fingerprint do not fix them

    @property
    def id(self) -> str:
        """The row of `settled` this unit will become."""
        return digest("unit", self.phase, self.key, self.task)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Unit":
        values = json.loads(text)
        return cls(**{**values, "phase": Phase(values["phase"])})


@dataclass(slots=True)
class Result:
    """What came of one unit.

    rows: table name -> rows to put there (dicts of the table's columns; the ledger fills status, fingerprint, run_id
    and created_at where absent). members: file name -> encoded bytes of the one sample this unit made, "" when none;
    its row is the only row of rows["samples"].
    """

    phase: Phase
    key: str
    task: str = ""
    attempt: int = 0
    outcome: Outcome = Outcome.DONE
    reason: Reason | None = None
    message: str = ""
    stage: str = ""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    members: dict[str, bytes] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # wall seconds: "total", per step, "ROLE.wait" for a model

    @property
    def id(self) -> str:
        return digest("unit", self.phase, self.key, self.task)
