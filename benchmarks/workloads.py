"""The questions: what is asked of every client, of which server, how much at a time. Knows no client and makes no request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["DOCUMENT", "MAIN", "MEGABYTE", "WORKLOADS", "Workload", "event", "small"]

MEGABYTE = 1_000_000
DOCUMENT = {"id": 12345, "name": "a document of one kilobyte", "tags": ["a", "b", "c"], "text": "word " * 184}
SMALL = b'{"id":12345,"name":"small document","tags":["a","b","c"],"text":"'


def small(mark: bytes = b"") -> bytes:
    """The 200 bytes of JSON that most workloads fetch."""
    return mark + SMALL.ljust(198 - len(mark), b"x") + b'"}'


def event() -> bytes:
    """The data of one event, as a model's answer comes in pieces."""
    return b'{"id":"chatcmpl-12345","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}],"text":"'.ljust(
        198, b"x") + b'"}'  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One question.

    `work` is the adapter's call, or a script of its own: "cold", "import", "memory". `size` is that of the body which has to arrive;
    `body` is compared whole where it is given. A slice lasts about so long as it is told, or makes exactly `requests` (`quick` in a quick
    run), and slices that are so long want `rounds` at most. Figures are by the request, or by the MB where `megabytes` says how many a
    request moves. Of "echo" a request is one message there and back, and `concurrency` are under way on the one connection; of "events"
    it is one event of the stream.
    """

    name: str
    title: str
    path: str = "/json"
    server: Literal["web", "tls", "chunked", "echo"] = "web"
    work: Literal["get", "post", "download", "upload", "echo", "messages", "pieces", "events", "cold", "import", "memory"] = "get"
    concurrency: int = 32
    size: int = 200
    body: bytes | str | None = None
    keep: bool = True
    requests: int = 0
    quick: int = 0
    rounds: int = 0
    megabytes: float = 0

    @property
    def kind(self) -> str:
        return self.work if self.work in ("cold", "import", "memory") else "requests"

    @property
    def figure(self) -> str:
        """The figure that ratios are made of."""
        return {"requests": "cpu_us", "memory": "connection_kb"}.get(self.kind, "wall_ms")

    @property
    def unit(self) -> str:
        return "MB" if self.megabytes else {"echo": "message", "events": "event"}.get(self.work, "request")

    @property
    def protocol(self) -> str:
        """What a client has to speak for it (`Entrant.speaks`)."""
        return "websocket" if self.server == "echo" else "events" if self.work == "events" else "http"

    @property
    def streams(self) -> bool:
        """Whether what arrives shall not stay."""
        return self.work in ("download", "messages", "pieces")

    @property
    def needs(self) -> set[str]:
        """What a client may lack for it (`Entrant.lacks`)."""
        return {self.name, self.server, self.work} | (set() if self.keep else {"close"})


_KILOBYTE = bytes(range(256)) * 4
_ECHO = Workload("ws-1", "WebSocket: 1 KB there and back, one at a time", "/echo", "echo", work="echo", concurrency=1, body=_KILOBYTE,
                 size=1024, requests=100_000, quick=3000, rounds=3)  # fmt: skip
_GIGABYTE = replace(_ECHO, path="/messages/16384/65536", work="messages", size=2**30, body=None, requests=1, quick=1, megabytes=2**30 / 1e6)
_JSON = Workload("json-32", "small JSON, keep-alive, 32 at a time", body=small())
_LIST = [
    replace(_JSON, name="json-1", title="small JSON, keep-alive, one at a time", concurrency=1),
    _JSON,
    replace(_JSON, name="json-128", title="small JSON, keep-alive, 128 at a time", concurrency=128),
    replace(_JSON, name="tls-1", title="small JSON over TLS, one at a time", server="tls", concurrency=1),
    replace(_JSON, name="tls-32", title="small JSON over TLS, 32 at a time", server="tls"),
    replace(_JSON, name="tls-128", title="small JSON over TLS, 128 at a time", server="tls", concurrency=128),
    Workload("10kb", "10 KB, 32 at a time", "/files/10kb", size=10_000),
    Workload("1mb", "1 MB in memory, one at a time", "/files/1mb", size=MEGABYTE, concurrency=1, megabytes=1),
    Workload("1mb-8", "1 MB in memory, 8 at a time", "/files/1mb", size=MEGABYTE, concurrency=8, megabytes=1),
    Workload("chunks-small", "128 chunks of 64 B, 32 at a time", "/small", "chunked", size=8192),
    Workload("chunks-large", "4 chunks of 16 KiB, 32 at a time", "/large", "chunked", size=65536),
    Workload("gzip", "gzip, 32 KiB of JSON, 32 at a time", "/gzip", size=32768),
    Workload("download", "100 MB streamed", "/files/100mb", work="download", concurrency=1, size=100 * MEGABYTE, requests=1, megabytes=100),
    Workload("upload", "50 MB streamed up from an async generator", "/upload", work="upload", concurrency=1, body=b"50000000", size=8,
             requests=1, megabytes=50),
    Workload("connect", "a new connection for each request, 8 at a time", "/connections", concurrency=8, body=small(b"1"), keep=False),
    Workload("post", "POST of 1 KB of JSON, 32 at a time", "/post", work="post", body=small()),
    _ECHO,
    replace(_ECHO, name="ws-32", title="WebSocket: 1 KB there and back, 32 at a time on one connection", concurrency=32),
    replace(_ECHO, name="ws-text", title="WebSocket: 1 KB of text there and back, one at a time", body="word " * 205, requests=20_000),
    replace(_GIGABYTE, name="ws-stream", title="1 GB in WebSocket messages of 64 KiB"),
    replace(_GIGABYTE, name="ws-pieces", title="1 GB in one WebSocket message, as it arrives", path="/message/16384/65536", work="pieces"),
    Workload("sse", "server-sent events of 200 B, one stream", "/events", "chunked", work="events", concurrency=1, requests=100_000,
             quick=5000, rounds=3),
    Workload("cold", "a cold script: 200 GETs at once", work="cold", concurrency=200, body=small(), requests=200),
    Workload("cold-chunked", "a cold script: 200 GETs at once, chunked", "/tiny", "chunked", work="cold", concurrency=200, body=small(),
             requests=200),
    Workload("import", "import", work="import"),
    Workload("memory", "an idle keep-alive connection", "/together/500", "chunked", work="memory", concurrency=500, body=small()),
]  # fmt: skip
WORKLOADS = {workload.name: workload for workload in _LIST}
# What the quick run asks: the main roads, each of them once.
MAIN = ("json-32", "json-1", "tls-32", "1mb", "chunks-small", "connect", "post", "ws-1", "ws-32", "cold", "import")
