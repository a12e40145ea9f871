"""What every verb takes, written once. Knows no client."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from .config import TLS, Timeout
from .headers import HeaderTypes
from .models import AuthTypes, Progress
from .proxies import ProxyTypes
from .request_body import Content
from .retries import Retry
from .urls import QueryTypes

if TYPE_CHECKING:
    from .forms import FilesTypes, FormTypes

__all__ = ["RequestOptions", "VerifyTypes"]

VerifyTypes: TypeAlias = bool | ssl.SSLContext | str | PathLike[str]


class RequestOptions(TypedDict, total=False):
    """Options of one request; what is not given is the client's.

    `params`: appended to the URL's query. `headers`: a value of None removes a default. `cookies`: for this request alone. The body is one
    of `content` (bytes, str, a binary file, an iterable or asynchronous iterable of bytes), `data` (a form: a mapping, pairs or a
    `FormData`) and `json` (any value; None sends `null`). `files`, alone or behind the fields of `data`, makes the form multipart: a
    mapping or pairs of a name and a binary file, path, bytes, str or iterable of bytes, or (filename, content), (filename, content,
    content_type) or (filename, content, content_type, headers). `compress`: the coding in which the body is sent ("gzip", "deflate" or
    "zstd"), to servers that are known to take it.
    `timeout`: a `Timeout`, seconds in all, or None for no limit. `max_body`: the most bytes a buffered response may have.
    `retry`: a `Retry`, a number of attempts after the first, or None for none. `max_redirects`: one more is an error.
    `sensitive_headers`: names of fields that stay with their origin when it is redirected.
    `auth`: (user, password) for what the server asks, a `BasicAuth`, `DigestAuth`, `BearerAuth` or `NetrcAuth`, an `Auth` or a function of
    your own; None for nobody.
    `proxy`: a URL, a `Proxy` or a mapping, as the client's; None goes directly. `extensions`: what middlewares of your own want to know,
    and `informational`: a plain function, called by the event loop with the status and the `ResponseHeaders` of each 1xx before the
    response (103 Early Hints, say); and `trailers`: what follows a chunked body, by name, each a value or a plain function that gives it
    when all of the body is sent (RFC 9110 section 6.5); and `trace`: an asynchronous function of a step's name and its facts, a mapping,
    awaited at that step: "queue.start" and "queue.end" (a wait for a connection), "open.start" (facts: `origin`, `proxy`), "dns.hit",
    "dns.start" and "dns.end" (`host`), "open.end", "reuse" (in place of an opening) and "send" (`request`, and `head`, as bytes). What
    these functions raise fails the request.

    `progress`: a plain function of the bytes done and those in all (None if unknown), called by the event loop as the body goes out; for a
    request without one, as a 2xx response's comes in. Each sending counts anew; what it raises fails the request.

    With the header `Expect: 100-continue` a body waits for the server's consent, for a second at most: where it is refused nothing of it
    was sent, so that even a generator can be sent again, to where a redirect leads or with a password.
    """

    params: QueryTypes | None
    headers: HeaderTypes | None
    cookies: Mapping[str, str] | None
    content: Content
    data: FormTypes | None
    files: FilesTypes | None
    compress: Literal["gzip", "deflate", "zstd"] | None
    json: Any
    auth: AuthTypes
    timeout: Timeout | float | None
    retry: Retry | int | None
    follow_redirects: bool
    max_redirects: int
    sensitive_headers: Collection[str]
    proxy: ProxyTypes
    verify: VerifyTypes
    tls: TLS | None
    raise_for_status: bool
    max_body: int | None
    progress: Progress | None
    extensions: dict[str, Any] | None
