"""FlashAttention 3 (Shah et al. 2024, arXiv 2407.08608) for transformers of diffusers on Hopper GPUs.

PyTorch's own attention is cuDNN's there, a sixth slower on the 32,760 tokens of a clip. PyPI has no wheel of
FlashAttention 3, but the extra `vllm` brings vLLM's build; without it, or on another GPU, PyTorch's is used.
"""

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch import Tensor

HOPPER = 9
"""Compute capability: the kernels are written for its tensor cores."""

_PACKAGE = "vllm_flash_attn"


def available() -> bool:
    """Whether this machine's GPU and environment have it."""
    return _is_hopper() and _kernels() is not None


def _is_hopper() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == HOPPER


def use_flash_attention(transformer: Any) -> None:
    """Every attention of the transformer, of float16 or bfloat16. Call where it is `available`, before compilation."""
    for module in transformer.modules():
        if hasattr(getattr(module, "processor", None), "_attention_backend"):
            module.processor._attention_backend = AttentionBackendName._FLASH_3


@cache
def _kernels() -> Any:
    """vLLM's interface to its kernels, or None. Not by way of vLLM: to import that changes PyTorch's compiler for the
    whole process."""
    vllm = importlib.util.find_spec("vllm")
    if vllm is None or not vllm.submodule_search_locations:
        return None
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(vllm.submodule_search_locations[0]) / _PACKAGE)]
    sys.modules[_PACKAGE] = package
    try:
        interface = importlib.import_module(f"{_PACKAGE}.flash_attn_interface")
    except ImportError:
        return None
    return interface if getattr(interface, "FA3_AVAILABLE", False) else None


@torch.library.custom_op("recast::flash_attention", mutates_args=())
def flash_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[batch, tokens, heads, width] each; key and value may have other numbers of tokens than the query."""
    (batch, num_queries), num_keys = query.shape[:2], key.shape[1]
    attended = _kernels().flash_attn_varlen_func(
        *(each.flatten(0, 1) for each in (query, key, value)),
        max_seqlen_q=num_queries,
        cu_seqlens_q=_starts(batch, num_queries, query.device),
        max_seqlen_k=num_keys,
        cu_seqlens_k=_starts(batch, num_keys, query.device),
        fa_version=3,
    )
    return attended.unflatten(0, (batch, num_queries))  # type: ignore[no-any-return]


@flash_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(query)


def _starts(batch: int, length: int, device: torch.device) -> Tensor:
    return torch.arange(0, (batch + 1) * length, length, dtype=torch.int32, device=device)


@_AttentionBackendRegistry.register(AttentionBackendName._FLASH_3)  # type: ignore[untyped-decorator]
def _attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """In place of diffusers' backend of this name, which needs a package that PyPI does not have."""
    if attn_mask is not None:
        raise ValueError("FlashAttention 3 takes no mask")
    return flash_attention(query, key, value)  # type: ignore[no-any-return]
