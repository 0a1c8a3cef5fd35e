"""Requests and bindings as the JSON that tables hold."""

from pydantic import TypeAdapter, ValidationError

from schemas.config import EditConfig
from schemas.edit import Bound, EditJob
from schemas.errors import UserError

JOB = TypeAdapter(EditJob)
"""Column `jobs.request`."""

TURNS = TypeAdapter(list[list[Bound]])
"""Column `jobs.bound`: per turn, per edit."""


def options_of(job: EditJob, config: EditConfig) -> EditConfig:
    """The settings of `editing`, with what the job has of its own. Raises UserError for an option that is none."""
    try:
        return EditConfig.model_validate({**config.model_dump(), **job.options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{job.name}: option {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
