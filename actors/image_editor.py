"""Role `image_editor`: fill this region."""

from collections.abc import Sequence
from typing import Protocol

from schemas.errors import BadInput
from schemas.fill import Filled, FillRequest


class ImageEditor(Protocol):
    """One answer per request, in order: Filled, or BadInput as a value for a request that cannot be met."""

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]: ...
