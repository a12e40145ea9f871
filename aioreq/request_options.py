"""What every verb takes, written once. Knows no client."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeAlias, TypedDict

from .config import TLS, Retry, Timeout
from .headers import HeaderTypes
from .models import AuthTypes
from .proxies import ProxyTypes
from .request_body import Content, FormData
from .urls import QueryTypes

__all__ = ["RequestOptions", "VerifyTypes"]

VerifyTypes: TypeAlias = bool | ssl.SSLContext | str | PathLike[str]


class RequestOptions(TypedDict, total=False):
    """Options of one request; what is not given is the client's.

    `params`: appended to the URL's query. `headers`: a value of None removes a default. `cookies`: for this request alone. The body is one
    of `content` (bytes, str, a binary file, an iterable or asynchronous iterable of bytes), `data` (a form) and `json` (any value; None
    sends `null`). `timeout`: a `Timeout`, seconds in all, or None for no limit. `max_body`: the most bytes a buffered response may have.
    `proxy`: a URL, a `Proxy` or a mapping, as the client's; None goes directly. `extensions`: what middlewares of your own want to know,
    and `informational`: a plain function, called by the event loop with the status and the `ResponseHeaders` of each 1xx before the
    response (103 Early Hints, say). What it raises fails the request.

    With the header `Expect: 100-continue` a body waits for the server's consent, for a second at most: where it is refused nothing of it
    was sent, so that even a generator can be sent again, to where a redirect leads or with a password.
    """

    params: QueryTypes | None
    headers: HeaderTypes | None
    cookies: Mapping[str, str] | None
    content: Content
    data: FormData | None
    json: Any
    auth: AuthTypes
    timeout: Timeout | float | None
    retry: Retry | int | None
    follow_redirects: bool
    max_redirects: int
    proxy: ProxyTypes
    verify: VerifyTypes
    tls: TLS | None
    raise_for_status: bool
    max_body: int | None
    extensions: dict[str, Any] | None
