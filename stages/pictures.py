"""Pictures that people give: decoded upright, whatever they claim to be, and never larger than was agreed."""

import io
import warnings

import numpy as np
import PIL.Image
import PIL.ImageOps

from schemas.config import CurationConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Those that decode by themselves; Pillow would hand others to other programs."""

_WHITE = (255, 255, 255)


def decode_picture(content: bytes, max_px: int = CurationConfig().max_frame_px) -> Image:
    """(H, W, 3) uint8 RGB, upright; what is transparent lies on white, of several pictures the first.

    The size is known from the header: a small file that claims to be huge is not unpacked. Raises BadInput: TOO_LARGE
    (`max_px` bounds width x height), UNREADABLE.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are bounded here, and about odd metadata
            with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as found:
                if found.width * found.height > max_px:
                    size = f"{found.width}x{found.height}"
                    raise BadInput(Reason.TOO_LARGE, f"a picture of {size} is more than {max_px} pixels")
                upright = PIL.ImageOps.exif_transpose(found).convert("RGBA")
        page = PIL.Image.new("RGBA", upright.size, _WHITE)
        return np.array(PIL.Image.alpha_composite(page, upright).convert("RGB"))
    except PIL.Image.DecompressionBombError as error:
        raise BadInput(Reason.TOO_LARGE, str(error)) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:  # as damage has it
        raise BadInput(Reason.UNREADABLE, f"no picture of {', '.join(FORMATS)}: {error}") from None
