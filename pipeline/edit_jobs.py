"""What there is to edit: a jobs file, or one prompt for many sources, as a stream of EditJobs.

A jobs file is JSONL, one object per line; blank lines and lines that begin with "#" do not count:

    source      the video: a path relative to the jobs file, an absolute path, or a uri
    one of      prompt: text as for --prompt, or a list of texts, a turn or more each
                edits: [{select, to, prompt?, reference?, negative?}], all at once
                turns: [[edit, ...], ...], one after the other
    scene       the words around the targets, with edits: "two [] in a field"
    seed, name  of this job; the name is that of its output, unique in the file
    options     {"setting": value} for this job alone

`select` is what stands to the left of an arrow in a prompt ("bear on the left"), `to` what stands to its right: an
empty `to` removes, an empty `select` adds. A reference picture is a path relative to the jobs file.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster.s3 import is_s3
from cluster.storage import path_of, stamp_of, uri_of
from pipeline.mistakes import one_line
from schemas import strict_json
from schemas.edit import Edit, EditJob, Turn
from schemas.errors import UserError
from schemas.keys import digest
from stages.edit_grammar import parse_edit, parse_prompts
from stages.edit_prompts import refuse_free_text
from stages.edit_selectors import print_selector

MAX_LINE_CHARACTERS = 1 << 20
_MAX_NAME_BYTES = 160
"""Of the 255 that file systems take: a mark, a key and a suffix are added."""
_MARK_LENGTH = 12  # two of ten thousand jobs of one stem share it in less than one file of a million
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f<>:\"|?*]+")


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _EditLine(_Line):
    select: str = ""
    to: str = ""
    prompt: str = ""
    reference: str = ""
    negative: str = ""


class _JobLine(_Line):
    source: Annotated[str, Field(min_length=1)]
    prompt: str | list[str] | None = None
    edits: Annotated[list[_EditLine], Field(min_length=1)] | None = None
    turns: Annotated[list[Annotated[list[_EditLine], Field(min_length=1)]], Field(min_length=1)] | None = None
    scene: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    name: str = ""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_request(self) -> "_JobLine":
        given = [name for name in ("prompt", "edits", "turns") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of prompt, edits and turns is needed, not {' and '.join(given) or 'none'}")
        if self.scene and self.edits is None:
            raise ValueError("scene goes with edits; a prompt has its scene around the brackets")
        return self


@dataclass(slots=True)
class _Names:
    """Names of outputs: those asked for are kept, others made of the source's; unlike on any file system."""

    taken: set[str]
    marks: set[str] = field(default_factory=set)

    def make(self, source: str, mark: str, where: str) -> str:
        """mark: tells this job from every other. Raises UserError where it does not."""
        if mark in self.marks:
            raise UserError(f"{where}: the same edit of the same source with the same seed as before: give it a name")
        self.marks.add(mark)
        stem = _stem(source)
        name = f"{stem}-{mark[:_MARK_LENGTH]}" if stem.lower() in self.taken else stem
        if name.lower() in self.taken:
            raise UserError(f"{where}: its name would be {name!r}, which another job asks for: give it a name")
        self.taken.add(name.lower())
        return name


Understand = Callable[[str], list[Turn]]
"""Free text to turns, by a model. Raises UserError where it cannot."""


def read_jobs(path: str | Path, understand: Understand = refuse_free_text) -> Iterator[EditJob]:
    """The jobs of a file, in order, one at a time. Sources are uris.

    The file is read twice: what is wrong anywhere in it is said before the first job comes out. Raises UserError, one
    line with the number of the line in the file: for what is no such object, a prompt that does not parse or is free
    text that nothing understands, a reference picture that is not there, and two jobs of one name.
    """
    path = Path(path)
    names = _names_in(path, understand)
    for (_, job), name in zip(_jobs(path, understand), names, strict=True):
        yield replace(job, name=name)


def jobs_of(turns: Sequence[Turn], sources: Iterable[str], seed: int = 0) -> Iterator[EditJob]:
    """The same turns for every source (a uri), each once, each with a name of its own."""
    names, seen = _Names(set()), set[str]()
    for source in sources:
        if source not in seen:
            seen.add(source)
            job = EditJob(source, tuple(turns), seed)
            yield replace(job, name=names.make(source, _mark(job), source))


def _names_in(path: Path, understand: Understand) -> list[str]:
    """The name of every job in the file, in order."""
    asked: dict[str, int] = {}
    listed: list[tuple[int, str, str, str]] = []
    for number, job in _jobs(path, understand):
        if job.name and asked.setdefault(job.name.lower(), number) != number:
            raise UserError(f"{path}, line {number}: the name {job.name!r} is taken by line {asked[job.name.lower()]}")
        listed.append((number, job.name, job.source, _mark(job)))
    if not listed:
        raise UserError(f"{path}: no jobs in it: one JSON object per line, with source and prompt or edits")
    names = _Names(set(asked))
    return [name or names.make(source, mark, f"{path}, line {number}") for number, name, source, mark in listed]


def _jobs(path: Path, understand: Understand) -> Iterator[tuple[int, EditJob]]:
    """Line numbers, from 1, and jobs."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_CHARACTERS + 1), ""), 1):
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                try:
                    job = _job(line, path.parent, understand)
                except UserError as error:
                    raise UserError(f"{path}, line {number}: {error}") from None
                yield number, job
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None


def _job(line: str, folder: Path, understand: Understand) -> EditJob:
    if len(line) > MAX_LINE_CHARACTERS:
        raise UserError(f"a line of more than {MAX_LINE_CHARACTERS} characters")
    try:
        given = strict_json.loads(line)
        json.dumps(
            given, ensure_ascii=False
        ).encode()  # half a surrogate pair is no text: neither file nor table takes it
        found = _JobLine.model_validate(given)
    except ValidationError as error:
        raise UserError(one_line(error, "key", [*_JobLine.model_fields, *_EditLine.model_fields])) from None
    except RecursionError:
        raise UserError("nested too deeply") from None
    except ValueError as error:
        raise UserError(f"not a JSON object: {error}") from None
    if found.name and (
        not _NAME.fullmatch(found.name) or found.name.startswith(".") or len(found.name.encode()) > _MAX_NAME_BYTES
    ):
        raise UserError(f"the name {found.name[:40]!r} cannot be that of a file")
    return EditJob(_uri(found.source, folder), _turns(found, folder, understand), found.seed, found.name, found.options)


def _turns(line: _JobLine, folder: Path, understand: Understand) -> tuple[Turn, ...]:
    if line.prompt is not None:
        prompts = [line.prompt] if isinstance(line.prompt, str) else line.prompt
        parsed = [[turn] if isinstance(turn, Turn) else understand(turn.text) for turn in parse_prompts(prompts)]
        if not parsed:
            raise UserError("prompt: an empty list")
        return tuple(turn for turns in parsed for turn in turns)
    listed = [line.edits] if line.edits is not None else line.turns or []
    return tuple(
        Turn(tuple(_edit(each, number, folder, is_first=not at) for number, each in enumerate(edits, 1)), line.scene)
        for at, edits in enumerate(listed)
    )


def _edit(line: _EditLine, number: int, folder: Path, is_first: bool) -> Edit:
    try:
        edit = parse_edit(line.select, line.to)
    except UserError as error:
        raise UserError(f"edit {number}, select: {error}") from None
    if is_first and edit.selector.above:
        raise UserError(f"edit {number}: {line.select!r}: no turn came before this one")
    reference = ""
    if is_s3(line.reference):
        reference = path_of(line.reference)
        if not stamp_of(reference):
            raise UserError(f"edit {number}: no reference picture {reference}, or it may not be read")
    elif line.reference:
        picture = folder / line.reference
        if not picture.is_file():
            raise UserError(f"edit {number}: no reference picture {line.reference!r} in {str(folder)!r}")
        reference = str(picture.resolve())
    return replace(edit, prompt=line.prompt, reference=reference, negative=line.negative)


def _uri(source: str, folder: Path) -> str:
    if _URI.match(source):
        return path_of(source) if is_s3(source) else source
    if "\x00" in source:
        raise UserError("source: a NUL in it")
    return uri_of(str(folder / source))


def _stem(source: str) -> str:
    """A name after the source's own, without what no file system takes."""
    base = source if _URI.match(source) and not source.startswith("file://") else path_of(source)
    stem = Path(base).stem.encode("utf-8", "replace").decode("utf-8")
    name = re.sub(r"[/\\\x00-\x1f\x7f-\x9f<>:\"|?*]", "_", stem).lstrip(".")
    return name.encode()[:_MAX_NAME_BYTES].decode("utf-8", "ignore") or "clip"


def _mark(job: EditJob) -> str:
    """Of what is edited how, not of where in the file it stands: a line more or less renames no other output."""
    turns = [
        [
            [edit.action, print_selector(edit.selector), edit.target, edit.prompt, edit.reference, edit.negative]
            for edit in turn.edits
        ]
        for turn in job.turns
    ]
    scenes = [turn.scene for turn in job.turns]
    return digest("edit job", job.source, turns, scenes, job.seed, dict(job.options))
