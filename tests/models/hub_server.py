"""A model hub on the loopback: what the client of the real one asks, for files of our own. Not a test itself."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "c" * 40
LARGE = (".safetensors", ".pth", ".bin")


class Hub:
    """files: model -> path -> bytes, at COMMIT. `cut`: paths whose next download breaks off in the middle."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.cut: set[str] = set()
        self.sent: Counter[str] = Counter()  # bytes per path

    def tree(self, model: str) -> list[dict[str, object]]:
        return [self._entry(path, content) for path, content in self.files[model].items()]

    @staticmethod
    def _entry(path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return entry


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of the hub."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            asked = re.fullmatch(
                r"/(?:api/models/)?([^/]+/[^/]+)/(tree|revision|auth-check|resolve)(?:/([^/]+))?(.*)", path
            )
            model, what, _, rest = asked.groups() if asked else ("", "", "", "")
            if model not in hub.files:
                return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)
            if model in hub.gated and not self.headers.get("Authorization"):
                return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, with_body)
            if what == "resolve":
                return self._send_file(model, rest.lstrip("/"), with_body)
            known = {"tree": hub.tree(model), "revision": {"id": model, "sha": COMMIT, "siblings": []}}
            return self._send(200, json.dumps(known.get(what, {})).encode(), {}, with_body)

        def _send_file(self, model: str, path: str, with_body: bool) -> None:
            content = hub.files[model].get(path)
            if content is None:
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{git_hash(content)}"'}
            if path.endswith(LARGE):
                headers |= {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
                headers |= {"X-Linked-Size": str(len(content))}
            first = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            if first:
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            body = content[first:]
            if with_body and path in hub.cut:
                hub.cut.discard(path)
                hub.sent[path] += len(body) // 2
                return self._break_off(body)
            hub.sent[path] += len(body) if with_body else 0
            return self._send(206 if first else 200, body, headers, with_body)

        def _break_off(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True

        def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
