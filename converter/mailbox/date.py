"""Dates as ``git am`` reads them: a mail's Date field becomes ``seconds zone`` (pure).

The rules are those of ``parse_date()`` in git's date.c (2.39): every word and number is guessed at
on its own, what makes no sense is skipped. Two of its inputs are not in the mail: the local zone,
for which UTC stands here, and the current time, see ``parse``.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace

_MONTHS = (
    b"JANUARY", b"FEBRUARY", b"MARCH", b"APRIL", b"MAY", b"JUNE",
    b"JULY", b"AUGUST", b"SEPTEMBER", b"OCTOBER", b"NOVEMBER", b"DECEMBER",
)  # fmt: skip
_WEEKDAYS = (
    b"SUNDAYS", b"MONDAYS", b"TUESDAYS", b"WEDNESDAYS", b"THURSDAYS", b"FRIDAYS", b"SATURDAYS",
)  # fmt: skip
# Hours east of UTC, daylight saving added (date.c, timezone_names; its order decides on prefixes).
_ZONES = (
    (b"IDLW", -12), (b"NT", -11), (b"CAT", -10), (b"HST", -10), (b"HDT", -9), (b"YST", -9),
    (b"YDT", -8), (b"PST", -8), (b"PDT", -7), (b"MST", -7), (b"MDT", -6), (b"CST", -6),
    (b"CDT", -5), (b"EST", -5), (b"EDT", -4), (b"AST", -3), (b"ADT", -2), (b"WAT", -1),
    (b"GMT", 0), (b"UTC", 0), (b"Z", 0), (b"WET", 0), (b"BST", 1), (b"CET", 1), (b"MET", 1),
    (b"MEWT", 1), (b"MEST", 2), (b"CEST", 2), (b"MESZ", 2), (b"FWT", 1), (b"FST", 2), (b"EET", 2),
    (b"EEST", 3), (b"WAST", 7), (b"WADT", 8), (b"CCT", 8), (b"JST", 9), (b"EAST", 10),
    (b"EADT", 11), (b"GST", 10), (b"NZT", 12), (b"NZST", 12), (b"NZDT", 13), (b"IDLE", 12),
)  # fmt: skip
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_UNKNOWN = -1  # a field, or the zone, that nothing has set yet

# What format-patch and mailers write: "Mon, 29 Jan 2018 22:08:37 -0800".
_RFC2822 = re.compile(
    rb"(?:[A-Z][a-z]{2}, )?(\d\d?) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"
)
_MONTH_NUMBER = {name[:3].capitalize(): number for number, name in enumerate(_MONTHS)}

_ALNUM = re.compile(rb"[A-Za-z0-9]{1,11}")  # no name is longer than 10
_ALPHA = re.compile(rb"[A-Za-z]+")
_DIGITS = re.compile(rb"[0-9]+")
_STRTOL = re.compile(rb"[ \t-\r]*[+-]?[0-9]+")


@dataclass(slots=True)
class _Broken:
    """struct tm: the broken-down time as it is collected; year counts from 1900, month from 0."""

    year: int = _UNKNOWN
    month: int = _UNKNOWN
    day: int = _UNKNOWN
    hour: int = _UNKNOWN
    minute: int = _UNKNOWN
    second: int = _UNKNOWN
    zone: int = _UNKNOWN  # minutes east of UTC
    is_utc: bool = False  # the fields came from seconds since 1970
    now: int | None = None

    def nothing_known(self) -> bool:
        return (self.year & self.month & self.day & self.hour & self.minute & self.second) < 0

    def seconds(self) -> int | None:
        """tm_to_time_t(): seconds since 1970, fields taken as UTC and not normalised."""
        year = self.year - 70
        day = self.day
        if not 0 <= year <= 129 or not 0 <= self.month <= 11:
            return None
        if self.month < 2 or (year + 2) % 4:
            day -= 1
        if self.hour < 0 or self.minute < 0 or self.second < 0:
            return None
        days = year * 365 + (year + 1) // 4 + _DAYS_BEFORE[self.month] + day
        return days * 86400 + self.hour * 3600 + self.minute * 60 + self.second

    def set_date(self, year: int, month: int, day: int, *, sure: bool) -> bool:
        """set_date(): whether these make a date, and, unless the order is ``sure``, no future one."""
        year, month, day = _int(year), _int(month), _int(day)
        if not (0 < month < 13 and 0 < day < 32):
            return False
        if sure:
            self.month, self.day = month - 1, day  # they stay, whatever the year
        if 1970 <= year < 2100:
            year -= 1900
        elif year == -1 or 70 < year < 100:
            pass
        elif year < 38:
            year += 100
        else:
            return False
        if not sure and self.now is not None:
            this_year = time.gmtime(self.now).tm_year - 1900
            checked = replace(
                self, year=this_year if year == -1 else year, month=month - 1, day=day
            ).seconds()
            if checked is not None and checked != -1 and self.now + 10 * 86400 < checked:
                return False
        if year != -1:
            self.year = year
        self.month, self.day = month - 1, day
        return True

    def set_time(self, hour: int, minute: int, second: int) -> bool:
        if not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second <= 60):
            return False
        self.hour, self.minute, self.second = hour, minute, second
        return True


def parse(text: bytes, now: int | None = None) -> bytes | None:
    """Return ``text`` as git stores a date (``1517219317 -0800``), or None where git refuses it.

    git takes ``10/11/2012`` for another order of day and month, or refuses it, if it lies ahead of
    the current time by more than ten days. That needs ``now`` (seconds since 1970); without it the
    answer depends on nothing but the text.
    """
    usual = _RFC2822.fullmatch(text)
    if usual is not None and usual[2] in _MONTH_NUMBER:
        day, year, hour, minute, second = (int(usual[n]) for n in (1, 3, 4, 5, 6))
        east, rest = int(usual[8]), int(usual[9])
        if (
            0 < day < 32 and 1970 <= year < 2100 and hour < 24 and minute < 60 and second < 60
            and east < 24 and rest < 60 and (east or rest != 1)
        ):  # fmt: skip
            zone = (east * 60 + rest) * (-1 if usual[7] == b"-" else 1)
            known = _Broken(
                year - 1900, _MONTH_NUMBER[usual[2]], day, hour, minute, second
            ).seconds()
            if known is not None:
                return _raw(known - zone * 60, zone)
    if text.startswith(b"@"):
        raw = _object_header_date(text[1:])
        if raw is not None:
            return _raw(*raw)
    broken = _Broken(now=now)
    at = 0
    text = text.partition(b"\n")[0]
    while at < len(text):
        byte = text[at : at + 1]
        used = 0
        if byte.isalpha():
            used = _word(text, at, broken)
        elif byte.isdigit():
            used = _number(text, at, broken)
        elif byte in b"+-" and text[at + 1 : at + 2].isdigit():
            used = _zone(text, at, broken)
        at += used or 1
    seconds = broken.seconds()
    if seconds is None or seconds == -1:
        return None
    zone = 0 if broken.zone == _UNKNOWN else broken.zone
    return _raw(seconds if broken.is_utc else seconds - zone * 60, zone)


def _raw(seconds: int, zone: int) -> bytes:
    """date_string(): the time is unsigned there, so that one before 1970 wraps."""
    sign = b"-" if zone < 0 else b"+"
    zone = abs(zone)
    return b"%d %c%02d%02d" % (seconds % (1 << 64), sign, zone // 60, zone % 60)


def _int(number: int) -> int:
    """A number as C's int holds it."""
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _clamp(number: int) -> int:
    """strtol() saturates."""
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def _strtol(text: bytes, at: int) -> tuple[int, int]:
    """strtol(): the number and where it ends; no number is 0, ending where it began."""
    found = _STRTOL.match(text, at)
    if found is None:
        return 0, at
    # int() of a million digits is quadratic; past 20 digits every number saturates anyway.
    digits = found[0].lstrip(b" \t\n\v\f\r")
    sign = -1 if digits[:1] == b"-" else 1
    return _clamp(sign * _digits(digits.lstrip(b"+-"))), found.end()


def _digits(digits: bytes) -> int:
    """strtoumax() of digits only: saturates at 2**64 - 1."""
    digits = digits.lstrip(b"0")
    return min(int(digits or b"0"), (1 << 64) - 1) if len(digits) <= 20 else (1 << 64) - 1


def _object_header_date(text: bytes) -> tuple[int, int] | None:
    """match_object_header_date(): ``@0 +0000``."""
    found = _DIGITS.match(text)
    if found is None or text[found.end() : found.end() + 1] != b" ":
        return None
    seconds = _digits(found[0])
    sign = text[found.end() + 1 : found.end() + 2]
    if seconds == (1 << 64) - 1 or sign not in (b"+", b"-"):
        return None
    start = found.end() + 2
    number, end = _strtol(text, start)
    if end != start + 4 or text[end : end + 1] not in (b"", b"\n"):
        return None
    minutes = abs(number) // 100 * 60 + abs(number) % 100
    minutes = -minutes if number < 0 else minutes
    return seconds, -minutes if sign == b"-" else minutes


def _word(text: bytes, at: int, broken: _Broken) -> int:
    """match_alpha(): a month, weekday, zone, AM or PM; anything else is skipped."""
    found = _ALNUM.match(text, at)
    assert found is not None
    word = found[0].upper()
    size = len(word)
    if 3 <= size <= 9:
        for number, name in enumerate(_MONTHS):
            if name.startswith(word):
                broken.month = number
                return size
        if any(name.startswith(word) for name in _WEEKDAYS):
            return size
    if size <= 4:
        for name, hours in _ZONES:
            if name.startswith(word) and (size >= 3 or size == len(name)):
                if broken.zone == _UNKNOWN:
                    broken.zone = 60 * hours
                return size
    if word in (b"AM", b"PM"):
        hour = broken.hour % 12 if broken.hour >= 0 else -1
        broken.hour = hour + (12 if word == b"PM" else 0)
        return size
    letters = _ALPHA.match(text, at)
    assert letters is not None
    return len(letters[0])


def _number(text: bytes, at: int, broken: _Broken) -> int:
    """match_digit(): seconds since 1970, a time, a date, a year, a zone, a day or a month."""
    found = _DIGITS.match(text, at)
    assert found is not None
    number, size, end = _digits(found[0]), len(found[0]), found.end()
    if number >= 100000000 and broken.nothing_known() and _set_from_seconds(number, broken):
        return size
    if text[end : end + 1] in (b":", b".", b"/", b"-") and text[end + 1 : end + 2].isdigit():
        used = _numbers(number, text, at, end, broken)
        if used:
            return used
    if size == 8:
        broken.set_date(number // 10000, number % 10000 // 100, number % 100, sure=True)
        return size
    if size == 6:
        if broken.set_time(number // 10000, number % 10000 // 100, number % 100):
            return _skip_fraction(text, end) - at
        return size
    if size == 4:
        if number <= 1400 and broken.zone == _UNKNOWN:
            broken.zone = number // 100 * 60 + number % 100
        elif 1900 < number < 2100:
            broken.year = number - 1900
        return size
    if size > 2:
        return size
    if 0 < number < 32 and broken.day < 0:
        broken.day = number
        return size
    if size == 2 and broken.year < 0:
        if number < 10 and broken.day >= 0:
            broken.year = number + 100
            return size
        if number >= 70:
            broken.year = number
            return size
    if 0 < number < 13 and broken.month < 0:
        broken.month = number - 1
    return size


def _skip_fraction(text: bytes, end: int) -> int:
    if text[end : end + 1] == b".":
        fraction = _DIGITS.match(text, end + 1)
        if fraction is not None:
            return fraction.end()
    return end


def _set_from_seconds(number: int, broken: _Broken) -> bool:
    """gmtime_r(): break down ``number`` seconds; fails where the year does not fit an int."""
    if number >= 1 << 63:
        number -= 1 << 64
    days, rest = divmod(number, 86400)
    era, day_of_era = divmod(days + 719468, 146097)  # years start in March, so leap days end them
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = (shifted + 2) % 12
    year = year_of_era + era * 400 + (month < 2) - 1900
    broken.hour, broken.minute, broken.second = rest // 3600, rest % 3600 // 60, rest % 60
    if year != _int(year):
        return False  # the time of day stays, as glibc's __offtime() leaves it
    broken.year, broken.month, broken.day = year, month, day_of_year - (153 * shifted + 2) // 5 + 1
    broken.is_utc = True
    return True


def _numbers(number: int, text: bytes, at: int, end: int, broken: _Broken) -> int:
    """match_multi_number(): numbers with the same separator between them; 0 if they mean nothing."""
    between = text[end : end + 1]
    second, end = _strtol(text, end + 1)
    third = -1
    if text[end : end + 1] == between and text[end + 1 : end + 2].isdigit():
        third, end = _strtol(text, end + 1)
    if between == b":":
        if not broken.set_time(number, second, max(third, 0)):
            return 0
        if broken.year != -1 and broken.month != -1 and broken.day != -1:
            end = _skip_fraction(text, end)
        return end - at
    year_first = number > 70 and (
        broken.set_date(number, second, third, sure=True)
        or broken.set_date(number, third, second, sure=True)
    )
    if (
        year_first
        or (between != b"." and broken.set_date(third, number, second, sure=False))
        or broken.set_date(third, second, number, sure=False)
        or (between == b"." and broken.set_date(third, number, second, sure=False))
    ):
        return end - at
    return 0


def _zone(text: bytes, at: int, broken: _Broken) -> int:
    """match_tz(): ``+hhmm``, ``+hh:mm`` or ``+hh``."""
    found = _DIGITS.match(text, at + 1)
    assert found is not None
    hour, size, end = _digits(found[0]), len(found[0]), found.end()
    minute = 0
    if size == 4:
        hour, minute = divmod(hour, 100)
    elif size != 2:
        minute = 99
    elif text[end : end + 1] == b":":
        minute, end = _strtol(text, end + 1)
        if end - (at + 1) != 5:
            minute = 99
    if minute < 60 and hour < 24:
        offset = hour * 60 + minute
        broken.zone = -offset if text[at : at + 1] == b"-" else offset
    return end - at
