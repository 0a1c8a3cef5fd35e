"""Seconds per denoising step of VACE on a clip of 81 frames of 832x480: diffusers as it is, against ours.

`python benchmarks/edit_speed.py --out figures.jsonl [--sizes 1.3B,14B] [--small]` on a machine with a GPU; random
weights of the published sizes, made in memory. Ours: `actors.models.wan_vace.accelerate`, exact but for rounding; and a
tube of a quarter of the frame; and the approximation `guidance_every = 2`, whose latents are
compared with those of all passes. The text encoder is left out (its answer is given), and pictures are not decoded:
neither belongs to a step.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanVACEPipeline, WanVACETransformer3DModel
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actors.models.wan_vace import GUIDANCE, SMALL_SHIFT, accelerate, keep_guidance

SIZES: dict[str, dict[str, Any]] = {
    "1.3B": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30, "vace_layers": list(range(0, 30, 2))},
    "14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40, "vace_layers": list(range(0, 40, 5))},
    "tiny": {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 32, "num_layers": 2, "vace_layers": [0]},
}
"""Published configurations (convert_wan_to_diffusers), and one to try the benchmark out with."""

FRAME, TUBE = (480, 832), (240, 416)
STEPS = 4  # timed; one more comes before, in which kernels are chosen
COMPARED = {"14B": STEPS + 1}  # steps after which the approximation is compared, for want of time; others: 21
TEXT = 4096  # width of the text encoder's answer


def pipeline_of(size: str) -> WanVACEPipeline:
    """With random weights: zeros would run quicker."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(where):
        transformer = WanVACETransformer3DModel(**SIZES[size])
    torch.set_default_dtype(torch.float32)
    with torch.device(where):
        vae = AutoencoderKLWan(base_dim=8 if size == "tiny" else 96)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=SMALL_SHIFT
    )
    parts = {"tokenizer": None, "text_encoder": None, "transformer_2": None}
    pipeline = WanVACEPipeline(vae=vae.eval(), scheduler=scheduler, transformer=transformer.eval(), **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(
    pipeline: WanVACEPipeline, frame: tuple[int, int], num_frames: int, steps: int = STEPS + 1
) -> tuple[list[float], torch.Tensor]:
    """Seconds of each step after the first, and the latents that came out."""
    height, width = frame
    rng = np.random.default_rng(0)
    video = [PillowImage.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)) for _ in range(num_frames)]
    hole = np.zeros((height, width), np.uint8)
    hole[height // 4 : -height // 4, width // 4 : -width // 4] = 255
    where = pipeline.transformer.device
    drawn = [torch.randn(1, 512, TEXT, generator=torch.Generator().manual_seed(number)) for number in (0, 1)]
    text = [each.to(where, torch.bfloat16) for each in drawn]
    moments: list[float] = []

    def note(_pipeline: Any, _step: int, _time: Any, kept: dict[str, Any]) -> dict[str, Any]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        moments.append(time.perf_counter())
        return kept

    latents = pipeline(
        prompt_embeds=text[0],
        negative_prompt_embeds=text[1],
        video=video,
        mask=[PillowImage.fromarray(hole)] * num_frames,
        height=height,
        width=width,
        num_frames=num_frames,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        generator=torch.Generator("cpu").manual_seed(0),
        callback_on_step_end=note,
        output_type="latent",
    ).frames
    return np.diff(moments).tolist(), latents.float().cpu()


def measure(size: str, small: bool, out: Path) -> None:
    def tell(what: str, **figures: Any) -> None:
        line = json.dumps({"size": size, "what": what, **figures})
        print(line, flush=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    frame, tube, count = ((64, 96), (32, 48), 5) if small else (FRAME, TUBE, 81)
    pipeline = pipeline_of(size)
    plain, wanted = run(pipeline, frame, count)
    tell("plain", seconds_per_step=float(np.median(plain)))
    small_plain, _ = run(pipeline, tube, count)
    tell("plain, tube", seconds_per_step=float(np.median(small_plain)))
    if torch.cuda.is_available():
        accelerate(pipeline)
    began = time.perf_counter()
    ours, latents = run(pipeline, frame, count)
    spent = time.perf_counter() - began
    tell("ours", seconds_per_step=float(np.median(ours)), difference=_difference(latents, wanted), first_call=spent)
    steps = COMPARED.get(size, 21)  # odd: as many with as without the second pass, after the first
    exact, wanted = (ours, latents) if steps == STEPS + 1 else run(pipeline, frame, count, steps)
    keep_guidance(pipeline, every=2)
    half, latents = run(pipeline, frame, count, steps)
    del pipeline.transformer.forward  # the class's own again
    figures = {"seconds_per_step": float(np.mean(half)), "exact_seconds_per_step": float(np.mean(exact))}
    tell("guidance_every 2", steps=steps, difference=_difference(latents, wanted), **figures)
    tubed, _ = run(pipeline, tube, count)
    tell("ours, tube", seconds_per_step=float(np.median(tubed)))
    if torch.cuda.is_available():
        tell("memory", gib=torch.cuda.max_memory_reserved() / 2**30)


def _difference(latents: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference, as a share of that of the values."""
    return float((latents - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--sizes", default="1.3B,14B")
    parser.add_argument("--small", action="store_true", help="a tiny model and clip, on any machine")
    options = parser.parse_args()
    for size in ["tiny"] if options.small else options.sizes.split(","):
        measure(size, options.small, options.out)


if __name__ == "__main__":
    main()
