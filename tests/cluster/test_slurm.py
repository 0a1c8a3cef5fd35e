"""The batch script, linted, and run where srun, ray and the nodes are played by small programs."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.slurm import Allocation, batch_script

ALLOCATION = Allocation("nightly", 2, 16, 64, 4, 12.0, 512)

PROGRAMS = {
    # Remembers what it was asked to start, and stays as `ray start --block` does.
    "srun": '#!/bin/bash\nprintf "%s\\n" "$*" >>"$STATE/srun"\nexec sleep 600\n',
    "hostname": "#!/bin/bash\necho 192.0.2.7\n",
    # The nodes are up once as many were asked for.
    "timeout": "#!/bin/bash\nfor _ in $(seq 200); do\n"
    '  [ "$(wc -l <"$STATE/srun")" -ge "$SLURM_JOB_NUM_NODES" ] && break\n'
    "  sleep 0.05\ndone\nexit ${NODES_MISSING:-0}\n",
    "recast": '#!/bin/bash\nprintf "%s\\0" "$@" >"$STATE/words"\nenv >"$STATE/env"\nexit ${CODE:-0}\n',
    "slow": "#!/bin/bash\ntrap 'echo committed; exit 130' TERM\nkill -TERM $PPID\nwhile :; do sleep 0.1; done\n",
}


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    (tmp_path / "state").mkdir()
    return tmp_path


def run(nodes: Path, words: list[str], num_nodes: int = 2, **more: str) -> subprocess.CompletedProcess[str]:
    script = batch_script(ALLOCATION, words, {"AWS_REGION": "eu central'1"}, str(Path(sys.executable).parent))
    environment = {
        "PATH": f"{nodes}{os.pathsep}{os.environ['PATH']}",
        "STATE": str(nodes / "state"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": str(num_nodes),
        "SLURM_CPUS_PER_TASK": "16",
        "SLURMD_NODENAME": "node-1",
        **more,
    }
    script = script.replace(f"PATH={Path(sys.executable).parent}:$PATH\n", "")  # or the real programs come first
    return subprocess.run(
        ["bash", "-c", script], env=environment, cwd=nodes, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_script_is_sound():
    script = batch_script(ALLOCATION, ["recast", "build", "a b"], {"A": "b c"}, "/opt/bin")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("shellcheck")), "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_asks_for_what_the_plan_says():
    script = batch_script(ALLOCATION, ["recast"], {}, "/opt/bin")
    asked = {line for line in script.splitlines() if line.startswith("#SBATCH")}
    assert {"#SBATCH --nodes=2", "#SBATCH --mem=64G", "#SBATCH --gpus-per-node=4", "#SBATCH --time=720"} <= asked


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_it_ends_as_its_command_does(nodes, code):
    done = run(nodes, ["recast", "build"], CODE=str(code))
    assert done.returncode == code, done.stderr


def test_the_command_finds_the_cluster_and_its_token(nodes):
    run(nodes, ["recast"])
    found = dict(line.split("=", 1) for line in (nodes / "state" / "env").read_text().splitlines() if "=" in line)
    assert found["RAY_ADDRESS"] == "192.0.2.7:24711"
    assert found["RAY_AUTH_MODE"] == "token"
    assert len(found["RAY_AUTH_TOKEN"]) == 64
    assert found["AWS_REGION"] == "eu central'1"


def test_one_head_and_all_others_are_started(nodes):
    run(nodes, ["recast"])
    head, workers = sorted((nodes / "state" / "srun").read_text().splitlines(), key=lambda line: "--exclude" in line)
    assert "--nodelist=node-1 ray start --block" in head
    assert "--head --node-ip-address=192.0.2.7 --port=24711" in head
    assert "--nodes=1 --ntasks=1 --overlap --exclude=node-1" in workers
    assert "--address=192.0.2.7:24711" in workers


def test_one_node_is_its_own_head(nodes):
    run(nodes, ["recast"], num_nodes=1)
    assert len((nodes / "state" / "srun").read_text().splitlines()) == 1


def test_nothing_is_run_when_nodes_are_missing(nodes):
    done = run(nodes, ["recast"], NODES_MISSING="124")
    assert done.returncode == 1
    assert "did not come up on 2 nodes" in done.stderr
    assert not (nodes / "state" / "words").exists()


def test_the_time_limit_lets_the_command_commit(nodes):
    done = run(nodes, ["slow"])
    assert (done.returncode, done.stdout) == (130, "committed\n")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=3))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_argument_survives_the_script(nodes, words):
    run(nodes, ["recast", *words])
    assert (nodes / "state" / "words").read_bytes().decode().split("\0")[:-1] == words
