"""Builds with the profile `h100` as it is shipped, on tiny checkpoints: every stage and the retry loop, end to end.

vLLM needs a GPU, so role `vlm` is answered by transformers with the same model at the same revision. The weights are
random, so words are none and hardly anything passes verification; with the words of rules there are samples.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.profiles import load_profile
from cluster.weights import Weights
from pipeline.demo import make_demo_videos
from pipeline.tables import read_tables
from schemas.reasons import Reason
from tests.conftest import run_recast
from tests.models.hub import CACHE
from tests.models.published import TRANSFORMERS_VLM, publish, publish_all

pytestmark = pytest.mark.ray

OTHER_REVISION = "e" * 40
SETTINGS = [
    "roles.image_editor.options.working_pixels=16384",  # the checkpoint is tiny, a megapixel is not
    "roles.detector.options.min_score=0.72",  # at random there are boxes everywhere
    "mining.anchors_per_clip=4",
    "mining.max_pairs_per_clip=2",
    "mining.min_mask_score=0.4",  # what the untrained IoU head says of any mask is 0.44
    'captions.languages=["en"]',  # characters at random are no Chinese
    "engine.max_failed_share=1",  # dead letters are what is expected
    "engine.commit_seconds=0.2",
    "engine.seal_seconds=0.5",
]

Built = tuple[Path, subprocess.CompletedProcess[str]]


def recast(*arguments: object, cache: Path = CACHE) -> subprocess.CompletedProcess[str]:
    return run_recast(*arguments, HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")


def build(videos: Path, out: Path, *settings: str, cache: Path = CACHE) -> subprocess.CompletedProcess[str]:
    chosen = [word for setting in settings for word in ("--set", setting)]
    return recast("build", videos, "--out", out, "--profile", "h100", *chosen, "--json", cache=cache)


def query(out: Path, sql: str) -> list[dict[str, Any]]:
    return list(read_tables(out).query(sql).to_pylist())


def cache_with(models: set[str], folder: Path) -> Path:
    """A cache that holds only these models: who loads another one fails."""
    folder.mkdir()
    for model in models:
        name = f"models--{model.replace('/', '--')}"
        (folder / name).symlink_to(CACHE / name)
    return folder


def spoil(videos: Path) -> None:
    """What the videos are, unreadable, though listed like before: who decodes one fails."""
    for video in videos.glob("*.mp4"):
        known = video.stat()
        video.write_bytes(bytes(known.st_size))
        os.utime(video, ns=(known.st_atime_ns, known.st_mtime_ns))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_demo_videos(folder, names=("cup_meadow", "planet_square"))
    return folder


@pytest.fixture(scope="module")
def built(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    publish_all(["h100"])
    out = tmp_path_factory.mktemp("built") / "dataset"
    return out, build(videos, out, f"roles.vlm.implementation={TRANSFORMERS_VLM}", *SETTINGS)


@pytest.fixture
def copied(built: Built, videos: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A dataset and videos of one's own."""
    out = shutil.copytree(built[0], tmp_path / "dataset")
    return out, videos


def test_every_stage_is_reached_and_every_reject_is_honest(built):
    out, done = built
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    settled = query(out, "select phase, outcome, reason from settled")
    assert {row["phase"] for row in settled} >= {"curate", "mine", "synthesize"}
    told = [row["reason"] for row in settled if row["outcome"] != "done"]
    told += [reason for row in query(out, "select reasons from attempts") for reason in row["reasons"]]
    told += [row["reason"] for row in query(out, "select reason from rejects")]
    assert told
    assert {Reason(reason) for reason in told}.isdisjoint({Reason.INTERNAL_ERROR, Reason.POISON, Reason.MODEL_FAILED})
    assert recast("check", out).returncode == 0


def test_the_funnel_is_consistent(built):
    counts = json.loads(built[1].stdout)
    pairs = sum(counts["funnel"]["pairs"].values())
    units = sum(counts["settled"]["synthesize"].values())
    assert counts["funnel"]["sources"] == counts["funnel"]["clips"] == {"ok": 2}
    assert sum(counts["settled"]["mine"].values()) == 2
    assert pairs
    assert units >= pairs
    assert counts["settled"]["synthesize"].get("done", 0) == counts["funnel"]["samples"].get("ok", 0)


def test_attempts_are_drafted_verified_and_go_round_again(built):
    attempts = query(built[0], "select task, attempt, rung, verdict, reasons, status from attempts")
    verified = [row for row in attempts if row["verdict"]]
    assert {row["task"] for row in verified} == {"single_generation", "single_manipulation"}
    assert {row["rung"] for row in verified} == {0, 1, 2}
    assert all(len(row["reasons"]) == len(set(row["reasons"])) for row in attempts)
    last = [row for row in attempts if row["attempt"] == 2]
    assert last
    assert all(row["status"] in ("failed", "ok") for row in last)


def test_the_same_again_loads_no_model_and_decodes_nothing(copied, tmp_path):
    out, videos = copied
    kept = shutil.copytree(videos, tmp_path / "kept")
    before = query(out, "select key, fingerprint from settled order by key")
    try:
        spoil(videos)
        done = recast("build", videos, "--out", out, "--json", cache=cache_with(set(), tmp_path / "cache"))
    finally:
        for path in kept.glob("*.mp4"):
            shutil.copy2(path, videos / path.name)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["this_run"]["counts"] == {}
    assert query(out, "select key, fingerprint from settled order by key") == before


def test_another_revision_does_its_stages_again_and_words_that_say_something_make_samples(copied, tmp_path):
    out, videos = copied
    roles = load_profile("h100").roles
    publish(Weights(roles["embedder"].model, OTHER_REVISION))
    models = {roles[name].model for name in ("detector", "segmenter", "embedder", "image_editor")}
    curated = query(out, "select key, run_id from settled where phase = 'curate' order by key")
    mined = {row["run_id"] for row in query(out, "select run_id from settled where phase = 'mine'")}
    settings = [f"roles.embedder.revision={OTHER_REVISION}", "roles.vlm.implementation=vlm:RulesVlm"]
    settings += ["roles.vlm.model=", "roles.vlm.revision=", "verification.max_mask_leak=1"]
    done = build(videos, out, *settings, cache=cache_with(models, tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert query(out, "select key, run_id from settled where phase = 'curate' order by key") == curated
    assert mined.isdisjoint(row["run_id"] for row in query(out, "select run_id from settled where phase = 'mine'"))
    assert query(out, "select key from samples where status = 'ok'")
    assert recast("check", out).returncode == 0


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("recast: ") and "   " not in line]
    (line,) = [line for line in said if not line.startswith("recast: fetching")]
    return line


def test_a_model_that_is_not_there_is_one_line(videos, tmp_path):
    out = tmp_path / "dataset"
    none = cache_with(set(), tmp_path / "none")
    done = build(videos, out, f"roles.vlm.implementation={TRANSFORMERS_VLM}", cache=none)
    assert "model openai/clip-vit-large-patch14 is not whole in the cache, and HF_HUB_OFFLINE is set" in one_line(done)
    assert not out.exists()


def test_without_vllm_the_line_names_the_extra(videos, tmp_path):
    try:
        import vllm  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        pytest.skip("vLLM is installed")
    line = one_line(build(videos, tmp_path / "dataset"))
    assert "vllm" in line
    assert "recast[vllm]" in line
    assert not (tmp_path / "dataset").exists()
