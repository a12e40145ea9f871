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
        return self._response(
            response.status,
            headers=response.fields,
            stream=body,
            extensions={
                "http_version": _VERSIONS[response.http_version],
                "reason_phrase": response._reason,
                "network_stream": stream,
            },
        )

    def error(self, error: AioreqError) -> Exception:
        """What it is to the library; the message is kept."""
        return self.named(name_of(error), str(error))

    def named(self, name: str, message: str) -> Exception:
        """An error of the library's, by the name of its class."""
        made: Exception = getattr(self.module, name)(message)
        return made
