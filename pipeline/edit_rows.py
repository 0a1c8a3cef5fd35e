"""Requests and bindings as the JSON that tables hold."""

from pydantic import TypeAdapter

from schemas.edit import Bound, EditJob

JOB = TypeAdapter(EditJob)
"""Column `jobs.request`."""

TURNS = TypeAdapter(list[list[Bound]])
"""Column `jobs.bound`: per turn, per edit."""
