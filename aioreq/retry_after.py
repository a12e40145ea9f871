"""What a Retry-After field asks for (RFC 9110 section 10.2.3), and the dates that it may hold (section 5.6.7). Strings in, seconds out."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

__all__ = ["http_date", "retry_after"]

_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
_FORMS = (
    re.compile(f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),  # IMF-fixdate
    re.compile(f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),  # rfc850-date
    re.compile(f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),  # asctime-date
)
# Of the grammar are whole numbers; servers that count in fractions mean seconds too, and a negative number means now.
_SECONDS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def retry_after(value: str, date: str | None = None) -> float | None:
    """The seconds that it asks to wait, at least 0; None where it can't be read.

    A date counts from the response's own `Date`, else from this machine's clock.

    >>> retry_after("120")
    120.0
    >>> retry_after("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:07 GMT")
    30.0
    >>> retry_after("soon")
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return max(0.0, float(value))
    due = http_date(value)
    if due is None:
        return None
    sent = None if date is None else http_date(date.strip())
    return max(0.0, due - (time.time() if sent is None else sent))


def http_date(value: str) -> float | None:
    """Seconds since 1970, of any of the three forms; None where it is none of them.

    >>> [http_date(date) for date in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")]
    [784111777.0, 784111777.0, 784111777.0]
    """
    for form in _FORMS:
        if found := form.fullmatch(value):
            break
    else:
        return None
    year, month, day = int(found["year"]), _MONTHS.index(found["month"]) + 1, int(found["day"])
    hour, minute, second = map(int, found["time"].split(":"))
    if len(found["year"]) == 2:
        year = _century(year)
    if second > 60:
        return None
    try:
        # A leap second is one of the grammar and none of Python's.
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp() + (second == 60)
    except ValueError:
        return None


def _century(year: int) -> int:
    """The year of these two digits that is nearest: none is more than 50 years ahead."""
    now = datetime.now(UTC).year
    year += now - now % 100
    return year - 100 if year > now + 50 else year + 100 if year <= now - 50 else year
