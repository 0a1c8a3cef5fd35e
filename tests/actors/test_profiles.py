"""Profiles: loading, what a row depends on, and roles that load only when touched."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.profiles import (
    ROLE_NAMES,
    Roles,
    build_role,
    check_implementations,
    fingerprint,
    load_profile,
    shipped_profiles,
)
from pipeline.pools import gpu_parts, pooled
from pipeline.settings import roles_of
from schemas.config import Config, Profile, RoleConfig
from schemas.errors import UserError
from schemas.keys import digest
from schemas.work import BUILD_PHASES, EDIT_PHASES


def write_profile(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profile_loads_and_carries_its_file_name(name):
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.roles) <= set(ROLE_NAMES)


SHIPPED_ROLES = [(name, role_name) for name in shipped_profiles() for role_name in load_profile(name).roles]


@pytest.mark.parametrize(("name", "role_name"), SHIPPED_ROLES)
def test_the_class_of_every_shipped_role_takes_its_options(name, role_name):
    profile = load_profile(name)
    try:
        check_implementations(Profile(name=name, roles={role_name: profile.roles[role_name]}))
    except UserError as mistake:
        if "needs the package" not in str(mistake):
            raise
        pytest.skip(str(mistake))


@pytest.mark.parametrize(("name", "role_name"), SHIPPED_ROLES)
def test_every_shipped_model_is_pinned_and_says_what_it_is(name, role_name):
    role = load_profile(name).roles[role_name]
    revisions = [role.revision] if role.model else []
    revisions += [value for option, value in role.options.items() if option.endswith("revision")]
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in revisions)
    assert bool(role.dtype) == bool(role.model)


GPUS = {"gpu-24gb": [[22.4]], "h100": [[79.1]], "cluster": [[79.1]] * 8}
"""GiB that the smallest cards of their kind have: an L4 or A10, an H100 or A100."""
COMMANDS = {"build": BUILD_PHASES, "edit": EDIT_PHASES}


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_needs_fits_the_gpus_a_profile_is_made_for(name, command):
    profile = load_profile(name)
    needed = roles_of(COMMANDS[command], Config.model_validate(profile.settings))
    roles = {role_name: role for role_name, role in pooled(profile).items() if role_name in needed}
    parts = gpu_parts(roles, GPUS[name])
    assert all(parts.values()), "every model of these profiles has its place on a GPU"


def test_embedded_names_every_role():
    assert set(ROLE_NAMES) <= set(load_profile("embedded").roles)


def test_unknown_name_lists_the_shipped_ones():
    with pytest.raises(UserError, match="embedded") as caught:
        load_profile("embeded")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        ('name = "x"\n[roles.painter]\nimplementation = "a:B"', "no role 'painter'"),
        ('name = "x"\n[roles.vlm]\nimplementation = "a:B"\nbatchsize = 2', "roles.vlm.batchsize"),
        ('name = "x"\n[roles]\n[settings.mining]\nanchors = 3', "mining.anchors"),
    ],
)
def test_a_wrong_profile_is_one_line_that_says_where(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        load_profile(write_profile(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load_profile(str(tmp_path / "none.toml"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        load_profile(binary)


def test_fingerprint_sees_what_changes_rows_and_nothing_else():
    role = RoleConfig(implementation="a:B", model="hub/id", options={"steps": 4})
    same = role.model_copy(update={"batch_size": 9, "replicas": 3, "gpu_memory_gb": 20.0})
    assert digest(fingerprint(role)) == digest(fingerprint(same))
    for change in (
        {"model": "hub/other"},
        {"revision": "2"},
        {"dtype": "bf16"},
        {"options": {}},
        {"implementation": "a:C"},
    ):
        assert digest(fingerprint(role)) != digest(fingerprint(role.model_copy(update=change)))


@pytest.fixture
def sample_module(tmp_path, monkeypatch):
    """A module below actors with one class that counts how often it is built."""
    import actors

    (tmp_path / "sampled.py").write_text(
        "class Plain:\n"
        "    built = 0\n"
        "    def __init__(self, strength: float = 1.0):\n"
        "        type(self).built += 1\n"
        "        self.strength = strength\n"
        "class Loaded:\n"
        "    def __init__(self, model: str, revision: str = '', dtype: str = ''):\n"
        "        self.loaded = (model, revision, dtype)\n"
        "class Batched:\n"
        "    def __init__(self, batch_size: int):\n"
        "        self.batch_size = batch_size\n"
    )
    (tmp_path / "needy.py").write_text("import a_package_nobody_has\n")
    monkeypatch.setattr(actors, "__path__", [*actors.__path__, str(tmp_path)])
    yield
    import sys

    for name in ("actors.sampled", "actors.needy"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("sample_module")
def test_options_and_model_reach_the_constructor():
    assert build_role("vlm", RoleConfig(implementation="sampled:Plain", options={"strength": 0.5})).strength == 0.5
    role = RoleConfig(implementation="sampled:Loaded", model="hub/id", revision="abc", dtype="float16")
    assert build_role("vlm", role).loaded == ("hub/id", "abc", "float16")
    assert build_role("vlm", RoleConfig(implementation="sampled:Batched", batch_size=7)).batch_size == 7


@pytest.mark.usefixtures("sample_module")
@pytest.mark.parametrize(
    ("role", "message"),
    [
        ({"implementation": "sampled"}, "module:Class"),
        ({"implementation": "nowhere:Thing"}, "no module actors.nowhere"),
        ({"implementation": "sampled:Missing"}, "no class 'Missing'"),
        ({"implementation": "sampled:Plain", "options": {"strenght": 1}}, "takes: strength"),
        ({"implementation": "needy:Thing"}, "a_package_nobody_has"),
    ],
)
def test_a_role_that_cannot_be_built_names_role_and_remedy(role, message):
    with pytest.raises(UserError, match=message) as caught:
        build_role("vlm", RoleConfig(**role))
    assert "role 'vlm'" in str(caught.value)


@pytest.mark.usefixtures("sample_module")
def test_roles_are_built_once_when_touched_and_not_carried_by_pickle():
    import importlib

    plain = importlib.import_module("actors.sampled").Plain
    role = RoleConfig(implementation="sampled:Plain")
    roles = Roles(Profile(name="x", roles={"vlm": role, "depth": role}))
    assert plain.built == 0
    assert roles.vlm is roles.vlm
    assert plain.built == 1
    copied = pickle.loads(pickle.dumps(roles))
    assert plain.built == 1
    assert copied.vlm is not roles.vlm
    with pytest.raises(UserError, match="names no role 'quality'"):
        _ = roles.quality


def test_reading_a_profile_loads_nothing_that_sees():
    """The command line, the ledger and the writers read profiles too."""
    heavy = "{'cv2', 'scipy', 'skimage', 'av', 'torch'}"
    script = f"import sys, pipeline.settings; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
