"""Free text into edits, by the profile's vlm: before a run begins, in a process that takes its model with it."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from actors.profiles import build_role
from schemas.config import Profile, RoleConfig
from schemas.edit import Turn
from schemas.errors import UserError
from schemas.questions import Answer, Unusable
from stages.edit_prompts import free_text_question, refuse_free_text, turns_from


def understand(profile: Profile, text: str) -> list[Turn]:
    """The turns that free text asks for. Raises UserError, one line, when no model could say."""
    role = profile.roles.get("vlm")
    if role is None or not role.model:
        return refuse_free_text(text)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            answer = process.submit(_asked, role, text).result()
        except BrokenProcessPool:
            raise UserError(f"the process of the vlm ({role.model}) died over {text[:80]!r}") from None
    return turns_from(text, answer)


def _asked(role: RoleConfig, text: str) -> Answer | Unusable:
    answer: Answer | Unusable = build_role("vlm", role).ask([free_text_question(text)])[0]
    return answer
