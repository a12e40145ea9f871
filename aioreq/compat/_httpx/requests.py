"""httpx's request -> ours: what can be remembered is, so that a request costs a few look-ups. Knows no pool, and sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from yarl import URL

from ...errors import InvalidHeader, LocalProtocolError
from ...headers import text
from ...models import Deadline, Request
from ...request_body import StreamedBody, encode_content
from ...request_head import MessageBlock
from ...settings import capped
from ...terms import Terms
from ...urls import ParsedURL, parse
from .library import Library
from .settings import timeout_of

__all__ = ["Requests"]

_REMEMBERED = 512  # URLs, and heads; timeouts are few
_LONGEST = 1024  # bytes of a target that is remembered
_WEBSOCKET = {b"ws": b"http", b"wss": b"https"}  # it begins as a GET
_NOT_IN_TARGET = re.compile(rb"[^!-~]")


class Requests:
    """Makes our requests of httpx's, on the terms of one transport."""

    def __init__(self, library: Library, terms: Terms, of_stream: Callable[[Any], Any]) -> None:
        self._library = library
        self._of_stream = of_stream  # what there is to send of one of the library's streams
        self._terms = terms
        self._guard = None if terms.dialer is None else terms.dialer.guard
        self._urls: dict[Any, ParsedURL] = {}
        self._blocks: dict[tuple[tuple[bytes, bytes], ...], MessageBlock] = {}
        self._settled: dict[Any, Terms] = {}

    def of(self, request: Any) -> Request:
        """What goes out. Errors: AioreqError, or the library's UnsupportedProtocol."""
        made = Request(request.method)
        extensions = request.extensions
        url = request.url
        target = extensions["target"] if "target" in extensions else url.raw_path  # noqa: SIM401 (raw_path is work)
        place = (url.raw_scheme, url.raw_host, url.port, target)
        made._parsed = parsed = self._urls.get(place) or self._parsed(place)
        made._given_url = parsed.url
        fields = tuple(request.headers.raw)
        made.defaults = block = self._blocks.get(fields) or self._block(fields)
        made.stream = True
        given = extensions.get("timeout")
        name = extensions.get("sni_hostname") or None
        key = (given.get("connect"), given.get("read"), given.get("write"), given.get("pool"), name) if given else name
        made.terms = terms = self._settled.get(key) or self._settle(key, given, name)
        if terms.timeout.total is not None:  # a guard's, for each hop
            made.deadline = Deadline(terms.timeout.total)
        stream = request.stream
        if type(stream) is self._library.ByteStream:
            content = b"".join(stream)
            if block.chunked:
                made.body = encode_content([content])
            elif content:
                _check_length(len(content), block)
                made.body = content
            elif block.length:
                _check_length(0, block)
        else:
            made.body = _streamed(self._of_stream(self._own(stream)), block)
        return made

    def _own(self, stream: Any) -> Any:
        module = self._library.module
        if not isinstance(stream, module.AsyncByteStream | module.SyncByteStream):
            raise TypeError(f"the request's stream is no stream of {self._library.name}, whose requests this transport takes: {stream!r}")
        return stream

    def _parsed(self, place: tuple[bytes, bytes, int | None, bytes | str]) -> ParsedURL:
        scheme, host, port, target = place
        scheme = _WEBSOCKET.get(scheme, scheme)
        if scheme not in (b"http", b"https"):
            what = f"an unsupported protocol {text(scheme)!r}" if scheme else "no protocol: give http:// or https://"
            raise self._library.named("UnsupportedProtocol", f"the request's URL has {what}")
        if isinstance(target, str):  # an extension's, as httpcore takes it
            target = target.encode()
        if bad := _NOT_IN_TARGET.search(target):
            raise LocalProtocolError(f"the request's target: {bad[0]!r} at position {bad.start()} is not allowed there")
        if not target:
            raise LocalProtocolError("the request's target is empty")
        name = text(host)
        bracketed = f"[{name}]" if ":" in name else name
        parsed = parse(f"{text(scheme)}://{bracketed}" + ("" if port is None else f":{port}"))
        written = target.decode("ascii")
        path = written if written.startswith("/") else "/" + written
        # The fields bring their own Host.
        parsed = parsed._replace(
            url=URL(f"{text(scheme)}://{text(parsed.authority)}{path}", encoded=True), target=target, head=b" %b HTTP/1.1\r\n" % target
        )
        if len(target) <= _LONGEST:
            if len(self._urls) >= _REMEMBERED:
                self._urls.clear()
            self._urls[place] = parsed
        return parsed

    def _block(self, fields: tuple[tuple[bytes, bytes], ...]) -> MessageBlock:
        pairs = [(text(name), text(value)) for name, value in fields]
        pairs.sort(key=lambda pair: pair[0].lower() != "host")  # it comes first (RFC 9110 section 7.2), as from httpcore
        block = MessageBlock(pairs)
        if len(self._blocks) >= _REMEMBERED:
            self._blocks.clear()
        self._blocks[fields] = block
        return block

    def _settle(self, key: Any, given: dict[str, float | None] | None, name: Any) -> Terms:
        terms = capped(replace(self._terms, timeout=timeout_of(given or {})), self._guard)
        if name is not None:
            terms = replace(terms, tls=replace(terms.tls, server_hostname=text(name) if isinstance(name, bytes) else name))
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
        self._settled[key] = terms
        return terms


def _check_length(size: int, block: MessageBlock) -> None:
    if block.length is None:
        raise InvalidHeader(f"the body of {size} bytes has neither a Content-Length nor Transfer-Encoding: chunked to say where it ends")
    if block.length != size:
        raise LocalProtocolError(f"Content-Length: {block.length} disagrees with the body, which has {size} bytes")


def _streamed(stream: Any, block: MessageBlock) -> StreamedBody:
    body = encode_content(stream, "the request's stream")
    assert isinstance(body, StreamedBody)
    body.length = None if block.chunked else block.length or 0
    body.replayable = False  # what it is made of only httpx knows
    return body
