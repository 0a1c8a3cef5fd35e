"""What no file of the product may do: run what a stranger wrote."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [
    path for part in ("schemas", "stages", "actors", "cluster", "pipeline") for path in (ROOT / part).rglob("*.py")
]

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BETWEEN_OUR_PROCESSES = {"pipeline/packing.py"}
"""Values on their way between a worker and a model's process: Ray pickles them anyway."""

RUN_TEXT = {"eval", "exec", "compile", "__import__"}
MUST_SAY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
UNSAFE = {
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "os.popen",
    "pd.read_pickle",
    "tarfile.extractall",
}


def name_of(function: ast.expr) -> str:
    return ast.unparse(function)


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                named = {(node.module or "").split(".")[0]}
            yield from (f"imports {each}" for each in sorted(named & PICKLES))
        elif isinstance(node, ast.Call):
            yield from faults_of_call(node)


def faults_of_call(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    said = {key: value.value for key, value in given.items() if isinstance(value, ast.Constant)}
    if name in RUN_TEXT | UNSAFE or name.endswith((".extractall", ".extract")):
        yield f"calls {name}"
    if name in MUST_SAY and said.get(MUST_SAY[name][0]) is not MUST_SAY[name][1]:
        yield f"calls {name} without {MUST_SAY[name][0]}={MUST_SAY[name][1]}"
    for key in ("trust_remote_code", "shell"):
        if key in given and said.get(key) is not False:
            yield f"calls {name} with {key}"


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_runs_what_it_reads(path):
    name = str(path.relative_to(ROOT))
    found = set(faults(ast.parse(path.read_text())))
    if name in BETWEEN_OUR_PROCESSES:
        found -= {"imports pickle"}
    assert not found, f"{name} {', '.join(found)}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "cls.from_pretrained(name, trust_remote_code=True)",
        "cls.from_pretrained(name, trust_remote_code=asked)",
        "subprocess.run(line, shell=True)",
        "tar.extractall(folder)",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_the_search_finds(code):
    assert list(faults(ast.parse(code)))


def test_strings_that_configure_a_library_do_not_ask_for_remote_code():
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                assert "trust_remote_code" not in keys, path


def test_media_are_opened_in_two_places_only():
    """Where all of what FFmpeg must not do is said; and where our own files are written."""
    opens = {
        str(path.relative_to(ROOT))
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and name_of(node.func) in ("av.open", "cv2.VideoCapture", "imageio.get_reader")
    }
    assert opens == {"stages/media.py", "stages/muxing.py", "pipeline/demo.py"}


def test_nothing_listens_beyond_this_machine_but_on_kubernetes():
    """KubeRay asks its head's dashboard from other pods; there a token is asked for."""
    listening = {str(path.relative_to(ROOT)) for path in PRODUCT if "0.0.0.0" in path.read_text()}
    assert listening <= {"cluster/kuberay.py"}
    assert '"mode": "token"' in (ROOT / "cluster/kuberay.py").read_text()
    assert '"include_dashboard": False' in (ROOT / "cluster/local.py").read_text()
