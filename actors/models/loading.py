"""How weights get into memory: pinned revisions, safetensors only, no code of the hub; a missing model is one line."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from schemas.errors import UserError

T = TypeVar("T")


def device() -> torch.device:
    """The accelerator of this process (Ray gives an actor only its own), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(name: str) -> torch.dtype:
    """torch's dtype of this name, float32 for "". Raises UserError for a name that torch does not have."""
    found = getattr(torch, name or "float32", None)
    if not isinstance(found, torch.dtype):
        raise UserError(f"there is no dtype {name!r}; use bfloat16, float16 or float32")
    return found


def load_model(cls: Any, model: str, revision: str, dtype: str, **arguments: Any) -> Any:
    """A model of transformers in eval mode on `device()`. Raises UserError when it is not there, or lacks
    weights, which would be drawn at random."""
    load = named(model, cls.from_pretrained)
    options = {"dtype": dtype_of(dtype), "use_safetensors": True, "output_loading_info": True, **arguments}
    loaded, found = load(model, revision=revision or None, **options)
    if missing := sorted(found["missing_keys"]):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(f"model {model} lacks the weights {', '.join(missing[:3])}{more}: is it a {cls.__name__}?")
    return loaded.to(device()).eval()


def load_processor(cls: Any, model: str, revision: str, **arguments: Any) -> Any:
    """A tokenizer or processor. Raises UserError when it is not there."""
    return named(model, cls.from_pretrained)(model, revision=revision or None, **arguments)


def named(model: str, load: Callable[..., T]) -> Callable[..., T]:
    """`load`, with what the hub raises turned into one line: transformers raises OSError for whatever is missing."""

    def loaded(*arguments: Any, **named_arguments: Any) -> T:
        try:
            return load(*arguments, **named_arguments)
        except OSError as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"model {model} cannot be loaded: {first} (recast models pull gets it)") from error

    return loaded
