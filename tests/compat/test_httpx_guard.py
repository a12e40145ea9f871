"""A connector's guard under httpx and httpx2: it caps what a hop may send and how long it may take, too."""

from __future__ import annotations

from typing import Any

import pytest

import aioreq
from aioreq.testing import Server, Stall

from .httpx_libraries import lib, ours

__all__ = ["lib", "ours"]

pytestmark = pytest.mark.usefixtures("no_hanging")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"200\r\n" + b"x" * 512 + b"\r\n") * 4 + b"0\r\n\r\n"


def guarded(ours: Any, **caps: Any) -> Any:
    return ours.AsyncTransport(connector=aioreq.Connector(guard=aioreq.PublicOnly(allow=["127.0.0.1"], **caps)))


async def test_the_length_of_a_body(lib: Any, ours: Any, server: Server) -> None:
    transport = guarded(ours, max_body=1000)
    async with transport.connector, lib.AsyncClient(transport=transport) as client:
        assert len((await client.get(f"{server.url}/bytes/1000")).content) == 1000
        server.script(CHUNKS, path="/chunks")
        for path in ("/bytes/1001", "/chunks"):
            with pytest.raises(lib.RemoteProtocolError, match="guard admits") as caught:
                await client.get(server.url + path)
            assert isinstance(caught.value.__cause__, aioreq.LimitExceeded)


async def test_the_time_of_a_hop(lib: Any, ours: Any, server: Server) -> None:
    transport = guarded(ours, timeout=0.2)
    async with transport.connector, lib.AsyncClient(transport=transport, timeout=30) as client:
        for sent in (b"", HEAD + b"01234"):
            server.script(*([sent] if sent else []), Stall(), path="/slow")
            with pytest.raises(lib.ReadTimeout, match=r"total limit of 0\.2 s") as caught:
                await client.get(f"{server.url}/slow")
            assert isinstance(caught.value.__cause__, aioreq.TotalTimeout)
        assert transport.connector.stats().open == 0


@pytest.mark.no_loop
def test_a_synchronous_client(lib: Any, ours: Any) -> None:
    connector = aioreq.Connector(guard=aioreq.PublicOnly(allow=["127.0.0.1"], max_body=1000))
    with Server() as server, lib.Client(transport=ours.Transport(connector=connector)) as client:
        server.route("*", b"x" * 100_000)
        with pytest.raises(lib.RemoteProtocolError, match="guard admits"):
            client.get(server.url)
