"""A schedule on one machine: a line for its crontab, or a systemd service with its timer. Starting twice is harmless:
a run locks its output."""

import re
import shlex
from collections.abc import Mapping, Sequence

from cluster.cron import Schedule
from schemas.errors import UserError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def crontab(words: Sequence[str], schedule: Schedule) -> str:
    """The line, after CRON_TZ= where a time zone was given. Raises UserError for a word with a line break or another
    control character, which no crontab can hold."""
    for word in words:
        if _CONTROL.search(word):
            raise UserError(f"a crontab cannot hold the line break or control character in {word!r}")
    zone = f"CRON_TZ={schedule.timezone}\n" if schedule.timezone else ""
    return f"{zone}{schedule.cron} {' '.join(map(_cron_word, words))}\n"


def _cron_word(word: str) -> str:
    """cron makes line breaks of % unless a backslash stands before it, and takes that backslash away; so it must stand
    outside of the shell's quotes and behind nothing that could escape it."""
    if not word:
        return "''"
    return r"\%".join(shlex.quote(part) if part else "" for part in word.split("%"))


def systemd_units(
    name: str, words: Sequence[str], schedule: Schedule, folder: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """File name -> text of a service and its timer. folder: where it runs."""
    variables = "".join(
        f"Environment={_systemd_quote(f'{name}={value}')}\n" for name, value in sorted(environment.items())
    )
    service = f"""\
[Unit]
Description=recast: {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder.replace("%", "%%")}
{variables}ExecStart={" ".join(map(_systemd_word, words))}
# A run that is asked to end commits what is done, within 25 s.
TimeoutStopSec=60
KillMode=mixed
"""
    calendar = "".join(f"OnCalendar={line}\n" for line in schedule.on_calendar())
    timer = f"""\
[Unit]
Description=recast: when {name} runs

[Timer]
{calendar}# A time at which the machine was off is made up for.
Persistent=true
AccuracySec=1min

[Install]
WantedBy=timers.target
"""
    return {f"{name}.service": service, f"{name}.timer": timer}


def _systemd_word(word: str) -> str:
    """$ would be a variable in a command, but nowhere else."""
    return _systemd_quote(word).replace("$", "$$")


def _systemd_quote(text: str) -> str:
    r"""C-style escapes between double quotes; % would be a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if "\0" in escaped:
        raise UserError("no argument of a command can hold a NUL")
    return '"' + _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", escaped) + '"'
