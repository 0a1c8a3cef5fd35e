"""An S3 on loopback that can be told to misbehave: moto's server behind a proxy that counts, delays nothing, and breaks
what it is told to break. Not a test itself.

    with serving() as s3:                     # the environment names it, with credentials
        s3.fail(Answer(503, "SlowDown"), 3)   # the next three requests
        s3.fail(Cut(1000), 1, "GET", "/films/a.mp4")

Both are processes of their own: delta-rs holds the interpreter of the process it runs in while it waits for an answer.
"""

import atexit
import functools
import multiprocessing
import os
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

import object_store

BUCKET = "films"
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True)
class Answer:
    """An error instead of what was asked for."""

    status: int
    code: str


@dataclass(frozen=True)
class Cut:
    """The connection is reset after so many bytes of the answer's body; None: before any answer."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Unanswered:
    """What was asked is done, and the connection is reset before anybody is told."""


Fault = Answer | Cut | Unanswered


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    status: int  # 0: cut
    num_bytes: int  # of the answer's body, as far as it was sent


@dataclass
class _Rule:
    fault: Fault
    times: int
    method: str
    path: str
    every: int
    seen: int = 0


class FaultyS3:
    """What a test tells the proxy, and what the proxy saw."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def _ask(self, *command: Any) -> Any:
        self._pipe.send(command)
        return self._pipe.recv()

    def fail(self, fault: Fault, times: int = 1, method: str = "", path: str = "", every: int = 1) -> None:
        """So many requests of that method to a path that begins so, each `every`th; "" fits all."""
        self._ask("fail", _Rule(fault, times, method, path, every))

    def heal(self) -> None:
        self._ask("heal")

    def forget(self) -> None:
        """What was requested so far."""
        self._ask("forget")

    @property
    def requests(self) -> list[Request]:
        found: list[Request] = self._ask("requests")
        return found

    def count(self, method: str, path: str = "") -> int:
        return len(self.of(method, path))

    def of(self, method: str, path: str = "") -> list[Request]:
        """Requests so far; a listing is a GET of the bucket, so name an object's path to mean bodies."""
        return [each for each in self.requests if each.method == method and each.path.startswith(path)]


@dataclass
class _State:
    """Of the proxy."""

    requests: list[Request] = field(default_factory=list)
    rules: list[_Rule] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def obey(self, command: str, *given: Any) -> Any:
        with self.lock:
            if command == "fail":
                self.rules.extend(given)
            elif command == "heal":
                self.rules.clear()
            elif command == "forget":
                self.requests.clear()
            return list(self.requests) if command == "requests" else None

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for rule in self.rules:
                if rule.times > 0 and rule.method in ("", method) and path.startswith(rule.path):
                    rule.seen += 1
                    if rule.seen % rule.every == 0:
                        rule.times -= 1
                        return rule.fault
        return None


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for its headers to be acknowledged
    state: _State
    behind: tuple[str, int]

    def _pass_on(self) -> None:
        body = self._body()
        fault = self.state.fault_for(self.command, self.path)
        if isinstance(fault, Answer):
            self._reply(fault.status, {"Content-Type": "application/xml"}, _error(fault.code))
        elif isinstance(fault, Cut) and fault.after_bytes is None:
            self._reset(0)
        else:
            connection = HTTPConnection(*self.behind, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            length = answer.getheader("Content-Length")
            content = answer.read()
            connection.close()
            if isinstance(fault, Unanswered):
                return self._reset(0)
            self._reply(answer.status, headers, content, fault, length if self.command == "HEAD" else None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        del self.headers["Transfer-Encoding"]
        return content

    def _reply(
        self, status: int, headers: dict[str, str], content: bytes, cut: Cut | None = None, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        if cut is not None:
            self.end_headers()
            self.wfile.write(content[: cut.after_bytes])
            return self._reset(len(content[: cut.after_bytes]))
        self.state.requests.append(
            Request(self.command, self.path, status, len(content))
        )  # before the client can go on
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def _reset(self, sent: int) -> None:
        """RST, not FIN: what a dying server or a firewall does."""
        self.state.requests.append(Request(self.command, self.path, 0, sent))
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that gave up
            super().handle()

    def finish(self) -> None:
        with suppress(ConnectionError):
            if self.connection.fileno() >= 0:
                super().finish()

    def log_message(self, *_: object) -> None:
        pass


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as told</Message></Error>'.encode()


def _proxy(pipe: Connection, behind: tuple[str, int]) -> None:
    """The main function of the proxy's process, which ends with the test's."""
    state = _State()
    handler = type("Proxy", (_Proxy,), {"behind": behind, "state": state})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    pipe.send(proxy.server_port)
    with suppress(EOFError):
        while True:
            pipe.send(state.obey(*pipe.recv()))


@functools.cache
def _started() -> tuple[str, FaultyS3]:
    """moto's own address, and the proxy before it; once for all tests."""
    stack = ExitStack()
    atexit.register(stack.close)
    moto = stack.enter_context(object_store.serving()).endpoint
    ours, theirs = multiprocessing.Pipe()
    behind = ("127.0.0.1", int(moto.rpartition(":")[2]))
    process = multiprocessing.get_context("spawn").Process(target=_proxy, args=(theirs, behind), daemon=True)
    process.start()
    stack.callback(process.kill)
    return moto, FaultyS3(f"http://127.0.0.1:{ours.recv()}", ours)


@contextmanager
def serving() -> Iterator[FaultyS3]:
    """An empty bucket `films`, and an environment in which every client finds it."""
    moto, s3 = _started()
    s3.heal()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    mine = {"AWS_ENDPOINT_URL": s3.url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
    with mock.patch.dict(os.environ, kept | mine, clear=True):
        _request(f"{moto}/moto-api/reset", "POST")
        _request(f"{moto}/{BUCKET}", "PUT")
        s3.forget()
        yield s3


def _request(url: str, method: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers={"Host": "s3.amazonaws.com"})):
        pass
