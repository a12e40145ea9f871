"""What tests of the faces stand on: aiohttp's as `lib`, so that one test says what both do; aiohttp.web servers; who acts httpx's plays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from peers import needed_module

from .documentation_site import Site, opened
from .httpx_casts import ASYNC_CASTS, CASTS, Cast

Handler = Callable[[Any], Awaitable[Any]]


@pytest.fixture(params=["aioreq", "aiohttp"])
def lib(request: pytest.FixtureRequest) -> Any:
    """The face, and then aiohttp itself: what the test says holds for both."""
    return face() if request.param == "aioreq" else needed_module("aiohttp", "aiohttp")


def face() -> Any:
    import aioreq.compat.aiohttp

    return aioreq.compat.aiohttp


@pytest.fixture(params=CASTS, ids=str)
def cast(request: pytest.FixtureRequest) -> Cast:
    """httpx or httpx2, asynchronous or not, for plays upon its own transport and ours."""
    found: Cast = request.param
    return found


@pytest.fixture(params=ASYNC_CASTS, ids=str)
def async_cast(request: pytest.FixtureRequest) -> Cast:
    """The asynchronous ones of them."""
    found: Cast = request.param
    return found


class Web:
    """An aiohttp.web server that is told its routes as it runs: `web.get("/path", handler)`."""

    def __init__(self, library: Any) -> None:
        self.lib = library
        self.url = ""
        self._handlers: dict[tuple[str, str], Handler] = {}

    def on(self, path: str, handler: Handler, method: str = "*") -> None:
        """Answer this path by that handler."""
        self._handlers[method, path] = handler

    async def answer(self, request: Any) -> Any:
        handler = self._handlers.get((request.method, request.path)) or self._handlers.get(("*", request.path))
        return await (handler or echo)(request)


async def echo(request: Any) -> Any:
    """What came, as JSON; `?set=name=value` sets a cookie."""
    web = needed_module("aiohttp.web", "aiohttp")
    body = await request.read()
    response = web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": body.decode("latin-1"),
            "version": f"{request.version.major}.{request.version.minor}",
        }
    )
    for pair in request.query.getall("set", []):
        name, _, value = pair.partition("=")
        response.set_cookie(name, value)
    return response


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    library = needed_module("aiohttp.web", "aiohttp")
    served = Web(library)
    app = library.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = library.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    site = library.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    served.url = f"http://127.0.0.1:{port}"
    yield served
    await runner.cleanup()


@pytest.fixture
def aiohttp(lib: Any) -> Any:
    """Either library under the name that the examples of aiohttp's documentation know."""
    return lib


@pytest.fixture(params=["aiohttp.web", "embedded"])
def served_by(request: pytest.FixtureRequest) -> str:
    """Which server a site runs on."""
    name: str = request.param
    return name


@pytest.fixture
async def site(served_by: str) -> AsyncIterator[Site]:
    async with opened(served_by) as site:
        yield site
