"""An OpenAI-compatible endpoint on the loopback interface that answers as a script says, well or badly."""

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


@dataclass
class Endpoint:
    """script: what to do with the next requests, in turn; then `otherwise`, for good."""

    base_url: str = ""
    script: list[Reply] = field(default_factory=list)
    otherwise: Reply = lambda handler, body: write(handler, json.dumps(fitting(schema_of(body))))
    requests: list[dict[str, Any]] = field(default_factory=list)  # bodies, with "headers" and "at" seconds
    num_in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen = {"headers": dict(self.headers), "at": time.monotonic(), "path": self.path, **body}
            with endpoint.lock:
                endpoint.requests.append(seen)
                endpoint.num_in_flight += 1
                endpoint.most_in_flight = max(endpoint.most_in_flight, endpoint.num_in_flight)
                reply = endpoint.script.pop(0) if endpoint.script else endpoint.otherwise
            try:
                reply(self, body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client did not wait
            finally:
                with endpoint.lock:
                    endpoint.num_in_flight -= 1

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    endpoint.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    return body["response_format"]["json_schema"]["schema"]


def fitting(schema: dict[str, Any]) -> Any:
    """The dullest value that fits."""
    match schema["type"]:
        case "object":
            return {name: fitting(each) for name, each in schema["properties"].items()}
        case "array":
            return [fitting(schema["items"])] * schema.get("minItems", 0)
        case "string":
            return "text"
        case "boolean":
            return True
        case _:
            return schema["enum"][-1]


def write(handler: BaseHTTPRequestHandler, text: Any, finish: str = "stop") -> None:
    """A completion that says `text`."""
    message = {"role": "assistant", "content": text}
    raw(handler, json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).encode())


def raw(handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def saying(text: Any, finish: str = "stop") -> Reply:
    return lambda handler, body: write(handler, text, finish)


def status(code: int, message: str = "no", **headers: str) -> Reply:
    return lambda handler, body: raw(handler, json.dumps({"error": {"message": message}}).encode(), code, **headers)


def hanging(seconds: float) -> Reply:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        write(handler, json.dumps(fitting(schema_of(body))))

    return reply


def dripping(seconds: float) -> Reply:
    """One byte now and then: no single read takes long."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
        handler.close_connection = True

    return reply


def endless(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """64 kB that unpack to 64 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(packer.compress(b" " * 2**20) for _ in range(64)) + packer.flush()
    raw(handler, data, Content_Encoding="gzip")


def closing(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.close_connection = True


def cutting(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Promises more bytes than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True
