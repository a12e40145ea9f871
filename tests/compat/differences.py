"""Where the face does something else than aiohttp 3.14, on purpose: the one table, which docs/aiohttp.md repeats."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DIFFERENCES", "Difference"]


class Difference(NamedTuple):
    aiohttp: str
    face: str
    why: str  # a rule under attack, or the section of an RFC


DIFFERENCES: dict[str, Difference] = {
    "framing of responses": Difference(
        "takes bare LF, folded lines, control bytes, any version, `Transfer-Encoding` other than `chunked`; of a broken body that comes "
        "together with its head the head is never seen, for one that comes later it waits until a time limit",
        "refuses them by the same `ClientResponseError` of status 400; a broken body is a `ClientPayloadError` when it is read, however "
        "the bytes were split; of `Content-Length` beside `chunked` the length is ignored, and the connection closed",
        "lenient framing, control bytes in response headers; RFC 9112 sections 2.2, 5, 6.3 and 7.1",
    ),
    "bounds of heads": Difference(
        "a session's `max_line_size` holds for the status line",
        "it is part of the bound on the whole head; a request's own holds for the line",
        "unlimited heads; RFC 9112 section 3",
    ),
    "bytes that nobody asked for": Difference(
        "behind a response they turn it into an error; on an idle connection they answer the next request",
        "the response is given as it is, the connection closed, the bytes dropped",
        "another request's answer; RFC 9112 section 9.2",
    ),
    "framing of requests": Difference(
        "a `Transfer-Encoding` or `Content-Length` of the user's own goes out beside its own, and beside a body that doesn't fit",
        "a `Transfer-Encoding` is `chunked=True`; a length that isn't the body's is a `ValueError`",
        "a user's own Transfer-Encoding; RFC 9112 section 6.2",
    ),
    "codings": Difference(
        "gzip, br or zstd that ends too early, and br that is broken, are a success with what there was; of several codings none is "
        "decoded, nor `x-gzip`; what follows a deflate stream is dropped; a body may unfold to any size",
        "up to two are decoded, `x-gzip` is `gzip`; what is cut off, broken or doesn't belong there is a `ClientPayloadError`, and so is "
        "what unfolds to more than 8 MiB and 100 times its size (`auto_decompress=False` gives it as it came)",
        "truncated gzip, br or zstd taken for success; decompression bombs, endless encoding chains; RFC 9110 sections 8.4 and 8.4.1",
    ),
    "URLs that are none": Difference(
        "`URL(..., encoded=True)` sends illegal bytes as they are; hosts with spaces or of dots alone, and port 0, are tried; a "
        "`Location: http:/path` without a host is on the same host",
        "illegal bytes are quoted; the others are an `InvalidUrlClientError`, in a redirect an `InvalidUrlRedirectClientError`",
        "odd IP spellings; RFC 3986 sections 2 and 3.2, RFC 9110 section 4.2.1",
    ),
    "redirects": Difference(
        "`max_redirects=0` is without end; the obsolete field `URI` is followed; a redirect that isn't followed stands in its own "
        "`history`; `requote_redirect_url` rewrites escapes of the `Location`; the fragment of the first URL is lost; a POST that becomes "
        "a GET keeps the user's `Content-Type`",
        "0 allows none; `URI` is ignored, the history holds what came before; nothing legal in a `Location` is rewritten, as with "
        "`requote_redirect_url=False`, whatever the argument says; `real_url` inherits the fragment; what told of the body goes with it",
        "`max_redirects=0` is endless; RFC 9110 sections 10.2.2 and 15.4",
    ),
    "credentials across origins": Difference(
        "a redirect to another host takes `X-Api-Key` and its like along, and a `Host` of the user's own",
        "they are dropped, as `Authorization` and `Cookie` are by both; a body isn't sent from https on to http (`RedirectClientError`)",
        "credentials across origins; RFC 9110 section 15.4",
    ),
    "cookies as they came": Difference(
        "values are quoted anew when they go back to the server that set them; a quoted semicolon is part of a value; cookies without a "
        "name are dropped; of two of one name one goes out",
        "values go back as they came; a semicolon ends a value; a cookie may be without a name; both go out",
        "RFC 6265 sections 5.2 and 5.4",
    ),
    "cookies that are refused": Difference(
        "an http origin may set `Secure` cookies, `__Host-` and `__Secure-` mean nothing, `Domain=co.uk` makes a cookie for all of co.uk, "
        "and one that expires at 1970-01-01 lives on; `load()` reads pickles",
        "none of that",
        "cookie for a public suffix, prefixes not enforced, jar pickles run code; RFC 6265bis sections 4.1.3, 5.5 and 5.7",
    ),
    "multipart": Difference(
        "of a body that is cut off in a delimiter the part before it is whole; a boundary that stands in a content goes out",
        "a `ValueError`",
        "silent truncation; RFC 2046 section 5.1.1",
    ),
    "challenges that can't be answered": Difference(
        "a Digest challenge of an unknown algorithm, or without a nonce, is a `ClientError`",
        "the 401 is the response",
        "RFC 9110 section 11.4",
    ),
    "what proxies are told": Difference(
        "a `CONNECT` carries `Accept`, `Accept-Encoding`, `User-Agent` and a `Host` without the port; `proxy_headers` go with it alone",
        "it carries `Host` with the port and `proxy_headers`, which go in front of an http request, too; a `Proxy-Authorization` among "
        "`headers` is a `ValueError` where there is a proxy",
        "proxy credentials sent to the origin; RFC 9110 sections 9.3.6 and 11.7.2",
    ),
    "closing in use": Difference(
        "`close()` leaves whoever reads a body waiting until a time limit, and cancels who waits for a connection; who waits for a head "
        "gets `ServerDisconnectedError`",
        "all get a `ClientConnectionError` at once",
        "slot ownership, pool dead after cancellations; RFC 9112 section 9.6",
    ),
    "a URL changed by a middleware": Difference(
        "`response.url` is the one before the change, also what a `Location` is relative to",
        "it is the one that the response came from",
        "RFC 3986 section 5.1.3",
    ),
    "name lookups": Difference(
        "each connection begins with another of the remembered addresses; a resolver that answers nothing is a `RuntimeError`",
        "the resolver's order is kept; a `ClientConnectorDNSError`",
        "unbounded DNS cache; RFC 6724 section 6, RFC 8305 section 4",
    ),
    "`sock_connect`": Difference(
        "bounds each attempt, and the name lookup not at all",
        "bounds the opening of a connection as a whole: lookup, all attempts, TLS",
        "RFC 8305 section 5",
    ),
    "https over a Unix socket": Difference(
        "an https URL goes out in the clear",
        "by TLS",
        "credentials across origins (https -> http); RFC 9110 section 4.2.2",
    ),
    "`repr(BasicAuth(...))`": Difference(
        "shows the password",
        "doesn't",
        "secrets in logs and reprs; RFC 7617 section 4",
    ),
    "WebSockets": Difference(
        "frames are taken that the RFC forbids (masked ones, say); a server may choose a subprotocol or extension that wasn't offered, and "
        "headers overwrite the handshake; a server's close is answered with 1000 when it is read, and any code is sent; `compress` of one "
        "message compresses it unasked; a message of exactly `max_msg_size` is too long",
        "they are an ERROR or a `WSServerHandshakeError`; the handshake's own fields can't be given, `Connection: keep-alive, Upgrade` is "
        "right; its own code answers a close, at once, and none is sent that can't be; messages are compressed as agreed; the limit is "
        "inclusive",
        "frames and handshakes of a WebSocket; RFC 6455 sections 4.1, 5 and 7.4, RFC 7692 section 6",
    ),
}
