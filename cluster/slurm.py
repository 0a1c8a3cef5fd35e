"""A batch script for Slurm: a Ray cluster on the nodes of the allocation, one command in it, and its exit code."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WARNING_SECONDS = 120
"""Before the time limit the command is told to end; it commits what is done within 25 s."""


@dataclass(frozen=True)
class Allocation:
    """num_nodes, and of each: cpus, memory_gb (GiB), gpus; hours: the time limit."""

    name: str
    num_nodes: int
    cpus: int
    memory_gb: int
    gpus: int
    hours: float
    object_store_mb: int


_START_RAY = r"""
# Others share these nodes and their network: no door without a token, and ports that are this job's.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
port=$((20000 + SLURM_JOB_ID % 10000))
RAY_ADDRESS="$(hostname --ip-address | awk '{print $1}'):$port"
export RAY_AUTH_MODE RAY_AUTH_TOKEN
start=(ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK"
  --object-store-memory="$object_store" --temp-dir="/tmp/ray-$SLURM_JOB_ID")

ray=()
trap 'kill "${ray[@]}" 2>/dev/null || true' EXIT

# This script runs on the first node of the allocation: the head is here.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$SLURMD_NODENAME" "${start[@]}" --head \
  --node-ip-address="${RAY_ADDRESS%:*}" --port="$port" --include-dashboard=false >"ray-$SLURM_JOB_ID.log" 2>&1 &
ray+=($!)
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  # They knock until the head is there; what stands between the quotes is for their shell.
  # shellcheck disable=SC2016
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --overlap \
    --exclude="$SLURMD_NODENAME" \
    bash -c 'until (: <"/dev/tcp/$0/$1"); do sleep 2; done 2>/dev/null; shift; exec "$@"' \
    "${RAY_ADDRESS%:*}" "$port" "${start[@]}" --address="$RAY_ADDRESS" >>"ray-$SLURM_JOB_ID.log" 2>&1 &
  ray+=($!)
fi
export RAY_ADDRESS
if ! timeout 600 python - "$SLURM_JOB_NUM_NODES" 2>>"ray-$SLURM_JOB_ID.log" <<'WAIT'
import sys, time
import ray
while True:
    try:
        ray.init(ignore_reinit_error=True, logging_level="ERROR", log_to_driver=False)
        if sum(node["Alive"] for node in ray.nodes()) >= int(sys.argv[1]):
            break
    except Exception as error:
        print(error, file=sys.stderr)
    time.sleep(2)
WAIT
then
  echo "Ray did not come up on $SLURM_JOB_NUM_NODES nodes: see ray-$SLURM_JOB_ID.log" >&2
  exit 1
fi

"""

_WAIT = r"""
command=$!
trap 'kill -TERM "$command"' TERM INT
status=0
wait "$command" || status=$?
while kill -0 "$command" 2>/dev/null; do # a signal ended the wait, not the command
  status=0
  wait "$command" || status=$?
done
exit "$status"
"""


def batch_script(allocation: Allocation, words: Sequence[str], environment: Mapping[str, str], path: str) -> str:
    """The text of the script. words: the command; path: folder of `ray` and `python`, which all nodes share."""
    return f"{_header(allocation)}{_settings(allocation, environment, path)}{_START_RAY}{shlex.join(words)} &{_WAIT}"


def _header(allocation: Allocation) -> str:
    gpus = f"#SBATCH --gpus-per-node={allocation.gpus}\n" if allocation.gpus else ""
    return f"""\
#!/bin/bash
#SBATCH --job-name={allocation.name}
#SBATCH --nodes={allocation.num_nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={allocation.cpus}
#SBATCH --mem={allocation.memory_gb}G
{gpus}#SBATCH --time={max(1, round(allocation.hours * 60))}
#SBATCH --signal=B:TERM@{WARNING_SECONDS}
#SBATCH --requeue
"""


def _settings(allocation: Allocation, environment: Mapping[str, str], path: str) -> str:
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    return f"""\
set -euo pipefail
PATH={shlex.quote(path)}:$PATH
{variables}object_store={allocation.object_store_mb << 20}
"""
