"""The parser alone, beside httptools making pairs of the same fields: `python -m benchmarks.parser`. Both call back into Python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import httptools

from aioreq.config import Limits
from aioreq.parser import IMPLEMENTATION, ResponseParser

PAIRS = 9

HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Date: Tue, 15 Nov 2025 08:12:31 GMT\r\n"
    b"Content-Type: application/json; charset=utf-8\r\n"
    b"Content-Length: 0\r\n"
    b"Connection: keep-alive\r\n"
    b"Server: nginx/1.24.0 (Ubuntu)\r\n"
    b"Cache-Control: private, max-age=0, must-revalidate\r\n"
    b'ETag: W/"5e15153d-120f"\r\n'
    b"Vary: Accept-Encoding, Accept, Origin\r\n"
    b"X-Request-Id: 0b9a6f2e-6a44-4c3a-8bd3-0f7a8d3c55aa\r\n"
    b"Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Set-Cookie: session=" + b"a" * 96 + b"; Path=/; HttpOnly\r\n\r\n"
)


def chunked(size: int) -> bytes:
    """64 KiB in chunks of `size` bytes."""
    chunk = b"%x\r\n%b\r\n" % (size, b"z" * size)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (65536 // size) + b"0\r\n\r\n"


class Ours:
    def on_head(self, version: str, status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        self.fields = fields

    def on_body(self, data: bytes) -> None:
        self.body = data

    def on_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self.trailers = trailers


class Theirs:
    def on_message_begin(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.body = b"".join(self.pieces)


def run_ours(wire: bytes, times: int) -> None:
    parser = ResponseParser(Ours(), Limits())
    for _ in range(times):
        parser.expect("GET")
        parser.feed(wire)


def run_theirs(wire: bytes, times: int) -> None:
    parser = httptools.HttpResponseParser(Theirs())
    for _ in range(times):
        parser.feed_data(wire)


def microseconds(run: Callable[[bytes, int], None], wire: bytes, times: int) -> float:
    began = time.perf_counter()
    run(wire, times)
    return (time.perf_counter() - began) / times * 1e6


def main() -> None:
    print(f"{'wire':<30} {'aioreq, ' + IMPLEMENTATION:>18} {'httptools':>12} {'ratio of pairs':>15}")
    slower = 1 if IMPLEMENTATION == "compiled" else 20
    for name, wire, times in (
        (f"head, {len(HEAD)} B, 12 fields", HEAD, 20_000),
        ("64 KB in chunks of 1 KB", chunked(1024), 4000),
        ("64 KB in chunks of 16 B", chunked(16), 200),
    ):
        count = max(times // slower, 2)
        pairs = [(microseconds(run_ours, wire, count), microseconds(run_theirs, wire, count)) for _ in range(PAIRS)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name:<30} {ours:>15.2f} us {theirs:>9.2f} us {statistics.median(mine / other for mine, other in pairs):>15.2f}")


if __name__ == "__main__":
    main()
