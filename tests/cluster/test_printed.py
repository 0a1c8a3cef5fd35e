"""`recast submit --manifest` and `recast schedule` as a user calls them: what is on stdout can be applied as it is."""

import shlex
import sys

import pytest
import yaml
from rich.console import Console
from test_manifests import check

from cluster import s3
from pipeline.cli import app
from pipeline.failures import run_guarded

BUILD = ["build", "s3://b/films", "--out", "s3://b/out", "--category", "a 'b' %c"]
KUBE = ["--image", "recast:1", "--secret", "aws"]
NIGHTLY = ["schedule", "--cron", "0 3 * * *"]


@pytest.fixture(autouse=True)
def no_settings_of_s3(monkeypatch):
    for name in s3.SETTINGS:
        monkeypatch.setenv(name, "")  # or what is set meanwhile would stay
        monkeypatch.delenv(name)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recast", *words])
        code = run_guarded(app, Console(stderr=True, soft_wrap=True))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "--manifest", "rayjob", *KUBE],
        ["submit", "--manifest", "raycluster", *KUBE],
        [*NIGHTLY, *KUBE],
        [*NIGHTLY, "--kind", "raycronjob", *KUBE],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("profile", ["embedded", "h100", "cluster"])
def test_every_manifest_holds(words, profile, capsys):
    out, _ = printed(capsys, *words, *BUILD, "--profile", profile)
    for document in yaml.safe_load_all(out):
        check(document)


def test_the_rayjob_runs_the_command_on_the_nodes_its_profile_needs(capsys):
    out, _ = printed(capsys, "submit", "--manifest", "rayjob", "--gpus", "8", *KUBE, *BUILD, "--profile", "cluster")
    spec = yaml.safe_load(out)["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:4] == ["python", "-m", "pipeline.cli", "build"]
    assert {"--out=s3://b/out", "--category=a 'b' %c", "--profile=cluster"} <= set(words)
    assert words[-2:] == ["--", "s3://b/films"]
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["groupName"], group["replicas"]) == ("gpu", 1)


def test_a_profile_of_ones_own_is_mounted(capsys, tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text('name = "mine"\n[roles.quality]\nimplementation = "quality:MeasuredQuality"\n')
    out, _ = printed(capsys, "submit", "--manifest", "rayjob", *KUBE, *BUILD, "--profile", str(profile))
    files, job = yaml.safe_load_all(out)
    assert list(files["binaryData"]) == ["0-mine.toml"]
    assert "--profile=/etc/recast/0-mine.toml" in shlex.split(job["spec"]["entrypoint"])


def test_what_has_no_concurrency_policy_says_so(capsys):
    _, err = printed(capsys, *NIGHTLY, "--kind", "raycronjob", *KUBE, *BUILD)
    assert "alpha" in err
    assert "no concurrency policy" in err


def test_it_is_said_when_it_will_run(capsys):
    _, err = printed(capsys, "schedule", "--cron", "0 3 1 1 *", "--timezone", "Asia/Tokyo", *KUBE, *BUILD)
    assert err.startswith("next: ")
    assert err.count("01 Jan") == 3
    assert "03:00 (Asia/Tokyo)" in err


def test_a_crontab_line_and_units_run_the_command_of_this_installation(capsys):
    out, _ = printed(capsys, *NIGHTLY, "--kind", "crontab", *BUILD)
    assert out.startswith("0 3 * * * /")
    assert r"\%c" in out
    out, err = printed(capsys, *NIGHTLY, "--kind", "systemd", "--name", "films", *BUILD)
    assert "OnCalendar=*-*-* 03:00:00\n" in out
    assert "\"--category=a 'b' %%c\"" in out
    assert "enable --now films.timer" in err
    assert "enable-linger" in err


def test_what_says_which_s3_goes_into_both_and_no_secret_does(capsys, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    where = ["--endpoint-url", "http://minio:9000", "--aws-profile", "night"]
    line, _ = printed(capsys, *where, *NIGHTLY, "--kind", "crontab", *BUILD)
    assert {"AWS_ENDPOINT_URL_S3=http://minio:9000", "AWS_PROFILE=night"} <= set(shlex.split(line))
    units, _ = printed(capsys, *where, *NIGHTLY, "--kind", "systemd", *BUILD)
    assert 'Environment="AWS_ENDPOINT_URL_S3=http://minio:9000"\n' in units
    assert "hidden" not in line + units
