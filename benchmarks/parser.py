"""The parser alone: `python -m benchmarks.parser` times it beside httptools making pairs of the same fields, both calling back into Python.

`--instructions` counts CPU instructions instead (needs valgrind); `--beside` takes other parsers too. test_parser.py has the same for
pytest-benchmark.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aioreq.config import Limits
from aioreq.headers import Fields
from aioreq.parser import IMPLEMENTATION, ResponseParser

from . import callgrind

__all__ = ["CONTENDERS", "WIRES", "Run"]

Run = Callable[[bytes, int], tuple[int, int]]  # parses the wire so many times; the last response's count of fields and bytes of body
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


# By name: title, the wire, its fields and bytes of body, how often it is parsed in one timing.
WIRES: dict[str, tuple[str, bytes, tuple[int, int], int]] = {
    "head": (f"head, {len(HEAD)} B, 12 fields", HEAD, (12, 0), 20_000),
    "1k": ("64 KB in chunks of 1 KB", chunked(1024), (1, 65536), 4000),
    "16b": ("64 KB in chunks of 16 B", chunked(16), (1, 65536), 200),
}


# -- the parsers; each makes pairs of the fields and the body in one piece


class Receiver:
    body = b""

    def on_head(self, version: str, status: int, reason: bytes, fields: Fields) -> None:
        self.fields = list(fields)
        self.body = b""

    def on_body(self, data: bytes) -> None:
        self.body = data

    def on_end(self, trailers: Fields) -> None:
        self.trailers = trailers


def run_aioreq(wire: bytes, times: int) -> tuple[int, int]:
    receiver = Receiver()
    parser = ResponseParser(receiver, Limits())
    for _ in range(times):
        parser.expect("GET")
        parser.feed(wire)
    return len(receiver.fields), len(receiver.body)


class Callbacks:
    def on_message_begin(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.body = b"".join(self.pieces)


def run_httptools(wire: bytes, times: int) -> tuple[int, int]:
    import httptools

    callbacks = Callbacks()
    parser = httptools.HttpResponseParser(callbacks)
    for _ in range(times):
        parser.feed_data(wire)
    return len(callbacks.fields), len(callbacks.body)


def run_aiohttp(wire: bytes, times: int) -> tuple[int, int]:
    """Its C parser, which feeds a StreamReader."""
    import asyncio

    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.http_parser import HttpResponseParser

    loop = asyncio.new_event_loop()
    parser = HttpResponseParser(BaseProtocol(loop), loop, 2**20)
    fields, body = 0, b""
    for _ in range(times):
        messages, _, _ = parser.feed_data(wire)
        message, payload = messages[0]
        body = payload.read_nowait() if payload.total_bytes else b""
        fields = len(message.raw_headers)
    loop.close()
    return fields, len(body)


def run_h11(wire: bytes, times: int) -> tuple[int, int]:
    import h11

    connection: Any = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("Host", "a")])
    fields, pieces = 0, [b""]
    for _ in range(times):
        connection.send(request)
        connection.send(h11.EndOfMessage())
        connection.receive_data(wire)
        pieces = []
        while type(event := connection.next_event()) is not h11.EndOfMessage:
            if type(event) is h11.Response:
                fields = len(event.headers)
            else:
                pieces.append(event.data)
        connection.start_next_cycle()
    return fields, len(b"".join(pieces))


CONTENDERS: dict[str, Run] = {"aioreq": run_aioreq, "httptools": run_httptools, "aiohttp": run_aiohttp, "h11": run_h11}


# -- figures


def microseconds(run: Run, wire: bytes, times: int) -> float:
    began = time.perf_counter()
    run(wire, times)
    return (time.perf_counter() - began) / times * 1e6


def timed(names: list[str], wire: str) -> dict[str, float]:
    """Medians of rounds in turn, and by `name/httptools` the ratios within a round."""
    _, data, _, times = WIRES[wire]
    counts = {name: max(times // {"aioreq": 1 if IMPLEMENTATION == "compiled" else 20, "httptools": 1}.get(name, 20), 2) for name in names}
    rounds = [{name: microseconds(CONTENDERS[name], data, counts[name]) for name in names} for _ in range(PAIRS)]
    figures = {name: statistics.median(figure[name] for figure in rounds) for name in names}
    return figures | {f"{name}/httptools": statistics.median(figure[name] / figure["httptools"] for figure in rounds) for name in names}


def counted(names: list[str], wire: str) -> dict[str, float]:
    short, long = {"head": (100, 600), "1k": (20, 120), "16b": (5, 30)}[wire]

    def arguments(name: str, times: int) -> list[str]:
        return ["-m", "benchmarks.parser", "--run", name, wire, str(times)]

    figures = {name: callgrind.of_one(partial(arguments, name), short, long) for name in names}
    return figures | {f"{name}/httptools": figures[name] / figures["httptools"] for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parser", description=__doc__)
    parser.add_argument("--instructions", action="store_true", help="count them instead of measuring time")
    parser.add_argument("--beside", nargs="*", choices=["aiohttp", "h11"], default=[], help="other parsers too")
    parser.add_argument("--run", nargs=3, metavar=("PARSER", "WIRE", "TIMES"), help="only parse")
    chosen = parser.parse_args()
    if chosen.run:
        name, wire, times = chosen.run
        CONTENDERS[name](WIRES[wire][1], int(times))
        return
    names = ["aioreq", "httptools", *chosen.beside]
    measure, unit, scale = (counted, "thousand instructions", 1e3) if chosen.instructions else (timed, "us", 1)
    print(f"{unit}, and over httptools making pairs; aioreq {IMPLEMENTATION}\n{'':<28}" + "".join(f"{name:>22}" for name in names))
    for wire, (title, _, _, _) in WIRES.items():
        figures = measure(names, wire)
        print(
            f"{title:<28}" + "".join(f"{figures[name] / scale:>14.2f} ({figures[name + '/httptools']:>5.2f})" for name in names), flush=True
        )


if __name__ == "__main__":
    main()
