"""A command line that is to run somewhere else: parsed by its own parser here, and written so that it means the same
there.

Paths that only mean something in this folder are made absolute: sources and OUT must be where the cluster can read and
write. Small files that say what to do are carried along instead: a profile, a jobs file with its reference pictures,
lists of sources.
"""

import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.sources import LIST_SUFFIXES, uris_in_parquet
from schemas.errors import UserError

MAX_CARRIED_MB = 100
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass
class RemoteCommand:
    """A verb with what was given to it.

    given: parameter name -> value as parsed, only what stood on the command line. profile: as it is called here.
    carried: name -> bytes of the files that travel with it. `arguments` says where those will lie.
    """

    verb: str
    given: dict[str, Any]
    options: dict[str, str]  # parameter name -> "--option"; "" for a positional
    profile: str | None = None
    carried: dict[str, bytes] = field(default_factory=dict)

    @property
    def out(self) -> str:
        return str(self.given["out"])

    def arguments(self, folder: str) -> list[str]:
        """The words after `recast`, where carried files are in `folder`."""
        return self._words(lambda file: os.path.join(folder, file.name))

    def arguments_here(self) -> list[str]:
        """The words after `recast` on this machine, or one with its disks, in any folder."""
        return self._words(lambda file: file.path)

    def _words(self, place: Callable[["_Carried"], str]) -> list[str]:
        """Values stand in the same word as their option, and positionals behind `--`, so that nothing is taken for an
        option."""
        words, positionals = [self.verb], []
        for name, value in self.given.items():
            for each in value if isinstance(value, list | tuple) else [value]:
                word = place(each) if isinstance(each, _Carried) else str(each)
                if not self.options[name]:
                    positionals.append(word)
                elif each is True:
                    words.append(self.options[name])
                else:
                    words.append(f"{self.options[name]}={word}")
        return [*words, "--", *positionals] if positionals else words


@dataclass(frozen=True)
class _Carried:
    path: str  # absolute, here
    name: str  # there


def parse(root: Any, verb: str, words: Sequence[str]) -> RemoteCommand:
    """root: the command line's click group. Raises what the parser raises for a bad command line, and UserError for a
    file that is not there or too much to carry."""
    with root.commands[verb].make_context(f"recast {verb}", list(words)) as context:
        given = {
            parameter.name: context.params[parameter.name]
            for parameter in context.command.params
            if context.get_parameter_source(parameter.name).name == "COMMANDLINE"
        }
        options = {
            parameter.name: parameter.opts[-1] if parameter.opts[-1].startswith("-") else ""
            for parameter in context.command.params
        }
    command = RemoteCommand(verb, given, options, given.get("profile"))
    _check_prompts(given.get("prompts") or [])
    _carry(command)
    if any("\udc80" <= letter <= "\udcff" for letter in "".join(command.arguments(""))):
        raise UserError("a name that is not UTF-8 text cannot be handed to another machine: rename it")
    total = sum(map(len, command.carried.values()))
    if total > MAX_CARRIED_MB << 20:
        raise UserError(
            f"the files this command names have {total >> 20} MB, more than the {MAX_CARRIED_MB} MB that travel with a "
            "job: put them where the cluster can read them"
        )
    return command


def _check_prompts(prompts: Sequence[str]) -> None:
    from stages.edit_grammar import parse_prompts

    parse_prompts(prompts)


def _carry(command: RemoteCommand) -> None:
    given = command.given
    given["out"] = _absolute(given["out"], os.getcwd())
    profile = given.get("profile")
    if profile and (profile.endswith(".toml") or "/" in profile):
        given["profile"] = _take(command, profile, _read(profile, "--profile"))
    if jobs := given.get("jobs"):
        given["jobs"] = _take(command, str(jobs), _jobs_file(command, Path(jobs)))
    if "sources" in given:
        given["sources"] = [_source(command, source) for source in given["sources"]]


def _source(command: RemoteCommand, source: str) -> Any:
    path = Path(source)
    if _URI.match(source) or not path.is_file():
        return _absolute(source, os.getcwd())
    if path.suffix.lower() in LIST_SUFFIXES:
        return _take(command, source, _list_file(path))
    if path.suffix.lower() == ".parquet":
        return _take(command, source, _parquet_list(path))
    return _absolute(source, os.getcwd())


def _take(command: RemoteCommand, path: str, content: bytes) -> _Carried:
    """Numbered, since two files of one name may come from two folders; the suffix says what it is."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem).strip("-") or "file"
    suffix = re.sub(r"[^a-z0-9.]+", "", Path(path).suffix.lower())
    name = f"{len(command.carried)}-{stem[:60]}{suffix}"
    command.carried[name] = content
    return _Carried(os.path.abspath(path), name)


def _list_file(path: Path) -> bytes:
    """Entries are relative to the list's folder; it travels without it."""
    base, lines = os.path.abspath(path.parent), []
    for line in _read(str(path), "the list").decode("utf-8-sig", "surrogateescape").split("\n"):
        entry = line.rstrip("\r")
        lines.append(entry if not entry.strip() or entry.startswith("#") else _absolute(entry, base))
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _parquet_list(path: Path) -> bytes:
    """Of its columns only what a run reads travels."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"uri": pa.array(uris_in_parquet(str(path)), pa.string())}), sink)
    return sink.getvalue()


def _jobs_file(command: RemoteCommand, path: Path) -> bytes:
    """Sources become absolute; reference pictures that lie here travel too."""
    base, lines = os.path.abspath(path.parent), []
    try:
        text = _read(str(path), "--jobs").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            lines.append(line)
            continue
        try:
            job = json.loads(line)
            job["source"] = _absolute(job["source"], base)
            for turn in [job.get("edits") or [], *(job.get("turns") or [])]:
                for edit in turn:
                    _carry_reference(command, edit, base)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}, line {number}: not a job: {error}") from None
        lines.append(json.dumps(job, ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode("utf-8")


def _carry_reference(command: RemoteCommand, edit: dict[str, Any], base: str) -> None:
    """The jobs file and its pictures will lie in one folder, so a name alone says where."""
    reference = edit.get("reference")
    if reference and not _URI.match(reference):
        path = os.path.join(base, reference)
        edit["reference"] = _take(command, path, _read(path, "the reference picture")).name


def _absolute(path: str, base: str) -> str:
    return path if _URI.match(path) else os.path.normpath(os.path.join(base, path))


def _read(path: str, what: str) -> bytes:
    try:
        if os.stat(path).st_size > MAX_CARRIED_MB << 20:
            raise UserError(f"{what} {path} is too large to travel with a job: put it where the cluster can read it")
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
