"""How long a server keeps a connection that nobody uses, as its Keep-Alive field says. Knows the field alone, and no connection.

The field is RFC 2068's (section 19.7.1.1), which no later RFC took over, and most servers send. Its `max` is left unread: a server that has
had enough says so by `Connection: close`, which binds.
"""

from __future__ import annotations

from .headers import Fields
from .parser import find

__all__ = ["kept_for"]

MARGIN = 1.0  # seconds that a request may take to the server, which counts from its own last byte
_DIGITS = 9  # more of them are no promise
INFINITE = float("inf")


def kept_for(fields: Fields) -> float:
    """Seconds for which a connection may idle and still be used; infinite where the server says nothing.

    A second before the server's time is up, and at most half of it, is left for the way: a request that meets the server's close could
    not be told from one that was lost.

    >>> kept_for([(b"Keep-Alive", b"timeout=5, max=100")]), kept_for([(b"Keep-Alive", b"timeout=1")])
    (4.0, 0.5)
    """
    value = find(fields, b"keep-alive")
    seconds = INFINITE
    if value is None:
        return seconds
    for parameter in value.split(b","):
        name, _, digits = parameter.partition(b"=")
        digits = digits.strip()
        if name.strip().lower() == b"timeout" and digits.isdigit() and len(digits) <= _DIGITS:
            seconds = min(seconds, int(digits))
    return max(seconds - MARGIN, seconds / 2)
