"""One of the two libraries, as the rest of this package asks it: its classes, its errors, and ours that derive from its classes."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...errors import AioreqError
from ...models import StreamResponse
from .bodies import ArrivingBody, BlockingBody, TracedBody
from .errors import name_of
from .network import BlockingNetworkStream, NetworkStream

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["Library"]

_VERSIONS = {f"1.{minor}": b"HTTP/1.%d" % minor for minor in range(10)}


class Library:
    """httpx or httpx2."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.name = module.__name__
        self._core = self.name.replace("httpx", "httpcore")
        self._response = self.module.Response
        self.ByteStream = self.module.ByteStream
        self._fills = _keeps_triples(self.module.Headers)
        # The client asks of a stream that it is an instance of the library's own class.
        self.Body: Any = self._derived("AsyncResponseStream", ArrivingBody, self.module.AsyncByteStream)
        self.TracedBody: Any = self._derived("TracedResponseStream", TracedBody, self.module.AsyncByteStream)
        self.BlockingBody: Any = self._derived("ResponseStream", BlockingBody, self.module.SyncByteStream)

    def _derived(self, name: str, ours: type, theirs: type) -> type:
        return type(name, (ours, theirs), {"_library": self, "__module__": f"aioreq.compat.{self.name}"})

    def response(self, response: StreamResponse, tracing: Tracing | None = None) -> Any:
        """The library's response to an asynchronous client."""
        stream = NetworkStream(response, self._core)
        body = self.Body(response, stream) if tracing is None else self.TracedBody(response, stream, tracing)
        return self._made(response, stream, body)

    def blocking_response(self, response: StreamResponse, ended: bool, tracing: Tracing | None) -> Any:
        """The library's response to a synchronous client; see `BlockingBody` for `ended`."""
        stream = BlockingNetworkStream(response, self._core)
        return self._made(response, stream, self.BlockingBody(response, stream, ended, tracing))

    def _made(self, response: StreamResponse, stream: object, body: object) -> Any:
        fields = response.fields
        made = self._response(
            response.status,
            headers=None if self._fills else fields,
            stream=body,
            extensions={
                "http_version": _VERSIONS[response.http_version],
                "reason_phrase": response._reason,
                "network_stream": stream,
            },
        )
        if self._fills:
            made.headers._list = [(name, name.lower(), value) for name, value in fields]
        if b"".join([value for _, value in fields]).isascii():  # else it decodes each of them to find that out
            made.headers.encoding = "ascii"
        return made

    def error(self, error: AioreqError) -> Exception:
        """What it is to the library; the message is kept."""
        return self.named(name_of(error), str(error))

    def named(self, name: str, message: str) -> Exception:
        """An error of the library's, by the name of its class."""
        made: Exception = getattr(self.module, name)(message)
        return made


def _keeps_triples(headers: Any) -> bool:
    """Whether the library's `Headers` are the list that we would make of fields: filled with it they cost half as much."""
    made = headers([(b"X-One", b"1")])
    return bool(getattr(made, "_list", None) == [(b"X-One", b"x-one", b"1")])
