"""The house rules of docs/architecture.md, held by reading the source.

`python tests/test_architecture.py --accept` writes tests/cli_options.txt after an option was added on purpose.
"""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
OPTIONS = REPOSITORY / "tests" / "cli_options.txt"
MAY_IMPORT = {
    "schemas": set(),
    "stages": {"schemas"},
    "actors": {"schemas", "stages"},
    "cluster": {"schemas"},
    "pipeline": {"schemas", "stages", "actors", "cluster"},
}
RAY_IS_ALLOWED_IN = {"cluster", "pipeline"}
TORCH_IS_ALLOWED_IN = {"actors", "pipeline"}  # pipeline: what fits this GPU
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
NO_NAMES_FOR_A_FILE = {"utils", "util", "helpers", "helper", "common", "misc"}

MODULES = sorted(path for package in MAY_IMPORT for path in (REPOSITORY / package).rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).parts[0]


def imports_of(source: str) -> set[str]:
    """First parts of all names imported absolutely, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


def complaints_about_imports(package: str, source: str) -> list[str]:
    imported = imports_of(source)
    foreign = (imported & MAY_IMPORT.keys()) - MAY_IMPORT[package] - {package}
    complaints = [f"{package} must not import {name}" for name in sorted(foreign)]
    if "ray" in imported and package not in RAY_IS_ALLOWED_IN:
        complaints.append(f"{package} must not import ray")
    if "torch" in imported and package not in TORCH_IS_ALLOWED_IN:
        complaints.append(f"{package} must not import torch")
    return complaints


def long_functions(source: str) -> list[str]:
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def test_imports_point_one_way():
    complaints = {
        str(path.relative_to(REPOSITORY)): found
        for path in MODULES
        if (found := complaints_about_imports(package_of(path), path.read_text("utf-8")))
    }
    assert not complaints


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("schemas", "from stages.masks import iou"),
        ("stages", "import actors.vlm"),
        ("cluster", "def f():\n    from pipeline import engine"),
        ("actors", "import ray.data"),
        ("stages", "from torch import nn"),
    ],
)
def test_a_wrong_import_is_found(package, source):
    assert len(complaints_about_imports(package, source)) == 1
    assert complaints_about_imports(package, "import numpy\nfrom schemas.video import Image") == []


@pytest.mark.parametrize("package", ["schemas", "stages", "actors"])
def test_importing_everything_loads_no_ray_and_no_torch(package):
    names = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if package_of(path) == package and path.parent.name != "models"  # a profile without models loads none of them
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({'ray', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_files_and_functions_stay_small():
    complaints = {}
    for path in MODULES:
        source = path.read_text("utf-8")
        found = long_functions(source)
        if (num_lines := len(source.splitlines())) > MAX_FILE_LINES:
            found.append(f"{num_lines} lines")
        if found:
            complaints[str(path.relative_to(REPOSITORY))] = found
    assert not complaints


def test_a_long_function_is_found():
    assert long_functions("def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES) == ["f has 61 lines"]
    assert long_functions("def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)) == []


def test_no_file_is_named_after_nothing():
    assert [path for path in MODULES if path.stem in NO_NAMES_FOR_A_FILE] == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_comes_from_this_checkout(package):
    # Names as short as "stages" may be installed by something else on a cluster.
    module = importlib.import_module(package)
    assert Path(str(module.__file__)).parent == REPOSITORY / package


def test_pyproject_lists_every_package():
    import tomllib

    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(REPOSITORY).parts) for path in MODULES}
    assert set(listed) == found


def cli_options() -> list[str]:
    """One line per command and parameter of the command line, sorted."""
    import typer

    from pipeline.cli import app

    def lines(command, words: str) -> list[str]:
        own = [f"{words} {' '.join(parameter.opts)}" for parameter in command.params if parameter.name != "help"]
        below = getattr(command, "commands", {})
        return own + [line for name, child in below.items() for line in lines(child, f"{words} {name}")]

    return sorted(lines(typer.main.get_command(app), "recast"))


@pytest.mark.skipif(not OPTIONS.is_file(), reason="the options are not frozen yet: write them with --accept")
def test_no_option_appears_by_accident():
    assert cli_options() == OPTIONS.read_text("utf-8").splitlines(), (
        "the command line changed: if on purpose, run `python tests/test_architecture.py --accept` and document it"
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["--accept"]:
        sys.exit("usage: python tests/test_architecture.py --accept")
    sys.path.insert(0, str(REPOSITORY))
    OPTIONS.write_text("\n".join(cli_options()) + "\n", encoding="utf-8")
    print(f"wrote {OPTIONS.relative_to(REPOSITORY)}")
