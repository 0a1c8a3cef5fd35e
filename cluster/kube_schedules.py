"""A RayJob every night: as a Kubernetes CronJob, or as KubeRay's own RayCronJob, which is alpha.

A CronJob's `concurrencyPolicy: Forbid` looks at its pod. A pod that only created the RayJob would be gone in a second,
and the next night would start beside a run that is not over. So the pod stays until its RayJob has ended, and is found
again by its name when it was moved to another node.
"""

from typing import Any

import yaml

from cluster.cron import Schedule
from cluster.kuberay import ClusterPlan, files_map, job_spec, metadata, ray_job

KUBECTL_IMAGE = "alpine/k8s:1.31.3"
"""Any image with a shell and kubectl does."""

MAX_NAME = 36
"""KubeRay takes 47 characters for a RayJob, and a schedule adds the time to its own name."""

MISSED_SECONDS = 3600  # a start missed by more than this, e.g. because the last run took that long, is left out
POLL_SECONDS = 30
FAILED = 42  # of the script: the run has failed; anything else means that the pod has
RUN_NAME = "__RUN_NAME__"
RUN_UID = "__RUN_UID__"

SCRIPT = f"""\
# Create the RayJob of this run unless it is there (this pod may be the second of its Job), and stay until it has ended.
set -eu
trap 'exit 143' TERM
state='jsonpath={{.metadata.name}}/{{.status.jobDeploymentStatus}}/{{.status.jobStatus}}'
run() {{ kubectl get rayjob "$RUN" --ignore-not-found -o "$state"; }}
pause() {{ sleep {POLL_SECONDS} & wait $!; }}
found=$(run)
if [ -z "$found" ]; then
  sed -e "s/^  name: {RUN_NAME}$/  name: $RUN/" -e "s/^    name: {RUN_NAME}$/    name: $RUN/" \\
    -e "s/^    uid: {RUN_UID}$/    uid: $RUN_UID/" /recast/rayjob.yaml | kubectl create -f -
fi
while :; do
  found=$(run) || {{ echo 'Kubernetes does not answer; asking again'; pause; continue; }}
  case "$found" in
    */Complete/SUCCEEDED) echo "$RUN has succeeded"; exit 0 ;;
    */Complete/* | */Failed/*) echo "$RUN has failed: $found"; exit {FAILED} ;;
    '') echo "$RUN was deleted"; exit {FAILED} ;;
  esac
  pause
done
"""


def cron_job(plan: ClusterPlan, entrypoint: str, schedule: Schedule, deadline_hours: float) -> list[dict[str, Any]]:
    """CronJob, what it may do, and what it creates, in the order in which they are applied."""
    account = f"{plan.name}-schedule"
    run = ray_job(plan, entrypoint, deadline_hours)
    # Owned by the Job of its night: it goes when the history does.
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": RUN_NAME, "uid": RUN_UID}
    run["metadata"] = {**run["metadata"], "name": RUN_NAME, "ownerReferences": [owner]}
    content = {"run.sh": SCRIPT, "rayjob.yaml": to_yaml([run])}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(plan, account)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata(plan, account),
            "rules": [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(plan, account),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": plan.namespace}],
        },
        *files_map(plan),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(plan, account), "data": content},
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": metadata(plan),
            "spec": {
                "schedule": schedule.cron,
                "timeZone": schedule.timezone or "Etc/UTC",
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": MISSED_SECONDS,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {"spec": _job_of(plan, account)},
            },
        },
    ]


def ray_cron_job(plan: ClusterPlan, entrypoint: str, schedule: Schedule, deadline_hours: float) -> list[dict[str, Any]]:
    return [
        *files_map(plan),
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCronJob",
            "metadata": metadata(plan),
            "spec": {
                "schedule": schedule.cron,
                "timeZone": schedule.timezone or "Etc/UTC",
                "jobTemplate": job_spec(plan, entrypoint, deadline_hours),
            },
        },
    ]


def to_yaml(documents: list[dict[str, Any]]) -> str:
    """Documents in order, long strings unfolded, nothing by reference."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=10**6, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Lines as a block; what YAML 1.1 breaks lines at besides, escaped: elsewhere it comes back as a space."""
    style = '"' if set(text) & set("\x85\u2028\u2029") else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _string)


def _job_of(plan: ClusterPlan, account: str) -> dict[str, Any]:
    def from_label(name: str, label: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}

    container = {
        "name": "schedule",
        "image": KUBECTL_IMAGE,
        "command": ["/bin/sh", "/recast/run.sh"],
        "env": [
            from_label("RUN", "batch.kubernetes.io/job-name"),
            from_label("RUN_UID", "batch.kubernetes.io/controller-uid"),
            {"name": "HOME", "value": "/tmp"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "recast", "mountPath": "/recast", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "recast", "configMap": {"name": account}}, {"name": "tmp", "emptyDir": {}}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "backoffLimit": 6,
        # The script's own verdict is final; a pod that was evicted, or could not reach Kubernetes, is made anew.
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "schedule", "operator": "In", "values": [FAILED]},
                }
            ]
        },
        "template": {"metadata": {"labels": metadata(plan)["labels"]}, "spec": pod},
    }
