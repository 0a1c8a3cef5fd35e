"""Manifests for KubeRay: a RayCluster, and the RayJob that brings one up, runs a command in it and takes it down."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.local import ENVIRONMENT
from schemas.errors import UserError

FILES_FOLDER = "/etc/recast"
"""Where the files a command carries are mounted."""

MAX_CONFIG_MAP_BYTES = 900_000
"""Kubernetes takes a MiB for the whole object; binary content grows by a third."""

NUM_SUBMISSIONS_AGAIN = 2
"""By the submitter, of a job that a head that came back does not know: it goes on from what is committed."""

SECONDS_TO_LOOK = 600
"""How long a finished cluster stays, for its logs and dashboard."""

TERMINATION_SECONDS = 60
"""A node that is taken away has this long; a run seals and commits within 25 s."""

HEAD_CPUS, HEAD_MEMORY_GB = 2, 8  # the driver, the ledger and Ray's own services
_USER = {"runAsUser": 1000, "runAsGroup": 100, "fsGroup": 100, "runAsNonRoot": True}  # `ray` of the images
_NO_PRIVILEGES = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@dataclass(frozen=True)
class ClusterPlan:
    """What a cluster consists of.

    cpus, memory_gb (GiB): of each worker node; num_workers: nodes without a GPU; secret: a Kubernetes Secret whose keys
    become variables (AWS credentials); service_account: the pods', for a cloud's roles; token_secret: one whose key
    `auth_token` protects the cluster, "" = KubeRay makes one; claim: (volume claim, mount path).
    """

    name: str
    namespace: str
    image: str
    ray_version: str
    num_workers: int
    num_gpu_nodes: int
    gpus_per_node: int
    cpus: int
    memory_gb: int
    object_store_mb: int
    environment: Mapping[str, str]
    secret: str = ""
    service_account: str = ""
    token_secret: str = ""
    claim: tuple[str, str] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def files_name(self) -> str:
        return f"{self.name}-files"


def metadata(plan: ClusterPlan, name: str | None = None) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "recast", "app.kubernetes.io/instance": plan.name}
    return {"name": name or plan.name, "namespace": plan.namespace, "labels": labels}


def files_map(plan: ClusterPlan) -> list[dict[str, Any]]:
    """The ConfigMap with what the command carries; [] when it carries nothing. Raises UserError for too much."""
    if not plan.files:
        return []
    if sum(map(len, plan.files.values())) > MAX_CONFIG_MAP_BYTES:
        raise UserError(
            "the files this command names do not fit a Kubernetes ConfigMap (900 kB): put them where the cluster can "
            "read them, and name them by that place"
        )
    content = {name: base64.b64encode(data).decode() for name, data in plan.files.items()}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(plan, plan.files_name), "binaryData": content}
    ]


def ray_cluster(plan: ClusterPlan) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": metadata(plan),
        "spec": cluster_spec(plan),
    }


def ray_job(plan: ClusterPlan, entrypoint: str, deadline_hours: float) -> dict[str, Any]:
    """entrypoint: one shell command, run on the head."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(plan),
        "spec": job_spec(plan, entrypoint, deadline_hours),
    }


def job_spec(plan: ClusterPlan, entrypoint: str, deadline_hours: float) -> dict[str, Any]:
    return {
        "entrypoint": entrypoint,
        "submissionMode": "K8sJobMode",
        "submitterConfig": {"backoffLimit": NUM_SUBMISSIONS_AGAIN},
        # KubeRay cannot tell a command that failed from one that was killed. Run again, the command would find what
        # failed settled, and succeed.
        "backoffLimit": 0,
        "activeDeadlineSeconds": max(1, round(deadline_hours * 3600)),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": SECONDS_TO_LOOK,
        "rayClusterSpec": cluster_spec(plan),
    }


def cluster_spec(plan: ClusterPlan) -> dict[str, Any]:
    token = {"secretName": plan.token_secret} if plan.token_secret else {}
    groups = [("cpu", plan.num_workers, 0), ("gpu", plan.num_gpu_nodes, plan.gpus_per_node)]
    return {
        "rayVersion": plan.ray_version,
        "authOptions": {"mode": "token", **token},
        "headGroupSpec": {
            # The head keeps the driver and the ledger, and no worker that could starve them. KubeRay and the submitter
            # ask its dashboard from other pods; the token protects it.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0", **_object_store(plan)},
            "template": _pod(plan, "ray-head", HEAD_CPUS, HEAD_MEMORY_GB, 0),
        },
        "workerGroupSpecs": [
            {
                "groupName": name,
                # Ray does not scale pools of models by itself, and a run fits its models to the GPUs it finds.
                "replicas": count,
                "minReplicas": count,
                "maxReplicas": count,
                "rayStartParams": _object_store(plan),
                "template": _pod(plan, "ray-worker", plan.cpus, plan.memory_gb, gpus),
            }
            for name, count, gpus in groups
            if count
        ],
    }


def _object_store(plan: ClusterPlan) -> dict[str, str]:
    return {"object-store-memory": str(plan.object_store_mb << 20)}


def _pod(plan: ClusterPlan, container: str, cpus: int, memory_gb: int, gpus: int) -> dict[str, Any]:
    resources = {"cpu": str(cpus), "memory": f"{memory_gb}Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    mounts, volumes = _volumes(plan)
    variables = {**ENVIRONMENT, **plan.environment}
    # Of this machine's CPUs; Ray takes a node's own without it.
    variables.pop("RAY_worker_maximum_startup_concurrency")
    spec: dict[str, Any] = {
        "name": container,
        "image": plan.image,
        "env": [{"name": name, "value": value} for name, value in sorted(variables.items())],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": _NO_PRIVILEGES,
    }
    if plan.secret:
        spec["envFrom"] = [{"secretRef": {"name": plan.secret}}]
    if mounts:
        spec["volumeMounts"] = mounts
    pod: dict[str, Any] = {
        "containers": [spec],
        "securityContext": {**_USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "automountServiceAccountToken": False,  # nothing in them asks Kubernetes; a cloud's roles do not need it
    }
    if plan.service_account:
        pod["serviceAccountName"] = plan.service_account
    if volumes:
        pod["volumes"] = volumes
    return {"metadata": {"labels": metadata(plan)["labels"]}, "spec": pod}


def _volumes(plan: ClusterPlan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    if plan.claim:
        claim, path = plan.claim
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "shared", "mountPath": path})
    if plan.files:
        volumes.append({"name": "files", "configMap": {"name": plan.files_name}})
        mounts.append({"name": "files", "mountPath": FILES_FOLDER, "readOnly": True})
    return mounts, volumes
