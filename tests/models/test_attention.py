"""FlashAttention 3 as the transformers of diffusers get it, with kernels that compute on the CPU in place of vLLM's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import WanVACETransformer3DModel
from torch.nn.functional import scaled_dot_product_attention

from actors.models import attention
from actors.models.wan_vace import accelerate

INTERFACE = '''
import torch

FA3_AVAILABLE = True
calls = 0


def flash_attn_varlen_func(q, k, v, max_seqlen_q, cu_seqlens_q, max_seqlen_k, cu_seqlens_k, fa_version):
    """Each sequence by itself; what its lengths say of it must be so."""
    global calls
    calls += 1
    assert fa_version == 3 and cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
    assert cu_seqlens_q[-1] == len(q) and cu_seqlens_k[-1] == len(k) == len(v)
    attended = []
    for number in range(len(cu_seqlens_q) - 1):
        queries = slice(cu_seqlens_q[number], cu_seqlens_q[number + 1])
        keys = slice(cu_seqlens_k[number], cu_seqlens_k[number + 1])
        assert queries.stop - queries.start == max_seqlen_q and keys.stop - keys.start == max_seqlen_k
        sequence = (each.transpose(0, 1) for each in (q[queries], k[keys], v[keys]))
        attended.append(torch.nn.functional.scaled_dot_product_attention(*sequence).transpose(0, 1))
    return torch.cat(attended)
'''


@pytest.fixture
def hopper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU of the kind, and a vLLM that must not be imported as a whole."""
    folder = tmp_path / "vllm" / "vllm_flash_attn"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "flash_attn_interface.py").write_text(INTERFACE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(attention, "_is_hopper", lambda: True)
    attention._kernels.cache_clear()
    yield
    attention._kernels.cache_clear()
    for name in ("vllm_flash_attn", "vllm_flash_attn.flash_attn_interface"):
        sys.modules.pop(name, None)


def transformer() -> WanVACETransformer3DModel:
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 32, "num_layers": 2, "vace_layers": [0]}
    return WanVACETransformer3DModel(**sizes, text_dim=24, freq_dim=16).eval()


def denoised(model: WanVACETransformer3DModel) -> torch.Tensor:
    """Two clips at once: sequences of the batch must not see each other."""
    draw = torch.Generator().manual_seed(1)
    dtype = model.dtype
    with torch.inference_mode():
        given: torch.Tensor = model(
            hidden_states=torch.randn(2, 16, 2, 4, 6, generator=draw).to(dtype),
            timestep=torch.tensor([500, 100]),
            encoder_hidden_states=torch.randn(2, 7, 24, generator=draw).to(dtype),
            control_hidden_states=torch.randn(2, 96, 2, 4, 6, generator=draw).to(dtype),
            return_dict=False,
        )[0]
    return given


@pytest.mark.usefixtures("hopper")
def test_every_attention_of_a_transformer_is_computed_by_it_to_the_same_result():
    model = transformer()
    plain = denoised(model)
    assert attention.available()
    attention.use_flash_attention(model)
    given = denoised(model)
    torch.testing.assert_close(given, plain)
    assert attention._kernels().calls == 2 * 3  # of the clip itself and of the words, in two blocks and one of VACE


@pytest.mark.usefixtures("hopper")
def test_it_can_be_compiled_as_one_graph():
    draw = [torch.randn(2, length, 2, 16) for length in (9, 7, 7)]
    compiled = torch.compile(attention._attend, fullgraph=True, backend="aot_eager")
    expected = scaled_dot_product_attention(*(each.transpose(1, 2) for each in draw)).transpose(1, 2)
    torch.testing.assert_close(compiled(*draw), expected)


@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize(("dtype", "times"), [(torch.bfloat16, 6), (torch.float32, 0)])
def test_what_is_accelerated_gets_it_in_the_precision_it_knows(dtype, times, monkeypatch):
    monkeypatch.setattr(WanVACETransformer3DModel, "compile_repeated_blocks", lambda *_, **__: None)

    class Pipeline:
        transformer_2 = None

    Pipeline.transformer = model = transformer().to(dtype)
    accelerate(Pipeline)
    denoised(model)
    assert attention._kernels().calls == times


@pytest.mark.usefixtures("hopper")
def test_other_gpus_and_builds_without_it_keep_what_pytorch_has(monkeypatch):
    interface = attention._kernels()
    interface.FA3_AVAILABLE = False
    attention._kernels.cache_clear()
    monkeypatch.setattr("importlib.import_module", lambda _: interface)
    assert not attention.available()
    interface.FA3_AVAILABLE = True
    attention._kernels.cache_clear()
    assert attention.available()
    monkeypatch.setattr(attention, "_is_hopper", lambda: False)
    assert not attention.available()


def test_without_vllm_there_are_none(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    attention._kernels.cache_clear()
    assert attention._kernels() is None
    attention._kernels.cache_clear()


def test_nothing_is_available_without_a_gpu():
    assert torch.cuda.is_available() or not attention.available()


def test_a_mask_is_refused():
    with pytest.raises(ValueError, match="mask"):
        attention._attend(*[torch.zeros(1, 2, 1, 8)] * 3, attn_mask=torch.ones(1, 1, 2, 2))
