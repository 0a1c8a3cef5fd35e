"""Requests and bindings as the JSON that tables hold."""

from pydantic import TypeAdapter, ValidationError

from cluster.s3 import is_s3
from cluster.storage import content_hash, path_of, stamp_of
from schemas.config import EditConfig
from schemas.edit import Bound, EditJob
from schemas.errors import UserError
from schemas.keys import digest

JOB = TypeAdapter(EditJob)
"""Column `jobs.request`."""

TURNS = TypeAdapter(list[list[Bound]])
"""Column `jobs.bound`: per turn, per edit."""


def pictures_of(job: EditJob) -> list[str]:
    """Paths of the reference pictures that were given, each once."""
    return list(dict.fromkeys(edit.reference for turn in job.turns for edit in turn.edits if edit.reference))


def stamp_of_job(job: EditJob) -> str | None:
    """What decides whether to look at a job again: the stamps of its source and of its reference pictures. None: a
    source on S3, which is asked only when it is worked on. "" where the source is out of reach."""
    pictures = pictures_of(job)
    if is_s3(job.source) and not pictures:
        return None
    stamp = stamp_of(path_of(job.source))
    return " ".join([stamp, *map(stamp_of, pictures)]) if stamp else ""


def inputs_hash(job: EditJob) -> str:
    """Digest of the bytes a job is made from: its source, and the reference pictures that were given. Raises BadInput
    (MISSING | UNREADABLE) and, of S3, Unreachable."""
    own = content_hash(path_of(job.source))
    pictures = pictures_of(job)
    return digest("job inputs", own, [content_hash(each) for each in pictures]) if pictures else own


def options_of(job: EditJob, config: EditConfig) -> EditConfig:
    """The settings of `editing`, with what the job has of its own. Raises UserError for an option that is none."""
    try:
        return EditConfig.model_validate({**config.model_dump(), **job.options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{job.name}: option {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
