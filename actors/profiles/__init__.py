"""Profiles: which class answers each role, with which weights. Shipped ones are the *.toml files of this folder."""

import importlib
import inspect
import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from schemas.config import Config, Profile, RoleConfig
from schemas.errors import UserError

if TYPE_CHECKING:  # the driver and the ledger read profiles and need no numpy, OpenCV or model for that
    from actors.depth import Depth
    from actors.detector import Detector
    from actors.embedder import Embedder
    from actors.image_editor import ImageEditor
    from actors.quality import Quality
    from actors.segmenter import Segmenter
    from actors.video_generator import VideoGenerator
    from actors.vlm import Vlm

_EXTRA_OF = {name: "models" for name in ("torch", "torchvision", "transformers", "diffusers", "llguidance")}
_EXTRA_OF |= {"vllm": "vllm", "pyiqa": "iqa"}
ROLE_NAMES = ("quality", "vlm", "detector", "segmenter", "depth", "embedder", "image_editor", "video_generator")


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with Recast, sorted."""
    folder = resources.files(__name__)
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """The shipped profile of this name, or the one in the TOML file at this path (a path has a "/" or ends in ".toml").

    Raises UserError when there is no such profile, when it is not TOML, or when it names a role, class or setting that
    does not exist; models are not loaded and implementations are not imported here.
    """
    text = str(name_or_path)
    if text.endswith(".toml") or "/" in text or isinstance(name_or_path, Path):
        try:
            content = Path(name_or_path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"profile {text}: {_reason_of(error)}; {_shipped()}") from error
        return _parse(content, text)
    if text not in shipped_profiles():
        raise UserError(f"there is no profile {text!r}; {_shipped()}")
    return _parse((resources.files(__name__) / f"{text}.toml").read_text("utf-8"), text)


def fingerprint(role: RoleConfig) -> dict[str, Any]:
    """What a row made by this role depends on: JSON values. Batch size, memory and replicas change speed, not rows."""
    return {
        "implementation": role.implementation,
        "model": role.model,
        "revision": role.revision,
        "dtype": role.dtype,
        "options": role.options,
    }


def build_role(role_name: str, role: RoleConfig) -> Any:
    """Imports "module:Class" below `actors` and constructs it with `options`, with model, revision and dtype when
    `model` is set, and with batch_size and gpu_memory_gb when the class takes them.

    Raises UserError when the class does not exist, a package it needs is not installed, or it takes no such option;
    what the constructor itself raises goes through.
    """
    cls, arguments = _bound(role_name, role)
    return cls(**arguments)


def check_implementations(profile: Profile) -> None:
    """Imports, but does not construct, the class of every role, and holds its options against what it takes. Raises
    UserError for the first that is not there."""
    for role_name, role in profile.roles.items():
        _bound(role_name, role)


def _bound(role_name: str, role: RoleConfig) -> tuple[Any, dict[str, Any]]:
    """A role's class and the arguments it is constructed with."""
    where = f"role {role_name!r}, implementation {role.implementation!r}"
    cls = _implementation(role.implementation, where)
    arguments = dict(role.options)
    if role.model:
        arguments.update(model=role.model, revision=role.revision, dtype=role.dtype)
    taken = inspect.signature(cls)
    for name in ("batch_size", "gpu_memory_gb"):
        if name in taken.parameters:
            arguments[name] = getattr(role, name)
    try:
        taken.bind(**arguments)
    except TypeError as error:
        accepted = ", ".join(taken.parameters) or "none"
        raise UserError(f"{where}: {error}; it takes: {accepted}") from error
    return cls, arguments


class Roles:
    """The roles of a profile, each built when it is first touched and kept: a worker loads only what it uses.

    Touching a role that the profile does not name raises UserError.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __reduce__(self) -> tuple[Any, ...]:
        return Roles, (self.profile,)  # built roles hold models: each process builds its own

    def _build(self, role_name: str) -> Any:
        role = self.profile.roles.get(role_name)
        if role is None:
            named = ", ".join(sorted(self.profile.roles)) or "none"
            raise UserError(f"profile {self.profile.name!r} names no role {role_name!r}; it names: {named}")
        return build_role(role_name, role)

    @cached_property
    def quality(self) -> "Quality":
        return self._build("quality")

    @cached_property
    def vlm(self) -> "Vlm":
        return self._build("vlm")

    @cached_property
    def detector(self) -> "Detector":
        return self._build("detector")

    @cached_property
    def segmenter(self) -> "Segmenter":
        return self._build("segmenter")

    @cached_property
    def depth(self) -> "Depth":
        return self._build("depth")

    @cached_property
    def embedder(self) -> "Embedder":
        return self._build("embedder")

    @cached_property
    def image_editor(self) -> "ImageEditor":
        return self._build("image_editor")

    @cached_property
    def video_generator(self) -> "VideoGenerator":
        return self._build("video_generator")


def _parse(content: str, origin: str) -> Profile:
    try:
        profile = Profile.model_validate(tomllib.loads(content))
        Config.model_validate(profile.settings)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"profile {origin}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"profile {origin}: {place}: {first['msg']}") from error
    for role_name in profile.roles:
        if role_name not in ROLE_NAMES:
            raise UserError(f"profile {origin}: there is no role {role_name!r}; roles are {', '.join(ROLE_NAMES)}")
    return profile


def _implementation(name: str, where: str) -> Any:
    module_name, separator, class_name = name.partition(":")
    if not separator or not module_name or not class_name:
        raise UserError(f'{where}: must be "module:Class" below actors, e.g. "detector:MotionDetector"')
    try:
        module = importlib.import_module(f"actors.{module_name}")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"actors.{module_name}.".startswith(f"{missing}."):
            raise UserError(f"{where}: there is no module actors.{module_name}") from error
        extra = _EXTRA_OF.get(missing)
        hint = f"pip install 'recast[{extra}]'" if extra else "install it"
        raise UserError(f"{where} needs the package {missing!r}: {hint}") from error
    cls = getattr(module, class_name, None)
    if not inspect.isclass(cls):
        raise UserError(f"{where}: actors.{module_name} has no class {class_name!r}")
    return cls


def _shipped() -> str:
    return f"shipped profiles: {', '.join(shipped_profiles())}, or give the path of a .toml file"


def _reason_of(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
