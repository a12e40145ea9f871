"""Where our transports do something else than httpx's and httpx2's, on purpose: the one table, which docs/httpx.md repeats."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DIFFERENCES", "Difference"]


class Difference(NamedTuple):
    theirs: str
    ours: str
    why: str


DIFFERENCES: dict[str, Difference] = {
    "framing of responses": Difference(
        "bare LF, folded lines, control bytes in values, other versions than 1.0 and 1.1, statuses above 599, `Content-Length` beside "
        "`chunked`, `chunked` of HTTP/1.0, equal lengths said twice and sloppy chunks are taken",
        "each is a `RemoteProtocolError`, and the connection is closed",
        "where two readers may disagree, a response can hide in another one: RFC 9112 sections 2.2, 5, 6 and 7.1",
    ),
    "large heads": Difference(
        "a head may have 100 KiB, or more where it arrives at once",
        "64 KiB, or what `connector=Connector(limits=Limits(head=...))` says",
        "unlimited heads are memory for whoever asks",
    ),
    "fields as they are": Difference(
        "spaces around a value of yours are a `LocalProtocolError`, `Transfer-Encoding: CHUNKED` of a response is given in small letters",
        "fields go out and come in as they are: order, case, duplicates, spaces",
        "what is signed, or compared, must not change on the way",
    ),
    "errors of other packages": Difference(
        "a body of another length than its `Content-Length` is an `h11.LocalProtocolError`, a TLS alert in place of a response an "
        "`ssl.SSLError`: neither is caught by `except HTTPError`",
        "the library's `LocalProtocolError` and `ConnectError`",
        "the library documents that all errors of requests are `RequestError`",
    ),
    "when a connection is free": Difference(
        "when the response has been read or closed; one that is closed unread costs its connection",
        "as soon as the whole response has arrived, read or not; the short rest of a closed response of known length is read in the "
        "background",
        "fewer connections; nobody waits for a slot that nothing happens on",
    ),
    "who shares a connection": Difference(
        "a connection opened for one `sni_hostname` serves requests for another, or for none",
        "only requests that ask for the same",
        "the certificate was checked for another name",
    ),
    "a connection that ends with its next request": Difference(
        "`RemoteProtocolError`, for GETs, too",
        "a request of an idempotent method, of which nothing was answered, is sent once more on a new connection",
        "the server closed an idle connection, as it may: RFC 9112 section 9.3.1",
    ),
    "fields for a proxy": Difference(
        "`Proxy(headers=...)` go into a plain request as if they were the origin's",
        "they are named in `Connection`, so that the proxy takes them out",
        "what is the proxy's is none of the origin's business: RFC 9110 section 7.6.1",
    ),
    "a proxy that breaks": Difference(
        "one that goes away during `CONNECT` is a `RemoteProtocolError`",
        "a `ProxyError`, as one that refuses is",
        "the origin isn't at fault, and nothing was sent to it",
    ),
    "HTTP/2": Difference(
        "`http2=True` speaks it where the server does, with the package h2",
        "`http2=True` is taken, and HTTP/1.1 spoken",
        "HTTP/1.1 is all that aioreq speaks",
    ),
}
