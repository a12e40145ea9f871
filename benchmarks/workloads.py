"""The questions: what is asked of every client, of which server, how much at a time. Knows no client and makes no request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["DOCUMENT", "MAIN", "MEGABYTE", "WORKLOADS", "Workload", "small"]

MEGABYTE = 1_000_000
DOCUMENT = {"id": 12345, "name": "a document of one kilobyte", "tags": ["a", "b", "c"], "text": "word " * 184}
SMALL = b'{"id":12345,"name":"small document","tags":["a","b","c"],"text":"'


def small(mark: bytes = b"") -> bytes:
    """The 200 bytes of JSON that most workloads fetch."""
    return mark + SMALL.ljust(198 - len(mark), b"x") + b'"}'


@dataclass(frozen=True)
class Workload:
    """One question.

    `work` is the adapter's call, or a script of its own: "cold", "import", "memory". `size` is that of the body which has to arrive;
    `body` is compared whole where it is given. A slice lasts about so long as it is told, or makes exactly `requests`. Figures are by
    the request, or by the MB where `megabytes` says how many a request moves.
    """

    name: str
    title: str
    path: str = "/json"
    server: Literal["web", "tls", "chunked"] = "web"
    work: Literal["get", "post", "download", "upload", "cold", "import", "memory"] = "get"
    concurrency: int = 32
    size: int = 200
    body: bytes | None = None
    keep: bool = True
    requests: int = 0
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
        return "MB" if self.megabytes else "request"

    @property
    def needs(self) -> set[str]:
        """What a client may lack for it (`Entrant.lacks`)."""
        return {self.name, self.server, self.work} | (set() if self.keep else {"close"})


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
    Workload("cold", "a cold script: 200 GETs at once", work="cold", concurrency=200, body=small(), requests=200),
    Workload("cold-chunked", "a cold script: 200 GETs at once, chunked", "/tiny", "chunked", work="cold", concurrency=200, body=small(),
             requests=200),
    Workload("import", "import", work="import"),
    Workload("memory", "an idle keep-alive connection", "/together/500", "chunked", work="memory", concurrency=500, body=small()),
]  # fmt: skip
WORKLOADS = {workload.name: workload for workload in _LIST}
# What the quick run asks: the main roads, each of them once.
MAIN = ("json-32", "json-1", "tls-32", "1mb", "chunks-small", "connect", "post", "cold", "import")
