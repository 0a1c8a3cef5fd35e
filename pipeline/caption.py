"""New words for a sample whose caption settings changed: its images are copied byte for byte into a new shard."""

from functools import lru_cache

from actors.profiles import Roles
from cluster.folder import output_folder
from pipeline.shards import ShardReader
from schemas.config import Config
from schemas.errors import BadInput
from schemas.questions import Unusable
from schemas.work import Phase, Result, Unit
from stages import captions as wording
from stages import samples


class CaptionSample:
    """A sample's row in, the same row with new captions and a new KEY.json out.

    Payload: row, out, caption_fingerprint.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles = roles
        self._config = config

    def __call__(self, unit: Unit) -> Result:
        row = dict(unit.payload["row"])
        members = _reader(unit.payload["out"]).read_all(row["shard"], row["members"])
        images = list(samples.decode_members(members).values())
        facts = samples.facts_of(row["facts"])
        questions = wording.caption_questions(facts, self._config.captions, images)
        words = wording.captions_from(self._roles.vlm.ask(questions), self._config.captions)
        if isinstance(words, Unusable):
            raise BadInput(words.reason, words.message)
        name = row["members"][-1]
        members[name] = samples.with_captions(members[name], words)
        row |= {"caption_short": words.short, "caption_long": words.long, "instruction": words.instruction}
        row["caption_fingerprint"] = unit.payload["caption_fingerprint"]
        row["member_sha256"] = [samples.sha256(data) for data in members.values()]
        return Result(Phase.CAPTION, unit.key, rows={"samples": [row]}, members=members)


@lru_cache(maxsize=1)
def _reader(out: str) -> ShardReader:
    return ShardReader(output_folder(out))
