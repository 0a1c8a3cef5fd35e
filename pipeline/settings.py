"""From profile, recast.json and --set to one frozen Config, and from that to the fingerprint of every phase."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actors.profiles import fingerprint as role_fingerprint
from actors.profiles import load_profile
from cluster.folder import output_folder
from pipeline.mistakes import one_line
from schemas.config import Config, Profile
from schemas.errors import UserError
from schemas.keys import digest
from schemas.tables import VERSION
from schemas.work import Phase
from stages.versions import VERSIONS

ROLES_OF = {
    Phase.CURATE: ("quality",),
    Phase.MINE: ("vlm", "detector", "segmenter", "embedder"),
    Phase.LINK: (),
    Phase.SYNTHESIZE: ("image_editor", "embedder", "vlm"),
    Phase.CAPTION: ("vlm",),
    Phase.ALIGN: ("vlm", "detector", "segmenter", "depth", "embedder"),
    Phase.EDIT: ("video_generator", "depth", "detector", "embedder", "vlm"),
}
ALIGNING = {"max_frames", "working_short_side_px", "anchor_every", "draw_references"}
"""Settings of `editing` that decide who is found where; the others decide what is drawn."""

DEFAULT_PROFILE = "embedded"
SAVED = "recast.json"


@dataclass(frozen=True)
class Settings:
    """Everything a run is made of. `chosen` is what a person set, so that the next run starts from it."""

    config: Config
    profile: Profile
    chosen: dict[str, Any]
    fingerprints: dict[str, str]  # per phase; "decision" and "verdict" for the thresholds of curation and verification


def roles_of(phases: Iterable[Phase], config: Config) -> set[str]:
    """Every role that one of these phases asks."""
    asked = set(phases)
    drawing = {"image_editor"} if Phase.ALIGN in asked and config.editing.draw_references else set()
    return {role for phase in asked for role in ROLES_OF[phase]} | drawing


def resolve(out: str | Path, profile_name: str | None, assignments: list[str]) -> Settings:
    """Profile < recast.json < --set. Raises UserError with one line for anything that is not a setting."""
    saved = _saved(out)
    name = profile_name or saved.get("profile") or DEFAULT_PROFILE
    profile = load_profile(name)
    chosen = dict(saved.get("chosen", {}))
    chosen.update(_parse(assignment) for assignment in assignments)
    tree = _merge(profile.settings, {})
    roles = {role: value.model_dump() for role, value in profile.roles.items()}
    for dotted, value in chosen.items():
        _assign({"roles": roles} if dotted.startswith("roles.") else tree, dotted, value)
    try:
        profile = Profile(name=profile.name, roles=roles, settings=profile.settings)
        config = Config(**{**tree, "profile": name})
    except ValidationError as error:
        raise UserError(one_line(error, "setting", _names())) from None
    return Settings(config, profile, chosen, fingerprints(config, profile))


def fingerprints(config: Config, profile: Profile) -> dict[str, str]:
    """What each phase's rows depend on: stage versions, models, the parameters read, and the phases consumed."""

    def roles(phase: Phase) -> dict[str, Any]:
        asked = roles_of([phase], config)
        return {role: role_fingerprint(profile.roles[role]) for role in sorted(asked) if role in profile.roles}

    curate = digest(VERSIONS["curate"], roles(Phase.CURATE), config.curation.model_dump(mode="json"))
    found = [config.mining.model_dump(mode="json"), config.linking.model_dump(mode="json")]
    mine = digest(VERSIONS["mine"], roles(Phase.MINE), *found, curate)
    link = digest(VERSIONS["link"], mine)
    synthesis = config.synthesis.model_dump(mode="json", exclude={"max_attempts"})
    versions = [VERSIONS["synthesize"], VERSIONS["verify"]]
    synthesize = digest(versions, roles(Phase.SYNTHESIZE), synthesis, mine)
    caption = digest(VERSIONS["caption"], roles(Phase.CAPTION), config.captions.model_dump(mode="json"))
    align = digest(
        VERSIONS["align"], roles(Phase.ALIGN), *found, config.editing.model_dump(mode="json", include=ALIGNING)
    )
    editing = config.editing.model_dump(mode="json", exclude={*ALIGNING, "max_attempts"})
    edit = digest(VERSIONS["edit"], roles(Phase.EDIT), editing, align)
    return {
        Phase.ALIGN: align,
        Phase.EDIT: edit,
        Phase.CURATE: curate,
        Phase.MINE: mine,
        Phase.LINK: link,
        Phase.SYNTHESIZE: synthesize,
        Phase.CAPTION: caption,
        "decision": digest("decision", VERSIONS["curate"], config.curation_thresholds.model_dump(mode="json")),
        "edit_verdict": digest("edit_verdict", VERSIONS["edit_checks"], config.edit_thresholds.model_dump(mode="json")),
        "verdict": digest("verdict", VERSIONS["verify"], config.verification.model_dump(mode="json")),
    }


def save(out: str | Path, settings: Settings) -> None:
    """Write recast.json: what this output was last made with. Raises UserError when the disk is full or read-only."""
    models = {
        role: {"model": value.model, "revision": value.revision} for role, value in settings.profile.roles.items()
    }
    text = json.dumps(
        {
            "table_version": VERSION,
            "profile": settings.config.profile,
            "chosen": settings.chosen,
            "resolved": settings.config.model_dump(mode="json"),
            "models": models,
            "fingerprints": settings.fingerprints,
        },
        indent=2,
        ensure_ascii=False,
    )
    try:
        output_folder(out).write(SAVED, (text + "\n").encode())
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error


def _saved(out: str | Path) -> dict[str, Any]:
    path = output_folder(out).address(SAVED)
    try:
        saved = json.loads(output_folder(out).read(SAVED))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(saved, dict) or not isinstance(saved.get("chosen", {}), dict):
        raise UserError(f"{path} is not what a build writes: an object with the settings that were chosen in it")
    return saved


def _parse(assignment: str) -> tuple[str, Any]:
    name, separator, text = assignment.partition("=")
    if not separator or not name.strip():
        raise UserError(f"--set takes section.name=value, not {assignment!r}")
    if name.strip() == "profile":
        raise UserError("a profile is chosen with --profile, not with --set")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return name.strip(), value


def _assign(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"--set {dotted}: {section} is not a section")
    tree[last] = value


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = {key: _merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in over.items():
        merged[key] = _merge(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


def _names() -> list[str]:
    config = Config()
    return [
        f"{section}.{name}"
        for section, fields in config.model_dump().items()
        if isinstance(fields, dict)
        for name in fields
    ]
