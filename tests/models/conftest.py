"""Tests of real model code on tiny checkpoints; skipped where the `models` extra is not installed."""

import os

import pytest

from tests.models.hub import CACHE

# Before anything imports huggingface_hub, which reads them once.
os.environ["HF_HUB_CACHE"] = str(CACHE)
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
collect_ignore_glob: list[str] = []

try:
    import torch
except ModuleNotFoundError:
    collect_ignore_glob.append("test_*.py")
else:
    torch.set_num_threads(1)  # tests run in parallel


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
