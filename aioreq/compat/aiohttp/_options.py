"""What the verbs take, for type checkers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, TypedDict

from .typedefs import LooseCookies, LooseHeaders, Query, StrOrURL

if TYPE_CHECKING:
    from ._response import ClientResponse
    from ._timeouts import ClientTimeout
    from ._upload import UploadTracker
    from ._values import Fingerprint
    from .client_middlewares import ClientMiddlewareType
    from .helpers import BasicAuth

__all__ = ["DataOptions", "RaiseForStatus", "RedirectOptions", "RequestOptions"]

RaiseForStatus = bool | Callable[["ClientResponse"], Awaitable[None]]


class _Options(TypedDict, total=False):
    params: Query
    json: Any
    cookies: LooseCookies | None
    headers: LooseHeaders | None
    skip_auto_headers: Iterable[str] | None
    auth: BasicAuth | None
    max_redirects: int
    compress: str | bool | None
    chunked: bool | None
    expect100: bool
    raise_for_status: RaiseForStatus | None
    read_until_eof: bool
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    timeout: ClientTimeout | float | None
    verify_ssl: bool | None
    fingerprint: bytes | None
    ssl_context: SSLContext | None
    ssl: SSLContext | bool | Fingerprint
    server_hostname: str | None
    proxy_headers: LooseHeaders | None
    trace_request_ctx: object
    read_bufsize: int | None
    auto_decompress: bool | None
    max_line_size: int | None
    max_field_size: int | None
    max_headers: int | None
    middlewares: Sequence[ClientMiddlewareType] | None
    upload_tracker: UploadTracker | None


class DataOptions(_Options, total=False):
    """With a body, of the verbs that name `allow_redirects` themselves."""

    data: Any


class RedirectOptions(_Options, total=False):
    """With redirects, of the verbs that name `data` themselves."""

    allow_redirects: bool


class RequestOptions(DataOptions, RedirectOptions, total=False):
    """All of them."""
