"""Links in the head of a response: the Link fields (RFC 8288). Grammar, and the URLs that it leads to; knows no message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from multidict import CIMultiDict, CIMultiDictProxy

from .errors import InvalidURL
from .urls import ParsedURL, join

__all__ = ["parse_links"]

# RFC 8288 appendix B, which takes what servers send: each of these matches whatever stands there, well-formed or not.
_TARGET = re.compile(r"[ \t,]*<([^>]*)>")
_PARAMETER = re.compile(r'[ \t]*;[ \t]*([^ \t=;,]*)[ \t]*(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^;,]*)))?', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# RFC 8187 section 3.2: title*=UTF-8'de'n%c3%a4chstes
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)


def parse_links(fields: Iterable[str], base: ParsedURL) -> CIMultiDictProxy[dict[str, Any]]:
    """The links of some Link fields by their relation, in order: `{"url": URL, "rel": ..., ...}` with the other parameters as sent.

    A link of several relations stands under each. Left out is one without a relation, one that can't be requested (`mailto:`), and one
    whose `anchor` says that it is another resource's (section 3.2).
    """
    if base.url.raw_fragment:
        base = base._replace(url=base.url.with_fragment(None))  # a redirect inherits it, a link doesn't
    links: CIMultiDict[dict[str, Any]] = CIMultiDict()
    for field in fields:
        for target, params in _parsed(field):
            try:
                if "anchor" in params and join(base, params["anchor"]).url != base.url:
                    continue
                link = {**params, "url": join(base, target).url}
            except InvalidURL:
                continue
            for relation in dict.fromkeys(params.get("rel", "").split()):
                links.add(relation, link)
    return CIMultiDictProxy(links)


def _parsed(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = 0
    while match := _TARGET.match(field, at):
        target, at = match[1], match.end()
        params: dict[str, str] = {}
        extended: dict[str, str] = {}
        while match := _PARAMETER.match(field, at):
            at = match.end()
            name, quoted, plain = match[1].lower(), match[2], match[3]
            value = (plain or "").rstrip(" \t") if quoted is None else _ESCAPE.sub(r"\1", quoted)
            if not name.endswith("*"):
                params.setdefault(name, value)
            elif (decoded := _decoded(value)) is not None:
                extended.setdefault(name[:-1], decoded)
        params.pop("", None)
        yield target, {**params, **extended}
        at = field.find(",", at)
        if at < 0:
            return


def _decoded(value: str) -> str | None:
    match = _EXTENDED.fullmatch(value)
    try:
        return None if match is None else unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeError:  # in the bytes it stands for, or in those it is written with
        return None
