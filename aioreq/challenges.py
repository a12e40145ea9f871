"""What a server asks for: the challenges in WWW-Authenticate and Proxy-Authenticate fields (RFC 9110 section 11). Grammar only; knows no
password and answers none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Challenge", "parse_challenges", "parse_info"]

# RFC 9110 sections 5.6.2, 5.6.4 and 11.2, 11.3. Characters beyond ASCII are obs-text.
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f\"\\]"
_PAIR = r"\\[^\x00-\x08\x0a-\x1f\x7f]"
_TOKEN = re.compile(_WORD)
_TOKEN68 = re.compile(r" +([A-Za-z0-9\-._~+/]+=*)(?=[ \t]*(?:,|\Z))")
_PARAM = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:{_TEXT}|{_PAIR})*)")')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for: a scheme and parameters, both named in lower case, or `token68` in place of parameters."""

    scheme: str
    params: Mapping[str, str] = field(default_factory=dict)
    token68: str | None = None

    @property
    def stale(self) -> bool:
        """The nonce was too old, the password may be right: answer again (RFC 7616 section 3.3)."""
        return self.params.get("stale", "").lower() == "true"


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges in the values of WWW-Authenticate (or Proxy-Authenticate) fields, in their order (RFC 9110 section 11.6.1).

    A field that breaks the grammar is left out as a whole: where one challenge in it ends and the next begins would be a guess.
    """
    challenges = []
    for value in values:
        challenges += _parse_field(value) or []
    return challenges


def parse_info(values: Iterable[str]) -> Mapping[str, str]:
    """The parameters of an Authentication-Info field (RFC 7615 section 3), none where there is no such field or it breaks the grammar."""
    challenges = parse_challenges([f"Info {', '.join(values)}"])
    return challenges[0].params if len(challenges) == 1 else {}


def _parse_field(value: str) -> list[Challenge] | None:
    """A list of challenges, each perhaps with a list of parameters of its own; None where the value isn't one."""
    challenges = []
    at, _ = _skip_commas(value, 0)
    while at < len(value):
        scheme = _TOKEN.match(value, at)
        if scheme is None:
            return None
        at = scheme.end()
        params: dict[str, str] = {}
        token68 = None
        if match := _TOKEN68.match(value, at):
            token68, at = match[1], match.end()
        elif value.startswith(" ", at):
            next_at, _ = _skip_commas(value, at)
            while match := _PARAM.match(value, next_at):
                name, token, quoted = match.groups()
                if name.lower() in params:
                    return None
                params[name.lower()] = token if quoted is None else _ESCAPE.sub(r"\1", quoted)
                at = match.end()
                next_at, separated = _skip_commas(value, at)
                if not separated:
                    break
        # What follows a comma and is no parameter begins the next challenge.
        at, separated = _skip_commas(value, at)
        if at < len(value) and not separated:
            return None
        challenges.append(Challenge(scheme[0].lower(), params, token68))
    return challenges


def _skip_commas(value: str, at: int) -> tuple[int, bool]:
    """Where the next element of the list begins, and whether a comma stands before it: empty elements don't count (section 5.6.1)."""
    end = at
    while end < len(value) and value[end] in " \t,":
        end += 1
    return end, "," in value[at:end]
