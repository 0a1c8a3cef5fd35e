"""`recast models` against a hub on the loopback: what is fetched, resumed, compared, refused."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from cluster.weights import needed
from pipeline.models import rows, weights_of
from schemas.config import Profile, RoleConfig
from tests.models.hub_server import COMMIT, Hub, serving

FAKED = Path(__file__).parents[1] / "pipeline" / "faked"

MODEL, PIPELINE, HEADS = "org/model", "org/pipeline", "org/heads"
PROFILE = f"""
name = "mine"
[roles.vlm]
implementation = "faked:Loaded"
model = "{MODEL}"
revision = "{COMMIT}"
[roles.image_editor]
implementation = "faked:Loaded"
model = "{PIPELINE}"
[roles.quality]
implementation = "faked:Headed"
options = {{ head = "{HEADS}", head_revision = "{COMMIT}", head_file = "head.pth" }}
"""
WEIGHTS = bytes(range(256)) * 4096


@pytest.fixture
def hub():
    hub = Hub()
    hub.files[MODEL] = {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"pickled",
        "README.md": b"a card",
        "onnx/model.safetensors": b"elsewhere",
        "modeling.py": b"code",
    }
    hub.files[PIPELINE] = {
        "model_index.json": b"{}",
        "single-file.safetensors": b"everything again",
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": b"the vae",
        "vae/diffusion_pytorch_model.fp16.safetensors": b"the vae in half",
        "tokenizer/merges.txt": b"a b",
    }
    hub.files[HEADS] = {"head.pth": b"a head", "other.pth": b"another head"}
    return hub


@pytest.fixture
def recast_at(hub, tmp_path, recast):
    (tmp_path / "mine.toml").write_text(PROFILE)
    with serving(hub) as address:

        def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            settings = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
            settings |= {"PYTHONPATH": os.pathsep.join([str(FAKED), os.environ.get("PYTHONPATH", "")])}
            settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": "", "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
            return recast("models", *arguments, "--profile", tmp_path / "mine.toml", **{**settings, **environment})

        yield run


def fetched(tmp_path: Path) -> set[str]:
    snapshots = (tmp_path / "cache").glob("models--*/snapshots/*")
    return {str(path.relative_to(folder)) for folder in snapshots for path in folder.rglob("*") if path.is_file()}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_only_what_loading_takes_is_fetched_and_then_nothing_more(hub, recast_at, tmp_path):
    done = recast_at("pull")
    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path) == {
        *("config.json", "model.safetensors", "head.pth", "model_index.json"),
        *("vae/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"),
    }
    assert f"whole at {COMMIT}; not pinned" in done.stderr  # the pipeline, which has no revision
    before = hub.sent.copy()
    assert recast_at("pull").returncode == 0
    assert recast_at("pull", HF_HUB_OFFLINE="1").returncode == 0
    assert hub.sent == before
    listed = json.loads(recast_at("list", "--json", HF_HUB_OFFLINE="1").stdout)
    assert {(row["model"], row["cached"]) for row in listed} == {
        (MODEL, "complete"),
        (PIPELINE, "complete"),
        (HEADS, "complete"),
    }
    checked = recast_at("check")
    assert checked.returncode == 0, checked.stdout


def test_a_download_that_breaks_off_goes_on_where_it_was(hub, recast_at, tmp_path):
    large = hub.files[MODEL]["model.safetensors"] = WEIGHTS * 24  # the client keeps whole chunks of 10 MiB
    hub.cut = {"model.safetensors"}
    for _ in range(2):  # the client may go on by itself
        done = recast_at("pull")
    assert done.returncode == 0, done.stderr
    assert len(large) < hub.sent["model.safetensors"] < 1.2 * len(large)


def test_damage_is_found_deleted_and_mended_by_the_next_pull(recast_at, tmp_path):
    recast_at("pull")
    [weights] = (tmp_path / "cache").glob(f"models--org--model/snapshots/{COMMIT}/model.safetensors")
    blob = weights.resolve()
    blob.write_bytes(WEIGHTS[:-1] + b"\0")
    done = recast_at("pull")
    assert done.returncode == 1
    assert "damaged and deleted: model.safetensors" in one_line(done)
    assert "org/model is incomplete" in recast_at("check").stdout
    assert recast_at("pull").returncode == 0
    assert weights.read_bytes() == WEIGHTS


def test_two_pulls_at_once_fetch_everything_once(hub, recast_at):
    done = []
    pulls = [threading.Thread(target=lambda: done.append(recast_at("pull"))) for _ in range(2)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    assert [each.returncode for each in done] == [0, 0]
    assert hub.sent["model.safetensors"] == len(WEIGHTS)


def test_a_gated_model_is_one_line_without_a_token_and_opens_with_one(hub, recast_at):
    hub.gated = {MODEL}
    done = recast_at("pull")
    assert done.returncode == 2
    assert "org/model is gated by the hub" in one_line(done)
    assert recast_at("pull", HF_TOKEN="hf_" + "x" * 34).returncode == 0


def test_a_model_that_is_not_there_is_one_line(hub, recast_at):
    del hub.files[MODEL]
    done = recast_at("pull")
    assert done.returncode == 2
    assert "org/model is not on the hub" in one_line(done)


def test_pickles_alone_are_refused(hub, recast_at):
    del hub.files[MODEL]["model.safetensors"]
    done = recast_at("pull")
    assert done.returncode == 2
    assert "org/model has no safetensors" in one_line(done)


@pytest.mark.parametrize(
    ("environment", "why"),
    [({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"), ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be")],
)
def test_no_network_is_one_line_and_check_says_what_is_absent(recast_at, environment, why):
    done = recast_at("pull", **environment)
    assert done.returncode == 2
    assert why in one_line(done)
    checked = recast_at("check", **environment)
    assert checked.returncode == 1
    assert "vlm: org/model is absent in the cache; recast models pull gets it" in checked.stdout


def test_what_an_endpoint_serves_is_not_fetched():
    role = RoleConfig(implementation="a:B", model="served", options={"base_url": "http://127.0.0.1:8000/v1"})
    assert weights_of(role) == []


def test_a_local_folder_is_here_or_not(tmp_path):
    roles = {"vlm": RoleConfig(implementation="a:B", model=str(tmp_path))}
    roles["depth"] = RoleConfig(implementation="a:B", model=str(tmp_path / "none"))
    assert [row.cached for row in rows([Profile(name="x", roles=roles)])] == ["complete", "absent"]


def test_shards_and_their_index_are_needed_and_other_copies_are_not():
    paths = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert needed([*paths, "consolidated.safetensors", "sam2.1_hiera_large.pt", "tf_model.h5"]) == sorted(paths)
