"""What is printed for Kubernetes holds against the schemas of Kubernetes and KubeRay, and says what was asked."""

import base64
import functools
import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from cluster.cron import Schedule
from cluster.kube_schedules import FAILED, SCRIPT, cron_job, ray_cron_job, to_yaml
from cluster.kuberay import FILES_FOLDER, ClusterPlan, files_map, ray_cluster, ray_job
from pipeline.cli import app
from pipeline.remote_command import parse

SHELLCHECK = Path(sys.executable).with_name("shellcheck")

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY.parent / "shared" / "crds"
KUBERNETES = "1.34"
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)

PLAN = ClusterPlan(
    name="nightly",
    namespace="video",
    image="recast:gpu",
    ray_version="2.60.0",
    num_workers=2,
    num_gpu_nodes=3,
    gpus_per_node=4,
    cpus=16,
    memory_gb=64,
    object_store_mb=512,
    environment={"AWS_REGION": "eu-central-1"},
    secret="aws",
    service_account="recast",
    token_secret="token",
    claim=("videos", "/data"),
    files={"0-profile.toml": b'name = "mine"\n'},
)
NIGHTLY = Schedule("0 3 * * *", "Europe/Berlin")


@functools.cache
def crd(kind: str) -> Draft7Validator:
    """The schema of the stored version, with every object closed: a field it does not know is an error, as Kubernetes
    has it with strict validation."""
    path = CRDS / f"ray.io_{kind.lower()}s.yaml"
    if not path.is_file():
        pytest.skip(f"no CRD at {path}")
    versions = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)["spec"]["versions"]
    schema = next(version for version in versions if version["name"] == "v1")["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}
    schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
    return Draft7Validator(closed(schema))


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(value) for name, value in schema.items()}
    if isinstance(result.get("properties"), dict) and not result.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if result.pop("x-kubernetes-int-or-string", False):
        result.pop("type", None)
    return result


def check(document: dict[str, Any]) -> None:
    if document["apiVersion"] == "ray.io/v1":
        crd(document["kind"]).validate(document)
        spec = document["spec"]
        job = spec.get("jobTemplate", spec)
        cluster = job.get("rayClusterSpec", job)
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": group["template"]["spec"]}
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


ALL = {
    "raycluster": [ray_cluster(PLAN)],
    "rayjob": [*files_map(PLAN), ray_job(PLAN, "python -m pipeline.cli build", 12)],
    "cronjob": cron_job(PLAN, "python -m pipeline.cli build", NIGHTLY, 12),
    "raycronjob": ray_cron_job(PLAN, "python -m pipeline.cli build", NIGHTLY, 12),
}


@pytest.mark.parametrize("name", ALL)
def test_manifests_hold_against_the_schemas(name):
    for document in yaml.safe_load_all(to_yaml(ALL[name])):
        check(document)


@pytest.mark.parametrize("name", ALL)
def test_a_typing_error_in_a_manifest_would_be_found(name):
    document = json.loads(json.dumps(ALL[name][-1]))
    document["spec"]["scedule"] = "x"
    with pytest.raises((ValidationError, kubernetes_validate.ValidationError)):
        check(document)


def test_the_rayjob_that_a_cronjob_creates_holds_too():
    (text,) = (each["data"]["rayjob.yaml"] for each in ALL["cronjob"] if "data" in each)
    document = yaml.safe_load(text)
    check(document)
    assert document["metadata"]["ownerReferences"][0]["kind"] == "Job"


def test_no_run_starts_beside_another_one():
    cron = ALL["cronjob"][-1]
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron["spec"]["timeZone"] == "Europe/Berlin"


def test_what_a_cluster_needs_is_in_it():
    spec = ray_job(PLAN, "x", 12)["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["shutdownAfterJobFinishes"]) == (0, 43200, True)
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "token"}
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    cpu, gpu = cluster["workerGroupSpecs"]
    (container,) = gpu["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "4"}
    assert container["envFrom"] == [{"secretRef": {"name": "aws"}}]
    assert (cpu["replicas"], gpu["replicas"]) == (2, 3)
    assert {"name": "AWS_REGION", "value": "eu-central-1"} in container["env"]
    assert FILES_FOLDER in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert base64.b64decode(files_map(PLAN)[0]["binaryData"]["0-profile.toml"]) == b'name = "mine"\n'


@given(PRINTABLE, PRINTABLE)
@example("\x85", "\u2028 \u2029\n")
def test_any_argument_survives_the_entrypoint_and_the_yaml(source, category):
    words = ["build", f"--category={category}", "--", source]
    document = yaml.safe_load(to_yaml([ray_job(PLAN, shlex.join(words), 1)]))
    assert shlex.split(document["spec"]["entrypoint"]) == words


@given(st.lists(PRINTABLE.filter(bool), min_size=1, max_size=3), PRINTABLE, st.booleans())
def test_a_rewritten_command_line_means_the_same(sources, category, sync):
    root = typer.main.get_command(app)
    words = [
        "--out",
        "/o",
        f"--category={category}",
        *(["--sync"] if sync else []),
        "--",
        *(f"s3://{s}" for s in sources),
    ]
    once = parse(root, "build", words)
    verb, *rewritten = once.arguments("inputs")
    again = parse(root, verb, rewritten)
    assert again.given == once.given
    assert again.given["sources"] == [f"s3://{source}" for source in sources]
    assert again.given["category"] == category


# -- the script of the CronJob's pod, with a kubectl that plays Kubernetes

KUBECTL = """#!/bin/bash
# State: a folder; `get` prints the next line of `answers` once the RayJob exists; "error" fails.
set -eu
cd "$STATE"
case "$1" in
  create) cat >created.yaml; echo x >>creations ;;
  get)
    [ -e created.yaml ] || exit 0
    line=$(head -n 1 answers); sed -i 1d answers
    [ "$line" = error ] && exit 1
    printf '%s' "$line" ;;
esac
"""


def run_script(tmp_path: Path, answers: list[str], exists: bool = False) -> subprocess.CompletedProcess[str]:
    """The script with its manifest, without its pauses."""
    state = tmp_path / "state"
    (tmp_path / "bin").mkdir()
    state.mkdir()
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    (state / "answers").write_text("".join(f"{line}\n" for line in answers))
    if exists:
        (state / "created.yaml").write_text("")
    (manifest,) = (each["data"]["rayjob.yaml"] for each in ALL["cronjob"] if "data" in each)
    (tmp_path / "rayjob.yaml").write_text(manifest)
    script = SCRIPT.replace("/recast/rayjob.yaml", str(tmp_path / "rayjob.yaml")).replace("sleep 30", "sleep 0")
    environment = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "STATE": str(state),
        "RUN": "nightly-29",
        "RUN_UID": "0f3c",
    }
    return subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["nightly-29//", "nightly-29/Running/RUNNING", "nightly-29/Complete/SUCCEEDED"], 0),
        (["nightly-29/Running/RUNNING", "error", "nightly-29/Complete/SUCCEEDED"], 0),
        (["nightly-29/Failed/FAILED"], FAILED),
        (["nightly-29/Complete/STOPPED"], FAILED),
        (["nightly-29/Running/RUNNING", ""], FAILED),
    ],
)
def test_the_pod_stays_until_its_rayjob_has_ended(tmp_path, answers, code):
    done = run_script(tmp_path, answers)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "state" / "answers").read_text() == ""
    created = yaml.safe_load((tmp_path / "state" / "created.yaml").read_text())
    assert created["metadata"]["name"] == "nightly-29"
    assert created["metadata"]["ownerReferences"][0]["name"] == "nightly-29"
    assert created["metadata"]["ownerReferences"][0]["uid"] == "0f3c"
    check(created)


def test_a_second_pod_of_the_same_night_creates_no_second_rayjob(tmp_path):
    done = run_script(tmp_path, ["nightly-29/Running/RUNNING", "nightly-29/Complete/SUCCEEDED"], exists=True)
    assert done.returncode == 0
    assert not (tmp_path / "state" / "creations").exists()


def test_a_pod_that_cannot_ask_kubernetes_at_first_gives_no_verdict(tmp_path):
    done = run_script(tmp_path, ["error"], exists=True)
    assert done.returncode not in (0, FAILED)


def test_the_script_is_sound():
    assert lint(SCRIPT, "sh") == ""


def lint(script: str, shell: str) -> str:
    done = subprocess.run(
        [str(SHELLCHECK), f"--shell={shell}", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
