"""Cron expressions: those that every scheduler reads alike, and their translation for systemd.

Schedulers differ where the dialects of cron do: macros, 7 for Sunday, `5/15`, `L`, and two restricted day fields of
which one is `*/n` (any of the two in Kubernetes, both in Debian). Such expressions are refused rather than run on
another day than was meant.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

from schemas.errors import UserError

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_TERM = re.compile(r"(\*|[0-9]+-[0-9]+)(/[0-9]+)?|[0-9]+")
_NAMES = re.compile(r"[A-Za-z]{3}(-[A-Za-z]{3})?")
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True)
class Schedule:
    """A checked cron expression of five fields, and an IANA time zone ("" = the scheduler's own)."""

    cron: str
    timezone: str

    def __post_init__(self) -> None:
        """Raises UserError, one line, for what is no expression, for what schedulers read differently, for one that
        never comes, and for an unknown time zone."""
        _check(self.cron)
        if self.timezone and self.timezone not in available_timezones():
            raise UserError(f"there is no time zone {self.timezone!r}: give one like Europe/Berlin or UTC")
        if next(self._times(datetime(2024, 1, 1)), None) is None:
            raise UserError(f"--cron {self.cron!r} never comes")

    @property
    def fields(self) -> list[str]:
        return self.cron.split()

    def next_times(self, after: datetime, count: int) -> list[datetime]:
        """The next `count` times after `after`, in its time zone."""
        times = self._times(after)
        return [next(times) for _ in range(count)]

    def _times(self, after: datetime) -> CronSim:
        try:
            return CronSim(self.cron, after)
        except CronSimError as error:
            raise UserError(f"--cron {self.cron!r}: {str(error).lower()}") from None

    def on_calendar(self) -> list[str]:
        """The same times as values of systemd's OnCalendar=; together they are the schedule. Two of them where cron
        means "this day of the month, or that day of the week"; systemd means both."""
        parsed = self._times(datetime(2024, 1, 1))
        minutes, hours = _numbers(parsed.minutes, 60), _numbers(parsed.hours, 24)
        months = _numbers({month - 1 for month in parsed.months}, 12, offset=1)
        days = _numbers({day - 1 for day in parsed.days}, 31, offset=1)
        named = {day % 7 for day in parsed.weekdays if isinstance(day, int)}
        weekdays = "" if len(named) == 7 else ",".join(_WEEKDAYS[day] for day in sorted(named)) + " "
        zone = f" {self.timezone}" if self.timezone else ""

        def line(weekday: str, day: str) -> str:
            return f"{weekday}*-{months}-{day} {hours}:{minutes}:00{zone}"

        if "*" in (self.fields[2][0], self.fields[4][0]):
            return [line(weekdays, days)]
        return [line("", days), line(weekdays, "*")]


def _check(cron: str) -> None:
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise UserError(f"--cron takes five fields, minute hour day month weekday, like '0 3 * * *', not {cron!r}")
    for name, text in zip(_FIELDS, fields, strict=True):
        for term in text.split(","):
            named = _NAMES.fullmatch(term) and name in _FIELDS[3:]
            if not named and not _TERM.fullmatch(term):
                raise UserError(
                    f"--cron {cron!r}: {name} {term!r}: every scheduler reads numbers, a-b, *, */n and a-b/n alike"
                )
    if re.search(r"(?<![0-9/])7", fields[4]):
        raise UserError(f"--cron {cron!r}: Kubernetes does not know day 7 of the week; Sunday is 0")
    days, weekdays = fields[2], fields[4]
    if days != "*" and weekdays != "*" and "*" in days + weekdays:
        raise UserError(
            f"--cron {cron!r}: schedulers disagree whether */n and the other day field must both match; list the days"
        )


def _numbers(values: set[int], size: int, offset: int = 0) -> str:
    if len(values) == size:
        return "*"
    return ",".join(f"{value + offset:02d}" for value in sorted(values))
