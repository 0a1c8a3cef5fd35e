"""A stage whose code changed must say whether its results changed: bump its version, or accept the new code as is.

`python tests/stages/test_versions.py --accept` writes the lock file after either.
"""

import ast
import hashlib
import json
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))  # for --accept, which runs without pytest

from stages.versions import SOURCES, VERSIONS  # noqa: E402

STAGES = REPOSITORY / "stages"
LOCK = Path(__file__).with_name("versions.lock.json")
WITHOUT_RESULTS = {"__init__", "versions"}


def normalised(source: str) -> str:
    """The syntax tree without comments, docstrings, formatting and line numbers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [child for child in node.body if not _is_bare_text(child)] or [ast.Pass()]
    return _text_of(tree)


def _text_of(node: object) -> str:
    """Like ast.dump, but without empty fields: those are what differs between Python's minor versions."""
    if isinstance(node, ast.AST):
        fields = [f"{name}={_text_of(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_text_of, node))}]"
    return repr(node)


def _is_bare_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def imported_stages(source: str) -> set[str]:
    """Modules of `stages` that this source imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("stages.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "stages":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stages."):
            found.add(str(node.module).split(".")[1])
    return found - WITHOUT_RESULTS


def file_of(module: str, root: Path) -> Path:
    """Of `media`, a module of `stages`, or of `actors.vlm`, one elsewhere."""
    return root / f"{module.replace('.', '/') if '.' in module else f'stages/{module}'}.py"


def modules_of(stage: str, root: Path = REPOSITORY) -> list[str]:
    """The modules a stage consists of, with all that those of `stages` import from there, sorted."""
    waiting, seen = list(SOURCES[stage]), set()
    while waiting:
        module = waiting.pop()
        path = file_of(module, root)
        if module not in seen and path.is_file():
            seen.add(module)
            if "." not in module:  # a step or a role also imports what belongs to other stages
                waiting += imported_stages(path.read_text("utf-8"))
    return sorted(seen)


def code_hash(stage: str, root: Path = REPOSITORY) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for module in modules_of(stage, root):
        digest.update(f"{module}\n{normalised(file_of(module, root).read_text('utf-8'))}\n".encode())
    return digest.hexdigest()


def current_lock() -> dict[str, dict[str, object]]:
    return {stage: {"version": version, "code": code_hash(stage)} for stage, version in VERSIONS.items()}


def complaint(locked: dict[str, dict[str, object]], current: dict[str, dict[str, object]]) -> str:
    """What to do about the stages that are not as locked; "" when all are."""
    lines = []
    for stage, now in current.items():
        before = locked.get(stage, {})
        if now["code"] != before.get("code") and now["version"] == before.get("version"):
            lines.append(
                f"the code of stage {stage!r} changed: bump VERSIONS[{stage!r}] in stages/versions.py if its results "
                "change, then run `python tests/stages/test_versions.py --accept`"
            )
        elif now != before:
            lines.append(f"stage {stage!r} is not as locked: run `python tests/stages/test_versions.py --accept`")
    return "\n".join(lines)


@pytest.mark.skipif(not LOCK.is_file(), reason="no versions.lock.json yet: write it with --accept")
def test_code_is_as_locked_or_its_version_was_bumped():
    problem = complaint(json.loads(LOCK.read_text("utf-8")), current_lock())
    assert not problem, problem


@pytest.mark.skipif(not LOCK.is_file(), reason="no versions.lock.json yet: stages are still being added")
def test_every_stage_has_sources_and_every_module_belongs_to_a_stage():
    assert VERSIONS.keys() == SOURCES.keys()
    modules = {path.stem for path in STAGES.glob("*.py")} - WITHOUT_RESULTS
    orphans = modules - {module for stage in SOURCES for module in modules_of(stage)}
    assert not orphans, f"name them in SOURCES of stages/versions.py: {sorted(orphans)}"


def test_every_module_named_is_there():
    missing = [each for modules in SOURCES.values() for each in modules if not file_of(each, REPOSITORY).is_file()]
    assert not missing, f"SOURCES of stages/versions.py names what is not there: {missing}"


def test_words_and_layout_do_not_count_but_code_does():
    plain = 'def f(x):\n    """Says."""\n    return x + None  # why\n'
    assert normalised(plain) == normalised("# other\ndef f( x ):\n\n  'Else.'\n  return (x +\n   None)\n")
    assert normalised(plain) != normalised("def f(x):\n    return x - None\n")
    assert normalised("def f():\n    return None") != normalised("def f():\n    return 0")
    assert normalised('x = "text"') != normalised('x = "other"')


def test_a_change_in_an_imported_module_counts(tmp_path):
    for module in SOURCES["curate"]:
        file_of(module, tmp_path).parent.mkdir(exist_ok=True)
        file_of(module, tmp_path).write_text("from stages.helping import f\n" if "." not in module else "")
    file_of("helping", tmp_path).write_text("def f():\n    return 1\n")
    before = code_hash("curate", tmp_path)
    assert modules_of("curate", tmp_path) == sorted([*SOURCES["curate"], "helping"])
    file_of("helping", tmp_path).write_text("def f():\n    return 2\n")
    changed = code_hash("curate", tmp_path)
    assert changed != before
    file_of("actors.quality", tmp_path).write_text("WEIGHT = 2\n")
    assert code_hash("curate", tmp_path) != changed


def test_the_complaint_says_what_to_do():
    locked = {"mine": {"version": 1, "code": "a"}}
    assert complaint(locked, locked) == ""
    assert "bump VERSIONS['mine']" in complaint(locked, {"mine": {"version": 1, "code": "b"}})
    assert "bump" not in complaint(locked, {"mine": {"version": 2, "code": "b"}})
    assert "--accept" in complaint(locked, {"mine": {"version": 2, "code": "b"}})
    assert "--accept" in complaint({}, {"mine": {"version": 1, "code": "a"}})


if __name__ == "__main__":
    if sys.argv[1:] != ["--accept"]:
        sys.exit(complaint(json.loads(LOCK.read_text("utf-8")) if LOCK.is_file() else {}, current_lock()) or 0)
    LOCK.write_text(json.dumps(current_lock(), indent=2) + "\n", encoding="utf-8")
    print(f"wrote {LOCK.relative_to(REPOSITORY)}")
