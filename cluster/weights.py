"""Weights of models: what the hub's cache on this machine holds of them, and fetching what it lacks."""

import fcntl
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schemas.errors import UserError

State = Literal["complete", "incomplete", "absent", "unlisted"]
"""unlisted: there, put there by something that kept no list of what it should hold."""

_READ = (".json", ".txt", ".model", ".jinja", ".safetensors")
_WEIGHTS = re.compile(r"(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors")
CHUNK = 2**22


@dataclass(frozen=True)
class Weights:
    """A repository of the hub at a commit ("": the newest), or of it only one file; or a local folder."""

    model: str
    revision: str = ""
    file: str = ""

    @property
    def is_local(self) -> bool:
        return Path(self.model).is_absolute() or self.model.startswith(".")


def needed(paths: Iterable[str], file: str = "") -> list[str]:
    """Which files of a repository loading takes: safetensors and what surrounds them, no second copy in another layout
    or precision, no code. A diffusers pipeline (model_index.json) has them in folders, a transformers model does not.
    """
    known = sorted(paths)
    if file:
        return [path for path in known if path == file]
    in_folders = "model_index.json" in known
    return [path for path in known if path == "model_index.json" or _is_read(path, 1 if in_folders else 0)]


def _is_read(path: str, depth: int) -> bool:
    name = path.rsplit("/", 1)[-1]
    if path.count("/") != depth or not name.endswith(_READ):
        return False
    return bool(_WEIGHTS.fullmatch(name)) or not name.endswith(".safetensors")


def state(weights: Weights) -> State:
    """What is here of them, without the network."""
    hub = _hub()
    if weights.is_local:
        return "complete" if Path(weights.model).is_dir() else "absent"
    folder = _snapshot(weights)
    if folder is None:
        return "absent"
    try:
        listed = hub.get_cached_repo_tree(weights.model, revision=folder.name)
    except hub.errors.CachedRepoTreeNotFoundError:
        return "unlisted"
    sizes = {entry.path: entry.size for entry in listed}
    here = {path for path in sizes if _size(folder / path) == sizes[path]}
    return "complete" if here.issuperset(needed(sizes, weights.file)) else "incomplete"


def pull(weights: Weights) -> tuple[str, list[str]]:
    """Fetch what the cache lacks, going on where an earlier try ended, and compare every file with its hash on the hub.
    Returns the commit, and the files that differed and were deleted. Of several calls on a machine one works at a time.

    Raises UserError when the hub cannot be reached or refuses, and when there are no safetensors.
    """
    hub = _hub()
    if weights.is_local or (hub.constants.HF_HUB_OFFLINE and state(weights) == "unlisted"):
        return weights.revision, []
    with _one_line(weights.model), _alone():
        revision = weights.revision or "main"
        few = [weights.file or "config.json", "model_index.json"]  # with them comes the list of all
        folder = Path(hub.snapshot_download(weights.model, revision=revision, allow_patterns=few))
        entries = {entry.path: entry for entry in hub.get_cached_repo_tree(weights.model, revision=folder.name)}
        wanted = needed(entries, weights.file)
        if not any(path.endswith(".safetensors") or path == weights.file for path in wanted):
            what = weights.file or "safetensors, and other formats, which can run code, are not loaded"
            raise UserError(f"model {weights.model} has no {what}")
        hub.snapshot_download(weights.model, revision=folder.name, allow_patterns=wanted)
        damaged = [path for path in wanted if not _is_whole(folder / path, entries[path])]
        for path in damaged:
            (folder / path).resolve().unlink()
            (folder / path).unlink(missing_ok=True)
        return folder.name, damaged


def access(weights: Weights) -> bool | None:
    """Whether the hub lets this machine's token read them; None when it cannot be asked."""
    hub = _hub()
    try:
        hub.auth_check(weights.model)
        return True
    except hub.errors.RepositoryNotFoundError:  # a gated repository is one of them
        return False
    except Exception:  # no network, in any of the shapes the transport gives it
        return None


def _is_whole(path: Path, entry: Any) -> bool:
    """Whether a file has the hash the hub says: sha256 of large files, git's of the others."""
    if _size(path) != entry.size:
        return False
    digest = hashlib.sha256() if entry.lfs else hashlib.sha1(b"blob %d\0" % entry.size)
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == (entry.lfs.sha256 if entry.lfs else entry.blob_id)


def _snapshot(weights: Weights) -> Path | None:
    root = Path(_hub().constants.HF_HUB_CACHE) / f"models--{weights.model.replace('/', '--')}"
    ref = root / "refs" / "main"
    commit = weights.revision or (ref.read_text("utf-8").strip() if ref.is_file() else "")
    folder = root / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this machine at a time; the lock goes with its holder."""
    cache = Path(_hub().constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".recast-pull.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _one_line(model: str) -> Iterator[None]:
    """What the hub's client raises, as the user's mistakes they mostly are."""
    errors = _hub().errors
    try:
        yield
    except errors.GatedRepoError:
        remedy = "accept its licence on its page there, then set HF_TOKEN"
        raise UserError(f"model {model} is gated by the hub: {remedy}") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"model {model} has no such revision on the hub") from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"model {model} is not on the hub, or HF_TOKEN may not see it") from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        why = "HF_HUB_OFFLINE is set" if _hub().constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise UserError(f"model {model} is not whole in the cache, and {why}") from error
    except UserError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError) or type(error).__module__.startswith(("httpx", "requests"))):
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"model {model} cannot be fetched: {reason}") from error


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise UserError("models need the package 'huggingface_hub': pip install 'recast[models]'") from error
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every retry
    return huggingface_hub
