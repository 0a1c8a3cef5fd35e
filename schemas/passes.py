"""How an edit of one clip is generated: passes over the whole clip, one after the other, each with its masks."""

from dataclasses import dataclass

from schemas.edit import Action
from schemas.tracks import MaskVideo
from schemas.video import Image


@dataclass(frozen=True, slots=True)
class EditPass:
    """One run of the generator over a clip.

    masks: (T, h, w), the region to generate, at the working size of the tracks. targets: per target that the pass
    draws, the instances it is about as positions in the list of tracks; one target, unless passes were made joint.
    nearness: of what it is about, 1 = nearest. The rest as in schemas.edit.Edit, references as pictures.
    """

    action: Action
    masks: MaskVideo
    targets: tuple[tuple[int, ...], ...]
    target: str = ""
    prompt: str = ""
    negative: str = ""
    references: tuple[Image, ...] = ()
    nearness: float = 0.0

    @property
    def instances(self) -> tuple[int, ...]:
        """Of all its targets."""
        return tuple(instance for target in self.targets for instance in target)
