"""Cron expressions, and what is printed for one machine, read back the way cron, systemd and the shell read it."""

import re
import shutil
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.cron import Schedule
from cluster.local_schedules import crontab, systemd_units
from schemas.errors import UserError

WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)
NASTY = [
    "100%",
    "a\\%b",
    "%\\",
    "it's",
    'say "x"',
    "$HOME ${HOME} $$",
    "!!",
    ";",
    "a b",
    "",
    "-",
    "ü",
    "`id`",
    "\\",
    "*",
]


def test_the_words_of_every_kind_of_field_are_read():
    assert Schedule("*/15 2-4 1,15 JAN-MAR *", "").on_calendar() == ["*-01,02,03-01,15 02,03,04:00,15,30,45:00"]
    assert Schedule("0 3 * * MON-FRI", "UTC").on_calendar() == ["Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00 UTC"]


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 3 * *", "five fields"),
        ("@daily", "five fields"),
        ("61 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 * * 7", "Sunday is 0"),
        ("0 3 * * 5-7", "Sunday is 0"),
        ("5/15 * * * *", "alike"),
        ("0 3 L * *", "alike"),
        ("0 3 * * 1#2", "alike"),
        ("0 3 ? * *", "alike"),
        ("0 3 */2 * 1", "disagree"),
        ("0 0 31 2 *", "day"),
        ("*/0 * * * *", "minute"),
    ],
)
def test_what_schedulers_would_read_differently_is_refused(cron, why):
    with pytest.raises(UserError, match=re.escape(why)):
        Schedule(cron, "")


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(UserError, match="Europe/Berlin"):
        Schedule("0 3 * * *", "Europe/Berln")


FIELD = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 6)}


@st.composite
def cron_expressions(draw: st.DrawFn) -> str:
    fields = []
    for low, high in FIELD.values():
        first, last = sorted([draw(st.integers(low, high)), draw(st.integers(low, high))])
        step = draw(st.integers(1, 9))
        fields.append(
            draw(st.sampled_from(["*", str(first), f"{first}-{last}", f"{first}-{last}/{step}", f"{first},{last}"]))
        )
    return " ".join(fields)


@given(cron_expressions())
@settings(max_examples=15)
def test_systemd_comes_at_the_times_of_cron(cron):
    """By systemd's own calculator: its next times are cron's."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    schedule, now = Schedule(cron, "UTC"), datetime(2026, 3, 1, 0, 0, 30, tzinfo=UTC)
    expected = schedule.next_times(now, 4)
    found: set[datetime] = set()
    for calendar in schedule.on_calendar():
        command = [analyze, "calendar", "--iterations=4", f"--base-time={now:%Y-%m-%d %H:%M:%S} UTC", calendar]
        text = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC"}).stdout
        for time in re.findall(r"(?:Next elapse|Iter[a-z.]* #\d+): \w+ (\S+ \S+) UTC", text):
            found.add(datetime.strptime(time, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    assert sorted(found)[:4] == expected


def as_cron_runs_it(line: str) -> str:
    """The command of a crontab line as cron hands it to the shell: up to the first % without a backslash before it, and
    without those backslashes (do_command.c of Vixie's cron)."""
    command = line.rstrip("\n").split(" ", 5)[5]
    handed, escaped = "", False
    for letter in command:
        if escaped:
            escaped = False
            handed = handed[:-1] + "%" if letter == "%" else handed + letter
        elif letter == "%":
            break
        else:
            escaped = letter == "\\"
            handed += letter
    return handed


def words_of_shell(command: str) -> list[str]:
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@given(st.lists(WORD | st.sampled_from(NASTY), min_size=1, max_size=4))
@settings(max_examples=60)
def test_any_argument_survives_a_crontab_and_the_shell(words):
    line = crontab(["printf", r"%s\0", *words], Schedule("0 3 * * *", ""))
    assert line.count("\n") == 1
    assert words_of_shell(as_cron_runs_it(line)) == words


def test_a_crontab_says_its_time_zone_and_refuses_line_breaks():
    assert crontab(["recast"], Schedule("0 3 * * *", "Europe/Berlin")) == "CRON_TZ=Europe/Berlin\n0 3 * * * recast\n"
    with pytest.raises(UserError, match="line break"):
        crontab(["a\nb"], Schedule("0 3 * * *", ""))


def as_systemd_reads_it(line: str) -> list[str]:
    """Words between double quotes with C escapes, then %% and $$, as systemd.service(5) has it."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    plain = [
        re.sub(r"\\(x[0-9a-f]{2}|.)", lambda m: chr(int(m[1][1:], 16)) if len(m[1]) > 1 else m[1], w) for w in words
    ]
    assert not any(re.search(r"(?<!%)%(%%)*(?!%)", word) for word in plain)
    return [word.replace("%%", "%").replace("$$", "$") for word in plain]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=4))
def test_any_argument_survives_systemd(words):
    service = systemd_units("recast", ["/bin/recast", *words], Schedule("0 3 * * *", ""), "/", {})["recast.service"]
    (line,) = [line for line in service.split("\n") if line.startswith("ExecStart=")]
    assert as_systemd_reads_it(line) == ["/bin/recast", *words]


def test_systemd_itself_takes_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    for nasty in NASTY:
        units = systemd_units("nightly", ["/bin/echo", nasty], Schedule("0 3 1 * 1", "UTC"), "/", {"AWS_REGION": "a b"})
        for name, text in units.items():
            (tmp_path / name).write_text(text)
        done = subprocess.run(
            [analyze, "verify", "--man=no", *map(str, (tmp_path / name for name in units))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "nightly" not in done.stderr
