"""A real Ray head with a token, on loopback, with a job server; for tests."""

import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.code import PACKAGES


@dataclass(frozen=True)
class TokenCluster:
    address: str  # of the job server
    gcs: str
    token: str
    log: Path

    def environment(self, token: str | None = None) -> dict[str, str]:
        """Of a client. token: another one than the right one; "" for none."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        token = self.token if token is None else token
        return clean | {"RAY_API_SERVER_ADDRESS": self.address, "RAY_AUTH_TOKEN": token}


def free_port() -> int:
    """Between Ray's worker ports and those the system hands out: nobody takes it before it is used."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


@contextmanager
def token_cluster() -> Iterator[TokenCluster]:
    """One node with two CPUs. Only its own processes are ended: other clusters of this machine go on."""
    token, port, dashboard = secrets.token_hex(32), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "start.log")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
        command += [f"--port={port}", f"--dashboard-port={dashboard}", "--node-ip-address=127.0.0.1"]
        command += [f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]
        command += [
            f"--temp-dir={folder}/session",
            "--object-store-memory=200000000",
            "--disable-usage-stats",
            "--include-dashboard=true",
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of the `python` that jobs call
        environment = clean | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": path}
        environment["PYTHONPATH"] = _without_our_code(Path(folder, "elsewhere"))
        with open(log, "wb") as output:
            head = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            _await(head, log)
            yield TokenCluster(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", token, log)
        finally:
            processes = _family(head.pid)
            for process in processes:
                process.terminate()
            _, alive = psutil.wait_procs(processes, timeout=5)
            for process in alive:
                process.kill()


def _without_our_code(folder: Path) -> str:
    """A path on which our packages cannot be imported, whatever is installed: jobs have to bring them."""
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('this node has no Recast')\n")
    return str(folder)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def _await(head: "subprocess.Popen[bytes]", log: Path, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and head.poll() is None:
        if "Ray runtime started" in log.read_text("utf-8", "replace"):
            return
        time.sleep(0.5)
    raise RuntimeError(f"Ray did not start:\n{log.read_text('utf-8', 'replace')}")
