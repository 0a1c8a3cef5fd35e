"""What people ask of `recast edit`, on tiny clips whose truth is known, and what has to hold whoever draws."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from synthetic_edits import Edits
from synthetic_footage import LEFT, RIGHT, Thing, picture_of, write_clip

from pipeline.edited_files import frames
from schemas.fill import VideoFillRequest
from schemas.questions import Answer, PlaceAnswer, Question, Unusable
from schemas.reasons import Reason
from schemas.video import Image
from schemas.work import Outcome, Result
from stages import masks
from stages.encoding import read_clip
from stages.media import Reading, open_video
from stages.stored import planes_of

REACH_PX = 14
"""How far from a subject its edit may show: margins and feather at this size, and blocks of stored colour."""

STANDING = Thing("bear", (32, 50), (0.2, 0.3), (12, 20))


@dataclass(frozen=True)
class Scenario:
    """changed: positions in `things` of those that change, each by at least the share `least`; everything else must
    not. reason: why nothing is done."""

    prompts: tuple[str, ...]
    things: tuple[Thing, ...] = (LEFT, RIGHT)
    changed: tuple[int, ...] = (0,)
    least: float = 0.5
    background: bool = False
    reason: Reason | None = None
    clip: dict[str, Any] = field(default_factory=dict)


SCENARIOS = {
    "one subject": Scenario(("[bear -> white goat]",), (LEFT,)),
    "left and right": Scenario(
        ("[bear on the left -> white goat; bear on the right -> black panther]",), changed=(0, 1)
    ),
    "every member of a group": Scenario(("[bears -> white goats]",), changed=(0, 1)),
    "one of two": Scenario(("[bear on the right -> black panther]",), changed=(1,)),
    "removal": Scenario(("remove the bear on the left",)),
    "add-on": Scenario(("add a hat to the bear on the left",), least=0.05),
    "background": Scenario(("[background -> snowy forest]",), changed=(), background=True),
    "two turns": Scenario(("[bear on the left -> white goat]", "[goat -> black panther]")),
    "a long clip": Scenario(
        ("[bear -> white goat]",), (replace(LEFT, step=(0.1, 0.0)),), clip={"num_frames": 310}
    ),
    "portrait, turned": Scenario(("[bear -> white goat]",), (STANDING,), clip={"degrees": 90}),
    "with sound": Scenario(("[bear -> white goat]",), (LEFT,), clip={"sound": True, "num_frames": 24}),
    "absent": Scenario(("[giraffe -> zebra]",), reason=Reason.TARGET_ABSENT),
}  # fmt: skip


class Watched:
    """A generator, and what it was asked."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self.max_frames, self.uses_surroundings = generator.max_frames, generator.uses_surroundings
        self.requests: list[VideoFillRequest] = []

    def generate(self, request: VideoFillRequest) -> list[Image]:
        self.requests.append(request)
        return self._generator.generate(request)


class Placing:
    """A model that can see where a hat goes: on top of what it is shown."""

    def __init__(self, vlm: Any) -> None:
        self._vlm = vlm

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Answer | Unusable:
        if question.answer is PlaceAnswer:
            return PlaceAnswer(centre_x=0.5, centre_y=0.3, width=0.4, height=0.2)
        return self._vlm.ask([question])[0]


@dataclass
class Played:
    """What came of a scenario: the results of both steps, the source and the edited video."""

    scenario: Scenario
    aligned: Result
    edited: Result | None
    source: Path
    video: Path | None
    requests: list[VideoFillRequest]

    @property
    def before(self) -> list[Image]:
        return [frame.image for frame in read_clip(self.source)]

    @property
    def after(self) -> list[Image]:
        return list(frames(self.video))

    def shown(self, number: int) -> list[Any]:
        """The true masks of a frame."""
        height, width = self.before[0].shape[:2]
        return picture_of(number, self.scenario.things, (width, height))[1]


def play(scenario: Scenario, folder: Path, generator: Any, **assignments: Any) -> Played:
    source = write_clip(folder / "footage", "clip", scenario.things, **scenario.clip)
    edits = Edits(folder, folder / "footage")
    (job,) = edits.jobs("clip", prompts=scenario.prompts)
    watched = edits.roles["video_generator"] = Watched(generator)
    edits.roles["vlm"] = Placing(edits.vlm())
    aligned, edited = edits.one(job, **assignments)
    row = edited.rows["edits"][0] if edited is not None and edited.rows.get("edits") else None
    return Played(scenario, aligned, edited, source, edits.out / row["video"] if row else None, watched.requests)


def holds(played: Played) -> None:
    """What has to hold whoever draws: nothing is lost, what was asked for has changed, and nothing else has."""
    scenario = played.scenario
    if scenario.reason is not None:
        assert (played.aligned.outcome, played.aligned.reason) == (Outcome.REJECTED, scenario.reason)
        assert "giraffe" in played.aligned.message
        assert "\n" not in played.aligned.message
        assert (played.edited, played.requests) == (None, [])
        return
    assert played.aligned.outcome is Outcome.DONE, played.aligned.message
    assert played.edited.outcome is Outcome.DONE, (played.edited.message, played.edited.rows)
    assert packets(played.video, "audio") == packets(played.source, "audio")
    assert bool(packets(played.video, "audio")) == bool(scenario.clip.get("sound"))
    assert times(played.video) == times(played.source)
    before, after = stored(played.source), stored(played.video)
    assert len(after) == len(before) == scenario.clip.get("num_frames", 13)
    for number in range(0, len(before), max(len(before) // 13, 1)):
        changed = _changed(before[number], after[number])
        _only_what_was_asked(played, number, np.rot90(changed, scenario.clip.get("degrees", 0) // 90))


def _changed(before: list[Any], after: list[Any]) -> Any:
    """(H, W) bool: where any stored sample is another, at the size of the first plane."""
    assert [plane.shape for plane in before] == [plane.shape for plane in after]
    differ = [(one != other).astype(np.uint8) for one, other in zip(before, after, strict=True)]
    size = differ[0].shape[::-1]
    return np.logical_or.reduce([cv2.resize(each, size, interpolation=cv2.INTER_NEAREST) > 0 for each in differ])


def _only_what_was_asked(played: Played, number: int, changed: Any) -> None:
    shown = played.shown(number)
    targets = [shown[at] for at in played.scenario.changed]
    others = [mask for at, mask in enumerate(shown) if at not in played.scenario.changed]
    for mask in others:
        assert not (changed & masks.erode(mask, 4)).any(), f"frame {number}: another subject changed"
    if played.scenario.background:
        assert changed[~masks.dilate(np.logical_or.reduce(shown), 4)].mean() > 0.9
        return
    reach = masks.dilate(np.logical_or.reduce(targets), REACH_PX)
    assert not (changed & ~reach).any(), f"frame {number}: the background changed"
    for mask in targets:
        assert changed[mask].mean() > played.scenario.least, f"frame {number}: a target did not change"


def lightness(image: Image, mask: Any) -> float:
    """0..255, of the pixels well inside."""
    return float(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0][masks.erode(mask, 2)].mean())


def packets(path: Path, kind: str) -> list[str]:
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found = container.demux(streams) if streams else []
        return [hashlib.sha256(bytes(each)).hexdigest() for each in found if each.size]


def stored(path: Path) -> list[list[Any]]:
    """The planes of every frame, as they are in the file."""
    with open_video(path) as container:
        return [[plane.copy() for plane in planes_of(decoded.stored)] for decoded in Reading(container)]


def times(path: Path) -> list[Any]:
    return [frame.pts * frame.time_base for frame in read_clip(path)]
