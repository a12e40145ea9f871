"""`extensions={"trace": ...}`: our steps under httpcore's names, in its order. Imported when somebody traces a request.

The core tells of a step before it is taken and doesn't tell of all: TLS is told of once it is done, with the opening; the request's body
with its head, before either goes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...models import StreamResponse

__all__ = ["Tracing"]


class Tracing:
    """Tells one request's steps to `told`, a function that may be asynchronous where the client is."""

    def __init__(self, told: Callable[[str, dict[str, Any]], Any], request: Any) -> None:
        self._told = told
        self._request = request
        self._step = ""  # started, and neither complete nor failed

    async def __call__(self, step: str, facts: Mapping[str, Any]) -> None:
        """What the core is told to call."""
        timeout = self._request.extensions.get("timeout", {})
        if step == "open.start":
            origin = facts["origin"]
            await self.start("connection.connect_tcp", host=origin.host, port=origin.port, timeout=timeout.get("connect"))
        elif step == "open.end":
            await self.complete()
            if self._request.url.scheme in ("https", "wss"):
                await self.start("connection.start_tls", server_hostname=self._request.url.host, timeout=timeout.get("connect"))
                await self.complete()
        elif step == "send":
            for part in ("headers", "body"):
                await self.start(f"http11.send_request_{part}", request=self._request)
                await self.complete()
            await self.start("http11.receive_response_headers", request=self._request)

    async def start(self, step: str, **facts: Any) -> None:
        if self._step:  # it went wrong on a connection that had idled, and goes out once more
            await self.fail(ConnectionError("the connection had been closed"))
        self._step = step
        await self._tell(f"{step}.started", facts)

    async def complete(self, value: Any = None) -> None:
        step, self._step = self._step, ""
        if step:
            await self._tell(f"{step}.complete", {"return_value": value})

    async def fail(self, error: BaseException) -> None:
        step, self._step = self._step, ""
        if step:
            await self._tell(f"{step}.failed", {"exception": error})

    async def head(self, response: StreamResponse) -> None:
        """The response's head is here."""
        await self.complete((b"HTTP/1.1", response.status, response._reason, list(response.fields)))

    async def body(self) -> None:
        """Its body is asked for."""
        await self.start("http11.receive_response_body", request=self._request)

    async def close(self) -> None:
        """The response is closed, perhaps before its end."""
        self._step = ""
        await self.start("http11.response_closed")
        await self.complete()

    async def _tell(self, event: str, facts: dict[str, Any]) -> None:
        returned = self._told(event, facts)
        if isinstance(returned, Awaitable):
            await returned
