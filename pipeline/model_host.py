"""One model in a process of its own, asked by every worker and phase; calls that wait together are one batch."""

import contextlib
import itertools
import os
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.profiles import build_role
from cluster.local import die_with_parent
from pipeline.metrics import ModelMetrics
from pipeline.packing import Packed, pack, unpack
from pipeline.suspects import Suspects
from pipeline.turns import BusyClock, Room, Turns
from pipeline.watchdog import Watchdog
from schemas.config import EngineConfig, RoleConfig
from schemas.errors import BadInput, Broken, RecastError, UserError
from schemas.reasons import Reason

METHOD_OF = {
    "quality": "score",
    "vlm": "ask",
    "detector": "detect",
    "segmenter": "segment",
    "depth": "nearness",
    "embedder": "embed",
    "image_editor": "fill",
    "video_generator": "generate",
}
"""The method of each role's protocol."""

ALSO = {"image_editor": ("draw",)}
"""What else some implementations of a role answer (`actors.image_editor.ReferencePainter`), a call at a time."""

MERGED = frozenset({"quality", "vlm", "embedder", "image_editor"})
"""Roles that answer item by item. The others answer a call as a whole: what `nearness` gives is comparable within its
call, a clip is detected and tracked as one."""

PREPARE, COMPUTE = "prepare", "compute"
"""A role may do its work in two parts: what the first makes of a call's arguments is the one argument of the second,
a list of its items where calls are merged. The first is done in the thread of its caller, while the model computes."""

LOADING = "loading"
"""The suspect when a process dies of its model."""


@dataclass
class _Call:
    id: str
    arguments: tuple[Any, ...]
    method: str = ""
    answer: "Future[Any]" = field(default_factory=Future)


class ModelHost:
    """A role's implementation, loaded when the first call comes, in one thread that alone touches it; but any thread
    may call its `prepare` (PREPARE), or its `submit`, which answers an item as a future: no call waits for others.

    A call that fails fails only its caller. Ray restarts a process that died and sends it its calls again, without
    end; so those it was serving when it died are served alone from then on, and after `engine.max_deliveries` deaths
    answered with BadInput POISON. Where `on_gpu` is False no GPU is seen, and `num_threads` compute.
    """

    def __init__(
        self,
        name: str,
        role_name: str,
        role: RoleConfig,
        engine: EngineConfig,
        on_gpu: bool,
        num_threads: int,
        run_id: str,
    ) -> None:
        die_with_parent()
        if not on_gpu:  # before anything imports torch
            os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS=str(num_threads))
        self._role_name, self._config = role_name, role
        self._max_deaths = engine.max_deliveries
        self._suspects = Suspects(Path(tempfile.gettempdir()) / f"{name}.suspects.json")
        self._watchdog = Watchdog(engine.row_timeout_seconds)
        self._metrics = ModelMetrics(role_name, run_id)
        self._role: Any = None
        self._unloadable: UserError | None = None
        self._waiting: deque[_Call] = deque()
        self._lock = threading.Lock()
        self._turns = Turns()
        self._busy = BusyClock()
        self._ahead = Room(2 * role.batch_size)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def ready(self) -> None:
        """The process is up."""

    def call(self, call_id: str, packed: Packed, method: str = "") -> Packed:
        """The answer to the arguments, both packed; method: one of ALSO, "" for the protocol's. Raises what the role
        raised, or UserError when its model cannot be loaded."""
        if self._suspects.deaths[call_id] >= self._max_deaths:
            raise BadInput(Reason.POISON, f"the process of the {self._role_name} died {self._max_deaths} times of this")
        arguments = unpack(packed)
        if self._role is None:
            self._thread.submit(self._loaded).result()
        call = _Call(call_id, arguments, method)
        if hasattr(self._role, "submit"):
            return pack(self._streamed(call))
        if hasattr(self._role, PREPARE) and not method and not self._suspects.deaths[call_id]:
            return pack(self._prepared(call))
        return pack(self._queued(call))

    def _prepared(self, call: _Call) -> Any:
        """Few at once: what is prepared takes memory. A suspect is not, so that its model's thread alone has it."""
        amount = len(call.arguments[0]) if self._role_name in MERGED else self._config.batch_size
        with self._ahead.taken(amount):
            with self._watched([call]):
                try:
                    call.arguments = (self._role.prepare(*call.arguments),)
                except Exception as error:
                    _die_of(error)
                    raise _told(error) from error
            call.method = COMPUTE
            return self._queued(call)

    def _queued(self, call: _Call) -> Any:
        with self._lock:
            self._waiting.append(call)
        self._thread.submit(self._serve)
        return call.answer.result()

    def _streamed(self, call: _Call) -> Any:
        suspect = self._suspects.deaths[call.id] > 0
        with self._turns.taken(alone=suspect), self._watched([call]), self._computing([call]):
            try:
                return [answer.result() for answer in [self._role.submit(item) for item in call.arguments[0]]]
            except Exception as error:
                _die_of(error)
                raise _told(error) from error

    @contextlib.contextmanager
    def _watched(self, batch: Sequence[_Call]) -> Iterator[None]:
        with (
            self._suspects.serving([call.id for call in batch]),
            self._watchdog.watching(f"a call of the {self._role_name}"),
        ):
            yield

    @contextlib.contextmanager
    def _computing(self, batch: Sequence[_Call]) -> Iterator[None]:
        num_items = sum(len(call.arguments[0]) for call in batch) if self._is_merged(batch[0]) else 0
        try:
            with self._busy.running():
                yield
        finally:
            self._metrics.served(len(batch), num_items, self._busy.seconds)

    def _is_merged(self, call: _Call) -> bool:
        return self._role_name in MERGED and call.method in {"", COMPUTE}

    def attribute(self, name: str) -> Any:
        """A value that the loaded role carries, such as `max_frames` of a video generator."""
        return self._thread.submit(lambda: getattr(self._loaded(), name)).result()

    def busy_seconds(self) -> float:
        """In which the model was computing, since this process started."""
        return self._busy.seconds

    def close(self) -> None:
        """Free what the model holds."""
        self._suspects.forget()
        if close := getattr(self._role, "close", None):
            self._thread.submit(close).result()

    def _serve(self) -> None:
        """Answer one batch of what waits; nothing when an earlier turn took it along."""
        batch = self._next_batch()
        if not batch:
            return
        try:
            role = self._loaded()
            with self._watched(batch), self._computing(batch):
                answer(getattr(role, batch[0].method or METHOD_OF[self._role_name]), batch)
        except BaseException as error:  # or their callers would wait for ever
            for call in batch:
                if not call.answer.done():
                    call.answer.set_exception(error)

    def _next_batch(self) -> list[_Call]:
        """What waited longest and what may go with it, until there are `batch_size` items."""
        with self._lock:
            batch = [self._waiting.popleft()] if self._waiting else []
            while self._waiting and self._may_grow(batch) and not self._suspects.deaths[self._waiting[0].id]:
                batch.append(self._waiting.popleft())
            return batch

    def _may_grow(self, batch: list[_Call]) -> bool:
        if not self._is_merged(batch[0]) or self._suspects.deaths[batch[0].id]:
            return False
        if batch[0].method != self._waiting[0].method:
            return False
        return sum(len(call.arguments[0]) for call in batch) < self._config.batch_size

    def _loaded(self) -> Any:
        if self._unloadable is not None:
            raise self._unloadable
        if self._role is None:
            try:
                self._role = self._load()
            except Exception as error:
                self._unloadable = _unloadable(self._role_name, self._config, error)
                raise self._unloadable from error
        return self._role

    def _load(self) -> Any:
        if (deaths := self._suspects.deaths[LOADING]) >= self._max_deaths:
            raise UserError(f"role {self._role_name!r}: loading its model killed its process {deaths} times")
        with self._suspects.serving([LOADING]):
            return build_role(self._role_name, self._config)


def answer(method: Any, batch: Sequence[_Call]) -> None:
    """Answer the calls together; when that fails, one by one, so that each gets its own error."""
    if len(batch) > 1 and _answered_together(method, batch):
        return
    for call in batch:
        try:
            call.answer.set_result(method(*call.arguments))
        except Exception as error:
            _die_of(error)
            call.answer.set_exception(_told(error))


def _answered_together(method: Any, batch: Sequence[_Call]) -> bool:
    try:
        given = method([item for call in batch for item in call.arguments[0]])
    except Exception as error:
        _die_of(error)
        return False
    ends = list(itertools.accumulate(len(call.arguments[0]) for call in batch))
    for call, first, last in zip(batch, [0, *ends], ends, strict=False):
        call.answer.set_result(given[first:last])
    return True


def _die_of(error: Exception) -> None:
    """What is broken for good is mended by a new process only; Ray starts it, and what was being served is noted."""
    torch = sys.modules.get("torch")
    lost = torch is not None and isinstance(error, torch.AcceleratorError) and "out of memory" not in str(error).lower()
    if lost or isinstance(error, Broken):
        print(f"recast: the model's process cannot go on and ends: {error}", flush=True)
        os._exit(1)


def _told(error: Exception) -> Exception:
    """An error that says by itself where it came from, and that any process can unpickle."""
    if isinstance(error, RecastError):
        return error
    if os.environ.get("RECAST_LOG_WORKERS"):
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return RuntimeError(f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})")


def _unloadable(role_name: str, role: RoleConfig, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    if os.environ.get("RECAST_LOG_WORKERS"):
        traceback.print_exception(error)
    what = " ".join(str(error).split())[:500]
    return UserError(
        f"role {role_name!r} ({role.model or role.implementation}) cannot be loaded: {type(error).__name__}: {what}"
    )
