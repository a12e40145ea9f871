"""A file on the embedded server that can be fetched by ranges, and cut, and lied about; `Files` tells what it was asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from aioreq.testing import Close, Request, Script, Server

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that tell their place."""
    return random.Random(seed).randbytes(size)


class Files:
    """Answers `path`: `data` with `headers`, ranges where `ranged`. `cut` says after how many bytes of each body the connection ends.

    `change` may change the head of an answer: status line, fields, body.
    """

    def __init__(self, server: Server, data: bytes, path: str = "/file", etag: str | None = '"one"') -> None:
        self.data = data
        self.etag = etag
        self.headers: list[tuple[str, str]] = [("Accept-Ranges", "bytes")]
        self.ranged = True
        self.cuts: Iterator[int | None] = iter(())
        self.cut_at: Callable[[int, int], int | None] = lambda start, length: next(self.cuts, None)
        self.change: Callable[[int, list[tuple[str, str]], bytes], tuple[int, list[tuple[str, str]], bytes]] | None = None
        self.asked: list[tuple[str | None, str | None]] = []
        self.url = server.url + path
        server.route(path, self.answer)

    def answer(self, request: Request) -> Script:
        asked, validator = request.header("range"), request.header("if-range")
        self.asked.append((asked, validator))
        status, body, start = 200, self.data, 0
        headers = list(self.headers)
        if self.etag is not None:
            headers.append(("ETag", self.etag))
        current = self.etag or dict(self.headers).get("Last-Modified")
        if asked is not None and self.ranged and validator in (None, current):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(self.data)
            if start >= len(self.data):
                status, body = 416, b""
                headers.append(("Content-Range", f"bytes */{len(self.data)}"))
            else:
                status, body = 206, self.data[start:end]
                headers.append(("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(self.data)}"))
        headers.append(("Content-Length", str(len(body))))
        if self.change is not None:
            status, headers, body = self.change(status, headers, body)
        cut = None if request.method == "HEAD" else self.cut_at(start, len(body))
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers), "", ""]
        wire = "\r\n".join(lines).encode()
        if cut is None or cut > len(body):
            return Script((wire + body,)) if dict(headers).get("Connection") != "close" else Script((wire + body, Close()))
        return Script((wire + body[:cut], Close()))
