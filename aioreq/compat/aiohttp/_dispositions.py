"""Content-Disposition as aiohttp reads it: what makes no sense is a warning. Strings in, strings out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from urllib.parse import unquote

__all__ = ["BadContentDispositionHeader", "BadContentDispositionParam", "content_disposition_filename", "parse_content_disposition"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ESCAPE = re.compile(r"\\([\x00-\x7f])")
_CONTINUED = re.compile(r"[^*]*\*[0-9]+\*?")
# One parameter, well-formed or not, up to the next semicolon that stands in no quoted string.
_PARAMETER = re.compile(r'((?:[^";]|"(?:[^"\\]|\\.)*"|")*)(?:;|$)', re.DOTALL)


class BadContentDispositionHeader(RuntimeWarning):
    """A Content-Disposition that can't be read."""


class BadContentDispositionParam(RuntimeWarning):
    """A parameter of a Content-Disposition that can't be read."""


def parse_content_disposition(header: str | None) -> tuple[str | None, dict[str, str]]:
    """The type in lower case and the parameters (RFC 6266); None and nothing, with a warning, where it can't be read."""
    if not header:
        return None, {}
    kind, _, rest = header.partition(";")
    kind = kind.strip()
    items = [] if ";" not in header else [found[1] for found in _PARAMETER.finditer(rest + ";") if found.start() <= len(rest)]
    try:
        if not _TOKEN.fullmatch(kind):
            raise ValueError
        params: dict[str, str] = {}
        for item in items:
            if not item:
                warnings.warn(BadContentDispositionHeader(header), stacklevel=2)
                continue
            name, equals, value = item.partition("=")
            name = name.strip().lower()
            if not equals or name in params:
                raise ValueError
            parameter = _parameter(name, value.lstrip())
            if parameter is None:
                warnings.warn(BadContentDispositionParam(item), stacklevel=2)
            else:
                params[name] = parameter
    except ValueError:
        warnings.warn(BadContentDispositionHeader(header), stacklevel=2)
        return None, {}
    return kind.lower(), params


def _parameter(name: str, value: str) -> str | None:
    """What a parameter says, None where that makes no sense; ValueError where the whole field makes none."""
    if not _TOKEN.fullmatch(name):
        return None
    inside = value.rstrip()
    quoted = len(inside) >= 2 and inside[0] == '"' == inside[-1]
    if _CONTINUED.fullmatch(name):
        return _ESCAPE.sub(r"\1", inside[1:-1]) if quoted else value if _TOKEN.fullmatch(value) else None
    if name.endswith("*"):
        return _extended(value) if _TOKEN.fullmatch(value) and value.count("'") == 2 else None
    if quoted:
        return _ESCAPE.sub(r"\1", inside[1:-1].lstrip("\\/"))
    if _TOKEN.fullmatch(value):
        return value
    raise ValueError


def _extended(value: str) -> str | None:
    """An extended value (RFC 8187); None where its charset is unknown, or its bytes aren't of it."""
    charset, _, text = value.split("'", 2)
    try:
        return unquote(text, charset or "utf-8", "strict")
    except (LookupError, UnicodeDecodeError):
        return None


def content_disposition_filename(params: Mapping[str, str], name: str = "filename") -> str | None:
    """The file's name among the parameters: the extended one, the plain one, or one that was cut in pieces (RFC 2231)."""
    for key in (f"{name}*", name):
        if key in params:
            return params[key]
    pieces: list[str] = []
    while (piece := params.get(f"{name}*{len(pieces)}", params.get(f"{name}*{len(pieces)}*"))) is not None:
        pieces.append(piece)
    whole = "".join(pieces)
    return (_extended(whole) if whole.count("'") >= 2 else whole) if pieces else None
